"""OPEN and CLOSE in C: what is plain is served there, everything else exactly as Python alone would."""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from libsshd._native import EventKind, HandleCounts, Sftp, Watch
from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from tests.support.rawsftp import APPEND, CREAT, EXCL, NO_ATTRIBUTES, READ, TRUNC, WRITE, Code, RawSFTP, Type
from tests.support.scarcity import FileSizeLimit
from tests.support.stdio import StdioServer, serve_bytes
from tests.wire.client_encoding import frame, string, u32, u64

from .engine import END, READ_WRITE, Event, Files, Outcome, exchange, read

INIT = frame(b"\x01\x00\x00\x00\x03")


def open_(number: int, path: bytes, flags: int = READ, attributes: bytes = NO_ATTRIBUTES) -> bytes:
    return frame(bytes([Type.OPEN]) + u32(number) + string(path) + u32(flags) + attributes)


def close(number: int, handle: bytes) -> bytes:
    return frame(bytes([Type.CLOSE]) + u32(number) + string(handle))


def handle_of(number: int, handle: bytes) -> bytes:
    return frame(bytes([Type.HANDLE]) + u32(number) + string(handle))


@pytest.fixture
def sharing(fs: RootedFileSystem) -> Callable[[Sftp], None]:
    """Lets the core open files below the root, at most three."""

    def share(sftp: Sftp) -> None:
        native = fs.native_files()
        sftp.open_files(native.root, native.flags, walk=native.walk)
        sftp.limit_handles(3, HandleCounts(3))

    return share


@pytest.fixture
def core(files: Files, sharing: Callable[[Sftp], None]) -> Callable[[bytes], Outcome]:
    return lambda requests: exchange(files, requests, prepare=sharing)


# --- what C serves ---


def test_a_plain_file_is_opened_and_closed_without_python(core: Callable[[bytes], Outcome], root: Path) -> None:
    (root / "f").write_bytes(b"content")
    outcome = core(open_(1, b"/f") + close(2, b"1"))
    assert outcome.events == [END]
    assert outcome.replies[: len(handle_of(1, b"1"))] == handle_of(1, b"1")


def test_a_new_file_gets_the_permissions_asked_for(core: Callable[[bytes], Outcome], root: Path) -> None:
    before = os.umask(0o022)
    try:
        given = u32(1 | 2 | 4 | 8) + u64(5) + u32(1) + u32(2) + u32(0o100751) + u32(3) + u32(4)
        core(open_(1, b"/given", WRITE | CREAT, given) + open_(2, b"/default", WRITE | CREAT))
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "given").stat().st_mode) == 0o751
    assert stat.S_IMODE((root / "default").stat().st_mode) == 0o644


def test_handles_are_numbered_and_never_used_twice(core: Callable[[bytes], Outcome], root: Path) -> None:
    (root / "f").touch()
    outcome = core(open_(1, b"/f") + close(2, b"1") + open_(3, b"/f"))
    assert outcome.events == [END]
    assert outcome.replies.endswith(handle_of(3, b"2"))


def test_a_name_that_a_file_of_c_has_is_refused_to_python(
    files: Files, sharing: Callable[[Sftp], None], root: Path
) -> None:
    (root / "f").write_bytes(b"content")
    engines: list[Sftp] = []

    def prepare(sftp: Sftp) -> None:
        sharing(sftp)
        engines.append(sftp)

    def take_the_name(event: Event) -> bytes:
        if event.kind == EventKind.PACKET:
            engines[0].handle_add(b"1", 0, READ_WRITE)
        return b""

    with pytest.raises(FileExistsError):
        exchange(
            files,
            open_(1, b"/f") + open_(2, b"/missing") + read(3, b"1", 0, 7),
            prepare=prepare,
            answer=take_the_name,
        )


# --- what C leaves to Python ---


