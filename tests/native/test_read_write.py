"""READ and WRITE as the core serves them: literal bytes, odd numbers, failures."""

import os
from errno import EBADF, EFBIG, EISDIR, ENOSPC
from pathlib import Path

import pytest

from libsshd._native import EventKind, HandleAccess, HandleStats, Pipe, Watch
from tests.support.scarcity import FileSizeLimit
from tests.support.stdio import Scratch
from tests.wire.client_encoding import frame, string, u32, u64

from .conftest import Peak
from .engine import (
    DATA_MAX,
    END,
    EOF_TEMPLATE,
    OK_TEMPLATE,
    Event,
    Files,
    data,
    eof,
    exchange,
    head,
    ok,
    packet,
    read,
    write,
)

LENGTHS = (0, 1, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1)
LARGEST = 2**63 - 1


def failed(request_id: int, error: int, handle: bytes, operation: str) -> Event:
    return Event(EventKind.FAILED, handle, len(handle), error, request_id, operation)


# --- literal bytes ---


def test_read_is_answered_with_data(files: Files) -> None:
    files.add(b"\x00\x01", b"0123456789")
    request = (
        b"\x00\x00\x00\x17"  # length
        b"\x05"  # SSH_FXP_READ
        b"\x89\xab\xcd\xef"  # id
        b"\x00\x00\x00\x02\x00\x01"  # handle
        b"\x00\x00\x00\x00\x00\x00\x00\x02"  # offset
        b"\x00\x00\x00\x03"  # len
    )
    assert exchange(files, request).replies == (
        b"\x00\x00\x00\x0c"  # length
        b"\x67"  # SSH_FXP_DATA
        b"\x89\xab\xcd\xef"  # id
        b"\x00\x00\x00\x03234"  # data
    )


def test_write_is_answered_with_status_ok(files: Files) -> None:
    file = files.add(b"\x00\x01", b"0123456789")
    request = (
        b"\x00\x00\x00\x1a"  # length
        b"\x06"  # SSH_FXP_WRITE
        b"\xff\xff\xff\xff"  # id
        b"\x00\x00\x00\x02\x00\x01"  # handle
        b"\x00\x00\x00\x00\x00\x00\x00\x02"  # offset
        b"\x00\x00\x00\x03abc"  # data
    )
    assert exchange(files, request).replies == (
        b"\x00\x00\x00\x13"  # length
        b"\x65"  # SSH_FXP_STATUS
        b"\xff\xff\xff\xff"  # id
        b"\x00\x00\x00\x00"  # SSH_FX_OK
        b"\x00\x00\x00\x02ok"  # error message
        b"\x00\x00\x00\x00"  # language tag
    )
    assert file.content() == b"01abc56789"


# --- READ ---


def test_a_read_over_the_end_returns_what_there_is_and_the_next_one_eof(files: Files) -> None:
    files.add(b"h", b"0123456789")
    outcome = exchange(files, read(1, b"h", 7, 100) + read(2, b"h", 10, 100) + read(3, b"h", 11, 1))
    assert outcome.replies == data(1, b"789") + eof(2) + eof(3)


def test_a_read_of_an_empty_file_is_eof(files: Files) -> None:
    files.add(b"h")
    assert exchange(files, read(1, b"h", 0, 1)).replies == eof(1)


def test_a_read_of_no_bytes_is_eof(files: Files) -> None:
    files.add(b"h", b"content")
    assert exchange(files, read(1, b"h", 0, 0)).replies == eof(1)


@pytest.mark.parametrize("length", [DATA_MAX - 1, DATA_MAX, DATA_MAX + 1, 2**18, 2**31, 2**32 - 1])
def test_a_long_read_is_cut_to_255_kib(files: Files, length: int) -> None:
    content = os.urandom(DATA_MAX + 10)
    files.add(b"h", content)
    assert exchange(files, read(1, b"h", 0, length)).replies == data(1, content[: min(length, DATA_MAX)])


