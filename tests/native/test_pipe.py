"""Framing: where packets begin and end, whatever the descriptors do."""

import itertools
import os
import socket
import threading
from pathlib import Path

import pytest

from libsshd._native import EventKind, Pipe
from tests.support.command import wait_until
from tests.support.rawsftp import DEADLINE
from tests.support.stdio import Scratch
from tests.wire.client_encoding import frame, u32

from .conftest import Peak
from .engine import (
    END,
    EOF_TEMPLATE,
    OK_TEMPLATE,
    PACKET_MAX,
    Event,
    Files,
    data,
    eof,
    exchange,
    exchange_chunks,
    ok,
    packet,
    read,
    run_pipe,
    write,
)

TOO_LONG = (2**18 + 1, 2**31, 2**32 - 1)
CONVERSATION = (
    write(1, b"h", 0, b"hello"),
    frame(b"\x11\x00\x00\x00\x02\x00\x00\x00\x02/f"),  # a STAT
    read(3, b"h", 1, 9),
    frame(b"\xff"),
    read(4, b"h", 5, 9),
)
CONVERSATION_EVENTS = [packet(b"\x11\x00\x00\x00\x02\x00\x00\x00\x02/f"), packet(b"\xff"), END]
CONVERSATION_REPLIES = ok(1) + data(3, b"ello") + eof(4)


def test_a_conversation_may_be_cut_at_any_byte() -> None:
    whole = b"".join(CONVERSATION)
    for cut in range(len(whole) + 1):
        with Files() as files:
            files.add(b"h")
            outcome = exchange_chunks(files, [whole[:cut], whole[cut:]])
        assert outcome.events == CONVERSATION_EVENTS, cut
        assert outcome.replies == CONVERSATION_REPLIES, cut


def test_a_conversation_may_come_byte_by_byte(files: Files) -> None:
    files.add(b"h")
    whole = b"".join(CONVERSATION)
    outcome = exchange_chunks(files, [whole[i : i + 1] for i in range(len(whole))])
    assert outcome.events == CONVERSATION_EVENTS
    assert outcome.replies == CONVERSATION_REPLIES


def test_thousands_of_packets_in_one_piece_are_answered_in_their_order(files: Files) -> None:
    content = bytes(range(256))
    files.add(b"h", content)
    requests = b"".join(read(i, b"h", i % 256, 1) for i in range(20_000))
    outcome = exchange(files, requests)
    assert outcome.replies == b"".join(data(i, content[i % 256 :][:1]) for i in range(20_000))
    assert outcome.events == [END]


def test_replies_of_python_and_of_the_core_keep_the_order_of_the_requests(files: Files) -> None:
    files.add(b"h")
    requests = [frame(b"\x11" + u32(i)) if i % 3 else write(i, b"h", i, b"x") for i in range(300)]
    outcome = exchange(
        files, b"".join(requests), answer=lambda event: frame(b"\x69" + event.data[1:5]) if event.data else b""
    )
    expected = [frame(b"\x69" + u32(i)) if i % 3 else ok(i) for i in range(300)]
    assert outcome.replies == b"".join(expected)


def test_a_reply_queued_on_its_own_stands_before_the_one_given_to_next(files: Files) -> None:
    with Scratch(frame(b"\x10")) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        assert pipe.next() == EventKind.PACKET
        pipe.sftp.reply(b"first")
        assert pipe.next(b"second") == EventKind.EOF
        pipe.flush()
        assert output.content() == b"firstsecond"


def test_a_packet_shown_to_python_is_shown_once_and_unchanged(files: Files) -> None:
    packets = [bytes((kind,)) * size for kind, size in itertools.product((1, 99, 200, 255), (1, 5, 4096))]
    outcome = exchange(files, b"".join(map(frame, packets)))
    assert outcome.events == [*map(packet, packets), END]
    assert outcome.replies == b""


# --- lengths no packet may have ---


