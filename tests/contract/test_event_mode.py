"""Without RootDirectory handlers are the file system."""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from libsshd import SFTPServer, SFTPServerError
from libsshd import events as e
from libsshd.constants import FileType, OpenFlags, RenameFlags, Status
from tests.contract.covering import covers
from tests.contract.support_files import Diary, Site, status
from tests.support.account import PASSWORD, USER
from tests.support.command import DEADLINE, wait_until
from tests.support.place import noise
from tests.support.rawsftp import (
    CREAT,
    NO_ATTRIBUTES,
    READ,
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


class Shelf:
    """A file system in a dict: bytes are a file, None is a directory."""

    def __init__(self, server: SFTPServer) -> None:
        self.server = server
        self.items: dict[str, bytes | None] = {"/": None}
        self.opened: dict[tuple[int, str], str] = {}
        for kind, handler in {
            e.DirList: self.dir_list, e.DirCreate: self.dir_create, e.DirRemove: self.remove,
            e.FileOpen: self.file_open, e.FileRead: self.file_read, e.FileWrite: self.file_write,
            e.FileClose: self.file_close, e.FileRemove: self.remove, e.FileRename: self.file_rename,
            e.GetAttributes: self.get_attributes, e.SetAttributes: self.set_attributes,
        }.items():  # fmt: skip
            server.hook(kind).add(handler)  # type: ignore[arg-type]

    def names(self, directory: str) -> list[str]:
        below = directory.rstrip("/") + "/"
        return [path[len(below) :] for path in self.items if posixpath.dirname(path) == directory and path != "/"]

    def dir_list(self, event: e.DirList) -> None:
        if self.items.get(event.path, b"") is not None:
            event.status_code = Status.NO_SUCH_FILE
        elif event.before_exec:
            self.server.set_file_list(event.connection_id, "\r\n".join(self.names(event.path)))

    def dir_create(self, event: e.DirCreate) -> None:
        if event.before_exec and event.path in self.items:
            event.status_code = Status.FILE_ALREADY_EXISTS
        self.items.setdefault(event.path, None)

    def remove(self, event: e.FileRemove | e.DirRemove) -> None:
        if event.before_exec and event.path not in self.items:
            event.status_code = Status.NO_SUCH_FILE
        elif self.names(event.path):
            event.status_code = Status.DIR_NOT_EMPTY
        else:
            self.items.pop(event.path, None)

    def file_open(self, event: e.FileOpen) -> None:
        if event.before_exec:
            if event.flags & OpenFlags.CREAT and event.path not in self.items:
                self.items[event.path] = b""
            if event.flags & OpenFlags.TRUNC and self.items.get(event.path):
                self.items[event.path] = b""
            if self.items.get(event.path) is None:
                event.status_code = Status.NO_SUCH_FILE
        else:
            self.opened[event.connection_id, event.handle] = event.path

    def file_read(self, event: e.FileRead) -> None:
        data = self.items[self.opened[event.connection_id, event.handle]]
        assert data is not None
        if event.file_offset >= len(data):
            event.status_code = Status.EOF
        else:
            part = data[event.file_offset : event.file_offset + event.length]
            self.server.sftp_connections[event.connection_id].file_data = part

    def file_write(self, event: e.FileWrite) -> None:
        if event.before_exec:
            path = self.opened[event.connection_id, event.handle]
            old = self.items[path] or b""
            new = self.server.sftp_connections[event.connection_id].file_data
            start = old[: event.file_offset].ljust(event.file_offset, b"\0")
            self.items[path] = start + new + old[event.file_offset + len(new) :]

    def file_close(self, event: e.FileClose) -> None:
        self.opened.pop((event.connection_id, event.handle), None)

    def file_rename(self, event: e.FileRename) -> None:
        if event.before_exec:
            if event.path not in self.items:
                event.status_code = Status.NO_SUCH_FILE
            elif event.new_path in self.items and not event.flags & RenameFlags.OVERWRITE:
                event.status_code = Status.FILE_ALREADY_EXISTS
            else:
                self.items[event.new_path] = self.items.pop(event.path)

    def get_attributes(self, event: e.GetAttributes) -> None:
        if event.path not in self.items:
            event.status_code = Status.NO_SUCH_FILE
            return
        data = self.items[event.path]
        event.file_type = FileType.DIRECTORY if data is None else FileType.REGULAR
        event.file_permissions = 0o750 if data is None else 0o640
        event.file_size = len(data or b"")
        event.file_mtime = 1_000_000_000_000
        event.file_owner, event.file_group = "7", "8"

    def set_attributes(self, event: e.SetAttributes) -> None:
        if event.path not in self.items:
            event.status_code = Status.NO_SUCH_FILE


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, rooted=False) as opened:
        yield opened


