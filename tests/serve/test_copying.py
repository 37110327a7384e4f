"""copy-data and copy-file."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from libsshd import events as e
from libsshd.constants import Status
from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from tests.contract.support_files import Diary, Site, status
from tests.support.command import wait_until
from tests.support.place import MIB, noise
from tests.support.rawsftp import APPEND, CREAT, READ, TRUNC, WRITE, Code, RawSFTP, Reply, Type, string, u64
from tests.support.stdio import StdioServer

DATA = noise(300_000)
NEW = WRITE | CREAT | TRUNC


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """/source has DATA."""
    path = tmp_path / "served"
    path.mkdir()
    (path / "source").write_bytes(DATA)
    return path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as opened:
        opened.write("source", DATA, mode=0o640)
        yield opened


def copy(raw: RawSFTP, source: bytes, target: bytes, start: int = 0, length: int = 0, at: int = 0) -> Reply:
    return raw.extend(b"copy-data", string(source), u64(start), u64(length), string(target), u64(at))


def copy_named(raw: RawSFTP, old: bytes, new: bytes, *, overwrite: bool = False) -> Reply:
    return raw.extend(b"copy-file", string(old), string(new), bytes([overwrite]))


# --- what is copied ---


def test_without_a_length_the_file_is_copied_to_its_end(raw: RawSFTP, root: Path) -> None:
    source, target = raw.open(b"/source"), raw.open(b"/copy", NEW)
    assert copy(raw, source, target).code == Code.OK
    assert (root / "copy").read_bytes() == DATA
    assert raw.shut(target) == Code.OK


@pytest.mark.parametrize(
    ("start", "length", "at"), [(0, 1, 0), (5, 100, 7), (1, 0, 0), (299_999, 1, 0), (0, 300_000, 10)]
)
def test_a_range_is_copied_to_where_it_belongs(start: int, length: int, at: int, raw: RawSFTP, root: Path) -> None:
    (root / "copy").write_bytes(b"x" * 20)
    assert copy(raw, raw.open(b"/source"), raw.open(b"/copy", WRITE), start, length, at).code == Code.OK
    piece = DATA[start : start + length] if length else DATA[start:]
    assert (root / "copy").read_bytes() == b"x" * at + piece + b"x" * max(20 - at - len(piece), 0)


@pytest.mark.parametrize(
    ("start", "length", "copied"),
    [
        (0, 300_001, 300_000), (299_990, 4 * MIB, 10), (300_000, 1, 0), (2**62, 1, 0), (2**63, 1, 0),
        (2**64 - 1, 2**64 - 1, 0),
    ],
)  # fmt: skip
def test_a_file_that_ends_before_the_length_is_eof_and_what_there_was_is_copied(
    start: int, length: int, copied: int, raw: RawSFTP, root: Path
) -> None:
    assert copy(raw, raw.open(b"/source"), raw.open(b"/copy", NEW), start, length).code == Code.EOF
    assert (root / "copy").read_bytes() == DATA[len(DATA) - copied :]


@pytest.mark.parametrize("start", [300_000, 300_001, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
def test_nothing_is_copied_from_behind_the_end(start: int, raw: RawSFTP, root: Path) -> None:
    assert copy(raw, raw.open(b"/source"), raw.open(b"/copy", NEW), start).code == Code.OK
    assert (root / "copy").read_bytes() == b""


@pytest.mark.parametrize("at", [2**63 - 300_000, 2**63 - 1, 2**63, 2**64 - 1])
def test_nothing_is_copied_to_where_no_file_reaches(at: int, raw: RawSFTP, root: Path) -> None:
    target = raw.open(b"/copy", NEW)
    assert copy(raw, raw.open(b"/source"), target, at=at).code == Code.FAILURE
    assert (root / "copy").stat().st_size == 0
    assert raw.shut(target) == Code.FAILURE


def test_an_empty_file_is_copied_anywhere(raw: RawSFTP, root: Path) -> None:
    (root / "empty").touch()
    assert copy(raw, raw.open(b"/empty"), raw.open(b"/copy", NEW), at=2**64 - 1).code == Code.OK


def test_what_is_appended_goes_to_the_end(raw: RawSFTP, root: Path) -> None:
    (root / "copy").write_bytes(b"before")
    target = raw.open(b"/copy", WRITE | APPEND)
    assert copy(raw, raw.open(b"/source"), target, 0, 5, 2**64 - 1).code == Code.OK
    assert (root / "copy").read_bytes() == b"before" + DATA[:5]


def test_the_bytes_count_as_read_and_written(server: StdioServer, raw: RawSFTP) -> None:
    source, target = raw.open(b"/source"), raw.open(b"/copy", NEW)
    assert copy(raw, source, target).code == Code.OK
    assert (server.session.file(source).bytes_read, server.session.file(target).bytes_written) == (300_000,) * 2


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_copy_crosses_file_systems(raw: RawSFTP, root: Path, tmp_path: Path) -> None:
    other = Path("/dev/shm") / f"libsshd-{os.getpid()}"
    other.mkdir()
    try:
        (other / "source").write_bytes(DATA)
        with RootedFileSystem("/") as fs, StdioServer(fs) as server:
            client = server.client.init()
            source = client.open(os.fsencode(other / "source"))
            assert copy(client, source, client.open(os.fsencode(root / "copy"), NEW)).code == Code.OK
        assert (root / "copy").read_bytes() == DATA
    finally:
        (other / "source").unlink()
        other.rmdir()


def test_a_file_that_hides_its_size_is_copied(raw: RawSFTP, root: Path) -> None:
    with RootedFileSystem("/") as fs, StdioServer(fs) as server:
        client = server.client.init()
        target = client.open(os.fsencode(root / "copy"), NEW)
        assert copy(client, client.open(b"/proc/version"), target).code == Code.OK
    assert (root / "copy").read_bytes() == Path("/proc/version").read_bytes() != b""


# --- holes ---


def sparse(path: Path, size: int, *pieces: tuple[int, bytes]) -> Path:
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), size)
        for offset, data in pieces:
            os.pwrite(stream.fileno(), data, offset)
    return path


def test_a_hole_stays_one(raw: RawSFTP, root: Path) -> None:
    source = sparse(root / "sparse", 1 << 40, (0, b"first"), (1 << 39, b"middle"))
    assert copy(raw, raw.open(b"/sparse"), raw.open(b"/copy", NEW)).code == Code.OK
    info = (root / "copy").stat()
    assert (info.st_size, info.st_blocks) == (1 << 40, source.stat().st_blocks)
    with (root / "copy").open("rb") as stream:
        assert os.pread(stream.fileno(), 5, 0) == b"first"
        assert os.pread(stream.fileno(), 8, 1 << 39) == b"middle\0\0"


def test_a_hole_overwrites_what_was_there(raw: RawSFTP, root: Path) -> None:
    sparse(root / "sparse", 3 * MIB, (MIB, b"data"))
    (root / "copy").write_bytes(b"x" * (2 * MIB))
    assert copy(raw, raw.open(b"/sparse"), raw.open(b"/copy", WRITE), 0, 0, 10).code == Code.OK
    assert (root / "copy").read_bytes() == b"x" * 10 + (root / "sparse").read_bytes()


# --- what is not copied ---


def test_a_file_is_not_copied_onto_itself(raw: RawSFTP, root: Path) -> None:
    os.link(root / "source", root / "hard")
    (root / "soft").symlink_to("source")
    both = raw.open(b"/source", READ | WRITE)
    others = [raw.open(name, WRITE) for name in (b"/source", b"/hard", b"/soft")]
    for target in (both, *others):
        assert status(copy(raw, both, target, 0, 10, 20)) == (Code.FAILURE, "A file cannot be copied onto itself")
    assert (root / "source").read_bytes() == DATA


def test_handles_are_used_for_what_they_were_opened_for(raw: RawSFTP, root: Path) -> None:
    written, read = raw.open(b"/copy", NEW), raw.open(b"/source")
    assert status(copy(raw, written, read)) == (Code.PERMISSION_DENIED, "The file is not open for reading")
    other = raw.open(b"/copy")
    assert status(copy(raw, read, other)) == (Code.PERMISSION_DENIED, "The file is not open for writing")
    directory = raw.ask(Type.OPENDIR, string(b"/")).handle
    for source, target in ((directory, written), (read, directory), (b"9", written), (read, b"9")):
        assert copy(raw, source, target).code == Code.FAILURE
    assert (root / "copy").read_bytes() == b""


def test_a_full_disk_fails_the_copy_and_the_close(raw: RawSFTP, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel says so does not matter: what it says is what the client gets."""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = raw.open(b"/copy", NEW)
    source = raw.open(b"/source")
    monkeypatch.setattr(os, "copy_file_range", full)
    assert copy(raw, source, target).code == Code.FAILURE
    assert raw.shut(target) == Code.FAILURE


