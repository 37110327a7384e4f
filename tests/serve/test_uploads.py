"""Uploads that get their name when they are complete (UploadMode)."""

import fcntl
import os
from collections.abc import Iterator
from errno import EBADF, EIO, ENOLCK, ENOSPC
from pathlib import Path

import pytest

from libsshd.constants import OpenModes, Status
from libsshd.errors import SFTPServerError
from libsshd.events import FileAborted, FileClose, FileOpen
from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import SETTINGS, Settings
from libsshd.wire import messages as m
from tests.support.rawsftp import Code, RawSFTP, Type, string, u32
from tests.support.scarcity import FileSizeLimit
from tests.support.stdio import StdioServer

from .asking import APPEND, CREAT, EXCL, SHARED, TRUNC, Asked, R, W, rooted
from .uploading import OLD, PUT, names, put, temporary


@pytest.fixture
def keeping(root: Path) -> Iterator[RawSFTP]:
    with RootedFileSystem(str(root)) as fs, StdioServer(fs, Settings(upload_mode="atomic-keep")) as server:
        yield server.client.init()


# --- until the CLOSE, and by it ---


def test_a_new_file_has_its_name_from_its_close_on(client: RawSFTP, root: Path) -> None:
    handle = client.open(b"/new", PUT)
    client.write(handle, 0, b"complete")
    assert not (root / "new").exists()
    assert client.ask(Type.STAT, string(b"/new")).code == Code.NO_SUCH_FILE
    assert client.ask(Type.FSTAT, string(handle)).attributes.size == 8
    assert client.shut(handle) == Code.OK
    assert (root / "new").read_bytes() == b"complete"
    assert names(root) == {"file", "new"}


def test_an_old_file_is_whole_until_the_new_one_is(client: RawSFTP, root: Path) -> None:
    reading = client.open(b"/file")
    handle = client.open(b"/file", PUT)
    client.write(handle, 0, b"new")
    assert (root / "file").read_bytes() == OLD
    assert client.shut(handle) == Code.OK
    assert (root / "file").read_bytes() == b"new"
    assert client.read(reading, 0, 100).data == OLD, "who reads the old one goes on reading it"
    assert names(root) == {"file"}


@pytest.mark.parametrize(
    "flags", [W | CREAT, W | CREAT | EXCL, W | CREAT | TRUNC | EXCL, W | R | CREAT, PUT | APPEND]
)
def test_every_way_to_make_a_file_takes_the_temporary_one(client: RawSFTP, root: Path, flags: int) -> None:
    handle = client.open(b"/new", flags)
    assert client.write(handle, 0, b"12") == client.write(handle, 2, b"34") == Code.OK
    assert not (root / "new").exists()
    if flags & R:
        assert client.read(handle, 1, 100).data == b"234"
    assert client.shut(handle) == Code.OK
    assert (root / "new").read_bytes() == b"1234"


def test_what_is_opened_without_being_emptied_is_changed_in_its_place(client: RawSFTP, root: Path) -> None:
    handle = client.open(b"/file", W | CREAT)
    client.write(handle, 3, b"xyz")
    assert (root / "file").read_bytes() == b"012xyz6789"
    assert names(root) == {"file"}
    handle = client.open(b"/file", W | APPEND)
    client.write(handle, 0, b"!")
    assert (root / "file").read_bytes() == b"012xyz6789!"


@pytest.mark.parametrize("what", ["upload", "copy"])
def test_nobody_reaches_an_upload_by_its_temporary_name(client: RawSFTP, root: Path, what: str) -> None:
    """Handlers would be asked about a name that says nothing of what the file is going to be."""
    taken = root / f".libsshd-{what}-{'0a' * 12}"
    taken.write_bytes(b"mine")
    name = string(b"/" + os.fsencode(taken.name))
    nothing, mode = u32(0), u32(4) + u32(0o777)
    refused = [
        client.ask(Type.OPEN, name, u32(R), nothing),
        client.ask(Type.OPEN, name, u32(W), nothing),
        client.ask(Type.OPEN, name, u32(PUT), nothing),
        client.ask(Type.SETSTAT, name, mode),
        client.ask(Type.RENAME, name, string(b"/other")),
        client.ask(Type.RENAME, string(b"/file"), name),
        client.ask(Type.EXTENDED, string(b"posix-rename@openssh.com"), name, string(b"/other")),
        client.ask(Type.EXTENDED, string(b"hardlink@openssh.com"), name, string(b"/other")),
        client.ask(Type.EXTENDED, string(b"lsetstat@openssh.com"), name, mode),
    ]
    assert [reply.code for reply in refused] == [Code.PERMISSION_DENIED] * len(refused)
    assert client.ask(Type.STAT, name).attributes.size == 4
    assert names(root) == {"file", taken.name}
    assert client.ask(Type.REMOVE, name).code == Code.OK, "who cleans up after a killed server must be able to"