@pytest.mark.parametrize(
    "path",
    [b"", b"f", b"./f", b"/./f", b"/../f", b"//f", b"/d//f", b"/f/", b"/d/.", b"/.hidden", b"/f\0", b"/missing",
     b"/d", b"/fifo", b"/" + b"x" * 5000],
    ids=lambda path: repr(path[:10]),
)  # fmt: skip
def test_a_path_that_is_not_plain_or_fails_is_left_to_python(
    core: Callable[[bytes], Outcome], root: Path, path: bytes
) -> None:
    (root / "f").touch()
    (root / "d").mkdir()
    os.mkfifo(root / "fifo")
    assert [event.kind for event in core(open_(1, path)).events] == [EventKind.PACKET, EventKind.EOF]


@pytest.mark.parametrize(
    ("flags", "attributes"),
    [
        (READ | TRUNC, NO_ATTRIBUTES),
        (READ | 0x40, NO_ATTRIBUTES),
        (READ | 0x80000000, NO_ATTRIBUTES),
        (READ, u32(0x80000000) + u32(0)),
        (READ, u32(0x10)),
        (READ, u32(4)),
        (READ, b""),
    ],
    ids=["trunc-without-write", "text", "unknown-flag", "extended", "unknown-attribute", "cut-short", "missing"],
)
def test_flags_and_attributes_out_of_the_ordinary_are_left_to_python(
    core: Callable[[bytes], Outcome], root: Path, flags: int, attributes: bytes
) -> None:
    (root / "f").write_bytes(b"content")
    outcome = core(open_(1, b"/f", flags, attributes))
    assert [event.kind for event in outcome.events] == [EventKind.PACKET, EventKind.EOF]
    assert (root / "f").read_bytes() == b"content"


def test_beyond_the_limit_of_handles_python_answers(core: Callable[[bytes], Outcome], root: Path) -> None:
    (root / "f").touch()
    outcome = core(b"".join(open_(n, b"/f") for n in range(1, 5)))
    assert [event.kind for event in outcome.events] == [EventKind.PACKET, EventKind.EOF]


def test_a_watched_request_goes_to_python(files: Files, sharing: Callable[[Sftp], None], root: Path) -> None:
    (root / "f").touch()

    def watching(sftp: Sftp) -> None:
        sharing(sftp)
        sftp.watch(Watch.OPEN | Watch.CLOSE)

    outcome = exchange(files, open_(1, b"/f") + close(2, b"1"), prepare=watching)
    assert [event.kind for event in outcome.events] == [EventKind.PACKET, EventKind.PACKET, EventKind.EOF]


def test_a_read_only_root_gives_the_core_no_flag_that_changes_anything(root: Path) -> None:
    changing = [flags for flags in range(64) if flags & (WRITE | APPEND | CREAT | TRUNC)]
    with RootedFileSystem(str(root), read_only=True) as read_only, RootedFileSystem(str(root)) as writable:
        assert {read_only.native_files().flags[flags] for flags in changing} == {-1}
        assert read_only.native_files().flags[READ] == writable.native_files().flags[READ] == os.O_RDONLY


# --- both alike ---