def test_a_read_only_server_copies_nothing(root: Path) -> None:
    with RootedFileSystem(str(root)) as fs, StdioServer(fs, Settings(read_only=True)) as server:
        raw = server.client.init()
        source = raw.open(b"/source")
        assert copy(raw, source, source).code == Code.PERMISSION_DENIED
        assert copy_named(raw, b"/source", b"/copy").code == Code.PERMISSION_DENIED
        assert os.listdir(root) == ["source"]


# --- nobody waits ---


def test_a_client_that_goes_away_ends_the_copy(server: StdioServer, raw: RawSFTP, root: Path) -> None:
    size = 4 << 30
    sparse(root / "large", size)
    handles = raw.open(b"/large"), raw.open(b"/copy", WRITE | CREAT | APPEND)
    raw.post(Type.EXTENDED, string(b"copy-data"), string(handles[0]), u64(0), u64(0), string(handles[1]), u64(0))
    wait_until(lambda: (root / "copy").stat().st_size > 0, "the copy has begun")
    server.socket.close()
    server.ending()
    assert 0 < (root / "copy").stat().st_size < size
    (root / "copy").unlink()


def test_a_client_that_only_sends_no_more_gets_its_copy(server: StdioServer, raw: RawSFTP, root: Path) -> None:
    handles = raw.open(b"/source"), raw.open(b"/copy", NEW)
    raw.post(Type.EXTENDED, string(b"copy-data"), string(handles[0]), u64(0), u64(0), string(handles[1]), u64(0))
    assert server.finish().kind == "eof"
    assert raw.reply().code == Code.OK