@pytest.fixture
def shelf(site: Site) -> Shelf:
    found = Shelf(site.server)
    found.items |= {"/docs": None, "/docs/a.txt": b"hello\n", "/b.bin": noise(100_000)}
    return found


# --- with real clients ---

ALL = (
    "DirList", "DirCreate", "DirRemove", "FileOpen", "FileRead", "FileWrite", "FileClose", "FileRemove", "FileRename",
    "GetAttributes", "SetAttributes", "SetFileList", "SFTPConnectionFileData",
)  # fmt: skip


@covers(*ALL)
def test_openssh_works_on_a_dict(site: Site, shelf: Shelf) -> None:
    data = noise(300_000, 2)
    (site.home / "up").write_bytes(data)
    lines = site.openssh(
        "ls -ln /", "ls -1 docs", "put up /docs/new", "get /docs/new down", "get docs/a.txt", "mkdir /docs/sub",
        "rename /b.bin /docs/sub/c.bin", "rm docs/a.txt", "chmod 600 /docs/new", "ls -1 /docs/sub",
    )  # fmt: skip
    listed = [line for line in lines if line.startswith(("drw", "-rw"))]
    assert [re.sub(" +", " ", line) for line in listed] == [
        "-rw-r----- ? 7 8 100000 Sep 9 2001 /b.bin", "drwxr-x--- ? 7 8 0 Sep 9 2001 /docs"
    ]  # fmt: skip
    assert "docs/a.txt" in lines
    assert lines[-1] == "/docs/sub/c.bin"
    assert (site.home / "down").read_bytes() == data
    assert (site.home / "a.txt").read_bytes() == b"hello\n"
    assert shelf.items == {
        "/": None, "/docs": None, "/docs/new": data, "/docs/sub": None, "/docs/sub/c.bin": noise(100_000)
    }  # fmt: skip
    assert site.openssh("-rmdir /docs")[-1] == 'remote rmdir "/docs": Failure'
    assert shelf.opened == {}
    assert site.errors == []


def test_paramiko_works_on_a_dict(site: Site, shelf: Shelf) -> None:
    sftp = site.sftp()
    assert sorted(sftp.listdir("/")) == ["b.bin", "docs"]
    assert (sftp.stat("/b.bin").st_size, sftp.stat("docs").st_mode) == (100_000, 0o40750)
    with sftp.open("/docs/new", "w+b") as file:
        file.write(b"0123456789")
        file.seek(3)
        assert file.read(4) == b"3456"
        assert file.stat().st_size == 10
    with sftp.open("/b.bin", "rb") as file:
        file.prefetch()
        assert file.read() == noise(100_000)
    sftp.mkdir("/docs/sub")
    sftp.rename("/docs/new", "/docs/sub/new")
    with pytest.raises(OSError, match="File already exists"):
        sftp.rename("/b.bin", "/docs/a.txt")
    sftp.posix_rename("/b.bin", "/docs/a.txt")
    with pytest.raises(OSError, match="Directory not empty"):
        sftp.rmdir("/docs/sub")
    sftp.remove("/docs/sub/new")
    sftp.rmdir("/docs/sub")
    for missing in (sftp.stat, sftp.listdir, sftp.remove, sftp.open):
        with pytest.raises(FileNotFoundError):
            missing("/none")
    assert shelf.items == {"/": None, "/docs": None, "/docs/a.txt": noise(100_000)}
    assert shelf.opened == {}