def test_of_two_uploads_the_last_close_wins(client: RawSFTP, root: Path) -> None:
    first, second = client.open(b"/new", PUT), client.open(b"/new", PUT)
    client.write(first, 0, b"first, and longer")
    client.write(second, 0, b"second")
    assert client.shut(second) == Code.OK
    assert (root / "new").read_bytes() == b"second"
    assert client.shut(first) == Code.OK
    assert (root / "new").read_bytes() == b"first, and longer"
    assert names(root) == {"file", "new"}


def test_what_has_the_name_at_the_close_is_not_replaced_if_the_file_was_to_be_new(
    client: RawSFTP, root: Path
) -> None:
    assert client.ask(Type.OPEN, string(b"/file"), u32(W | CREAT | EXCL), u32(0)).code == Code.FAILURE
    handle = client.open(b"/new", W | CREAT | EXCL)
    client.write(handle, 0, b"mine")
    (root / "new").write_bytes(b"somebody else's")
    assert client.shut(handle) == Code.FAILURE
    assert (root / "new").read_bytes() == b"somebody else's"
    assert names(root) == {"file", "new"}


def test_a_link_that_leads_nowhere_is_something_where_the_file_must_be_new(client: RawSFTP, root: Path) -> None:
    (root / "link").symlink_to("nowhere")
    assert client.ask(Type.OPEN, string(b"/link"), u32(W | CREAT | EXCL), u32(0)).code == Code.FAILURE
    assert names(root) == {"file", "link"}


# --- what does not get its name ---


@pytest.mark.parametrize("path", [b"/new", b"/file"])
def test_an_upload_that_is_cut_off_changes_nothing(root: Path, mode: str, path: bytes) -> None:
    with RootedFileSystem(str(root)) as fs, StdioServer(fs, Settings(upload_mode=mode)) as server:
        client = server.client.init()
        client.write(client.open(path, PUT), 0, b"half")
        server.finish()
    assert (root / "file").read_bytes() == OLD
    left = names(root) - {"file"}
    assert left == (set() if mode == "atomic" else {f".libsshd-partial-{path[1:].decode()}"})