@pytest.mark.parametrize("end", ["hang up", "disconnect", "shut down"])
def test_a_copy_over_ssh_ends_with_its_connection_or_server(end: str, site: Site) -> None:
    began, ids, size = threading.Event(), [], 4 << 30
    sparse(site.root / "large", size)

    @site.server.on_file_copy
    def begin(event: e.FileCopy) -> None:
        ids.append(event.connection_id)
        began.set()

    transport = site.login()
    raw = site.raw(transport)
    handles = raw.open(b"/large"), raw.open(b"/copy", WRITE | CREAT | APPEND)
    raw.post(Type.EXTENDED, string(b"copy-data"), string(handles[0]), u64(0), u64(0), string(handles[1]), u64(0))
    assert began.wait(20)
    if end == "hang up":
        transport.close()
    elif end == "disconnect":
        site.server.disconnect(ids[0])
    else:
        site.server.shutdown()
    wait_until(lambda: not len(site.server.sftp_connections), "the connection has ended")
    assert (site.root / "copy").stat().st_size < size
    (site.root / "copy").unlink()


# --- by names ---


def test_a_named_copy_has_the_content_and_the_permissions(site: Site) -> None:
    raw = site.raw()
    os.chmod(site.root / "source", 0o4751)
    assert copy_named(raw, b"/source", b"/copy").code == Code.OK
    assert site.tree()["copy"] == (stat.S_IFREG | 0o751, DATA)
    assert sorted(os.listdir(site.root)) == ["copy", "source"]


def test_what_has_the_name_is_replaced_only_when_asked_for(site: Site) -> None:
    raw = site.raw()
    site.write("copy", b"old")
    (site.root / "link").symlink_to("copy")
    assert copy_named(raw, b"/source", b"/copy").code == Code.FAILURE
    assert copy_named(raw, b"/source", b"/link").code == Code.FAILURE
    assert site.tree()["copy"][1] == b"old"
    assert copy_named(raw, b"/source", b"/link", overwrite=True).code == Code.OK
    assert site.tree()["copy"][1] == b"old"
    assert copy_named(raw, b"/source", b"/copy", overwrite=True).code == Code.OK
    assert site.tree() == dict.fromkeys(("copy", "link", "source"), (stat.S_IFREG | 0o640, DATA))


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"/missing", b"/copy", Code.NO_SUCH_FILE),
        (b"/dir", b"/copy", Code.FAILURE),
        (b"/source", b"/dir", Code.FAILURE),
        (b"/source", b"/", Code.FAILURE),
        (b"/source", b"/missing/copy", Code.NO_SUCH_FILE),
        (b"/source", b"/source/copy", Code.FAILURE),
        (b"/source", b"/./dir/../source", Code.FAILURE),
    ],
)
def test_what_cannot_be_copied_leaves_everything_as_it_was(
    old: bytes, new: bytes, code: Code, overwrite: bool, site: Site
) -> None:
    (site.root / "dir").mkdir()
    tree, raw = site.tree(), site.raw()
    assert copy_named(raw, old, new, overwrite=overwrite).code in (code, Code.NO_SUCH_FILE)
    assert site.tree() == tree


def test_a_copy_that_fails_half_way_leaves_what_was_there(site: Site) -> None:
    site.write("copy", b"old")
    tree, aborted = site.tree(), []
    site.server.on_file_write = lambda event: setattr(event, "status_code", Status.NO_SPACE_ON_FILESYSTEM)
    site.server.on_file_aborted = lambda event: aborted.append(event.path)
    raw = site.raw()
    assert copy_named(raw, b"/source", b"/copy", overwrite=True).code == Code.FAILURE
    assert (site.tree(), aborted) == (tree, ["/copy"])


# --- handlers ---


