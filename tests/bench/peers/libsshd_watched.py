"""The component with a handler of FileRead that does nothing.

`python -m tests.bench.peers.libsshd_watched ROOT HOST_KEY AUTHORIZED_KEYS USER`
"""

from __future__ import annotations

import logging
import sys

from libsshd import HostKey, SFTPServer
from libsshd.authentication import AuthorizedKeys, Credentials


def main(root: str, host_key: str, authorized_keys: str, user: str) -> None:
    """Print the URL once clients can connect, then serve for ever."""
    logging.getLogger("libsshd").setLevel(logging.WARNING)
    server = SFTPServer(root_directory=root, local_host="127.0.0.1", local_port=0)
    server.ssh_cert = HostKey.from_file(host_key)
    server.on_ssh_user_auth_request = Credentials(user, None, AuthorizedKeys.from_file(authorized_keys)).decide
    server.on_file_read = lambda _: None
    server.start_listening()
    print(f"sftp://{user}@127.0.0.1:{server.local_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:5])
