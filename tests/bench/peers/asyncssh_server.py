"""asyncssh's stock SFTP server over a directory.

`python -m tests.bench.peers.asyncssh_server ROOT HOST_KEY AUTHORIZED_KEYS USER`
"""

from __future__ import annotations

import asyncio
import os
import sys

import asyncssh


async def serve(root: str, host_key: str, authorized_keys: str, user: str) -> None:
    """Print the URL once clients can connect, then serve until cancelled."""

    def session(channel: asyncssh.SSHServerChannel[bytes]) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=os.fsencode(root))

    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        sftp_factory=session,
        login_timeout=60,
        backlog=128,
    )
    print(f"sftp://{user}@127.0.0.1:{listener.get_port()}", flush=True)
    await listener.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:5]))