def test_a_packet_of_no_bytes_ends_the_channel_after_what_came_before(files: Files) -> None:
    file = files.add(b"h")
    outcome = exchange(files, write(1, b"h", 0, b"kept") + frame(b"") + write(2, b"h", 0, b"LOST"))
    assert outcome.events == [Event(EventKind.BAD_FRAME, length=0)]
    assert outcome.replies == ok(1)
    assert file.content() == b"kept"


@pytest.mark.parametrize("length", TOO_LONG)
def test_a_packet_above_the_limit_ends_the_channel_before_its_content_comes(files: Files, length: int) -> None:
    outcome = exchange_chunks(files, [read(1, b"?", 0, 1), u32(length)])
    assert outcome.events[1:] == [Event(EventKind.BAD_FRAME, length=length)]


def test_a_channel_with_a_bad_length_stays_at_its_end(files: Files) -> None:
    with Scratch(frame(b"") + frame(b"\x10")) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        assert [pipe.next() for _ in range(3)] == [EventKind.BAD_FRAME] * 3


@pytest.mark.parametrize("length", [1, 2**15, 2**18 - 1, 2**18])
def test_a_packet_up_to_the_limit_reaches_python_whole(files: Files, length: int) -> None:
    content = b"\x63" + os.urandom(length - 1)
    assert exchange(files, frame(content) * 3).events == [packet(content)] * 3 + [END]


def test_the_largest_packet_can_be_a_write(files: Files) -> None:
    file = files.add(b"h")
    content = os.urandom(PACKET_MAX - 1 - 4 - 5 - 8 - 4)
    request = write(7, b"h", 3, content)
    assert len(request) == PACKET_MAX + 4
    assert exchange(files, request).replies == ok(7)
    assert file.content() == bytes(3) + content


@pytest.mark.parametrize("length", [2**18 - 1, 2**18, *TOO_LONG])
def test_an_announced_length_takes_no_memory_by_itself(files: Files, length: int, peak: Peak) -> None:
    with Scratch() as output:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(u32(length))
            theirs.shutdown(socket.SHUT_WR)
            peak.start()
            run_pipe(Pipe(ours.fileno(), output.fd, OK_TEMPLATE, EOF_TEMPLATE))
    assert peak.growth() < 1 << 20


# --- the end of input ---


def test_the_end_between_packets_leaves_nothing_over(files: Files) -> None:
    assert exchange(files, frame(b"\x10")).events[-1] == END
    assert exchange(files, b"").events == [END]


def test_the_end_within_a_packet_tells_how_many_bytes_are_left_over(files: Files) -> None:
    last = write(2, b"h", 0, b"never")
    file = files.add(b"h")
    for cut in range(1, len(last)):
        outcome = exchange(files, write(1, b"h", 0, b"whole") + last[:cut])
        assert outcome.events == [Event(EventKind.EOF, length=cut)]
        assert outcome.replies == ok(1)
    assert file.content() == b"whole"


def test_the_end_stays_the_end() -> None:
    with Scratch() as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        assert [pipe.next() for _ in range(3)] == [EventKind.EOF] * 3


# --- descriptors that are slow, busy or broken ---