def test_asyncssh_works_on_a_dict(site: Site, shelf: Shelf) -> None:
    data = noise(200_000, 3)
    (site.home / "up").write_bytes(data)

    async def work() -> None:
        options: dict[str, Any] = {"username": USER, "password": PASSWORD, "known_hosts": None, "config": None}
        options |= {"client_keys": None, "agent_path": None, "port": site.server.local_port}
        async with (
            asyncio.timeout(DEADLINE),
            asyncssh.connect("127.0.0.1", **options) as connection,
            connection.start_sftp_client() as sftp,
        ):
            assert sorted(await sftp.listdir("/")) == ["b.bin", "docs"]
            await sftp.put(site.home / "up", "/docs/new")
            await sftp.get("/docs", site.home / "tree", recurse=True)
            await sftp.mkdir("/sub")
            await sftp.rename("/b.bin", "/sub/c")
            assert await sftp.getsize("/sub/c") == 100_000
            await sftp.remove("/sub/c")
            await sftp.rmdir("/sub")
            assert await sftp.exists("/docs/new")
            assert not await sftp.exists("/b.bin")

    asyncio.run(work())
    assert (site.home / "tree/new").read_bytes() == data
    assert (site.home / "tree/a.txt").read_bytes() == b"hello\n"
    assert shelf.items == {"/": None, "/docs": None, "/docs/a.txt": b"hello\n", "/docs/new": data}


# --- without handlers ---

Ask = Callable[[RawSFTP], Reply]
UNATTENDED: dict[str, Ask] = {
    "open": lambda raw: raw.ask(Type.OPEN, string(b"/x"), u32(READ), NO_ATTRIBUTES),
    "opendir": lambda raw: raw.ask(Type.OPENDIR, string(b"/")),
    "stat": lambda raw: raw.ask(Type.STAT, string(b"/")),
    "lstat": lambda raw: raw.ask(Type.LSTAT, string(b"/")),
    "setstat": lambda raw: raw.ask(Type.SETSTAT, string(b"/x"), NO_ATTRIBUTES),
    "mkdir": lambda raw: raw.ask(Type.MKDIR, string(b"/x"), NO_ATTRIBUTES),
    "rmdir": lambda raw: raw.ask(Type.RMDIR, string(b"/x")),
    "remove": lambda raw: raw.ask(Type.REMOVE, string(b"/x")),
    "rename": lambda raw: raw.ask(Type.RENAME, string(b"/x"), string(b"/y")),
    "posix-rename": lambda raw: raw.extend(b"posix-rename@openssh.com", string(b"/x"), string(b"/y")),
    "readlink": lambda raw: raw.ask(Type.READLINK, string(b"/x")),
    "symlink": lambda raw: raw.ask(Type.SYMLINK, string(b"x"), string(b"/y")),
    "hardlink": lambda raw: raw.extend(b"hardlink@openssh.com", string(b"/x"), string(b"/y")),
    "statvfs": lambda raw: raw.extend(b"statvfs@openssh.com", string(b"/")),
    "lsetstat": lambda raw: raw.extend(b"lsetstat@openssh.com", string(b"/"), NO_ATTRIBUTES),
    "unknown": lambda raw: raw.extend(b"unknown@example.com"),
}
WITH_HANDLE: dict[str, Ask] = {
    "read": lambda raw: raw.read(raw.open(b"/x", READ), 0, 10),
    "write": lambda raw: raw.ask(Type.WRITE, string(raw.open(b"/x", WRITE)), u64(0), string(b"x")),
    "fstat": lambda raw: raw.ask(Type.FSTAT, string(raw.open(b"/x"))),
    "fsetstat": lambda raw: raw.ask(Type.FSETSTAT, string(raw.open(b"/x")), NO_ATTRIBUTES),
    "fsync": lambda raw: raw.extend(b"fsync@openssh.com", string(raw.open(b"/x", WRITE))),
    "fstatvfs": lambda raw: raw.extend(b"fstatvfs@openssh.com", string(raw.open(b"/x"))),
}


