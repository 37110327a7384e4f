"""Class 17: no compression unless it is switched on, and then a bomb is no more than the packets it could be."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from libsshd import SFTPServer
from tests.cli.conftest import Command
from tests.cli.conftest import command as command  # noqa: PLC0414 - a fixture
from tests.support.command import DEADLINE, end
from tests.support.hostile import Peer
from tests.support.rawsftp import RawSFTP, string, u32
from tests.support.sshwire import Gone, Message, message

PROJECT = Path(__file__).parents[2]
MIB = 1 << 20
ROOM = 16 * MIB
"""What the server may grow by at most, one packet and its window included."""


def offered(port: int) -> list[bytes]:
    """The lists of compression in the server's KEXINIT, of both directions."""
    with Peer(port) as peer:
        fields = peer.greet().expect(Message.KEXINIT)
        fields.take(16)
        return [fields.string() for _ in range(8)][6:]


def test_the_component_offers_none(server: SFTPServer) -> None:
    assert offered(server.local_port) == [b"none"] * 2


def test_the_command_offers_none(command: Command) -> None:
    assert offered(command.serve().port) == [b"none"] * 2
    assert offered(command.serve("--algorithms", "strict").port) == [b"none"] * 2


def test_who_wants_nothing_else_is_turned_away(server: SFTPServer) -> None:
    with Compressing(server.local_port) as peer, pytest.raises(Gone):
        peer.connect().service()


class Compressing(Peer):
    """Deflates whatever it sends once it has logged in."""

    compression = b"zlib@openssh.com"
    _deflate = None

    def login(self, user: bytes = b"alice", password: bytes = b"Open-Sesame.7") -> Peer:
        super().login(user, password)
        self._deflate = zlib.compressobj(9)
        return self

    def seal(self, payload: bytes) -> bytes:
        if self._deflate is not None:
            payload = self._deflate.compress(payload) + self._deflate.flush(zlib.Z_PARTIAL_FLUSH)
        return super().seal(payload)


SERVER = """
    import sys
    from pathlib import Path
    from tests.contract.support_life import make
    server = make(Path(sys.argv[1]), ssh_compression_algorithms="none,zlib@openssh.com")
    server.start_listening()
    print(server.local_port, flush=True)
    sys.stdin.read()
    server.shutdown()
"""


@pytest.fixture
def compressed(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-c", textwrap.dedent(SERVER), str(root)]
    process = subprocess.Popen(argv, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    yield process
    end(process)


def peak(pid: int) -> int:
    """The most memory that the process ever had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


@pytest.mark.parametrize("kind", [Message.IGNORE, Message.CHANNEL_DATA, Message.GLOBAL_REQUEST])
def test_a_bomb_ends_its_connection_and_takes_no_memory(compressed: subprocess.Popen[bytes], kind: Message) -> None:
    assert compressed.stdout is not None
    port = int(compressed.stdout.readline())
    with Compressing(port) as peer:
        RawSFTP(peer.login().sftp()).init().stat(b"/")  # it works, and what it takes is taken
    before = peak(compressed.pid)
    with Compressing(port) as peer:
        number = peer.login().sftp().remote
        head = u32(number) if kind is Message.CHANNEL_DATA else b""
        bomb = message(kind, head, string(bytes(64 * MIB)))
        with pytest.raises(Gone):  # noqa: PT012 - at one of these steps
            peer.send(bomb)
            peer.round_trip()
    assert peak(compressed.pid) - before < ROOM
    with Compressing(port) as peer:
        RawSFTP(peer.login().sftp()).init().stat(b"/")
    assert compressed.stdin is not None
    compressed.stdin.close()
    assert compressed.wait(DEADLINE) == 0


def test_many_small_bombs_take_no_memory_either(compressed: subprocess.Popen[bytes]) -> None:
    """Packets that are legal once inflated: a thousand times what crosses the wire, and answered one by one."""
    assert compressed.stdout is not None
    port = int(compressed.stdout.readline())
    with Compressing(port) as peer:
        peer.login()
        peer.round_trip()
        before = peak(compressed.pid)
        for _ in range(100):
            peer.send(message(Message.IGNORE, string(bytes(30_000))))
        peer.round_trip()
        assert peak(compressed.pid) - before < ROOM
