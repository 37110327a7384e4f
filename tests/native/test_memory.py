"""Memory that runs out: the n-th allocation fails, for every n until there are no more.

Whatever was asked for is refused or its connection ends; nothing crashes, is lost, is kept or goes out in the clear.
"""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL, EIO, ENOMEM
from pathlib import Path

import pytest

from libsshd._native import Bind, Connection, EventKind, HandleCounts, Key, Pipe, Sftp
from libsshd.fs.rooted import RootedFileSystem
from tests.native import faulty
from tests.native.engine import EOF_TEMPLATE, OK_TEMPLATE, Files, Outcome, exchange, ok, read, run_pipe, write
from tests.native.test_files import close, open_
from tests.support.hostile import Peer
from tests.support.link import Link, algorithms, log_in
from tests.support.rawsftp import string
from tests.support.sshwire import Gone, Message, message
from tests.support.stdio import Scratch
from tests.wire.client_encoding import frame

pytestmark = faulty.needed
MOST = 100_000
REFUSED = {ENOMEM, EINVAL, EIO}
"""What our C says, and what libssh's failures of any kind are told as."""


def state() -> tuple[int, int]:
    """Blocks that are allocated, and descriptors that are open."""
    return faulty.live(), len(os.listdir("/proc/self/fd"))


def fail_each(operation: Callable[[], object]) -> int:
    """Repeats it with the n-th allocation failing, and expects it to refuse; how many allocations it makes."""
    operation()
    faulty.track()
    gc.collect()
    before = state()
    for nth in range(1, MOST):
        faulty.arm("memory", nth, ENOMEM)
        try:
            operation()
        except MemoryError:
            pass
        except ValueError:
            pass
        except OSError as error:
            assert error.errno in REFUSED
        else:
            if not faulty.fired():
                return nth - 1
        finally:
            faulty.disarm()
        gc.collect()
        assert state() == before, f"the {nth}th allocation fails, and something is not given back"
    raise AssertionError("there is no end")


def test_a_session_survives_every_allocation_that_fails(tmp_path: Path) -> None:
    """From the banner to a rekey, with uploads, downloads and names, through the whole server."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.native.scarce", str(tmp_path), "1+1"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-20:]} {done.stderr[-4000:]}"
    assert done.stdout.endswith("untouched\n")
    assert int(done.stdout.split()[-2]) > 100, "so many an SSH session takes at least"
    assert "Traceback" not in done.stderr, done.stderr


# --- keys ---


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_a_key_that_is_made_written_and_read(kind: str) -> None:
    text = Key.generate(kind).private_text

    def use() -> None:
        assert Key.parse(text).public_blob
        assert Key.parse(text).private_text

    assert fail_each(use) > 5


def test_a_key_that_is_made() -> None:
    assert fail_each(lambda: Key.generate("ssh-ed25519")) > 1


def test_what_a_server_starts_with() -> None:
    key = Key.generate("ssh-ed25519")
    lists = algorithms(compression="zlib@openssh.com,none")
    assert fail_each(lambda: Bind([key], lists)) > 20


def test_a_connection_that_begins() -> None:
    bind = Bind([Key.generate("ssh-ed25519")], algorithms())

    def begin() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            Connection(bind, ours.detach()).free()

    assert fail_each(begin) > 20


# --- orders, and what a peer sends ---

Order = Callable[[Connection], object]
ORDERS: dict[str, Order] = {
    "a message": lambda native: native.send(message(Message.IGNORE, bytes(32 * 1024))),
    "a channel": lambda native: native.open_channel(0, 1 << 20, 1 << 15),
    "an exchange": Connection.rekey,
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_an_order_is_refused_or_carried_out(order: Order) -> None:
    """Either the connection then goes on as if nothing had been, or it is over."""

    def without(native: Connection, nth: int) -> bool:
        faulty.arm("memory", nth, ENOMEM)
        with suppress(OSError):
            order(native)
        fired = faulty.fired()
        faulty.disarm()
        return fired

    fired, nth = True, 0
    while fired:
        nth += 1
        with Link() as link, Peer(link.port) as peer:
            log_in(peer.connect())
            fired = link.call(lambda native: without(native, nth))  # noqa: B023 -- called at once
            peer.close()
            link.join()
    assert nth > 1


@pytest.mark.parametrize("nth", range(1, 8))
def test_a_large_message_arrives_or_ends_its_connection(nth: int) -> None:
    asked = message(Message.GLOBAL_REQUEST, string(b"none@example.com"), b"\1", bytes(40_000))
    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.call(lambda _: faulty.arm("memory", nth, ENOMEM))
        with suppress(Gone):
            peer.send(asked)
            peer.expect(Message.REQUEST_FAILURE)
        peer.close()
        link.join()


# --- over descriptors ---

CONTENT = bytes(range(256)) * 256


def serve(requests: bytes, content: bytes = CONTENT) -> Callable[[], Outcome]:
    def run() -> Outcome:
        with Files() as files:
            scratch = files.add(b"h", content)
            outcome = exchange(files, requests)
            acknowledged = ok(2) in outcome.replies
            assert not acknowledged or scratch.content()[:4] == b"\xff\xfe\xfd\xfc"
            return outcome

    return run


def test_requests_served_in_c() -> None:
    requests = write(2, b"h", 0, b"\xff\xfe\xfd\xfc") + b"".join(read(n, b"h", 0, 200_000) for n in range(3, 9))
    assert serve(requests)().events[-1].kind == EventKind.EOF
    assert fail_each(serve(requests)) > 3


def test_replies_of_python() -> None:
    """They are queued one behind the other, and the queue grows."""

    def run() -> None:
        with Scratch(frame(b"\x63" + bytes(4)) * 20) as source, Scratch() as output:
            pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
            run_pipe(pipe, lambda event: frame(bytes(9_000)) if event.kind == EventKind.PACKET else b"")

    assert fail_each(run) > 3


def test_more_handles_than_the_table_has_room_for() -> None:
    def run() -> None:
        with Files() as files:
            for number in range(20):
                files.add(b"h%d" % number, b"x")
            exchange(files, b"".join(read(number, b"h%d" % number, 0, 1) for number in range(20)))

    assert fail_each(run) > 20


def test_files_opened_and_closed_in_c(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    requests = b"".join(open_(number, b"/f") for number in range(1, 9)) + close(9, b"1")
    with RootedFileSystem(str(tmp_path)) as fs:
        native = fs.native_files()

        def share(sftp: Sftp) -> None:
            sftp.open_files(native.root, native.flags, walk=native.walk)
            sftp.limit_handles(20, HandleCounts(20))

        def run() -> None:
            with Files() as files:
                exchange(files, requests, prepare=share)

        assert fail_each(run) > 8
