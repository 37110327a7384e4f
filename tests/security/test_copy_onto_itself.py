"""Class 18: no copy reads what it writes, none goes on for ever, and none outlives its client."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libsshd.constants import Status
from libsshd.errors import StatusError
from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve import copying
from libsshd.wire import messages as m
from tests.serve.asking import Asked, rooted
from tests.support.command import wait_until
from tests.support.place import MIB, noise
from tests.support.rawsftp import APPEND, CREAT, READ, TRUNC, WRITE, Code, RawSFTP, Reply, Type, string, u64
from tests.support.stdio import StdioServer

DATA = noise(2 * MIB)
NEW = WRITE | CREAT | TRUNC
ONTO_ITSELF = b"A file cannot be copied onto itself"


@pytest.fixture
def root(root: Path) -> Path:
    """/file has DATA and is called by other names too."""
    (root / "dir").mkdir()
    (root / "file").write_bytes(DATA)
    os.link(root / "file", root / "hard")
    (root / "soft").symlink_to("file")
    (root / "way").symlink_to("dir/../.")
    return root


@pytest.fixture
def server(root: Path) -> Iterator[StdioServer]:
    with RootedFileSystem(str(root)) as fs, StdioServer(fs) as started:
        started.client.init()
        yield started


@pytest.fixture
def raw(server: StdioServer) -> RawSFTP:
    return server.client


def copy(raw: RawSFTP, source: bytes, target: bytes, start: int = 0, length: int = 0, at: int = 0) -> Reply:
    return raw.extend(b"copy-data", string(source), u64(start), u64(length), string(target), u64(at))


RANGES = {
    "the same": (0, 0, 0), "onto its middle": (0, 0, MIB), "from its middle": (MIB, 0, 0),
    "overlapping": (0, MIB, 10), "apart": (0, 10, MIB), "behind its end": (0, 0, 2 * MIB),
    "its last byte": (2 * MIB - 1, 0, 2 * MIB),
}  # fmt: skip
NAMES = [b"/file", b"/hard", b"/soft", b"/way/file", b"/dir/../file"]


@pytest.mark.parametrize("ranges", RANGES.values(), ids=list(RANGES))
def test_one_file_is_never_source_and_target(raw: RawSFTP, root: Path, ranges: tuple[int, int, int]) -> None:
    source = raw.open(b"/file", READ | WRITE)
    targets = [
        source,
        *(raw.open(name, WRITE) for name in NAMES),
        *(raw.open(name, WRITE | APPEND) for name in NAMES),
    ]
    for target in targets:
        reply = copy(raw, source, target, *ranges)
        assert (reply.code, ONTO_ITSELF in reply.body) == (Code.FAILURE, True)
    assert (root / "file").read_bytes() == DATA


def test_one_file_is_known_whatever_was_done_to_its_names(raw: RawSFTP, root: Path) -> None:
    source = raw.open(b"/file")
    os.rename(root / "hard", root / "dir" / "moved")
    target = raw.open(b"/dir/moved", WRITE)
    os.unlink(root / "dir" / "moved")
    (root / "file").unlink()
    (root / "file").write_bytes(b"another file")
    assert copy(raw, source, target).code == Code.FAILURE
    assert raw.read(source, 0, 10).data == DATA[:10]
    assert copy(raw, source, raw.open(b"/file", WRITE | TRUNC)).code == Code.OK
    assert (root / "file").read_bytes() == DATA


@pytest.mark.parametrize("old", NAMES)
@pytest.mark.parametrize("new", [b"/file", b"/hard", b"/way/hard", b"/./dir/../hard"])
def test_a_named_copy_onto_another_name_of_the_file_leaves_both(
    raw: RawSFTP, root: Path, old: bytes, new: bytes
) -> None:
    reply = raw.extend(b"copy-file", string(old), string(new), b"\x01")
    assert (reply.code, ONTO_ITSELF in reply.body) == (Code.FAILURE, True)
    info = (root / "file").stat()
    assert (info.st_nlink, info.st_ino) == (2, (root / "hard").stat().st_ino)
    assert (root / "file").read_bytes() == DATA
    assert sorted(os.listdir(root)) == ["dir", "file", "hard", "soft", "way"]


def test_a_named_copy_replaces_a_link_to_the_file(raw: RawSFTP, root: Path) -> None:
    assert raw.extend(b"copy-file", string(b"/file"), string(b"/soft"), b"\x01").code == Code.OK
    assert not (root / "soft").is_symlink()
    assert (root / "soft").read_bytes() == (root / "file").read_bytes() == DATA


# --- files that grow ---


def growing(sftp: Asked, path: Path, by: bytes) -> Callable[[], None]:
    """Between any two pieces of a copy, the file gets longer."""

    def grow() -> None:
        with path.open("ab") as stream:
            stream.write(by)

    sftp.session.go_on = grow  # type: ignore[method-assign]
    return grow


@pytest.mark.parametrize("flags", [NEW, NEW | APPEND], ids=["in the kernel", "by pieces"])
def test_a_file_that_grows_is_copied_as_it_was_when_the_copy_began(root: Path, flags: int) -> None:
    with rooted(root) as sftp:
        source, target = sftp.handle(b"/file", READ), sftp.handle(b"/copy", flags)
        growing(sftp, root / "file", b"x" * MIB)
        assert sftp.code(m.CopyData(1, source, 0, 0, target, 0)) == Status.OK
        assert (root / "copy").read_bytes() == DATA


def test_a_file_that_is_empty_and_grows_is_not_copied_for_ever(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size says nothing, as in /proc; what can be copied of it is bounded."""
    monkeypatch.setattr(copying, "_UNSIZED_MOST", 5 * MIB)
    (root / "empty").touch()
    with rooted(root) as sftp:
        source, target = sftp.handle(b"/empty", READ), sftp.handle(b"/copy", NEW)
        growing(sftp, root / "empty", b"x" * MIB)
        assert sftp.code(m.CopyData(1, source, 0, 0, target, 0)) == Status.OK
        assert (root / "copy").stat().st_size == 5 * MIB


