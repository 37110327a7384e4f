"""Files open as text, and text-seek (draft-13, section 8.1.1.3)."""

from pathlib import Path

import pytest

from libsshd.constants import Status
from libsshd.serve import textfile
from libsshd.wire import messages as m
from tests.support.rawsftp import Type

from .asking import APPEND, CREAT, TEXT, Asked, R, W, rooted


def seek(sftp: Asked, handle: bytes, line: int) -> Status:
    return sftp.code(m.TextSeek(1, handle, line))


def test_reads_go_on_whatever_their_offset(sftp: Asked) -> None:
    handle = sftp.handle(b"/file", R | TEXT)
    assert [sftp.read(handle, 4, offset) for offset in (0, 0, 2**64 - 1)] == [b"0123", b"4567", b"89"]
    assert sftp.read(handle, 4) == Status.EOF


def test_writes_go_on_whatever_their_offset(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/text", W | CREAT | TEXT)
    for offset in (5, 0, 2**64 - 1):
        assert sftp.write(handle, b"line\n", offset) == Status.OK
    assert (root / "text").read_bytes() == b"line\n" * 3


def test_a_write_goes_on_where_a_read_ended(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | W | TEXT)
    assert sftp.read(handle, 3) == b"012"
    assert sftp.write(handle, b"xyz") == Status.OK
    assert sftp.read(handle, 3) == b"678"
    assert (root / "file").read_bytes() == b"012xyz6789"


def test_appending_is_at_the_end(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | W | APPEND | TEXT)
    assert sftp.read(handle, 3) == b"012"
    assert sftp.write(handle, b"more") == Status.OK
    assert (root / "file").read_bytes() == b"0123456789more"


def test_text_serves_only_what_it_was_opened_for(sftp: Asked) -> None:
    assert sftp.read(sftp.handle(b"/file", W | TEXT), 1) == Status.PERMISSION_DENIED
    assert sftp.write(sftp.handle(b"/file", R | TEXT), b"x") == Status.PERMISSION_DENIED


def test_reading_and_writing_of_text_are_counted(sftp: Asked) -> None:
    handle = sftp.handle(b"/file", R | W | TEXT)
    sftp.read(handle, 3)
    sftp.write(handle, b"ab")
    file = sftp.session.file(handle)
    assert (file.bytes_read, file.bytes_written) == (3, 2)


@pytest.mark.parametrize(
    ("line", "rest"), [(0, b"one\r\ntwo\n2\r\n\r\nfour"), (1, b"two\n2\r\n\r\nfour"), (2, b"\r\nfour"), (3, b"four")]
)
def test_text_seek_goes_to_the_beginning_of_a_line(line: int, rest: bytes, sftp: Asked, root: Path) -> None:
    (root / "file").write_bytes(b"one\r\ntwo\n2\r\n\r\nfour")
    handle = sftp.handle(b"/file", R | TEXT)
    sftp.read(handle, 7)
    assert seek(sftp, handle, line) == Status.OK
    assert sftp.read(handle, 100) == rest


@pytest.mark.parametrize("line", [4, 5, 2**64 - 1])
def test_a_line_behind_the_end_is_the_end_and_nothing_moves(line: int, sftp: Asked, root: Path) -> None:
    (root / "file").write_bytes(b"one\r\ntwo\r\n\r\nfour")
    handle = sftp.handle(b"/file", R | TEXT)
    assert seek(sftp, handle, 1) == Status.OK
    assert seek(sftp, handle, line) == Status.EOF
    assert sftp.read(handle, 3) == b"two"


def test_behind_the_last_line_end_is_a_line_to_go_on_with(sftp: Asked, root: Path) -> None:
    (root / "file").write_bytes(b"one\r\n")
    handle = sftp.handle(b"/file", R | W | TEXT)
    assert seek(sftp, handle, 1) == Status.OK
    assert sftp.write(handle, b"two\r\n") == Status.OK
    assert (root / "file").read_bytes() == b"one\r\ntwo\r\n"


@pytest.mark.parametrize(("setting", "newline"), [("LF", b"\n"), ("CR", b"\r"), ("CRLF", b"\r\n")])
def test_a_line_ends_as_the_server_announces(setting: str, newline: bytes, root: Path) -> None:
    (root / "file").write_bytes(b"one" + newline + b"two")
    with rooted(root, server_eol=setting) as sftp:
        handle = sftp.handle(b"/file", R | TEXT)
        assert seek(sftp, handle, 1) == Status.OK
        assert sftp.read(handle, 100) == b"two"


def test_a_line_end_may_lie_across_two_pieces(sftp: Asked, root: Path) -> None:
    for before in (textfile._CHUNK - 2, textfile._CHUNK - 1, textfile._CHUNK):
        (root / "file").write_bytes(b"x" * before + b"\r\n" + b"\r" * 3 + b"\r\nend")
        handle = sftp.handle(b"/file", R | TEXT)
        assert seek(sftp, handle, 2) == Status.OK
        assert sftp.read(handle, 100) == b"end"
        assert seek(sftp, handle, 1) == Status.OK
        assert sftp.read(handle, 4) == b"\r\r\r\r"


def test_only_text_has_lines_and_only_readers_count_them(sftp: Asked) -> None:
    assert seek(sftp, sftp.handle(b"/file", R), 0) == Status.INVALID_PARAMETER
    assert seek(sftp, sftp.handle(b"/file", W | TEXT), 0) == Status.PERMISSION_DENIED


def test_offsets_of_text_files_are_bytes_where_they_are_read_and_nothing_where_they_are_written(
    sftp: Asked, root: Path
) -> None:
    source, target = sftp.handle(b"/file", R | TEXT), sftp.handle(b"/text", W | CREAT | TEXT)
    assert sftp.read(source, 3) == b"012"
    assert sftp.write(target, b"line\n") == Status.OK
    assert sftp.code(m.CopyData(1, source, 5, 2, target, 2**64 - 1)) == Status.OK
    assert (root / "text").read_bytes() == b"line\n56"
    assert sftp.read(source, 3) == b"345"


def test_hashes_and_ranges_leave_the_place_where_a_text_goes_on(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | TEXT)
    assert sftp.read(handle, 3) == b"012"
    for request in (m.CheckFileHandle(1, handle, (b"md5",), 0, 0, 0), m.Ranges(1, handle, 0, 10)):
        assert sftp.ask(request).type == Type.EXTENDED_REPLY
    assert sftp.read(handle, 3) == b"345"