@pytest.mark.parametrize("name", UNATTENDED)
def test_what_has_no_handler_is_unsupported(name: str, site: Site) -> None:
    assert status(UNATTENDED[name](site.raw())) == (Code.OP_UNSUPPORTED, "Operation not supported")
    assert site.errors == []


@pytest.mark.parametrize("name", WITH_HANDLE)
def test_what_has_no_handler_is_unsupported_on_an_open_file_too(name: str, site: Site) -> None:
    site.server.on_file_open = lambda _: None
    assert status(WITH_HANDLE[name](site.raw())) == (Code.OP_UNSUPPORTED, "Operation not supported")
    assert site.errors == []


@covers("ResolvePath", "FileClose")
def test_paths_are_resolved_and_handles_closed_without_a_handler(site: Site) -> None:
    site.server.on_ssh_user_auth_request.add(lambda event: setattr(event, "home_dir", "/home/alice"))
    site.server.on_file_open = lambda _: None
    raw = site.raw()
    for sent, resolved in (
        (b".", b"/home/alice"), (b"../x//y/.", b"/home/x/y"), (b"/../..", b"/"), (b"", b"/home/alice")
    ):  # fmt: skip
        assert [name for name, _, _ in raw.ask(Type.REALPATH, string(sent)).names] == [resolved]
    handle = raw.open(b"x")
    assert raw.shut(handle) == Code.OK
    assert raw.shut(handle) == Code.FAILURE
    assert raw.extend(b"limits@openssh.com").extended


def test_an_event_with_a_handler_that_does_nothing_succeeds(site: Site) -> None:
    kinds = [kind for kind in e.EVENTS if issubclass(kind, e.FileEvent)]
    diary = Diary(site.server, *kinds)
    raw = site.raw()
    for name in ("setstat", "mkdir", "rmdir", "remove", "rename", "symlink", "hardlink"):
        assert status(UNATTENDED[name](raw)) == (Code.OK, "Success")
        assert [parameters["status_code"] for _, parameters in diary.entries] == [0, 0]
        diary.entries.clear()
    assert raw.ask(Type.STAT, string(b"/x")).attributes == Attributes()
    assert raw.listing(b"/x") == []
    handle = raw.open(b"/x", READ | WRITE)
    assert raw.write(handle, 0, b"lost") == Code.OK
    assert raw.read(handle, 0, 10).code == Code.EOF
    assert raw.ask(Type.FSTAT, string(handle)).attributes == Attributes()
    assert raw.ask(Type.FSETSTAT, string(handle), NO_ATTRIBUTES).code == Code.OK
    assert raw.extend(b"fsync@openssh.com", string(handle)).code == Code.OK
    assert raw.shut(handle) == Code.OK
    assert site.errors == []


def test_before_and_after_are_told_apart_and_a_denial_ends_it(site: Site) -> None:
    diary = Diary(site.server, e.DirCreate)

    @site.server.on_dir_create.add
    def deny(event: e.DirCreate) -> None:
        if event.path == "/no":
            event.status_code = Status.PERMISSION_DENIED

    raw = site.raw()
    assert raw.ask(Type.MKDIR, string(b"/yes"), NO_ATTRIBUTES).code == Code.OK
    assert raw.ask(Type.MKDIR, string(b"/no"), NO_ATTRIBUTES).code == Code.PERMISSION_DENIED
    assert diary.names == ["DirCreate before", "DirCreate after", "DirCreate before"]