def test_copies_in_a_circle_end(root: Path) -> None:
    """Each makes what the other reads longer: from empty files on, that would fill the disk."""
    paths = [root / "a", root / "b"]
    for path in paths:
        path.write_bytes(b"seed")

    def copy_to(source: bytes, target: bytes) -> None:
        with rooted(root) as sftp:
            handles = sftp.handle(source, READ), sftp.handle(target, WRITE | APPEND)
            for _ in range(8):
                assert sftp.code(m.CopyData(1, handles[0], 0, 0, handles[1], 0)) == Status.OK

    threads = [threading.Thread(target=copy_to, args=names) for names in ((b"/a", b"/b"), (b"/b", b"/a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert max(path.stat().st_size for path in paths) <= 4 * 3**16


# --- nobody waits ---


def test_a_copy_ends_when_its_client_leaves(server: StdioServer, raw: RawSFTP, root: Path) -> None:
    size = 8 << 30
    os.truncate(root / "file", size)
    handles = raw.open(b"/file"), raw.open(b"/copy", NEW | APPEND)  # where holes are written
    raw.post(Type.EXTENDED, string(b"copy-data"), string(handles[0]), u64(0), u64(0), string(handles[1]), u64(0))
    wait_until(lambda: (root / "copy").stat().st_size > 0, "the copy has begun")
    server.socket.close()
    server.ending()
    assert (root / "copy").stat().st_size < size
    (root / "copy").unlink()


def test_a_named_copy_that_nobody_waits_for_leaves_nothing_behind(root: Path) -> None:
    (root / "copy").write_bytes(b"what was there")
    names = sorted(os.listdir(root))

    def leave() -> None:
        raise StatusError(Status.FAILURE, "Interrupted")

    with rooted(root) as sftp:
        sftp.session.go_on = leave  # type: ignore[method-assign]
        assert sftp.code(m.CopyFile(1, b"/file", b"/copy", True)) == Status.FAILURE
    assert sorted(os.listdir(root)) == names
    assert (root / "copy").read_bytes() == b"what was there"