def test_the_events_of_a_copy_between_handles(site: Site) -> None:
    raw = site.raw()
    source, target = raw.open(b"/source"), raw.open(b"/copy", NEW)
    diary = Diary(site.server, e.FileCopy)
    assert copy(raw, source, target, 1, 2, 3).code == Code.OK
    assert diary.names == ["FileCopy before", "FileCopy after"]
    told = diary.one("FileCopy before")
    assert [told[name] for name in ("path", "new_path", "handle", "new_handle")] == [
        "/source", "/copy", source.decode(), target.decode()
    ]  # fmt: skip
    assert [told[name] for name in ("file_offset", "length", "new_file_offset")] == [1, 2, 3]


def test_a_handler_denies_a_copy(site: Site) -> None:
    raw = site.raw()
    source, target = raw.open(b"/source"), raw.open(b"/copy", NEW)
    site.server.on_file_copy = lambda event: setattr(event, "status_code", Status.PERMISSION_DENIED)
    assert copy(raw, source, target).code == Code.PERMISSION_DENIED
    assert copy_named(raw, b"/source", b"/other").code == Code.PERMISSION_DENIED
    assert site.tree()["copy"][1] == b""
    assert "other" not in site.tree()


@pytest.mark.parametrize("named", [False, True])
def test_what_is_copied_goes_through_the_handlers_of_read_and_write(named: bool, site: Site) -> None:
    raw = site.raw()
    (connection,) = site.server.sftp_connections
    site.server.on_file_read = lambda _: setattr(connection, "file_data", connection.file_data.swapcase())
    site.write("source", b"abc" * 100_000)
    if named:
        assert copy_named(raw, b"/source", b"/copy").code == Code.OK
    else:
        assert copy(raw, raw.open(b"/source"), raw.open(b"/copy", NEW)).code == Code.OK
    assert site.tree()["copy"][1] == b"ABC" * 100_000
    site.server.on_file_write = lambda event: setattr(event, "status_code", Status.PERMISSION_DENIED)
    if named:
        assert copy_named(raw, b"/source", b"/other").code == Code.PERMISSION_DENIED
    else:
        assert copy(raw, raw.open(b"/source"), raw.open(b"/other", NEW)).code == Code.PERMISSION_DENIED
    assert site.tree().get("other", (0, b""))[1] == b""


def test_a_named_copy_opens_and_closes_both_files_for_handlers(site: Site) -> None:
    diary = Diary(site.server, e.FileCopy, e.FileOpen, e.FileClose)
    raw = site.raw()
    assert copy_named(raw, b"/source", b"/copy").code == Code.OK
    assert [(name, entry["path"]) for name, entry in diary.entries] == [
        ("FileCopy before", "/source"), ("FileOpen before", "/source"), ("FileOpen after", "/source"),
        ("FileOpen before", "/copy"), ("FileOpen after", "/copy"), ("FileClose", "/copy"), ("FileClose", "/source"),
        ("FileCopy after", "/source"),
    ]  # fmt: skip
    asked = diary.of("FileOpen before")
    assert [(entry["flags"], entry["desired_access"]) for entry in asked] == [(READ, 1), (WRITE | CREAT | 0x20, 2)]
    assert asked[1]["file_permissions"] == 0o640


@pytest.mark.parametrize("protected", ["/source", "/copy"])
def test_a_named_copy_touches_nothing_that_may_not_be_opened(protected: str, site: Site) -> None:
    @site.server.on_file_open
    def protect(event: e.FileOpen) -> None:
        if event.before_exec and event.path == protected:
            event.status_code = Status.PERMISSION_DENIED

    tree = site.tree()
    assert copy_named(site.raw(), b"/source", b"/copy", overwrite=True).code == Code.PERMISSION_DENIED
    assert site.tree() == tree


# --- without a root directory ---


def test_handlers_that_are_the_file_system_copy_through_read_and_write_or_by_themselves(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False) as site:
        server, written, copied = site.server, [], []
        server.on_file_open = lambda _: None
        raw = site.raw()
        (connection,) = server.sftp_connections
        source, target = raw.open(b"/a"), raw.open(b"/b", NEW)
        assert copy(raw, source, target).code == Code.OP_UNSUPPORTED
        assert copy_named(raw, b"/a", b"/b").code == Code.OP_UNSUPPORTED

        def give(event: e.FileRead) -> None:
            connection.file_data = b"made up"[event.file_offset :]
            event.status_code = Status.OK

        server.on_file_read = give
        server.on_file_write = lambda event: written.append(connection.file_data) if event.before_exec else None
        assert copy(raw, source, target).code == Code.OK
        assert written == [b"made up"]
        server.on_file_read = server.on_file_write = None
        server.on_file_copy = lambda event: copied.append(event.new_path) if event.before_exec else None
        assert copy(raw, source, target).code == Code.OK
        assert copy_named(raw, b"/a", b"/c").code == Code.OK
        assert (written, copied) == ([b"made up"], ["/b", "/c"])