def test_a_long_read_of_a_short_file_takes_no_more_memory_than_the_cut(files: Files, peak: Peak) -> None:
    files.add(b"h", b"x")
    requests = read(1, b"h", 0, 2**32 - 1) * 100
    peak.start()
    assert exchange(files, requests).replies == data(1, b"x") * 100
    assert peak.growth() < 1 << 20


def test_offsets_beyond_4_gib_are_read_and_written_there(files: Files) -> None:
    file = files.add(b"h")
    offset = 2**40 + 3
    outcome = exchange(files, write(1, b"h", offset, b"far") + read(2, b"h", offset - 2, 9))
    assert outcome.replies == ok(1) + data(2, b"\0\0far")
    assert os.fstat(file.fd).st_size == offset + 3


@pytest.mark.parametrize("offset", [2**63, 2**63 + 1, 2**64 - 1])
def test_a_read_at_an_offset_that_no_file_has_is_left_to_python(files: Files, offset: int) -> None:
    files.add(b"h", b"content")
    request = read(1, b"h", offset, 10)
    assert exchange(files, request).events == [packet(request[4:]), END]


def test_a_read_that_would_end_beyond_the_last_offset_is_left_to_python(files: Files) -> None:
    files.add(b"h", b"content")
    beyond = read(9, b"h", LARGEST, 10)
    outcome = exchange(files, beyond + read(2, b"h", 0, 1))
    assert outcome.events == [packet(beyond[4:]), END]
    assert outcome.replies == data(2, b"c")


def test_bytes_behind_a_read_are_ignored(files: Files) -> None:
    files.add(b"h", b"content")
    assert exchange(files, frame(read(1, b"h", 0, 3)[4:] + b"more")).replies == data(1, b"con")


# --- WRITE ---


def test_a_write_behind_the_end_leaves_a_hole_of_zeros(files: Files) -> None:
    file = files.add(b"h", b"ab")
    assert exchange(files, write(1, b"h", 5, b"c")).replies == ok(1)
    assert file.content() == b"ab\0\0\0c"


@pytest.mark.parametrize("offset", [0, 3, 100, LARGEST])
def test_a_write_of_no_bytes_is_ok_and_changes_nothing(files: Files, offset: int) -> None:
    file = files.add(b"h", b"abc")
    assert exchange(files, write(1, b"h", offset, b"")).replies == ok(1)
    assert file.content() == b"abc"


def test_bytes_behind_the_data_of_a_write_are_ignored(files: Files) -> None:
    file = files.add(b"h")
    request = frame(write(1, b"h", 0, b"data")[4:] + b"a whole buffer")
    outcome = exchange(files, request + write(2, b"h", 4, b"!"))
    assert outcome.replies == ok(1) + ok(2)
    assert file.content() == b"data!"


@pytest.mark.parametrize(("offset", "size"), [(LARGEST, 1), (LARGEST - 1, 2), (2**63, 0), (2**64 - 1, 1)])
def test_a_write_that_would_end_beyond_the_last_offset_is_left_to_python(
    files: Files, offset: int, size: int
) -> None:
    file = files.add(b"h", b"abc")
    request = write(1, b"h", offset, b"x" * size)
    assert exchange(files, request).events == [packet(request[4:]), END]
    assert file.content() == b"abc"


