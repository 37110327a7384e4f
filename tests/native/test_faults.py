"""Calls of the kernel that fail at the worst moment: told as they are, repeated after a signal, nothing left open."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from errno import EAGAIN, EINTR, EIO, EMFILE, ENOMEM, ENOTCONN
from pathlib import Path

import pytest

from libsshd._native import Bind, Connection, EventKind, HandleCounts, Key, Pipe, Sftp
from libsshd.constants import OpenFlags
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes
from tests.fs.outcome import code_of
from tests.native import faulty
from tests.native.engine import (
    EOF_TEMPLATE,
    OK_TEMPLATE,
    Event,
    Files,
    data,
    exchange,
    ok,
    read,
    write,
)
from tests.native.test_files import close, open_
from tests.support.hostile import Peer
from tests.support.link import Link, algorithms, log_in
from tests.support.stdio import Scratch

pytestmark = faulty.needed


# --- over descriptors ---


@pytest.mark.parametrize("call", ["pread", "pwrite", "read"])
def test_a_signal_changes_nothing(files: Files, call: str) -> None:
    files.add(b"h", b"content")
    with faulty.failing(call, EINTR):
        outcome = exchange(files, write(1, b"h", 0, b"CON") + read(2, b"h", 0, 7))
    assert outcome.replies == ok(1) + data(2, b"CONtent")


@pytest.mark.parametrize(("call", "operation"), [("pread", "read"), ("pwrite", "write")])
def test_what_the_disk_refuses_is_told(files: Files, call: str, operation: str) -> None:
    files.add(b"h", b"content")
    with faulty.failing(call, EIO):
        outcome = exchange(files, write(1, b"h", 0, b"CON") if call == "pwrite" else read(1, b"h", 0, 7))
    assert outcome.events[0].kind == EventKind.FAILED
    assert outcome.events[0].error == EIO
    assert outcome.replies == b""


def test_a_write_that_moves_nothing_has_failed(files: Files) -> None:
    files.add(b"h")
    with faulty.failing("pwrite", 0):
        outcome = exchange(files, write(1, b"h", 0, b"x"))
    assert (outcome.events[0].kind, outcome.events[0].error) == (EventKind.FAILED, EIO)


@pytest.mark.parametrize("call", ["read", "write"])
def test_a_stream_that_breaks_is_told(files: Files, call: str) -> None:
    files.add(b"h", b"content")
    with faulty.failing(call, EIO):
        assert code_of(exchange, files, read(1, b"h", 0, 7)) == EIO


@pytest.mark.parametrize("wakes", [False, True])
def test_a_wait_that_fails_is_told(wakes: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        pipe = Pipe(ours.fileno(), ours.fileno(), OK_TEMPLATE, EOF_TEMPLATE)
        if wakes:
            pipe.wake_by(theirs.fileno())
        with faulty.failing("poll", ENOMEM):
            assert code_of(pipe.next) == ENOMEM


def test_a_full_output_whose_wait_fails_is_told() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        pipe = Pipe(ours.fileno(), ours.fileno(), OK_TEMPLATE, EOF_TEMPLATE)
        with faulty.failing("poll", ENOMEM):
            assert code_of(pipe.next, bytes(8 << 20)) == ENOMEM


def test_a_close_that_fails_is_told(files: Files, fs: RootedFileSystem, root: Path) -> None:
    (root / "f").touch()
    native = fs.native_files()

    def share(sftp: Sftp) -> None:
        sftp.open_files(native.root, native.flags, walk=native.walk)
        sftp.limit_handles(3, HandleCounts(3))
        faulty.arm("close", 1, EIO)

    outcome = exchange(files, open_(1, b"/f") + close(2, b"1"), prepare=share)
    faulty.disarm()
    told = next(event for event in outcome.events if event.kind == EventKind.FAILED)
    assert told == Event(EventKind.FAILED, b"1", 1, EIO, 2, told.operation)
    for name in os.listdir("/proc/self/fd"):  # what was not closed here
        if os.path.realpath(f"/proc/self/fd/{name}") == str(root / "f"):
            os.close(int(name))


@pytest.mark.parametrize("template", [b"", b"12345678", bytes(257)])
def test_a_reply_that_is_no_status_is_not_taken(template: bytes) -> None:
    with Scratch() as scratch:
        for templates in ((template, EOF_TEMPLATE), (OK_TEMPLATE, template)):
            with pytest.raises(MemoryError):
                Pipe(scratch.fd, scratch.fd, *templates)


# --- paths ---

Use = Callable[[RootedFileSystem], object]
PATHS: list[tuple[str, int, int, Use]] = [
    ("fstat", 1, EIO, lambda fs: fs.open(b"/f", OpenFlags.READ, None)),
    ("ftruncate", 1, EIO, lambda fs: fs.open(b"/f", OpenFlags.WRITE | OpenFlags.TRUNC, None)),
    ("ftruncate", 1, EIO, lambda fs: fs.setstat(b"/f", Attributes(size=1))),
    ("fstat", 4, EIO, lambda fs: fs.setstat(b"/f", Attributes(size=7, allocation_size=1 << 20))),
    ("fstat", 2, EAGAIN, lambda fs: fs.setstat(b"/f", Attributes(size=1))),
    ("fstat", 3, EAGAIN, lambda fs: fs.setstat(b"/f", Attributes(size=1))),
    ("readlinkat", 1, EIO, lambda fs: fs.readlink(b"/link")),
    ("unlinkat", 1, EIO, lambda fs: fs.remove(b"/f")),
    ("renameat", 1, EIO, lambda fs: fs.rename(b"/f", b"/g", overwrite=True)),
]


@pytest.fixture
def tree(root: Path) -> Path:
    (root / "f").write_bytes(b"content")
    (root / "link").symlink_to("f")
    return root


@pytest.mark.parametrize(("call", "nth", "error", "use"), PATHS)
def test_what_the_kernel_refuses_is_told(
    fs: RootedFileSystem, tree: Path, call: str, nth: int, error: int, use: Use
) -> None:
    with faulty.failing(call, error, nth):
        assert code_of(use, fs) == error
    assert (tree / "f").read_bytes() == b"content" or call == "fstat"


# --- connections ---


@pytest.fixture
def bind() -> Bind:
    return Bind([Key.generate("ssh-ed25519")], algorithms())


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_connection_without_a_way_to_be_woken_is_not_begun(
    bind: Bind, sockets: tuple[socket.socket, socket.socket]
) -> None:
    with faulty.failing("eventfd", EMFILE):
        assert code_of(Connection, bind, sockets[0].detach()) == EMFILE


@pytest.mark.parametrize(("call", "error"), [("ppoll", EINTR), ("recv", EINTR)])
def test_a_signal_does_not_end_a_connection(call: str, error: int) -> None:
    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.call(lambda _: faulty.arm(call, 1, error))
        peer.round_trip()
        assert link.call(lambda _: faulty.fired())


@pytest.mark.parametrize(("call", "error"), [("ppoll", ENOMEM), ("recv", ENOTCONN)])
def test_a_socket_that_breaks_ends_its_connection_with_the_reason(call: str, error: int) -> None:
    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.call(lambda _: faulty.arm(call, 1, error))
        peer.end()
        link.join()
        assert link.error == error


def test_a_connection_that_cannot_be_half_closed_is_closed(
    bind: Bind, sockets: tuple[socket.socket, socket.socket]
) -> None:
    native = Connection(bind, sockets[0].detach())
    with faulty.failing("shutdown", ENOTCONN):
        native.close(11, "bye")
    native.free()


def test_an_abandoned_connection_is_over_in_this_process_alone(
    bind: Bind, sockets: tuple[socket.socket, socket.socket]
) -> None:
    kept = os.dup(sockets[0].fileno())
    native = Connection(bind, sockets[0].detach())
    native.abandon()
    assert EventKind(native.next()) == EventKind.GONE
    native.free()
    os.write(kept, b"still there")
    assert sockets[1].recv(100).endswith(b"still there")
    os.close(kept)