def test_files_and_directories_share_the_numbers_of_handles(site: Site, shelf: Shelf) -> None:
    raw = site.raw()
    assert raw.open(b"/b.bin") == b"1"
    assert raw.ask(Type.OPENDIR, string(b"/")).handle == b"2"
    assert raw.open(b"/docs/a.txt") == b"3"
    assert site.raw().open(b"/b.bin") == b"1", "each connection counts for itself"


def test_too_many_handles_are_refused_without_an_event(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False, max_handles_per_channel=2) as site:
        diary = Diary(site.server, e.FileOpen, e.DirList)
        raw = site.raw()
        raw.open(b"/1")
        raw.open(b"/2")
        assert raw.ask(Type.OPEN, string(b"/3"), u32(READ), NO_ATTRIBUTES).code == Code.FAILURE
        assert raw.ask(Type.OPENDIR, string(b"/3")).code == Code.FAILURE
        assert {parameters["path"] for _, parameters in diary.entries} == {"/1", "/2"}


def test_an_upload_that_breaks_off_tells_what_handlers_were_given(site: Site, shelf: Shelf) -> None:
    diary = Diary(site.server, e.FileAborted, e.Disconnected, e.FileClose)
    transport = site.login()
    raw = site.raw(transport)
    raw.write(raw.open(b"/part", WRITE | CREAT), 0, bytes(500))
    transport.sock.close()
    wait_until(lambda: "Disconnected" in diary.names, "the end is told")
    assert diary.names == ["FileAborted", "Disconnected"]
    told = diary.one("FileAborted")
    assert (told["path"], told["handle"], told["bytes_written"]) == ("/part", "1", 500)


# --- SetFileList and listings ---


def listing_of(site: Site, names: str, *, before: bool = True) -> None:
    @site.server.on_dir_list
    def name(event: e.DirList) -> None:
        if event.before_exec == before:
            site.server.set_file_list(event.connection_id, names)


@covers("SetFileList", "DirList")
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("b\r\na\r\nc", [b"b", b"a", b"c"]),
        ("b\na\r\n\r\nc\n", [b"b", b"a", b"c"]),
        ("", []),
        ("\r\n", []),
        (" x \r\nü\r\n\udcff", [b" x ", "ü".encode(), b"\xff"]),
        (".\r\n..\r\nx", [b".", b"..", b"x"]),
        ("a\rb", [b"a\rb"]),
    ],
)
def test_a_list_is_sent_in_its_order_without_empty_names(
    names: str, expected: list[bytes], before: bool, site: Site
) -> None:
    listing_of(site, names, before=before)
    assert [name for name, _, _ in site.raw().listing(b"/any")] == expected


def test_the_last_of_two_lists_counts_and_the_next_directory_has_none(site: Site) -> None:
    @site.server.on_dir_list
    def twice(event: e.DirList) -> None:
        if event.path == "/":
            site.server.set_file_list(event.connection_id, "before" if event.before_exec else "after\nlast")

    raw = site.raw()
    assert [name for name, _, _ in raw.listing(b"/")] == [b"after", b"last"]
    assert raw.listing(b"/other") == []


def test_a_list_set_by_a_handler_that_denies_is_forgotten(site: Site) -> None:
    @site.server.on_dir_list
    def deny(event: e.DirList) -> None:
        if event.path == "/no":
            site.server.set_file_list(event.connection_id, "leftover")
            event.status_code = Status.PERMISSION_DENIED

    raw = site.raw()
    assert raw.ask(Type.OPENDIR, string(b"/no")).code == Code.PERMISSION_DENIED
    assert raw.listing(b"/yes") == []


def test_set_file_list_outside_dir_list_is_an_error(site: Site) -> None:
    outcomes = []

    @site.server.on_dir_create
    def elsewhere(event: e.DirCreate) -> None:
        with pytest.raises(SFTPServerError) as caught:
            site.server.set_file_list(event.connection_id, "x")
        outcomes.append(caught.value.code)

    raw = site.raw()
    assert raw.ask(Type.MKDIR, string(b"/x"), NO_ATTRIBUTES).code == Code.OK
    assert outcomes == [10022, 10022]
    for number, code in ((0, 10022), (7, 126)):
        with pytest.raises(SFTPServerError) as caught:
            site.server.set_file_list(number, "x")
        assert caught.value.code == code