def test_an_input_that_is_no_descriptor_raises_its_errno() -> None:
    with Scratch() as output:
        pipe = Pipe(1_000_000, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        with pytest.raises(OSError, match="Bad file descriptor"):
            pipe.next()


def test_an_output_that_nobody_reads_any_more_raises_broken_pipe(files: Files) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    files.add(b"h", b"x")
    try:
        with Scratch(read(1, b"h", 0, 1)) as source:
            pipe = Pipe(source.fd, writer, OK_TEMPLATE, EOF_TEMPLATE)
            files.register(pipe.sftp)
            with pytest.raises(BrokenPipeError):
                pipe.next()
    finally:
        os.close(writer)


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    sock.settimeout(DEADLINE)
    received = bytearray()
    while len(received) < size and (more := sock.recv(size - len(received))):
        received += more
    return bytes(received)


def send_all(sock: socket.socket, requests: bytes) -> None:
    sock.sendall(requests)
    sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("blocking", [True, False])
def test_input_and_output_can_be_one_socket(files: Files, blocking: bool) -> None:
    content = os.urandom(32_768)
    files.add(b"h")
    requests = b"".join(write(i, b"h", 0, content) + read(i, b"h", 0, 32_768) for i in range(100))
    expected = b"".join(ok(i) + data(i, content) for i in range(100))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(blocking)
        pipe = Pipe(ours.fileno(), ours.fileno(), OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        events: list[Event] = []
        server = threading.Thread(target=lambda: events.extend(run_pipe(pipe)))
        sender = threading.Thread(target=send_all, args=(theirs, requests))
        server.start()
        sender.start()
        assert receive_exactly(theirs, len(expected)) == expected
        sender.join(DEADLINE)
        server.join(DEADLINE)
        assert events == [END]


def is_waiting_for_output(thread: threading.Thread, fd: int) -> bool:
    """Whether the kernel holds the thread in write(2) to `fd`, or in poll(2)."""
    try:
        call = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().split()
    except FileNotFoundError:
        return False
    return call[:2] == ["1", hex(fd)] or call[0] in ("7", "271")


@pytest.mark.parametrize("blocking", [True, False])
def test_a_client_that_takes_no_replies_is_not_read_from(files: Files, blocking: bool, peak: Peak) -> None:
    count, block = 20_000, 8192
    content = os.urandom(block)
    files.add(b"h", content)
    requests = b"".join(read(i, b"h", 0, block) for i in range(count))
    ours, theirs = socket.socketpair()
    with ours, theirs, Scratch(requests) as source:
        ours.setblocking(blocking)
        pipe = Pipe(source.fd, ours.fileno(), OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        thread = threading.Thread(target=lambda: run_pipe(pipe))
        peak.start()
        thread.start()
        wait_until(lambda: is_waiting_for_output(thread, ours.fileno()), "the core waits for its client")
        assert os.lseek(source.fd, 0, os.SEEK_CUR) <= 128 * 1024
        assert peak.growth() < 1 << 20
        for i in range(count):
            assert receive_exactly(theirs, block + 13) == data(i, content)
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_requests_without_end_take_no_more_memory_than_a_few(files: Files, peak: Peak) -> None:
    content = os.urandom(100_000)
    files.add(b"h")
    requests = write(1, b"h", 0, content) + read(2, b"h", 0, len(content))
    with Scratch(requests * 200) as source, open("/dev/null", "wb") as output:
        pipe = Pipe(source.fd, output.fileno(), OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        peak.start()
        assert run_pipe(pipe) == [END]
    assert peak.growth() < 2 << 20


def test_a_wait_for_input_lets_other_threads_run() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Scratch() as output:
        pipe = Pipe(ours.fileno(), output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        kinds: list[EventKind] = []
        thread = threading.Thread(target=lambda: kinds.append(pipe.next()), daemon=True)
        thread.start()
        theirs.sendall(frame(b"\x10"))
        thread.join(DEADLINE)
        assert kinds == [EventKind.PACKET]


def test_who_waits_for_input_is_woken_before_it_is_read() -> None:
    ours, theirs = socket.socketpair()
    wake, waker = os.pipe()
    with ours, theirs, Scratch() as output:
        pipe = Pipe(ours.fileno(), output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        pipe.wake_by(wake)
        theirs.send(frame(b"\x63"))
        os.write(waker, b"\0")
        assert pipe.next() == EventKind.WAKE
        os.read(wake, 1)
        assert pipe.next() == EventKind.PACKET
    os.close(wake)
    os.close(waker)


def test_nobody_is_left_once_the_reader_of_the_output_is_gone() -> None:
    reader, writer = os.pipe()
    with Scratch() as source:
        pipe = Pipe(source.fd, writer, OK_TEMPLATE, EOF_TEMPLATE)
        before = pipe.hung_up
        os.close(reader)
        assert [before, pipe.hung_up] == [False, True]
    os.close(writer)
