"""A session during which one allocation fails: `python -m tests.native.scarce DIRECTORY NUMBER...`, in a test build.

For each NUMBER n a client does a little of everything while the n-th allocation of the connection's thread, in our C
or in libssh, fails. Before each, its number is written out, behind it "untouched" once n is more than there are; so
whoever reads knows where it stopped. What must hold is asserted here.
"""

from __future__ import annotations

import errno
import queue
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag

from libsshd import Connected, Disconnected, HostKey, SFTPServer
from tests.native import faulty
from tests.support.account import let_in
from tests.support.command import wait_until
from tests.support.hostile import Peer
from tests.support.rawsftp import CREAT, NO_ATTRIBUTES, READ, TRUNC, WRITE, Code, RawSFTP, Type, string, u32
from tests.support.sshwire import DEADLINE, Gone, Message

CONTENT = bytes(range(256)) * 512
"""128 KiB, sent in four WRITEs."""
PIECE = 32 * 1024
TELLTALE = CONTENT[100:164]
ENDED = (Gone, EOFError, TimeoutError, InvalidTag)
"""What a client sees whose connection, or the answer it waited for, was given up."""


class Listener(Peer):
    """Keeps all bytes of the server as they came."""

    heard = b""

    def _fill(self, size: int, end: float) -> None:
        before = len(self._buffer)
        try:
            super()._fill(size, end)
        finally:
            self.heard += self._buffer[before:]

    def receive(self, timeout: float = DEADLINE) -> bytes:
        """Refusals are the end of what is tried."""
        payload = super().receive(timeout)
        if payload[0] in (Message.UNIMPLEMENTED, Message.CHANNEL_OPEN_FAILURE):
            raise Gone
        return payload


class Scarcity:
    """A server on whose next connection the n-th allocation fails."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._nth = 0
        self._fired: queue.Queue[bool] = queue.Queue()
        self.server = SFTPServer(
            host_keys=[HostKey.generate()], local_host="127.0.0.1", local_port=0, root_directory=str(root),
            allow_links=True, login_timeout=2.0, default_timeout=2, failure_delay=0.0,
        )  # fmt: skip
        self.server.on_ssh_user_auth_request = let_in
        self.server.on_connected = self._arm
        self.server.on_disconnected = self._disarm

    def _arm(self, _: Connected) -> None:
        faulty.arm("memory", self._nth, errno.ENOMEM)

    def _disarm(self, _: Disconnected) -> None:
        self._fired.put(faulty.fired())
        faulty.disarm()

    def run(self, nth: int) -> bool:
        """A session; whether an allocation failed. Nothing may be left behind, nothing have come in the clear."""
        self._nth = nth
        peer = Listener(self.server.local_port)
        with peer:
            with suppress(*ENDED):
                use_everything(peer, self.root)
            assert TELLTALE not in peer.heard, "what was to be encrypted came in the clear"
        fired = self._fired.get(timeout=DEADLINE)
        wait_until(lambda: not self.server._hub.connections, "the end of the connection")
        for left in self.root.iterdir():
            left.unlink()
        return fired


def use_everything(peer: Peer, root: Path) -> None:
    """Raises one of ENDED, or returns after an orderly end. What was acknowledged must be so."""
    peer.login()
    sftp = RawSFTP(peer.sftp()).init()
    upload(sftp, root)
    download(sftp)
    peer.exchange()
    names(sftp, root)
    peer.round_trip()
    sftp.close()


def upload(sftp: RawSFTP, root: Path) -> None:
    opened = sftp.ask(Type.OPEN, string(b"/file"), u32(WRITE | CREAT | TRUNC), NO_ATTRIBUTES)
    if opened.type != Type.HANDLE:
        return
    done = [sftp.write(opened.handle, at, CONTENT[at : at + PIECE]) for at in range(0, len(CONTENT), PIECE)]
    stored = (root / "file").read_bytes()
    for number, code in enumerate(done):
        piece = slice(number * PIECE, (number + 1) * PIECE)
        assert code != Code.OK or stored[piece] == CONTENT[piece], "a WRITE that was acknowledged is not there"
    sftp.shut(opened.handle)


def download(sftp: RawSFTP) -> None:
    opened = sftp.ask(Type.OPEN, string(b"/file"), u32(READ), NO_ATTRIBUTES)
    if opened.type == Type.HANDLE:
        for at in range(0, len(CONTENT), PIECE):
            read = sftp.read(opened.handle, at, PIECE)
            assert read.type == Type.STATUS or read.data == CONTENT[at : at + PIECE]


def names(sftp: RawSFTP, root: Path) -> None:
    if sftp.ask(Type.RENAME, string(b"/file"), string(b"/other")).code == Code.OK:
        assert (root / "other").exists()
    directory = sftp.ask(Type.OPENDIR, string(b"/"))
    if directory.type == Type.HANDLE:
        listed = sftp.ask(Type.READDIR, string(directory.handle))
        assert listed.type in (Type.NAME, Type.STATUS)
    if sftp.ask(Type.REMOVE, string(b"/other")).code == Code.OK:
        assert not (root / "other").exists()


def numbers(wanted: list[str]) -> Iterator[int]:
    """Those named; FIRST+STEP goes on for ever."""
    for one in wanted:
        first, _, step = one.partition("+")
        number = int(first)
        yield number
        while step:
            number += int(step)
            yield number


def main() -> None:
    scarcity = Scarcity(Path(sys.argv[1]))
    with scarcity.server:
        assert not scarcity.run(0), "nothing was to fail"
        faulty.track()
        assert not scarcity.run(0)
        before = faulty.live()
        for nth in numbers(sys.argv[2:]):
            print(nth, end=" ", flush=True)
            if not scarcity.run(nth):
                print("untouched", flush=True)
                return
            assert faulty.live() == before, f"{faulty.live() - before} blocks were not freed"


if __name__ == "__main__":
    main()