@pytest.mark.parametrize("names", ["a/b", "/a", "x\r\n../y", "a\0b", None, b"x", "\ud800"])
def test_what_is_no_list_of_names_is_an_error_and_a_failure(names: Any, site: Site) -> None:
    listing_of(site, names)
    assert site.raw().ask(Type.OPENDIR, string(b"/")).code == Code.FAILURE
    ((code, text),) = site.errors
    assert (code, text.startswith("A handler of DirList failed: SFTPServerError: [10022] ")) == (2002, True)


@covers("GetAttributes")
def test_get_attributes_fires_for_each_name_and_may_drop_it(site: Site) -> None:
    listing_of(site, "one\ntwo\nthree\n.\n..")
    diary = Diary(site.server, e.GetAttributes)

    @site.server.on_get_attributes.add
    def fill(event: e.GetAttributes) -> None:
        if event.path == "/dir/two":
            event.status_code = Status.NO_SUCH_FILE
        event.file_size = len(event.path)

    raw = site.raw()
    listed = raw.listing(b"/x/../dir/")
    assert [(name, attributes.size) for name, _, attributes in listed] == [
        (b"one", 8), (b"three", 10), (b".", 4), (b"..", 1)
    ]  # fmt: skip
    assert [told["path"] for told in diary.of("GetAttributes")] == ["/dir/one", "/dir/two", "/dir/three", "/dir", "/"]


def test_a_handler_that_fails_for_one_name_drops_only_that(site: Site) -> None:
    listing_of(site, "one\ntwo\nthree")

    @site.server.on_get_attributes
    def fill(event: e.GetAttributes) -> None:
        if event.path == "/two":
            raise KeyError("two")
        event.file_owner = "nobody" if event.path == "/three" else "1"

    assert [name for name, _, _ in site.raw().listing(b"/")] == [b"one"]
    assert [text for _, text in site.errors] == [
        "A handler of GetAttributes failed: KeyError: 'two'",
        "A handler of GetAttributes left what cannot be sent: FileOwner is a number here, not 'nobody'.",
    ]


def test_without_a_handler_names_have_no_attributes(site: Site) -> None:
    listing_of(site, "one")
    ((name, long_name, attributes),) = site.raw().listing(b"/")
    assert (name, attributes) == (b"one", Attributes())
    assert long_name.split() == [b"??????????", b"?", b"?", b"?", b"?", b"?", b"one"]


def test_a_long_name_shows_what_the_handler_says(site: Site) -> None:
    listing_of(site, "one")

    @site.server.on_get_attributes
    def fill(event: e.GetAttributes) -> None:
        event.file_permissions = 0o100751
        event.file_size, event.file_owner, event.file_group = 42, "1000", "100"
        event.file_mtime = 86_400_000 * 365
        event.other_attributes = "LinkCount=3"

    ((_, long_name, attributes),) = site.raw().listing(b"/")
    assert attributes.permissions == 0o100751
    assert long_name.split() == [b"-rwxr-x--x", b"3", b"1000", b"100", b"42", b"Jan", b"1", b"1971", b"one"]


