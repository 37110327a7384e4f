"""space-available, and where a sparse file has data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from libsshd import events as e
from libsshd.constants import Status
from tests.contract.support_files import Diary, Site, status
from tests.support.place import MIB
from tests.support.rawsftp import WRITE, Code, Cursor, RawSFTP, Reply, Type, string, u64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "served"
    path.mkdir()
    return path


def space(raw: RawSFTP, path: bytes) -> Reply:
    return raw.extend(b"space-available", string(path))


def test_space_is_told_in_bytes_as_the_system_knows_it(raw: RawSFTP, root: Path) -> None:
    cursor = Cursor(space(raw, b"/").extended)
    total, unused, for_user, unused_for_user, unit = *(cursor.u64() for _ in range(4)), cursor.u32()
    cursor.end()
    volume = os.statvfs(root)
    assert (total, unit) == (volume.f_blocks * volume.f_frsize, volume.f_frsize)
    assert 0 < unused_for_user <= unused <= total
    assert unused_for_user < for_user <= total


def test_space_is_told_only_of_what_exists(raw: RawSFTP) -> None:
    assert space(raw, b"/missing").code == Code.NO_SUCH_FILE


def test_a_handler_of_space_query_decides(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        diary = Diary(site.server, e.SpaceQuery)
        raw = site.raw()
        assert space(raw, b".").type == Type.EXTENDED_REPLY
        assert [(name, entry["path"]) for name, entry in diary.entries] == [
            ("SpaceQuery before", "/"), ("SpaceQuery after", "/")
        ]  # fmt: skip
        site.server.on_space_query = lambda event: setattr(event, "status_code", Status.PERMISSION_DENIED)
        assert space(raw, b".").code == Code.PERMISSION_DENIED


def test_without_a_root_there_is_no_space_to_tell_of(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False) as site:
        raw = site.raw()
        assert space(raw, b"/").code == Code.OP_UNSUPPORTED
        site.server.on_space_query = lambda _: None
        assert space(raw, b"/").code == Code.OP_UNSUPPORTED


# --- ranges ---


def ask(raw: RawSFTP, handle: bytes, offset: int = 0, length: int = 1 << 50) -> Reply:
    return raw.extend(b"ranges@asyncssh.com", string(handle), u64(offset), u64(length))


def told(reply: Reply) -> tuple[list[tuple[int, int]], bool]:
    """Ranges, and whether they are all."""
    cursor = Cursor(reply.extended)
    ranges = [(cursor.u64(), cursor.u64()) for _ in range(cursor.u32())]
    at_end = cursor.take(1)
    cursor.end()
    return ranges, {b"\0": False, b"\1": True}[at_end]


def sparse(path: Path, size: int, *offsets: int) -> None:
    """4 KiB of data at each offset."""
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), size)
        for offset in offsets:
            os.pwrite(stream.fileno(), b"x" * 4096, offset)


def test_ranges_are_those_with_data(raw: RawSFTP, root: Path) -> None:
    sparse(root / "file", 1 << 40, 0, 16 * MIB, 1 << 39)
    handle = raw.open(b"/file")
    whole = [(0, 4096), (16 * MIB, 4096), (1 << 39, 4096)]
    assert told(ask(raw, handle)) == (whole, True)
    assert told(ask(raw, handle, 4000, 16 * MIB)) == ([(4000, 96), (16 * MIB, 4000)], True)
    assert told(ask(raw, handle, 5000, 2**64 - 1)) == (whole[1:], True)


def test_a_hole_and_what_lies_behind_the_end_have_none(raw: RawSFTP, root: Path) -> None:
    sparse(root / "file", 32 * MIB, 0)
    handle = raw.open(b"/file")
    beyond = [(4096, 1 << 40), (32 * MIB, 1), (2**63 - 1, 1), (2**63, 1), (2**64 - 1, 2**64 - 1), (0, 0)]
    assert [ask(raw, handle, *where).code for where in beyond] == [Code.EOF] * len(beyond)


def test_a_reply_has_a_limited_number_of_ranges_and_says_so(raw: RawSFTP, root: Path) -> None:
    offsets = [number * 64 * 1024 for number in range(300)]
    sparse(root / "file", 300 * 64 * 1024, *offsets)
    found: list[tuple[int, int]] = []
    handle, at_end = raw.open(b"/file"), False
    while not at_end:
        ranges, at_end = told(ask(raw, handle, sum(found[-1]) if found else 0))
        assert len(ranges) <= 128
        found += ranges
    assert found == [(offset, 4096) for offset in offsets]


def test_only_readable_files_have_ranges(raw: RawSFTP, root: Path) -> None:
    (root / "file").write_bytes(b"data")
    assert status(ask(raw, raw.open(b"/file", WRITE))) == (
        Code.PERMISSION_DENIED, "The file is not open for reading"
    )  # fmt: skip
    assert ask(raw, raw.ask(Type.OPENDIR, string(b"/")).handle).code == Code.FAILURE
    assert ask(raw, b"99").code == Code.FAILURE


def test_a_file_that_handlers_read_has_no_holes(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        sparse(site.root / "file", 1 << 40, 0)
        raw = site.raw()
        handle = raw.open(b"/file")
        site.server.on_file_read = lambda _: None
        assert told(ask(raw, handle, 5, 1 << 41)) == ([(5, 1 << 41)], True)
        assert ask(raw, handle, 5, 0).code == Code.EOF


def test_what_only_handlers_know_has_no_holes_either(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False) as site:
        site.server.on_file_open = lambda _: None
        raw = site.raw()
        assert told(ask(raw, raw.open(b"/file"), 1, 2)) == ([(1, 2)], True)