def test_after_a_write_that_failed_nothing_is_published_and_nothing_is_left(
    client: RawSFTP, root: Path, limit_file_size: FileSizeLimit
) -> None:
    handle = client.open(b"/file", PUT)
    with limit_file_size(100):
        assert client.write(handle, 0, b"x" * 200) == Code.FAILURE
    assert client.write(handle, 0, b"fits") == Code.OK
    assert client.shut(handle) == Code.FAILURE
    assert (root / "file").read_bytes() == OLD
    assert names(root) == {"file"}


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_what_cannot_be_published_leaves_the_old_file(
    client: RawSFTP, root: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = client.open(b"/file", PUT)
    if call == "rename":
        (root / "file").unlink()
        (root / "file").mkdir()
    else:
        monkeypatch.setattr("os.fsync", _failing)
    assert client.shut(handle) == Code.FAILURE
    assert names(root) == {"file"}
    assert (root / "file").is_dir() or (root / "file").read_bytes() == OLD


def _failing(_: int) -> None:
    raise OSError(EIO, os.strerror(EIO))


def test_a_failed_fsync_is_told_again_by_the_close_and_publishes_nothing(
    client: RawSFTP, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = client.open(b"/file", PUT)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _failing)
        assert client.extend(b"fsync@openssh.com", string(handle)).code == Code.FAILURE
    assert client.shut(handle) == Code.FAILURE
    assert (root / "file").read_bytes() == OLD


def test_a_name_that_was_taken_from_the_temporary_file_is_not_published(client: RawSFTP, root: Path) -> None:
    handle = client.open(b"/file", PUT)
    client.write(handle, 0, b"true")
    path = temporary(root)
    path.unlink()
    path.write_bytes(b"false")
    assert client.shut(handle) == Code.FAILURE
    assert (root / "file").read_bytes() == OLD
    assert path.read_bytes() == b"false", "it is not ours to remove"


# --- resuming ---


def test_what_was_cut_off_is_resumed_by_its_own_name(root: Path) -> None:
    def session() -> StdioServer:
        return StdioServer(RootedFileSystem(str(root)), Settings(upload_mode="atomic-keep"))

    with session() as server:
        client = server.client.init()
        client.write(client.open(b"/file", PUT), 0, b"first ")
    assert (root / "file").read_bytes() == OLD
    with session() as server:
        client = server.client.init()
        size = client.stat(b"/.libsshd-partial-file").size
        assert size == 6
        client.write(client.open(b"/.libsshd-partial-file", W | CREAT), size, b"second ")
    assert (root / "file").read_bytes() == OLD, "cut off again"
    with session() as server:
        client = server.client.init()
        handle = client.open(b"/.libsshd-partial-file", W | APPEND)
        client.write(handle, 0, b"third")
        assert client.shut(handle) == Code.OK
    assert (root / "file").read_bytes() == b"first second third"
    assert names(root) == {"file"}


def test_an_upload_from_the_beginning_takes_the_place_of_what_was_left(keeping: RawSFTP, root: Path) -> None:
    (root / ".libsshd-partial-file").write_bytes(b"old and long and stale")
    assert put(keeping, b"/file", b"new") == Code.OK
    assert (root / "file").read_bytes() == b"new"
    assert names(root) == {"file"}


@pytest.mark.parametrize("error", [ENOLCK, EBADF, 0])
def test_what_was_left_and_cannot_be_removed_is_in_nobodys_way(
    keeping: RawSFTP, root: Path, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without such locks; one that wants a descriptor for writing; a directory."""

    def failing(fd: int, how: int) -> None:
        if error == ENOLCK or fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(error, os.strerror(error))
        flock(fd, how)

    flock = fcntl.flock
    partial = root / ".libsshd-partial-file"
    if error:
        partial.write_bytes(b"half")
        monkeypatch.setattr("fcntl.flock", failing)
    else:
        partial.mkdir()
    assert put(keeping, b"/file", b"new") == Code.OK
    assert (root / "file").read_bytes() == b"new"
    assert names(root) == ({"file"} if error == EBADF else {"file", partial.name})


@pytest.mark.parametrize("flags", [W, W | CREAT, W | APPEND])
def test_what_was_left_is_never_taken_for_the_file_itself(keeping: RawSFTP, root: Path, flags: int) -> None:
    (root / ".libsshd-partial-file").write_bytes(b"half")
    assert keeping.shut(keeping.open(b"/file", flags)) == Code.OK
    assert (root / "file").read_bytes() == OLD
    assert keeping.ask(Type.STAT, string(b"/new")).code == Code.NO_SUCH_FILE


def test_nobody_resumes_what_is_just_being_uploaded(keeping: RawSFTP, root: Path) -> None:
    keeping.write(keeping.open(b"/new", PUT), 0, b"half")
    reply = keeping.ask(Type.OPEN, string(b"/.libsshd-partial-new"), u32(W), u32(0))
    assert reply.code == Code.FAILURE


def test_resuming_what_is_not_there_begins_it(keeping: RawSFTP, root: Path) -> None:
    assert put(keeping, b"/.libsshd-partial-file", b"new") == Code.OK
    assert (root / "file").read_bytes() == b"new"
    assert names(root) == {"file"}


def test_a_handler_is_asked_about_the_name_that_what_is_resumed_will_have(root: Path) -> None:
    def deny(event: FileOpen) -> None:
        asked.append(event.path)
        if event.path == "/file":
            event.status_code = Status.PERMISSION_DENIED

    asked: list[str] = []
    partial = root / ".libsshd-partial-file"
    with rooted(root, upload_mode="atomic-keep") as sftp:
        sftp.on(FileOpen, deny)
        assert sftp.status(b"/.libsshd-partial-file", PUT) == Status.PERMISSION_DENIED
        partial.write_bytes(b"half")
        assert sftp.status(b"/.libsshd-partial-file", W) == Status.PERMISSION_DENIED
        assert sftp.status(b"/.libsshd-partial-file", R) == Status.PERMISSION_DENIED
        assert sftp.close(sftp.handle(b"/.libsshd-partial-.libsshd-partial-file", PUT)) == Status.OK
    assert asked == ["/file", "/file", "/file", "/.libsshd-partial-file", "/.libsshd-partial-file"]
    assert (root / "file").read_bytes() == OLD
    assert names(root) == {"file", ".libsshd-partial-file"}


# --- other requests ---


def test_locks_and_files_to_be_deleted_are_about_the_file_itself(root: Path, mode: str) -> None:
    with rooted(root, upload_mode=mode) as sftp:
        handle = sftp.handle(b"/file", PUT, SHARED)
        sftp.write(handle, b"new")
        assert (root / "file").read_bytes() == b"new"
        sftp.close(handle)
        handle = sftp.handle(b"/gone", PUT, int(OpenModes.DELETE_ON_CLOSE))
        assert (root / "gone").exists()
        sftp.close(handle)
        handle = sftp.handle(b"/new", PUT)
        assert sftp.code(m.Block(1, handle, 0, 10, SHARED)) == Status.OP_UNSUPPORTED
    assert names(root) - {".libsshd-partial-new"} == {"file"}


def test_attributes_of_later_versions_are_those_of_a_new_file(root: Path, mode: str) -> None:
    with rooted(root, upload_mode=mode) as sftp:
        handle = sftp.handle(b"/new", PUT, permissions=0o600, mtime=1_000_000_000, atime=1_000_000_000)
        assert sftp.close(handle) == Status.OK
        assert sftp.status(b"/bad", PUT, owner=b"nobody-has-this-name", group=b"nor-this") != Status.OK
    assert (root / "new").stat().st_mtime == 1_000_000_000
    assert names(root) == {"file", "new"}


def test_a_copy_is_whole_before_it_has_its_name(sftp: Asked, root: Path) -> None:
    assert sftp.code(m.CopyFile(1, b"/file", b"/copy", False)) == Status.OK
    assert (root / "copy").read_bytes() == OLD
    assert names(root) == {"file", "copy"}


def test_events_tell_what_became_of_it(root: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[tuple[str, int]] = []
    aborted: list[tuple[str, int, int]] = []
    with rooted(root, upload_mode=mode) as sftp:
        sftp.on(FileOpen, lambda e: None)
        sftp.on(FileClose, lambda e: closed.append((e.path, e.status_code)))
        sftp.on(FileAborted, lambda e: aborted.append((e.path, e.bytes_written, e.status_code)))
        sftp.close(sftp.handle(b"/good", PUT))
        handle = sftp.handle(b"/bad", PUT)
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", _full)
            sftp.close(handle)
        sftp.write(sftp.handle(b"/cut", PUT), b"123")
        sftp.session.close()
    assert closed == [("/good", Status.OK), ("/bad", Status.NO_SPACE_ON_FILESYSTEM)]
    assert aborted == [("/cut", 3, Status.CONNECTION_LOST)]
    assert names(root) - {".libsshd-partial-cut"} == {"file", "good"}


def _full(_: int) -> None:
    raise OSError(ENOSPC, os.strerror(ENOSPC))


def test_a_handler_that_denies_afterwards_leaves_nothing(root: Path, mode: str) -> None:
    def deny(event: FileOpen) -> None:
        if not event.before_exec:
            event.status_code = Status.PERMISSION_DENIED

    with rooted(root, upload_mode=mode) as sftp:
        sftp.on(FileOpen, deny)
        assert sftp.status(b"/new", PUT) == Status.PERMISSION_DENIED
    assert names(root) == {"file"}


def test_a_temporary_that_is_taken_for_nobodys_before_it_is_held_is_made_again(
    client: RawSFTP, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    real = fcntl.flock

    def late(fd: int, how: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if not taken and ".libsshd-" in path:
            taken.append(path)
            os.unlink(path)
        real(fd, how)

    monkeypatch.setattr("fcntl.flock", late)
    assert put(client, b"/new", b"complete") == Code.OK
    assert taken
    assert (root / "new").read_bytes() == b"complete"


def test_the_mode_is_one_of_three_in_any_case() -> None:
    setting = SETTINGS["upload_mode"]
    assert [setting.parse(text) for text in ("direct", "ATOMIC", "Atomic-Keep")] == [
        "direct",
        "atomic",
        "atomic-keep",
    ]
    with pytest.raises(SFTPServerError, match="UploadMode is direct, atomic or atomic-keep"):
        setting.parse("both")
