"""The events of requests on a real directory: what fires when, and what handlers can do about it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from libsshd import events as e
from libsshd.constants import AttribBits, FileType, OpenFlags, RealpathControl, RenameFlags, Status
from tests.contract.covering import covers
from tests.contract.support_files import Diary, Site, status
from tests.support.account import USER
from tests.support.command import wait_until
from tests.support.rawsftp import (
    CREAT,
    EXCL,
    NO_ATTRIBUTES,
    READ,
    TRUNC,
    WRITE,
    Attributes,
    Code,
    RawSFTP,
    Reply,
    Type,
    string,
    u32,
    u64,
)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """`/file`, `/dir` with `inner`, and `/link` to the file."""
    with Site(tmp_path, allow_links=True) as opened:
        opened.write("file")
        (opened.root / "dir").mkdir()
        opened.write("dir/inner")
        (opened.root / "empty").mkdir()
        (opened.root / "link").symlink_to("file")
        yield opened


@pytest.fixture
def raw(site: Site) -> RawSFTP:
    return site.raw()


class Case(NamedTuple):
    """A request that fires an event: one that the file system grants, and one that it refuses."""

    granted: Callable[[RawSFTP], Reply]
    refused: Callable[[RawSFTP], Reply] | None = None


def _open(path: bytes, flags: int) -> Callable[[RawSFTP], Reply]:
    return lambda raw: raw.ask(Type.OPEN, string(path), u32(flags), NO_ATTRIBUTES)


def _on_path(kind: Type, path: bytes, *more: bytes) -> Callable[[RawSFTP], Reply]:
    return lambda raw: raw.ask(kind, string(path), *more)


def _extension(name: bytes, *fields: bytes) -> Callable[[RawSFTP], Reply]:
    return lambda raw: raw.extend(name, *fields)


def _on_file(kind: Type, flags: int, *more: bytes) -> Callable[[RawSFTP], Reply]:
    return lambda raw: raw.ask(kind, string(raw.open(b"/file", flags)), *more)


MODE = Attributes(permissions=0o600).encode()
TWICE: dict[type[e.BeforeAndAfter], Case] = {
    e.DirCreate: Case(_on_path(Type.MKDIR, b"/new", NO_ATTRIBUTES), _on_path(Type.MKDIR, b"/dir", NO_ATTRIBUTES)),
    e.DirList: Case(_on_path(Type.OPENDIR, b"/dir"), _on_path(Type.OPENDIR, b"/missing")),
    e.DirRemove: Case(_on_path(Type.RMDIR, b"/empty"), _on_path(Type.RMDIR, b"/dir")),
    e.FileOpen: Case(_open(b"/new", WRITE | CREAT), _open(b"/missing", READ)),
    e.FileRemove: Case(_on_path(Type.REMOVE, b"/file"), _on_path(Type.REMOVE, b"/dir")),
    e.FileRename: Case(
        _on_path(Type.RENAME, b"/file", string(b"/moved")), _on_path(Type.RENAME, b"/file", string(b"/dir/inner"))
    ),
    e.FileWrite: Case(
        _on_file(Type.WRITE, WRITE, u64(0), string(b"CON")), _on_file(Type.WRITE, READ, u64(0), string(b"CON"))
    ),
    e.SetAttributes: Case(_on_path(Type.SETSTAT, b"/file", MODE), _on_path(Type.SETSTAT, b"/missing", MODE)),
    e.LinkCreate: Case(
        _on_path(Type.SYMLINK, b"file", string(b"/new")), _on_path(Type.SYMLINK, b"file", string(b"/dir"))
    ),
    e.FileSync: Case(lambda raw: raw.extend(b"fsync@openssh.com", string(raw.open(b"/file", WRITE)))),
    e.FileCopy: Case(
        _extension(b"copy-file", string(b"/file"), string(b"/new"), b"\0"),
        _extension(b"copy-file", string(b"/file"), string(b"/dir"), b"\0"),
    ),
    e.FileHash: Case(
        lambda raw: raw.extend(b"md5-hash", string(b"/file"), u64(0), u64(0), string(b"")),
        lambda raw: raw.extend(b"md5-hash", string(b"/file"), u64(2**63), u64(0), string(b"")),
    ),
    e.SpaceQuery: Case(_extension(b"statvfs@openssh.com", string(b"/dir"))),
}
ONCE: dict[type[e.FileEvent], Case] = {
    e.FileClose: Case(_on_file(Type.CLOSE, READ)),
    e.FileRead: Case(_on_file(Type.READ, READ, u64(0), u32(10)), _on_file(Type.READ, WRITE, u64(0), u32(10))),
    e.GetAttributes: Case(_on_path(Type.STAT, b"/file"), _on_path(Type.STAT, b"/missing")),
    e.ResolvePath: Case(_on_path(Type.REALPATH, b"dir/.."), _on_path(Type.REALPATH, b"x/" * 3000)),
    e.LinkRead: Case(_on_path(Type.READLINK, b"/link"), _on_path(Type.READLINK, b"/file")),
}
CHANGES = {
    e.DirCreate, e.DirRemove, e.FileOpen, e.FileRemove, e.FileRename, e.FileWrite, e.SetAttributes, e.LinkCreate,
    e.FileCopy,
}  # fmt: skip


def name_of(kind: object) -> str:
    return getattr(kind, "__name__", str(kind))


def with_refusal(cases: dict[Any, Case]) -> list[Any]:
    return [kind for kind, case in cases.items() if case.refused is not None]


# --- before ---


@covers("DirCreate", "DirList", "DirRemove", "FileOpen", "FileRemove", "FileRename", "FileWrite", "SetAttributes")
@pytest.mark.parametrize("kind", TWICE, ids=name_of)
def test_a_status_before_denies_and_nothing_happens_or_fires_after_it(
    kind: type[e.BeforeAndAfter], site: Site, raw: RawSFTP
) -> None:
    diary = Diary(site.server, kind)

    @site.server.hook(kind).add
    def deny(event: e.BeforeAndAfter) -> None:
        event.status_code = Status.PERMISSION_DENIED

    before = site.tree()
    assert status(TWICE[kind].granted(raw)) == (Code.PERMISSION_DENIED, "Permission denied")
    assert site.tree() == before
    assert diary.names == [f"{kind.__name__} before"]


@pytest.mark.parametrize("kind", TWICE, ids=name_of)
def test_granted_it_fires_before_and_after_with_status_0(
    kind: type[e.BeforeAndAfter], site: Site, raw: RawSFTP
) -> None:
    diary, before = Diary(site.server, kind), site.tree()
    reply = TWICE[kind].granted(raw)
    assert reply.type != Type.STATUS or reply.code == Code.OK
    assert diary.names == [f"{kind.__name__} before", f"{kind.__name__} after"]
    assert [parameters["status_code"] for _, parameters in diary.entries] == [0, 0]
    assert (site.tree() != before) == (kind in CHANGES)


# --- after ---


@covers("FileClose", "FileRead", "GetAttributes", "ResolvePath")
@pytest.mark.parametrize("kind", ONCE, ids=name_of)
def test_events_without_a_before_fire_once_with_the_outcome(
    kind: type[e.FileEvent], site: Site, raw: RawSFTP
) -> None:
    diary = Diary(site.server, kind)
    ONCE[kind].granted(raw)
    assert diary.names == [kind.__name__]
    assert diary.one(kind.__name__)["status_code"] == 0


@pytest.mark.parametrize("kind", [*TWICE, *ONCE], ids=name_of)
def test_a_status_after_makes_a_failure_of_what_was_done(kind: type[e.FileEvent], site: Site, raw: RawSFTP) -> None:
    @site.server.hook(kind)
    def spoil(event: e.FileEvent) -> None:
        if not getattr(event, "before_exec", False):
            event.status_code = Status.NO_SUCH_FILE

    before = site.tree()
    reply = (TWICE | ONCE)[kind].granted(raw)
    assert status(reply) == (Code.NO_SUCH_FILE, "No such file or directory")
    assert (site.tree() != before) == (kind in CHANGES)


@pytest.mark.parametrize("kind", with_refusal(TWICE | ONCE), ids=name_of)
def test_a_refusal_is_the_status_after_and_reaches_the_client(
    kind: type[e.FileEvent], site: Site, raw: RawSFTP
) -> None:
    diary = Diary(site.server, kind)
    refused = (TWICE | ONCE)[kind].refused
    assert refused is not None
    code = refused(raw).code
    assert code != Code.OK
    outcome = diary.entries[-1][1]["status_code"]
    assert outcome != 0
    assert code == (outcome if outcome <= 8 else Code.FAILURE)


@pytest.mark.parametrize("kind", [kind for kind in with_refusal(TWICE) if kind in CHANGES], ids=name_of)
def test_status_0_after_makes_a_success_of_a_refusal(kind: type[e.BeforeAndAfter], site: Site, raw: RawSFTP) -> None:
    @site.server.hook(kind)
    def pardon(event: e.BeforeAndAfter) -> None:
        event.status_code = Status.OK

    before = site.tree()
    refused = TWICE[kind].refused
    assert refused is not None
    reply = refused(raw)
    assert reply.handle if kind is e.FileOpen else reply.code == Code.OK
    assert site.tree() == before
    assert site.errors == []


@pytest.mark.parametrize("given", [*range(32), -1, 32, 1 << 40])
def test_a_status_the_version_lacks_is_sent_as_its_nearest(given: int, site: Site, raw: RawSFTP) -> None:
    site.server.on_file_remove = lambda event: setattr(event, "status_code", given)
    nearest = {9: 4, 10: 2, 11: 4, 12: 3}
    expected = given if 0 <= given <= 8 else nearest.get(given, Code.FAILURE)
    assert raw.ask(Type.REMOVE, string(b"/file")).code == expected


# --- order ---


def test_a_session_fires_its_events_in_the_order_of_its_requests(site: Site) -> None:
    kinds = [kind for kind in e.EVENTS if issubclass(kind, e.FileEvent)]
    diary = Diary(site.server, *kinds, e.Connected, e.Disconnected)
    transport = site.login()
    raw = site.raw(transport)
    handle = raw.open(b"/new", WRITE | CREAT | TRUNC)
    raw.post(Type.WRITE, string(handle), u64(0), string(b"a"))
    raw.post(Type.WRITE, string(handle), u64(1), string(b"b"))
    raw.post(Type.FSTAT, string(handle))
    raw.post(Type.CLOSE, string(handle))
    assert [raw.reply().type for _ in range(4)] == [Type.STATUS, Type.STATUS, Type.ATTRS, Type.STATUS]
    transport.close()
    wait_until(lambda: diary.names[-1] == "Disconnected", "the end is told")
    assert diary.names == [
        "Connected", "FileOpen before", "FileOpen after", "FileWrite before", "FileWrite after",
        "FileWrite before", "FileWrite after", "GetAttributes", "FileClose", "Disconnected",
    ]  # fmt: skip


def test_requests_of_several_channels_keep_their_handles_and_events_apart(site: Site) -> None:
    site.write("other", b"another one")
    diary = Diary(site.server, e.FileOpen, e.FileRead, e.FileClose)
    transport = site.login()
    first, second = site.raw(transport), site.raw(transport)
    handles = first.open(b"/file"), second.open(b"/other")
    assert handles == (b"1", b"2")
    assert second.read(handles[1], 0, 100).data == b"another one"
    assert first.read(handles[0], 0, 100).data == b"content"
    assert first.read(handles[1], 0, 100).code == Code.FAILURE
    assert second.shut(handles[0]) == Code.FAILURE
    assert [parameters["handle"] for parameters in diary.of("FileRead")] == ["2", "1"]


def test_a_slow_handler_delays_only_its_own_connection(site: Site) -> None:
    entered, leave = threading.Event(), threading.Event()

    @site.server.on_file_remove
    def slow(event: e.FileRemove) -> None:
        if event.path == "/file" and event.before_exec:
            entered.set()
            leave.wait(20)

    waiting, other = site.raw(), site.raw()
    number = waiting.post(Type.REMOVE, string(b"/file"))
    assert entered.wait(20)
    try:
        assert other.ask(Type.REMOVE, string(b"/dir/inner")).code == Code.OK
        assert (site.root / "file").exists()
    finally:
        leave.set()
    reply = waiting.reply()
    assert (reply.id, reply.code) == (number, Code.OK)


def test_replies_owed_leave_before_a_slow_handler(site: Site) -> None:
    entered, leave = threading.Event(), threading.Event()

    @site.server.on_file_remove
    def slow(event: e.FileRemove) -> None:
        if event.before_exec:
            entered.set()
            leave.wait(20)

    raw = site.raw()
    raw.post_all([raw.request(Type.STAT, string(b"/dir")), raw.request(Type.REMOVE, string(b"/file"))])
    try:
        assert raw.reply().type == Type.ATTRS
    finally:
        leave.set()
    assert raw.reply().code == Code.OK


# --- parameters ---

NOTHING_KNOWN = {
    "file_type": FileType.UNKNOWN, "file_size": -1, "file_owner": "", "file_group": "", "file_permissions": -1,
    "file_atime": -1, "file_create_time": -1, "file_mtime": -1, "file_attrib_bits": -1, "file_attrib_bits_valid": -1,
    "other_attributes": "",
}  # fmt: skip
EVERYTHING = Attributes(size=7, uid=1000, gid=1001, permissions=0o100640, atime=1_000_000_001, mtime=1_000_000_002)
EVERYTHING_TOLD = NOTHING_KNOWN | {
    "file_type": FileType.REGULAR, "file_size": 7, "file_owner": "1000", "file_group": "1001",
    "file_permissions": 0o640, "file_atime": 1_000_000_001_000, "file_mtime": 1_000_000_002_000,
}  # fmt: skip
WHO = {"connection_id": 0, "user": USER, "status_code": 0}


def test_file_open_tells_path_flags_and_attributes(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileOpen)
    raw.ask(Type.OPEN, string(b"dir/../new"), u32(WRITE | CREAT | EXCL), EVERYTHING.encode())
    expected = WHO | EVERYTHING_TOLD | {
        "path": "/new", "flags": OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.EXCL, "desired_access": 0,
        "handle": "1",
    }  # fmt: skip
    assert diary.entries == [
        ("FileOpen before", expected | {"before_exec": True}),
        ("FileOpen after", expected | {"before_exec": False}),
    ]


def test_file_open_knows_what_is_opened_although_the_client_sends_no_attributes(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileOpen)
    raw.open(b"/file")
    told = diary.one("FileOpen before")
    assert {name: told[name] for name in NOTHING_KNOWN} == NOTHING_KNOWN | {"file_type": FileType.REGULAR}


def test_dir_create_tells_the_attributes(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.DirCreate)
    raw.ask(Type.MKDIR, string(b"/new/"), Attributes(permissions=0o40750).encode())
    expected = WHO | NOTHING_KNOWN | {
        "path": "/new", "file_type": FileType.DIRECTORY, "file_permissions": 0o750, "before_exec": True
    }  # fmt: skip
    assert diary.one("DirCreate before") == expected
    assert (site.root / "new").stat().st_mode & 0o777 == 0o750
    raw.ask(Type.MKDIR, string(b"/plain"), NO_ATTRIBUTES)
    told = diary.of("DirCreate before")[1]
    assert {name: told[name] for name in NOTHING_KNOWN} == NOTHING_KNOWN | {"file_type": FileType.DIRECTORY}


def test_set_attributes_tells_what_the_client_sends(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.SetAttributes)
    raw.ask(Type.SETSTAT, string(b"/dir/../file"), EVERYTHING.encode())
    raw.ask(Type.FSETSTAT, string(raw.open(b"/dir/inner", WRITE)), Attributes(size=3).encode())
    raw.extend(b"lsetstat@openssh.com", string(b"/link"), Attributes(atime=5, mtime=6).encode())
    told = diary.of("SetAttributes before")
    assert told[0] == WHO | EVERYTHING_TOLD | {"path": "/file", "before_exec": True}
    assert told[1] == WHO | NOTHING_KNOWN | {"path": "/dir/inner", "before_exec": True, "file_size": 3}
    assert told[2] == WHO | NOTHING_KNOWN | {
        "path": "/link", "before_exec": True, "file_atime": 5000, "file_mtime": 6000
    }  # fmt: skip
    assert (site.root / "dir/inner").read_bytes() == b"con"
    assert (site.root / "link").lstat().st_mtime == 6
    assert (site.root / "file").stat().st_mtime == 1_000_000_002


def test_get_attributes_tells_what_is_on_the_disk(site: Site, raw: RawSFTP) -> None:
    os.utime(site.root / "file", (1_000_000_001.5, 1_000_000_002.25))
    info = (site.root / "file").stat()
    diary = Diary(site.server, e.GetAttributes)
    handle = raw.open(b"/file")
    raw.ask(Type.STAT, string(b"//link"))
    raw.ask(Type.LSTAT, string(b"link"))
    raw.ask(Type.FSTAT, string(handle))
    by_stat, by_lstat, by_fstat = diary.of("GetAttributes")
    assert by_stat == WHO | {
        "path": "/link", "flags": 0, "file_type": FileType.REGULAR, "file_size": 7, "file_owner": str(info.st_uid),
        "file_group": str(info.st_gid), "file_permissions": 0o644, "file_atime": 1_000_000_001_500,
        "file_mtime": 1_000_000_002_250, "file_create_time": by_stat["file_create_time"], "file_attrib_bits": 0,
        "file_attrib_bits_valid": by_stat["file_attrib_bits_valid"], "other_attributes": by_stat["other_attributes"],
    }  # fmt: skip
    others = dict(pair.split("=") for pair in by_stat["other_attributes"].split(";"))
    assert others.pop("CreateTimeNS", None) is None or by_stat["file_create_time"] > 1_000_000_002_250
    assert others == {
        "AllocationSize": str(info.st_blocks * 512), "LinkCount": "1", "ATimeNS": "500000000", "MTimeNS": "250000000"
    }  # fmt: skip
    assert by_stat["file_attrib_bits_valid"] & AttribBits.HIDDEN
    without_a_name = by_stat["file_attrib_bits_valid"] & ~AttribBits.HIDDEN
    assert by_fstat == by_stat | {"path": "/file", "file_attrib_bits_valid": without_a_name}
    assert by_lstat["path"] == "/link"
    assert by_lstat["file_type"] == FileType.SYMLINK


def test_what_get_attributes_leaves_is_what_the_client_gets(site: Site, raw: RawSFTP) -> None:
    @site.server.on_get_attributes
    def invent(event: e.GetAttributes) -> None:
        event.file_size, event.file_owner, event.file_group = 1 << 40, "7", "8"
        event.file_permissions, event.file_type = 0o751, FileType.DIRECTORY
        event.file_atime, event.file_mtime = 5_999, 7_000

    expected = Attributes(size=1 << 40, uid=7, gid=8, permissions=0o40751, atime=5, mtime=7)
    assert raw.stat(b"/file") == expected
    assert raw.ask(Type.LSTAT, string(b"/file")).attributes == expected
    assert raw.ask(Type.FSTAT, string(raw.open(b"/file"))).attributes == expected


def test_attributes_that_get_attributes_blanks_are_not_sent(site: Site, raw: RawSFTP) -> None:
    @site.server.on_get_attributes
    def blank(event: e.GetAttributes) -> None:
        event.file_size, event.file_owner, event.file_permissions, event.file_type = -1, "", -1, FileType.UNKNOWN
        event.file_atime = event.file_mtime = -1

    assert raw.stat(b"/file") == Attributes()


def test_get_attributes_can_make_up_a_file_that_is_not_there(site: Site, raw: RawSFTP) -> None:
    @site.server.on_get_attributes
    def invent(event: e.GetAttributes) -> None:
        if event.status_code == Status.NO_SUCH_FILE:
            event.status_code, event.file_size, event.file_type = Status.OK, 12, FileType.REGULAR

    assert raw.stat(b"/missing") == Attributes(size=12, permissions=0o100644)


def test_other_attributes_count_if_their_names_are_known(site: Site, raw: RawSFTP) -> None:
    @site.server.on_get_attributes
    def note(event: e.GetAttributes) -> None:
        event.file_mtime = 9_000
        event.other_attributes = "MTimeNS=5;FileMimeType=text/plain;Shade=blue;LinkCount=;Odd"

    assert raw.stat(b"/file").mtime == 9
    assert site.errors == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("file_owner", "root"),
        ("file_group", "-1"),
        ("file_owner", str(1 << 32)),
        ("file_size", 1 << 64),
        ("file_size", 1.5),
        ("file_mtime", None),
        ("file_permissions", "0644"),
        ("status_code", "0"),
        ("other_attributes", b"x"),
        ("file_owner", "\ud800"),
    ],
)
def test_what_cannot_be_sent_is_a_failure_and_an_error_of_the_program(
    name: str, value: object, site: Site, raw: RawSFTP
) -> None:
    site.server.on_get_attributes = lambda event: setattr(event, name, value)
    assert status(raw.ask(Type.STAT, string(b"/file"))) == (Code.FAILURE, "The server's program failed")
    ((code, text),) = site.errors
    assert code == 2002
    assert text.startswith("A handler of GetAttributes left ")
    site.server.on_get_attributes = None
    assert raw.ask(Type.STAT, string(b"/file")).type == Type.ATTRS


def test_file_rename_tells_both_paths_and_flags_of_an_overwriting_rename(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileRename)
    assert raw.ask(Type.RENAME, string(b"dir/../file"), string(b"dir/inner")).code == Code.FAILURE
    assert raw.extend(b"posix-rename@openssh.com", string(b"file"), string(b"/dir//inner")).code == Code.OK
    plain, posix = diary.of("FileRename before")
    assert plain == WHO | {"path": "/file", "new_path": "/dir/inner", "flags": 0, "before_exec": True}
    assert posix == plain | {"flags": RenameFlags.OVERWRITE | RenameFlags.ATOMIC}
    refused, done = diary.of("FileRename after")
    assert (refused["status_code"], done["status_code"]) == (Status.FILE_ALREADY_EXISTS, Status.OK)
    assert (site.root / "dir/inner").read_bytes() == b"content"


def test_resolve_path_tells_the_path_as_sent_and_answers_as_the_handler_says(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.ResolvePath)

    @site.server.on_resolve_path.add
    def divert(event: e.ResolvePath) -> None:
        if event.original_path == "elsewhere":
            event.real_path = "/über"

    (name, long_name, _), *rest = raw.ask(Type.REALPATH, string(b"./dir//..")).names
    assert (name, long_name, rest) == (b"/", b"/", [])
    assert raw.ask(Type.REALPATH, string(b"elsewhere")).names[0][0] == "/über".encode()
    assert diary.of("ResolvePath") == [
        WHO | {"original_path": "./dir//..", "control_flags": RealpathControl.NO_CHECK, "real_path": "/"},
        WHO | {"original_path": "elsewhere", "control_flags": RealpathControl.NO_CHECK, "real_path": "/elsewhere"},
    ]


def test_file_close_tells_path_and_handle_of_files_and_directories(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileClose)
    file = raw.open(b"dir/inner")
    directory = raw.ask(Type.OPENDIR, string(b"dir/")).handle
    assert (raw.shut(directory), raw.shut(file)) == (Code.OK, Code.OK)
    assert diary.of("FileClose") == [
        WHO | {"path": "/dir", "handle": directory.decode()},
        WHO | {"path": "/dir/inner", "handle": file.decode()},
    ]


def test_file_close_tells_of_a_write_that_failed_and_may_forgive_it(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileClose)

    def spoiled() -> bytes:
        handle = raw.open(b"/file", WRITE)
        assert raw.write(handle, (1 << 63) - 1, b"x") == Code.FAILURE
        return handle

    assert raw.shut(spoiled()) == Code.FAILURE
    assert diary.one("FileClose")["status_code"] == Status.FAILURE
    site.server.on_file_close = lambda event: setattr(event, "status_code", Status.OK)
    assert raw.shut(spoiled()) == Code.OK


def test_names_that_are_no_text_come_back_as_they_were(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.FileOpen, e.ResolvePath, e.DirList)
    raw.shut(raw.open(b"/\xff\xfe", WRITE | CREAT))
    assert raw.ask(Type.REALPATH, string(b"\xff\xfe")).names[0][0] == b"/\xff\xfe"
    assert diary.one("FileOpen before")["path"] == "/\udcff\udcfe"
    assert os.fsencode(site.root / "\udcff\udcfe") in [os.fsencode(path) for path in site.root.iterdir()]


@pytest.mark.parametrize(
    ("sent", "path"),
    [(b"/a/./b", "/a/b"), (b"a", "/a"), (b"/../../a", "/a"), (b"//a//", "/a"), (b"", "/"), (b"a/b/..", "/a")],
)
def test_paths_of_events_are_absolute_and_normalised(sent: bytes, path: str, site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.GetAttributes)
    raw.ask(Type.STAT, string(sent))
    assert diary.one("GetAttributes")["path"] == path


def test_link_events_tell_target_and_kind(site: Site, raw: RawSFTP) -> None:
    diary = Diary(site.server, e.LinkCreate, e.LinkRead)
    raw.ask(Type.SYMLINK, string(b"../file"), string(b"dir/soft"))
    raw.extend(b"hardlink@openssh.com", string(b"dir/../file"), string(b"/dir/hard"))
    soft, hard = diary.of("LinkCreate before")
    assert soft == WHO | {"path": "/dir/soft", "target": "../file", "symbolic": True, "before_exec": True}
    assert hard == WHO | {"path": "/dir/hard", "target": "/file", "symbolic": False, "before_exec": True}
    assert raw.ask(Type.READLINK, string(b"/dir/soft")).names[0][0] == b"../file"
    assert diary.one("LinkRead") == WHO | {"path": "/dir/soft", "target": "../file"}
    site.server.on_link_read = lambda event: setattr(event, "target", "secret")
    assert raw.ask(Type.READLINK, string(b"/dir/soft")).names[0][0] == b"secret"


# --- handlers that fail ---


@pytest.mark.parametrize(
    ("kind", "before"), [(kind, True) for kind in TWICE] + [(kind, False) for kind in [*TWICE, *ONCE]], ids=name_of
)
def test_a_handler_that_raises_is_a_failure_and_an_error_event_and_the_server_lives_on(
    kind: type[e.FileEvent], before: bool, site: Site, raw: RawSFTP
) -> None:
    @site.server.hook(kind)
    def broken(event: e.FileEvent) -> None:
        if getattr(event, "before_exec", False) == before:
            raise KeyError("oops")

    tree = site.tree()
    assert status((TWICE | ONCE)[kind].granted(raw)) == (Code.FAILURE, "The server's program failed")
    assert site.errors == [(2002, f"A handler of {kind.__name__} failed: KeyError: 'oops'")]
    assert (site.tree() != tree) == (kind in CHANGES and not before)
    site.server.hook(kind).replace(None)
    assert raw.ask(Type.LSTAT, string(b"/dir")).type == Type.ATTRS


def test_several_handlers_see_what_those_before_them_left(site: Site, raw: RawSFTP) -> None:
    seen = []
    site.server.on_file_remove.add(lambda event: setattr(event, "status_code", Status.FAILURE))
    site.server.on_file_remove.add(lambda event: seen.append(event.status_code))
    assert raw.ask(Type.REMOVE, string(b"/file")).code == Code.FAILURE
    assert seen == [Status.FAILURE]


# --- errors of the system ---


@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "watched"])
def test_attributes_that_cannot_be_set_are_error_2003_and_a_status(watched: bool, site: Site, raw: RawSFTP) -> None:
    if watched:
        site.server.on_set_attributes = lambda _: None
    assert raw.ask(Type.SETSTAT, string(b"/missing"), MODE).code == Code.NO_SUCH_FILE
    assert site.errors == [(2003, "setstat: No such file or directory.")]
    handle = raw.open(b"/file", READ)
    assert raw.ask(Type.FSETSTAT, string(handle), Attributes(size=1).encode()).code == Code.PERMISSION_DENIED
    assert site.errors[1:] == [(2003, "fsetstat: Permission denied.")]


def test_what_a_client_does_wrong_is_no_error_of_the_server(site: Site, raw: RawSFTP) -> None:
    raw.ask(Type.REMOVE, string(b"/missing"))
    raw.ask(Type.MKDIR, string(b"/dir"), NO_ATTRIBUTES)
    raw.ask(Type.READ, string(b"nonsense"), u64(0), u32(1))
    assert site.errors == []


@pytest.mark.parametrize("watched", [False, True], ids=["by C", "watched"])
def test_an_unexpected_failure_of_the_disk_is_error_2002_and_a_status(watched: bool, site: Site) -> None:
    """Nothing lies at address 0, so reading it is EIO."""
    site.server.root_directory = "/proc/self"
    if watched:
        site.server.on_file_read = lambda _: None
    raw = site.raw()
    assert raw.read(raw.open(b"/mem"), 0, 10).code == Code.FAILURE
    assert site.errors == [(2002, "read: Input/output error.")]