@pytest.fixture(params=["core", "python"])
def either(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> str:
    """Who serves OPEN and CLOSE: with the log at INFO Python must see them."""
    caplog.set_level(logging.INFO if request.param == "python" else logging.WARNING, "libsshd")
    return str(request.param)


CONVERSATIONS = {
    "read": open_(1, b"/f") + close(2, b"1"),
    "create": open_(1, b"/new", WRITE | CREAT) + close(2, b"1") + open_(3, b"/new", WRITE | CREAT | EXCL),
    "exclusive": open_(1, b"/f", WRITE | CREAT | EXCL) + close(2, b"1"),
    "truncate": open_(1, b"/f", WRITE | TRUNC) + close(2, b"1"),
    "append": open_(1, b"/f", WRITE | APPEND) + close(2, b"1"),
    "directory": open_(1, b"/d") + close(2, b"1"),
    "missing": open_(1, b"/no/such") + close(2, b"1"),
    "relative": open_(1, b"f") + open_(2, b"d/../f") + close(3, b"1") + close(4, b"2"),
    "escape": open_(1, b"/out") + open_(2, b"/../../etc/passwd"),
    "twice": open_(1, b"/f") + close(2, b"1") + close(3, b"1"),
    "strange": close(1, b"") + close(2, b"x" * 300) + open_(3, b"/f", 0) + close(4, b"1"),
    "short": frame(bytes([Type.CLOSE]) + u32(7)) + frame(bytes([Type.OPEN]) + u32(8) + string(b"/f")),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_core_and_python_give_the_same_replies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    seen = []
    for level in (logging.WARNING, logging.INFO):
        caplog.set_level(level, "libsshd")
        root = tmp_path / str(level)
        (root / "d").mkdir(parents=True)
        (root / "f").write_bytes(b"content")
        (root / "out").symlink_to("/etc/passwd")
        with RootedFileSystem(str(root)) as fs:
            _, replies = serve_bytes(fs, INIT + CONVERSATIONS[name])
        seen.append((replies, {path.name: path.lstat().st_size for path in root.iterdir()}))
    assert seen[0] == seen[1]


def test_a_file_can_be_used_by_every_request_and_closed(fs: RootedFileSystem, root: Path, either: str) -> None:
    with StdioServer(fs) as server:
        client: RawSFTP = server.client.init()
        handle = client.open(b"/f", READ | WRITE | CREAT)
        assert client.write(handle, 0, b"hello") == Code.OK
        assert client.ask(Type.FSTAT, string(handle)).attributes.size == 5
        assert client.ask(Type.FSETSTAT, string(handle), u32(4), u32(0o600)).code == Code.OK
        assert client.extend(b"fsync@openssh.com", string(handle)).code == Code.OK
        assert client.read(handle, 1, 3).data == b"ell"
        assert client.shut(handle) == Code.OK
        assert client.read(handle, 0, 1).code != Code.OK
        assert server.session.context.handles.open == 0
    assert stat.S_IMODE((root / "f").stat().st_mode) == 0o600


def test_an_error_of_a_write_is_told_again_by_close(
    fs: RootedFileSystem, either: str, limit_file_size: FileSizeLimit
) -> None:
    with StdioServer(fs) as server:
        client = server.client.init()
        handle = client.open(b"/f", WRITE | CREAT)
        with limit_file_size(100):
            assert client.write(handle, 0, b"x" * 200) != Code.OK
            assert client.shut(handle) != Code.OK


def test_what_the_client_leaves_open_is_closed_and_told(
    fs: RootedFileSystem, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with StdioServer(fs) as server:
        client = server.client.init()
        client.open(b"/f", WRITE | CREAT)
        caplog.set_level(logging.INFO, "libsshd")
        server.finish()
        assert server.session.context.handles.open == 0
    assert "file not closed by the client" in caplog.text


def test_handles_of_both_sides_count_together(fs: RootedFileSystem, root: Path, either: str) -> None:
    (root / "f").touch()
    with StdioServer(fs, Settings(max_handles_per_channel=2)) as server:
        client = server.client.init()
        directory = client.ask(Type.OPENDIR, string(b"/")).handle
        client.open(b"/f")
        assert client.ask(Type.OPEN, string(b"/f"), u32(READ), NO_ATTRIBUTES).code == Code.FAILURE
        assert client.shut(directory) == Code.OK
        client.open(b"/f")


def test_a_failing_write_names_the_file_in_the_log(
    fs: RootedFileSystem,
    caplog: pytest.LogCaptureFixture,
    limit_file_size: FileSizeLimit,
) -> None:
    with StdioServer(fs) as server:
        client = server.client.init()
        handle = client.open(b"/named", WRITE | CREAT)
        with limit_file_size(100):
            client.write(handle, 0, b"x" * 200)
    fields = [getattr(record, "fields", {}) for record in caplog.records]
    assert any(field.get("path") == b"/named" for field in fields)