@covers("DirListBufferSize")
@pytest.mark.parametrize("rooted", [True, False], ids=["rooted", "event mode"])
@pytest.mark.parametrize(("size", "counts"), [(0, [7]), (1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_a_reply_holds_as_many_entries_as_set(size: int, counts: list[int], rooted: bool, tmp_path: Path) -> None:
    with Site(tmp_path, rooted=rooted) as site:
        listing_of(site, "\r\n".join("abcdefg"))
        raw = site.raw()
        site.server.config(f"DirListBufferSize[0]={size}")
        handle = raw.ask(Type.OPENDIR, string(b"/")).handle
        found = []
        while (reply := raw.ask(Type.READDIR, string(handle))).type == Type.NAME:
            found.append(reply.names)
        assert reply.code == Code.EOF
        assert [len(names) for names in found] == counts
        assert [name for names in found for name, _, _ in names] == [bytes([letter]) for letter in b"abcdefg"]


def test_a_directory_on_the_disk_is_sent_in_replies_of_the_size_set_without_a_number(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        for letter in "abc":
            site.write(letter)
        site.server.config("DirListBufferSize=2")
        raw = site.raw()
        handle = raw.ask(Type.OPENDIR, string(b"/")).handle
        replies = [raw.ask(Type.READDIR, string(handle)) for _ in range(4)]
        assert [len(reply.names) for reply in replies[:3]] == [2, 2, 1]
        assert {name for reply in replies[:3] for name, _, _ in reply.names} == {b".", b"..", b"a", b"b", b"c"}
        assert replies[3].code == Code.EOF


def test_a_reply_is_cut_when_it_would_be_too_long(site: Site) -> None:
    names = [f"{number:03}".ljust(250, "x") for number in range(500)]
    listing_of(site, "\n".join(names))
    raw = site.raw()
    site.server.sftp_connections[0].dir_list_buffer_size = 400
    handle = raw.ask(Type.OPENDIR, string(b"/")).handle
    found = []
    while (reply := raw.ask(Type.READDIR, string(handle))).type == Type.NAME:
        assert len(reply.body) < 34_000
        found += [name.decode() for name, _, _ in reply.names]
    assert found == names


def test_a_size_below_0_is_an_error(site: Site) -> None:
    site.raw()
    with pytest.raises(SFTPServerError) as caught:
        site.server.config("DirListBufferSize[0]=-1")
    assert caught.value.code == 10022


# --- SetFileList with a root ---


@covers("SetFileList")
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_with_a_root_a_list_replaces_what_is_on_the_disk_and_takes_attributes_from_there(
    before: bool, tmp_path: Path
) -> None:
    with Site(tmp_path) as site:
        site.write("big", bytes(1234), 0o640)
        site.write("hidden")
        (site.root / "dangling").symlink_to("nowhere")
        listing_of(site, "big\ngone\ndangling", before=before)
        diary = Diary(site.server, e.GetAttributes)
        big, gone, dangling = site.raw().listing(b"/")
        assert (big[0], big[2].size, big[2].permissions) == (b"big", 1234, 0o100640)
        assert b"-rw-r-----" in big[1]
        assert (gone[0], gone[2]) == (b"gone", Attributes())
        assert (dangling[0], (dangling[2].permissions or 0) >> 12) == (b"dangling", 0o12)
        assert diary.names == []


def test_with_a_root_a_directory_that_is_not_there_can_be_made_up(tmp_path: Path) -> None:
    with Site(tmp_path) as site:

        @site.server.on_dir_list
        def conjure(event: e.DirList) -> None:
            if event.status_code == Status.NO_SUCH_FILE:
                event.status_code = Status.OK
                site.server.set_file_list(event.connection_id, "ghost")

        raw = site.raw()
        assert [name for name, _, _ in raw.listing(b"/missing")] == [b"ghost"]
        assert [name for name, _, _ in raw.listing(b"/")] == [b".", b".."]


def test_a_handle_is_for_what_its_file_was_opened_for(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False) as site:
        shelf = Shelf(site.server)
        shelf.items["/a"] = b"content"
        raw = site.raw()
        to_read, to_write = raw.open(b"/a", READ), raw.open(b"/b", WRITE | CREAT)
        diary = Diary(site.server, e.FileRead, e.FileWrite)
        assert raw.write(to_read, 0, b"x") == Code.PERMISSION_DENIED
        assert raw.read(to_write, 0, 10).code == Code.PERMISSION_DENIED
        assert diary.names == []
        assert shelf.items["/a"] == b"content"
