"""Rest: five seconds after the last byte of a peer, what a transfer made large is given back, and nothing is lost.

Each test keeps several connections at rest at once, for it has to wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from errno import ENOMEM
from pathlib import Path

import pytest

from libsshd.fs.rooted import RootedFileSystem
from tests.native import faulty
from tests.support.command import wait_until
from tests.support.hostile import Channel, Peer
from tests.support.link import Link, log_in
from tests.support.rawsftp import CREAT, WRITE, Code, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import Message, message

pytestmark = faulty.needed
LARGE = bytes(range(256)) * 8192
"""2 MiB, more than what makes it worth while."""
ALLOCATIONS = 9
"""That a rest makes at least: two buffers of packets, and a socket with its own."""


@pytest.fixture
def fs(root: Path) -> Iterator[RootedFileSystem]:
    (root / "f").write_bytes(b"content")
    (root / "large").write_bytes(LARGE)
    with RootedFileSystem(str(root)) as made:
        yield made


class Guest:
    """Logged in on a connection of its own, with SFTP; the nth `call` of its thread from then on fails."""

    def __init__(self, fs: RootedFileSystem, stack: ExitStack, window: int = 1 << 31) -> None:
        self.link = stack.enter_context(Link(fs))
        self.peer = stack.enter_context(Peer(self.link.port))
        self.channel: Channel = log_in(self.peer.connect()).sftp(window=window)
        self.sftp = RawSFTP(self.channel).init()

    def arm(self, call: str, nth: int = 1) -> None:
        self.link.call(lambda _: faulty.arm(call, nth, ENOMEM))

    def fired(self) -> bool:
        return self.link.call(lambda _: faulty.fired())

    def await_fired(self) -> None:
        wait_until(self.fired, "the rest")
        self.link.call(lambda _: faulty.disarm())

    def upload(self) -> None:
        handle = self.sftp.open(b"/new", WRITE | CREAT)
        for at in range(0, len(LARGE), 1 << 16):
            assert self.sftp.write(handle, at, LARGE[at : at + (1 << 16)]) == Code.OK
        assert self.sftp.shut(handle) == Code.OK

    def works(self) -> bool:
        return self.sftp.read(self.sftp.open(b"/f"), 0, 7).data == b"content"


@pytest.fixture
def guests(fs: RootedFileSystem) -> Iterator[Callable[..., Guest]]:
    with ExitStack() as stack:
        yield lambda **options: Guest(fs, stack, **options)


def test_a_rest_that_finds_no_memory_leaves_the_connection_as_it_was(guests: Callable[..., Guest]) -> None:
    """All at once, each with another allocation that fails, and one that cannot ask for its stack."""
    resting = [guests() for _ in range(ALLOCATIONS)]
    for nth, guest in enumerate(resting, 1):
        guest.arm("memory", nth)
    without_stack = guests()
    without_stack.arm("pthread_getattr_np")
    for guest in [*resting, without_stack]:
        guest.await_fired()
        assert guest.works()


def test_what_is_on_its_way_stays(guests: Callable[..., Guest]) -> None:
    """Half a packet of SSH, half of one of SFTP, and a reply that waits for a window."""
    half_ssh, half_sftp, waiting = guests(), guests(), guests(window=2000)
    cut = half_ssh.peer.seal(message(Message.GLOBAL_REQUEST, string(b"none@example.com"), b"\1"))
    half_ssh.peer.send_bytes(cut[:10])
    body = bytes([Type.STAT]) + u32(7) + string(b"/f")
    half_sftp.sftp.literal(u32(len(body)) + body[:3])
    handle = waiting.sftp.open(b"/large")
    number = waiting.sftp.post(Type.READ, string(handle), u64(0), u32(20_000))
    last = guests()
    last.arm("pthread_getattr_np")
    last.await_fired()
    half_ssh.peer.send_bytes(cut[10:])
    half_ssh.peer.expect(Message.REQUEST_FAILURE)
    half_sftp.sftp.literal(body[3:])
    assert half_sftp.sftp.reply().id == 7
    waiting.channel.adjust(1 << 20)
    reply = waiting.sftp.reply()
    assert (reply.id, reply.data) == (number, LARGE[:20_000])
    assert all(guest.works() for guest in (half_ssh, half_sftp, waiting))


def test_the_heap_is_given_back_after_a_transfer_and_only_then(guests: Callable[..., Guest]) -> None:
    busy, quiet, last = guests(), guests(), guests()
    busy.upload()
    assert last.works()
    for guest in (busy, quiet):
        guest.arm("malloc_trim")
    last.arm("pthread_getattr_np")
    last.await_fired()
    busy.await_fired()
    assert not quiet.fired()
    busy.upload()
    assert busy.works()
