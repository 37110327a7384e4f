"""Events of what only later versions ask for: locks, deletion on close, attributes with a path (draft-13)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from libsshd import events as e
from libsshd.constants import Status
from tests.contract.support_files import Diary, Site
from tests.support.command import wait_until
from tests.support.dialect import BLOCK, CREATE_NEW, OPEN_EXISTING, REGULAR, UNBLOCK, UNKNOWN, Dialect
from tests.support.rawsftp import ChannelStream, RawSFTP, Reply, Type, string, u32, u64

READ, WRITE = 0x1, 0x2  # desired-access
SHARED, EXCLUSIVE = 0x280, 0x2C0  # BLOCK_WRITE and BLOCK_ADVISORY, and BLOCK_READ
DELETE_ON_CLOSE = 0x800
SIX = Dialect(6)
NO_ATTRIBUTES = SIX.attributes(kind=REGULAR)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, protocol_version=6) as opened:
        opened.write("file", b"0123456789")
        yield opened


@pytest.fixture
def handled(tmp_path: Path) -> Iterator[Site]:
    """Without a root directory."""
    with Site(tmp_path, rooted=False, protocol_version=6) as opened:
        yield opened


def connect(site: Site) -> RawSFTP:
    raw = RawSFTP(ChannelStream(site.login())).init(6)
    assert raw.version == 6
    return raw


def ask_open(raw: RawSFTP, path: bytes, access: int, flags: int = OPEN_EXISTING) -> Reply:
    return raw.ask(Type.OPEN, string(path), u32(access), u32(flags), NO_ATTRIBUTES)


def block(raw: RawSFTP, handle: bytes, offset: int, length: int) -> int:
    return raw.ask(BLOCK, string(handle), u64(offset), u64(length), u32(SHARED)).code


def unblock(raw: RawSFTP, handle: bytes, offset: int, length: int) -> int:
    return raw.ask(UNBLOCK, string(handle), u64(offset), u64(length)).code


# --- locks ---


def test_locking_and_unlocking_show_their_range_before_and_after(site: Site) -> None:
    diary, raw = Diary(site.server, e.FileLock, e.FileUnlock), connect(site)
    handle = ask_open(raw, b"/file", READ).handle
    assert (block(raw, handle, 2, 3), unblock(raw, handle, 2, 3)) == (Status.OK, Status.OK)
    assert diary.names == ["FileLock before", "FileLock after", "FileUnlock before", "FileUnlock after"]
    shown = diary.one("FileLock after")
    assert (shown["path"], shown["handle"], shown["status_code"]) == ("/file", "1", Status.OK)
    assert (shown["file_offset"], shown["length"], shown["block_mask"]) == (2, 3, SHARED)
    assert [diary.one("FileUnlock before")[name] for name in ("path", "file_offset", "length")] == ["/file", 2, 3]


def test_a_lock_that_a_handler_denies_is_not_taken(site: Site) -> None:
    raw, other = connect(site), connect(site)

    def deny(event: e.FileLock) -> None:
        event.status_code = Status.PERMISSION_DENIED if event.file_offset == 2 else event.status_code

    site.server.on_file_lock = deny
    handle = ask_open(raw, b"/file", WRITE).handle
    assert block(raw, handle, 2, 3) == Status.PERMISSION_DENIED
    assert unblock(raw, handle, 2, 3) == Status.NO_MATCHING_BYTE_RANGE_LOCK
    assert block(other, ask_open(other, b"/file", WRITE).handle, 1, 5) == Status.OK


def test_an_unlock_that_a_handler_denies_leaves_the_lock(site: Site) -> None:
    raw = connect(site)

    @site.server.on_file_unlock
    def deny(event: e.FileUnlock) -> None:
        event.status_code = Status.PERMISSION_DENIED

    handle = ask_open(raw, b"/file", READ).handle
    assert block(raw, handle, 2, 3) == Status.OK
    assert unblock(raw, handle, 2, 3) == Status.PERMISSION_DENIED
    assert block(raw, handle, 2, 3) == Status.BYTE_RANGE_LOCK_REFUSED


def test_a_refusal_is_seen_after_it(site: Site) -> None:
    raw, diary = connect(site), Diary(site.server, e.FileLock, e.FileUnlock)
    handle = ask_open(raw, b"/file", READ).handle
    assert block(raw, handle, 2**63, 3) == Status.INVALID_PARAMETER
    assert unblock(raw, handle, 0, 1) == Status.NO_MATCHING_BYTE_RANGE_LOCK
    assert diary.one("FileLock after")["status_code"] == Status.INVALID_PARAMETER
    assert diary.one("FileUnlock after")["status_code"] == Status.NO_MATCHING_BYTE_RANGE_LOCK


def test_the_lock_of_an_open_is_one_of_the_whole_file(site: Site) -> None:
    raw, diary = connect(site), Diary(site.server, e.FileOpen, e.FileLock)
    ask_open(raw, b"/file", READ | WRITE, OPEN_EXISTING | EXCLUSIVE).handle  # noqa: B018 - it must have one
    assert diary.names == ["FileOpen before", "FileLock before", "FileLock after", "FileOpen after"]
    shown = diary.one("FileLock before")
    assert (shown["path"], shown["handle"], shown["block_mask"]) == ("/file", "1", EXCLUSIVE)
    assert (shown["file_offset"], shown["length"]) == (0, 0)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_locks_alone_keeps_an_open_from_locking(when: str, site: Site) -> None:
    raw, other = connect(site), connect(site)

    @site.server.on_file_lock
    def deny(event: e.FileLock) -> None:
        if event.before_exec == (when == "before"):
            event.status_code = Status.LOCK_CONFLICT

    assert ask_open(raw, b"/file", READ | WRITE, OPEN_EXISTING | EXCLUSIVE).code == Status.LOCK_CONFLICT
    site.server.on_file_lock = None
    assert ask_open(other, b"/file", WRITE, OPEN_EXISTING | EXCLUSIVE).handle


def test_without_a_root_directory_locks_are_the_handlers(handled: Site) -> None:
    handled.server.on_file_open = lambda _: None
    raw = connect(handled)
    assert ask_open(raw, b"/x", READ, OPEN_EXISTING | SHARED).code == Status.OP_UNSUPPORTED
    handle = ask_open(raw, b"/x", READ).handle
    assert block(raw, handle, 0, 5) == Status.OP_UNSUPPORTED
    diary = Diary(handled.server, e.FileLock, e.FileUnlock)
    assert ask_open(raw, b"/x", READ, OPEN_EXISTING | SHARED).handle
    assert block(raw, handle, 2, 0) == Status.OK
    assert block(raw, handle, 4, 1) == Status.BYTE_RANGE_LOCK_REFUSED
    assert unblock(raw, handle, 2, 0) == Status.OK
    assert diary.of("FileLock after")[2]["status_code"] == Status.BYTE_RANGE_LOCK_REFUSED


# --- deletion on close ---


def test_deletion_on_close_is_a_removal(site: Site) -> None:
    raw, diary = connect(site), Diary(site.server, e.FileRemove, e.FileClose)
    handle = ask_open(raw, b"/file", READ, OPEN_EXISTING | DELETE_ON_CLOSE).handle
    assert diary.names == []
    assert raw.shut(handle) == Status.OK
    assert diary.names == ["FileRemove before", "FileRemove after", "FileClose"]
    assert diary.one("FileRemove before")["path"] == "/file"
    assert not (site.root / "file").exists()


def test_who_denies_removals_denies_those_on_close(site: Site) -> None:
    raw, diary = connect(site), Diary(site.server, e.FileClose)

    @site.server.on_file_remove
    def deny(event: e.FileRemove) -> None:
        event.status_code = Status.CANNOT_DELETE

    handle = ask_open(raw, b"/file", READ, OPEN_EXISTING | DELETE_ON_CLOSE).handle
    assert raw.shut(handle) == Status.CANNOT_DELETE
    assert diary.one("FileClose")["status_code"] == Status.CANNOT_DELETE
    assert (site.root / "file").exists()
    assert raw.shut(handle) == Status.INVALID_HANDLE


def test_a_client_that_vanishes_has_its_file_removed_with_the_event(site: Site) -> None:
    diary, transport = Diary(site.server, e.FileRemove, e.Disconnected), site.login()
    raw = RawSFTP(ChannelStream(transport)).init(6)
    assert ask_open(raw, b"/new", WRITE, CREATE_NEW | DELETE_ON_CLOSE).handle
    transport.close()
    wait_until(lambda: "Disconnected" in diary.names, "the end is told")
    assert diary.names == ["FileRemove before", "FileRemove after", "Disconnected"]
    assert not (site.root / "new").exists()


def test_without_a_root_directory_the_handlers_remove(handled: Site) -> None:
    handled.server.on_file_open = lambda _: None
    raw = connect(handled)
    assert ask_open(raw, b"/x", READ, OPEN_EXISTING | DELETE_ON_CLOSE).code == Status.OP_UNSUPPORTED
    diary = Diary(handled.server, e.FileRemove)
    assert raw.shut(ask_open(raw, b"/x", READ, OPEN_EXISTING | DELETE_ON_CLOSE).handle) == Status.OK
    assert diary.names == ["FileRemove before", "FileRemove after"]


# --- paths with attributes ---


def realpath(raw: RawSFTP, path: bytes, control: int, *compose: bytes) -> Reply:
    return raw.ask(Type.REALPATH, string(path), bytes((control,)), *map(string, compose))


def test_resolve_path_shows_the_control_and_the_whole_path(site: Site) -> None:
    raw, diary = connect(site), Diary(site.server, e.ResolvePath)
    [(name, found)] = SIX.names(realpath(raw, b"/", 3, b"file"))
    shown = diary.one("ResolvePath")
    assert (shown["original_path"], shown["control_flags"], shown["real_path"]) == ("/", 3, "/file")
    assert (name, found.fields["size"]) == (b"/file", 10)


def test_attributes_are_those_of_the_path_that_a_handler_put_there(site: Site) -> None:
    raw = connect(site)

    @site.server.on_resolve_path
    def elsewhere(event: e.ResolvePath) -> None:
        event.real_path = "/file"

    [(name, found)] = SIX.names(realpath(raw, b"/none", 3))
    assert (name, found.fields["size"]) == (b"/file", 10)


def test_attributes_that_a_handler_hides_do_not_come_with_the_path(site: Site) -> None:
    raw = connect(site)

    @site.server.on_get_attributes
    def hide(event: e.GetAttributes) -> None:
        event.status_code = Status.NO_SUCH_FILE

    [(name, found)] = SIX.names(realpath(raw, b"/file", 2))
    assert (name, found.kind, found.fields) == (b"/file", UNKNOWN, {})
    assert realpath(raw, b"/file", 3).code == Status.NO_SUCH_FILE
    assert SIX.names(realpath(raw, b"/file", 1))[0][1].fields == {}


def test_without_a_root_directory_handlers_know_the_attributes(handled: Site) -> None:
    raw = connect(handled)
    assert SIX.names(realpath(raw, b"/x", 2))[0][1].kind == UNKNOWN
    assert realpath(raw, b"/x", 3).code == Status.OP_UNSUPPORTED

    @handled.server.on_get_attributes
    def tell(event: e.GetAttributes) -> None:
        event.file_size, event.file_permissions = 7, 0o100644

    [(_, found)] = SIX.names(realpath(raw, b"/x", 3))
    assert (found.kind, found.fields["size"]) == (REGULAR, 7)


# --- attributes ---


def test_owners_are_names(site: Site) -> None:
    raw, diary = connect(site), Diary(site.server, e.SetAttributes, e.GetAttributes)
    attributes = u32(0x80) + bytes((REGULAR,)) + string(b"nobody at all") + string(b"")
    reply = raw.ask(Type.SETSTAT, string(b"/file"), attributes)
    assert (reply.code, reply.unknown) == (Status.UNKNOWN_PRINCIPAL, [b"nobody at all"])
    assert diary.one("SetAttributes before")["file_owner"] == "nobody at all"
    assert diary.one("SetAttributes after")["status_code"] == Status.UNKNOWN_PRINCIPAL
    found = SIX.found(raw.ask(*SIX.stat(b"/file"))).fields
    assert diary.one("GetAttributes")["file_owner"] == found["owner"].decode()  # type: ignore[attr-defined]


def test_a_handler_may_set_what_the_system_cannot(site: Site) -> None:
    raw = connect(site)

    @site.server.on_set_attributes
    def keep(event: e.SetAttributes) -> None:
        if not event.before_exec and event.other_attributes == "MIMEType=text/x-own":
            event.status_code = Status.OK

    attributes = u32(0x1000) + bytes((REGULAR,)) + string(b"text/x-own")
    assert raw.ask(Type.SETSTAT, string(b"/file"), attributes).code == Status.OK
