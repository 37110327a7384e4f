"""Settings that change what clients of the file system see, and what has no documented event."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libsshd import SFTPServerError
from libsshd import events as e
from libsshd.constants import RenameFlags, Status
from tests.contract.covering import covers
from tests.contract.support_files import Diary, Site, status
from tests.support.rawsftp import (
    CREAT,
    NO_ATTRIBUTES,
    READ,
    TRUNC,
    WRITE,
    Attributes,
    ChannelStream,
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
    with Site(tmp_path) as opened:
        yield opened


def names_of(raw: RawSFTP, path: bytes = b"/") -> dict[bytes, bytes]:
    """Long names by name, without "." and ".."."""
    return {name: line for name, line, _ in raw.listing(path) if name not in (b".", b"..")}


# --- UnixStyleDateFormat ---

DAY = 24 * 3600


@covers("UnixStyleDateFormat")
@pytest.mark.parametrize("rooted", [True, False], ids=["rooted", "event mode"])
@pytest.mark.parametrize("unix", [False, True])
def test_dates_of_the_last_half_year_have_a_clock_in_unix_style_only(
    unix: bool, rooted: bool, tmp_path: Path
) -> None:
    now = int(time.time())
    times = {b"new": now - 30 * DAY, b"old": now - 300 * DAY, b"future": now + 30 * DAY}
    with Site(tmp_path, rooted=rooted) as site:
        assert site.server.config("UnixStyleDateFormat") == "False"
        site.server.config(f"UnixStyleDateFormat={unix}")
        if rooted:
            for name, when in times.items():
                os.utime(site.write(name.decode()), (when, when))
        else:
            make_up(site, times)
        lines = names_of(site.raw())
    for name, when in times.items():
        shape = "%b %d %H:%M" if unix and name == b"new" else "%b %d  %Y"
        month, day, rest = time.strftime(shape, time.localtime(when)).split()
        assert lines[name].decode().endswith(f" {month} {int(day):2} {rest:>5} {name.decode()}")


def make_up(site: Site, times: dict[bytes, int]) -> None:
    @site.server.on_dir_list
    def name(event: e.DirList) -> None:
        site.server.set_file_list(event.connection_id, "\n".join(map(bytes.decode, times)))

    @site.server.on_get_attributes
    def fill(event: e.GetAttributes) -> None:
        event.file_mtime = times[event.path[1:].encode()] * 1000


# --- CodePage ---


@covers("CodePage")
@pytest.mark.parametrize(("page", "wire"), [(65001, "Äß€.txt".encode()), (1252, "Äß€.txt".encode("cp1252"))])
def test_names_are_those_of_the_code_page_on_the_wire_and_utf_8_on_the_disk(
    page: int, wire: bytes, tmp_path: Path
) -> None:
    with Site(tmp_path, code_page=page) as site:
        diary = Diary(site.server, e.FileOpen, e.FileRename)
        raw = site.raw()
        raw.shut(raw.open(b"/" + wire, WRITE | CREAT))
        assert os.listdir(site.root) == ["Äß€.txt"]
        assert set(names_of(raw)) == {wire}
        assert raw.ask(Type.RENAME, string(wire), string(b"\xfc" if page == 1252 else b"\xc3\xbc")).code == Code.OK
        assert os.listdir(site.root) == ["ü"]
        assert raw.ask(Type.REALPATH, string(wire)).names[0][0] == b"/" + wire
        assert diary.one("FileOpen before")["path"] == "/Äß€.txt"
        assert diary.one("FileRename after")["new_path"] == "/ü"


def test_texts_and_lists_of_handlers_are_in_the_code_page_on_the_wire(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False, code_page=1252) as site:

        @site.server.on_file_remove
        def deny(event: e.FileRemove) -> None:
            event.status_code = Status.FAILURE
            site.server.sftp_connections[event.connection_id].sftp_error_message = "Schön wär's"

        @site.server.on_dir_list
        def name(event: e.DirList) -> None:
            site.server.set_file_list(event.connection_id, "ü\r\n日")

        raw = site.raw()
        cursor = raw.ask(Type.REMOVE, string(b"/x")).cursor(Type.STATUS)
        assert (cursor.u32(), cursor.string()) == (Code.FAILURE, b"Sch\xf6n w\xe4r's")
        assert [name for name, _, _ in raw.listing(b"/")] == [b"\xfc", b"?"]


def test_a_change_of_the_code_page_counts_for_connections_that_come_later(site: Site) -> None:
    site.write("ü")
    early = site.raw()
    site.server.config("CodePage=1252")
    assert set(names_of(early)) == {"ü".encode()}
    assert set(names_of(site.raw())) == {b"\xfc"}


@pytest.mark.parametrize("page", [0, 1, 30, 65536, 12345])
def test_a_code_page_without_a_codec_is_an_error(page: int, site: Site) -> None:
    with pytest.raises(SFTPServerError) as caught:
        site.server.code_page = page
    assert caught.value.code == 10022
    assert site.server.code_page == 65001
    assert site.raw().version == 3


# --- ProtocolVersion and ServerEOL ---


@covers("ProtocolVersion", "SFTPConnectionProtocolVersion")
@pytest.mark.parametrize("allowed", [3, 4, 5, 6])
@pytest.mark.parametrize("offered", [3, 4, 6, 99])
def test_the_version_is_the_lower_of_what_both_sides_speak(offered: int, allowed: int, site: Site) -> None:
    site.server.config(f"ProtocolVersion={allowed}")
    raw = RawSFTP(ChannelStream(site.login())).init(offered)
    assert raw.version == min(offered, allowed)
    assert site.server.sftp_connections[0].protocol_version == raw.version
    assert raw.ask(Type.REALPATH, string(b"/")).type == Type.NAME


@pytest.mark.parametrize("offered", [0, 1, 2])
def test_a_client_of_an_older_version_is_refused_and_the_connection_lives_on(offered: int, site: Site) -> None:
    transport = site.login()
    with pytest.raises(EOFError):
        RawSFTP(ChannelStream(transport)).init(offered)
    assert site.raw(transport).version == 3


@pytest.mark.parametrize("version", [2, 7, -1])
def test_a_version_outside_3_to_6_is_an_error(version: int, site: Site) -> None:
    with pytest.raises(SFTPServerError) as caught:
        site.server.config(f"ProtocolVersion={version}")
    assert caught.value.code == 10022


@covers("ServerEOL")
@pytest.mark.parametrize(
    ("given", "kept"),
    [("CrLF", "CRLF"), ("lf", "LF"), ("CR", "CR"), ("\r\n", "CRLF"), ("\n", "LF"), ("\r", "CR")],
)
def test_the_line_end_is_kept_and_not_announced_to_clients_of_version_3(given: str, kept: str, site: Site) -> None:
    assert site.server.server_eol == "CRLF"
    site.server.config(f"ServerEOL={given}")
    assert site.server.config("ServerEOL") == kept
    assert not {b"newline", b"newline@vandyke.com"} & set(site.raw().extensions)


def test_data_is_not_converted(site: Site) -> None:
    site.server.config("ServerEOL=LF")
    raw = site.raw()
    handle = raw.open(b"/text", READ | WRITE | CREAT)
    raw.write(handle, 0, b"a\r\nb\nc\r")
    assert raw.read(handle, 0, 100).data == b"a\r\nb\nc\r"


@pytest.mark.parametrize("given", ["", "CRLFCRLF", "lfcr", "x"])
def test_what_is_no_line_end_is_an_error(given: str, site: Site) -> None:
    with pytest.raises(SFTPServerError) as caught:
        site.server.config(f"ServerEOL={given}")
    assert caught.value.code == 10022


# --- links ---

LINKS: list[Callable[[RawSFTP], Reply]] = [
    lambda raw: raw.ask(Type.SYMLINK, string(b"/file"), string(b"/alias")),
    lambda raw: raw.extend(b"hardlink@openssh.com", string(b"/file"), string(b"/alias")),
]


@pytest.mark.parametrize("link", LINKS, ids=["symbolic", "hard"])
def test_links_are_made_only_when_allowed_or_when_a_handler_judges_them(
    link: Callable[[RawSFTP], Reply], site: Site
) -> None:
    site.write("file")
    raw = site.raw()
    assert status(link(raw)) == (Code.PERMISSION_DENIED, "Links cannot be made here")
    site.server.on_link_create = lambda event: setattr(event, "status_code", Status.FAILURE)
    assert link(raw).code == Code.FAILURE
    assert os.listdir(site.root) == ["file"]
    site.server.on_link_create = lambda _: None
    assert link(raw).code == Code.OK
    site.server.on_link_create = None
    os.remove(site.root / "alias")
    assert link(raw).code == Code.PERMISSION_DENIED
    site.server.allow_links = True
    assert link(site.raw()).code == Code.OK
    assert os.path.lexists(site.root / "alias")


def test_links_that_are_there_can_be_read_and_followed(site: Site) -> None:
    site.write("file")
    (site.root / "link").symlink_to("file")
    raw = site.raw()
    assert raw.ask(Type.READLINK, string(b"/link")).names[0][0] == b"file"
    assert raw.read(raw.open(b"/link"), 0, 10).data == b"content"


# --- no way around a documented event ---


def test_whatever_takes_a_name_away_or_gives_one_asks_the_event_of_it(site: Site) -> None:
    """A handler that protects /kept meets every request that could touch it."""
    site.write("kept")
    site.write("other")
    touched = []

    def protect(event: e.BeforeAndAfter) -> None:
        if event.before_exec:
            named = {getattr(event, name, None) for name in ("path", "new_path", "target")}
            if "/kept" in named:
                touched.append(type(event).__name__)
                event.status_code = Status.PERMISSION_DENIED

    for kind in (e.FileOpen, e.FileRemove, e.FileRename, e.SetAttributes, e.DirCreate, e.DirRemove, e.LinkCreate):
        site.server.hook(kind).add(protect)
    raw = site.raw()
    tree = site.tree()
    kept, other, mode = string(b"/kept"), string(b"/other"), Attributes(permissions=0).encode()
    requests = [
        raw.request(Type.OPEN, kept, u32(READ), NO_ATTRIBUTES),
        raw.request(Type.OPEN, kept, u32(WRITE | CREAT | TRUNC), NO_ATTRIBUTES),
        raw.request(Type.REMOVE, kept),
        raw.request(Type.RENAME, kept, other),
        raw.request(Type.RENAME, other, kept),
        raw.request(Type.EXTENDED, string(b"posix-rename@openssh.com"), kept, other),
        raw.request(Type.EXTENDED, string(b"posix-rename@openssh.com"), other, kept),
        raw.request(Type.SETSTAT, kept, mode),
        raw.request(Type.EXTENDED, string(b"lsetstat@openssh.com"), kept, mode),
        raw.request(Type.RMDIR, kept),
        raw.request(Type.MKDIR, kept, NO_ATTRIBUTES),
        raw.request(Type.SYMLINK, string(b"/other"), kept),
        raw.request(Type.SYMLINK, kept, string(b"/alias")),
        raw.request(Type.EXTENDED, string(b"hardlink@openssh.com"), kept, string(b"/alias")),
        raw.request(Type.EXTENDED, string(b"hardlink@openssh.com"), other, kept),
        raw.request(Type.EXTENDED, string(b"copy-file"), kept, string(b"/copy"), b"\1"),
        raw.request(Type.EXTENDED, string(b"copy-file"), other, kept, b"\1"),
        raw.request(Type.EXTENDED, string(b"check-file-name"), kept, string(b"md5"), u64(0), u64(0), u32(0)),
        raw.request(Type.EXTENDED, string(b"md5-hash"), kept, u64(0), u64(0), string(b"")),
    ]
    raw.post_all(requests)
    assert [raw.reply().code for _ in requests] == [Code.PERMISSION_DENIED] * len(requests)
    assert touched == [
        *["FileOpen"] * 2, "FileRemove", *["FileRename"] * 4, *["SetAttributes"] * 2, "DirRemove", "DirCreate",
        *["LinkCreate"] * 4, *["FileOpen"] * 4,
    ]  # fmt: skip
    assert site.tree() == tree


def test_every_extension_that_is_announced_asks_an_event_or_changes_nothing(site: Site) -> None:
    site.write("a")
    site.write("source")
    kinds = [kind for kind in e.EVENTS if issubclass(kind, e.FileEvent)]
    diary = Diary(site.server, *kinds)
    raw = site.raw()
    handle, source = string(raw.open(b"/a", WRITE)), string(raw.open(b"/source"))
    whole, md5 = u64(0) + u64(0), string(b"md5")
    hashed, named = ("FileHash before", "FileHash after"), ("FileOpen before", "FileClose")
    fields: dict[bytes, tuple[list[bytes], str | tuple[str, str]]] = {
        b"posix-rename@openssh.com": ([string(b"/a"), string(b"/b")], "FileRename"),
        b"statvfs@openssh.com": ([string(b"/")], "SpaceQuery"),
        b"fstatvfs@openssh.com": ([handle], "SpaceQuery"),
        b"hardlink@openssh.com": ([string(b"/b"), string(b"/c")], "LinkCreate"),
        b"fsync@openssh.com": ([handle], "FileSync"),
        b"lsetstat@openssh.com": ([string(b"/b"), NO_ATTRIBUTES], "SetAttributes"),
        b"limits@openssh.com": ([], ""),
        b"expand-path@openssh.com": ([string(b"~")], ("ResolvePath", "ResolvePath")),
        b"copy-data": ([source, whole, handle, u64(0)], "FileCopy"),
        b"home-directory": ([string(b"")], ("ResolvePath", "ResolvePath")),
        b"users-groups-by-id@openssh.com": ([string(b""), string(b"")], ""),
        b"copy-file": ([string(b"/b"), string(b"/d"), b"\0"], "FileCopy"),
        b"check-file": ([source, md5, whole, u32(0)], hashed),
        b"check-file-name": ([string(b"/b"), md5, whole, u32(0)], named),
        b"check-file-handle": ([source, md5, whole, u32(0)], hashed),
        b"md5-hash": ([string(b"/b"), whole, string(b"")], named),
        b"md5-hash-handle": ([source, whole, string(b"")], hashed),
        b"space-available": ([string(b"/")], "SpaceQuery"),
        b"get-temp-folder": ([], ""),
        b"make-temp-folder": ([], "DirCreate"),
        b"ranges@asyncssh.com": ([source, u64(0), u64(1)], ""),
    }
    assert set(raw.extensions) == {*fields, b"symlink-order@rjk.greenend.org.uk"}
    diary.entries.clear()
    for name, (more, kind) in fields.items():
        reply = raw.extend(name, *more)
        assert reply.type != Type.STATUS or reply.code == Code.OK, name
        first_and_last = (f"{kind} before", f"{kind} after") if isinstance(kind, str) else kind
        assert (*diary.names[:1], *diary.names[-1:]) == (first_and_last if kind else ()), name
        if kind == "FileRename":
            assert diary.one("FileRename before")["flags"] == RenameFlags.OVERWRITE | RenameFlags.ATOMIC
        diary.entries.clear()


# --- extensions that only a handler knows ---


def test_a_handler_answers_extensions_of_its_own(site: Site) -> None:
    seen = []

    @site.server.on_extended
    def answer(event: e.Extended) -> None:
        seen.append((event.name, event.data, event.status_code))
        if event.name == "echo@example.com":
            event.status_code, event.reply = Status.OK, event.data[::-1]
        elif event.name == "touch@example.com":
            event.status_code = Status.OK
        elif event.name == "deny@example.com":
            event.status_code = Status.PERMISSION_DENIED
            site.server.sftp_connections[event.connection_id].sftp_error_message = "Not for you"

    raw = site.raw()
    assert raw.extend(b"echo@example.com", b"abc").extended == b"cba"
    assert raw.extend(b"touch@example.com").code == Code.OK
    assert status(raw.extend(b"deny@example.com", b"\xff")) == (Code.PERMISSION_DENIED, "Not for you")
    assert raw.extend(b"other@example.com").code == Code.OP_UNSUPPORTED
    assert seen == [
        ("echo@example.com", b"abc", Status.OP_UNSUPPORTED),
        ("touch@example.com", b"", Status.OP_UNSUPPORTED),
        ("deny@example.com", b"\xff", Status.OP_UNSUPPORTED),
        ("other@example.com", b"", Status.OP_UNSUPPORTED),
    ]


@pytest.mark.parametrize("reply", ["text", 7])
def test_a_reply_that_is_no_bytes_is_an_error_of_the_program(reply: object, site: Site) -> None:
    @site.server.on_extended
    def answer(event: e.Extended) -> None:
        event.status_code = Status.OK
        event.reply = reply  # type: ignore[assignment]

    raw = site.raw()
    assert raw.extend(b"x@example.com").code == Code.FAILURE
    assert site.errors == [(2002, f"A handler of Extended left {reply!r} as reply.")]
    assert raw.ask(Type.STAT, string(b"/")).type == Type.ATTRS


def test_a_handler_of_extensions_that_fails_does_not_end_the_channel(site: Site) -> None:
    @site.server.on_extended
    def broken(event: e.Extended) -> None:
        raise RuntimeError("broken")

    raw = site.raw()
    assert raw.extend(b"x@example.com").code == Code.FAILURE
    assert raw.extend(b"limits@openssh.com").extended


# --- what is only read ---


def test_what_read_only_refuses_fires_no_event(tmp_path: Path) -> None:
    with Site(tmp_path, read_only=True) as site:
        site.write("file")
        diary = Diary(site.server, e.FileOpen, e.FileRemove, e.DirCreate)
        raw = site.raw()
        assert raw.ask(Type.REMOVE, string(b"/file")).code == Code.PERMISSION_DENIED
        assert raw.ask(Type.OPEN, string(b"/file"), u32(WRITE), NO_ATTRIBUTES).code == Code.PERMISSION_DENIED
        assert diary.names == []
        assert raw.read(raw.open(b"/file"), 0, 10).data == b"content"
        assert diary.names == ["FileOpen before", "FileOpen after"]