def test_writes_reach_a_file_opened_for_appending_at_its_end(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old ")
    files.add_descriptor(b"h", str(path), os.O_WRONLY | os.O_APPEND, HandleAccess.WRITE)
    assert exchange(files, write(1, b"h", 0, b"new ") + write(2, b"h", 0, b"newer")).replies == ok(1) + ok(2)
    assert path.read_bytes() == b"old new newer"


# --- requests that are cut or lie about their lengths ---


def cut_requests(request: bytes) -> bytes:
    """The request's packet cut after each of its bytes, all framed."""
    return b"".join(frame(request[4:end]) for end in range(5, len(request)))


@pytest.mark.parametrize("request_", [read(1, b"handle", 0, 5), write(1, b"handle", 0, b"DATA")])
def test_a_request_cut_anywhere_is_left_to_python_and_has_no_effect(files: Files, request_: bytes) -> None:
    file = files.add(b"handle", b"content")
    outcome = exchange(files, cut_requests(request_))
    assert outcome.events == [packet(request_[4:end]) for end in range(5, len(request_))] + [END]
    assert outcome.replies == b""
    assert file.content() == b"content"


@pytest.mark.parametrize("kind", [5, 6])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_handle_length_that_is_not_true_is_left_to_python(files: Files, peak: Peak, kind: int, length: int) -> None:
    file = files.add(b"hh", b"content")
    lie = bytes((kind,)) + u32(1) + u32(length) + b"hh" + u64(0) + string(b"DATA")
    peak.start()
    outcome = exchange(files, frame(lie) * 50)
    assert outcome.events == [packet(lie)] * 50 + [END]
    assert peak.growth() < 1 << 20
    assert file.content() == b"content"


@pytest.mark.parametrize("length", [5, *(length for length in LENGTHS if length > 4)])
def test_a_data_length_beyond_the_packet_is_left_to_python(files: Files, peak: Peak, length: int) -> None:
    file = files.add(b"h", b"content")
    lie = head(6, 1, b"h", 0) + u32(length) + b"DATA"
    peak.start()
    assert exchange(files, frame(lie) * 50).events == [packet(lie)] * 50 + [END]
    assert peak.growth() < 1 << 20
    assert file.content() == b"content"


# --- what a handle is open for ---


def test_a_write_to_a_handle_open_for_reading_is_left_to_python(files: Files) -> None:
    file = files.add(b"h", b"content", HandleAccess.READ)
    request = write(1, b"h", 0, b"x")
    outcome = exchange(files, request + read(2, b"h", 0, 7))
    assert outcome.events == [packet(request[4:]), END]
    assert outcome.replies == data(2, b"content")
    assert file.content() == b"content"


def test_a_read_from_a_handle_open_for_writing_is_left_to_python(files: Files) -> None:
    files.add(b"h", b"content", HandleAccess.WRITE)
    request = read(1, b"h", 0, 7)
    outcome = exchange(files, request + write(2, b"h", 0, b"x"))
    assert outcome.events == [packet(request[4:]), END]
    assert outcome.replies == ok(2)


# --- failures of the system ---


def test_a_failed_write_tells_its_errno_and_the_channel_goes_on(files: Files) -> None:
    files.add_descriptor(b"full", "/dev/full", os.O_RDWR, HandleAccess.WRITE)
    files.add(b"fine")
    outcome = exchange(files, write(5, b"full", 0, b"x") + write(6, b"fine", 0, b"y"))
    assert outcome.events == [failed(5, ENOSPC, b"full", "write"), END]
    assert outcome.replies == ok(6)


def test_a_descriptor_of_the_wrong_mode_fails_with_ebadf(files: Files) -> None:
    files.add_descriptor(b"r", "/dev/zero", os.O_RDONLY, HandleAccess.WRITE)
    files.add_descriptor(b"w", "/dev/null", os.O_WRONLY, HandleAccess.READ)
    outcome = exchange(files, write(1, b"r", 0, b"x") + read(2, b"w", 0, 1))
    assert outcome.events == [
        failed(1, EBADF, b"r", "write"),
        failed(2, EBADF, b"w", "read"),
        END,
    ]
    assert outcome.replies == b""


def test_a_read_of_a_directory_fails_with_eisdir(files: Files, tmp_path: Path) -> None:
    files.add_descriptor(b"d", str(tmp_path), os.O_RDONLY, HandleAccess.READ)
    assert exchange(files, read(1, b"d", 0, 1)).events == [failed(1, EISDIR, b"d", "read"), END]


def test_the_failure_of_an_odd_offset_is_the_file_systems(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    files.add_descriptor(b"h", str(path), os.O_WRONLY, HandleAccess.WRITE)
    outcome = exchange(files, write(1, b"h", LARGEST - 1, b"x"))
    assert outcome.events == [failed(1, EFBIG, b"h", "write"), END]
    assert path.stat().st_size == 0


def test_the_first_error_of_a_handle_stays_and_bytes_are_counted(
    files: Files, tmp_path: Path, limit_file_size: FileSizeLimit
) -> None:
    path = tmp_path / "file"
    path.touch()
    files.add_descriptor(b"h", str(path), os.O_RDWR, HandleAccess.READ | HandleAccess.WRITE)
    requests = (
        write(1, b"h", 90, b"0123456789" * 2)  # only the first 10 bytes fit
        + write(2, b"h", 0, b"abc")
        + read(3, b"h", 0, 5)
        + write(4, b"h", LARGEST - 1, b"x")
    )
    with Scratch(requests) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        with limit_file_size(100):
            assert [pipe.next() for _ in range(3)] == [EventKind.FAILED, EventKind.FAILED, EventKind.EOF]
            assert output.content() == ok(2) + data(3, b"abc\0\0")
            assert pipe.sftp.handle_remove(b"h") == HandleStats(error=EFBIG, bytes_read=5, bytes_written=13)
    assert path.read_bytes() == b"abc" + bytes(87) + b"0123456789"


def test_a_later_error_of_another_kind_does_not_replace_the_first(files: Files) -> None:
    fd = files.add_descriptor(b"h", "/dev/full", os.O_WRONLY, HandleAccess.WRITE)
    blind = files.add_descriptor(b"unused", "/dev/zero", os.O_RDONLY, HandleAccess.READ)
    with Scratch(write(1, b"h", 0, b"x") * 2) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        assert (pipe.next(), pipe.error) == (EventKind.FAILED, ENOSPC)
        os.dup2(blind, fd)
        assert (pipe.next(), pipe.error) == (EventKind.FAILED, EBADF)
        assert pipe.sftp.handle_remove(b"h").error == ENOSPC


def test_a_failed_read_does_not_count_as_the_error_of_a_handle(files: Files) -> None:
    files.add_descriptor(b"w", "/dev/null", os.O_WRONLY, HandleAccess.READ)
    with Scratch(read(1, b"w", 0, 1)) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        assert pipe.next() == EventKind.FAILED
        assert pipe.sftp.handle_remove(b"w") == HandleStats(0, 0, 0)


# --- requests that Python wants to see ---


@pytest.mark.parametrize(
    ("mask", "seen"),
    [
        (Watch.NOTHING, ()),
        (Watch.READ, (2,)),
        (Watch.WRITE, (1,)),
        (Watch.READ | Watch.WRITE, (1, 2)),
    ],
)
def test_watched_requests_go_to_python_and_the_others_do_not(
    files: Files, mask: Watch, seen: tuple[int, ...]
) -> None:
    file = files.add(b"h", b"...")
    requests = {1: write(1, b"h", 0, b"new"), 2: read(2, b"h", 0, 3)}
    replies = {1: ok(1), 2: data(2, b"..." if 1 in seen else b"new")}
    outcome = exchange(files, b"".join(requests.values()), prepare=lambda sftp: sftp.watch(mask))
    assert outcome.events == [*(packet(requests[i][4:]) for i in seen), END]
    assert outcome.replies == b"".join(replies[i] for i in (1, 2) if i not in seen)
    assert file.content() == (b"..." if 1 in seen else b"new")


def test_the_watch_can_change_between_two_packets(files: Files) -> None:
    files.add(b"h", b"abc")
    switch, request = frame(b"\x10"), read(1, b"h", 0, 3)
    with Scratch(request + switch + request + switch + request) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        assert pipe.next() == EventKind.PACKET
        assert pipe.sftp.watch(Watch.READ) == Watch.NOTHING
        assert (pipe.next(), pipe.data) == (EventKind.PACKET, request[4:])
        assert pipe.next() == EventKind.PACKET
        assert pipe.sftp.watch(Watch.NOTHING) == Watch.READ
        assert pipe.next() == EventKind.EOF
        assert output.content() == data(1, b"abc") * 2
