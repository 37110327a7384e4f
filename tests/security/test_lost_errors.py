"""Class 20: errors lost on another code path.

Every system call that the server makes on files is made to fail, one at a time, in every way that a disk has. Rule:
the client gets an error, or what it asked for was done in full; what was written and could not be kept is always
told; an atomic upload that failed leaves the old file and no other; no descriptor is lost, and the server goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from errno import EDQUOT, EINTR, EIO, EMFILE, ENOMEM, ENOSPC, errorcode
from pathlib import Path

import pytest

from libsshd.constants import Status
from libsshd.events import FileWrite
from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import UPLOAD_MODES, Settings
from libsshd.wire import messages as m
from tests.serve.asking import TEXT, Asked, rooted
from tests.support.faults import SHORT, FaultyServer, build
from tests.support.rawsftp import APPEND, CREAT, READ, TRUNC, WRITE, Code, Type, string, u32
from tests.support.scarcity import FileSizeLimit
from tests.support.stdio import StdioServer

from .scenes import ALL, NEW, OLD, PUT, SCENES, SCENES_6, RefusedError, Run, holds, restore

ERRORS = (ENOSPC, EDQUOT, EIO, EINTR, EMFILE, ENOMEM, SHORT)

TOLD = {
    "pwrite",
    "write",
    "fsync",
    "close-written",
    "renameat",
    "renameat2",
    "copy_file_range",
    "fallocate",
}
"""Calls whose failure loses something, so that a reply must tell it, even if all looks well on the disk."""
TRIED_AGAIN = {EINTR, SHORT}
"""What is no failure where the rest is done by another call."""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module", params=UPLOAD_MODES)
def faulty(
    request: pytest.FixtureRequest, library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultyServer]:
    server = FaultyServer(library, tmp_path_factory.mktemp("root"), request.param)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module", params=["direct", "atomic"])
def faulty_6(
    request: pytest.FixtureRequest, library: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultyServer]:
    server = FaultyServer(library, tmp_path_factory.mktemp("root"), request.param, version=6)
    yield server
    assert server.stop() == 0


def play(server: FaultyServer, scene: str, at: int = -1, error: int = 0) -> Run:
    """One run of a scene, with one fault; then the client closes what it has open, and the server is all right."""
    restore(server.root)
    run = Run(server)
    with server.watched(at, error):
        try:
            ALL[scene][0](run)
        except RefusedError:
            run.close_all()
    assert (
        server.client.ask(Type.LSTAT, string(b"/"), *([u32(0)] if server.client.version > 3 else [])).type
        == Type.ATTRS
    )
    return run


@pytest.mark.parametrize("scene", SCENES)
def test_whatever_fails_is_told_or_made_good(faulty: FaultyServer, scene: str) -> None:
    prove(faulty, scene)


@pytest.mark.parametrize("scene", SCENES_6)
def test_whatever_fails_in_version_6_is_told_or_made_good(faulty_6: FaultyServer, scene: str) -> None:
    prove(faulty_6, scene)


def prove(server: FaultyServer, scene: str) -> None:
    """Every call of the scene fails once, in every way."""
    play(server, scene)
    run = play(server, scene)
    assert not run.refused
    assert ALL[scene][1](server.root), "without a fault all is done"
    calls, descriptors = server.calls, server.descriptors()
    assert calls
    for at, call in enumerate(calls):
        for error in ERRORS:
            run = play(server, scene, at, error)
            what = f"{call} ({at} of {calls}) failing with {errorcode.get(error, 'fewer bytes')}"
            assert server.fired, f"{what} was not reached"
            assert server.descriptors() == descriptors, f"{what} loses a descriptor"
            check(server, scene, run, what, told=error in TRIED_AGAIN or call not in TOLD)


def check(server: FaultyServer, scene: str, run: Run, what: str, *, told: bool) -> None:
    """`told`: there may be nothing to tell."""
    left = {name for name in os.listdir(server.root) if name.startswith(".libsshd-")}
    assert not left, f"{what} leaves {left}"
    if not run.refused:
        assert ALL[scene][1](server.root), f"{what}: the client was told that all is well"
        assert told, f"{what} was not told"
    elif server.mode != "direct" and scene.startswith("put over"):
        assert holds("file", OLD)(server.root) or holds("file", NEW)(server.root), f"{what} tears the file"


REACHED = {
    "openat2", "openat", "close", "close-written", "fstat", "statx", "pread", "pwrite", "ftruncate", "fsync",
    "flock", "lseek", "copy_file_range", "fchown", "fchmod", "flistxattr", "getdents64", "readlinkat",
    "unlinkat", "mkdirat", "symlinkat", "linkat", "read", "write", "fallocate", "fcntl-lock", "renameat",
    "renameat2", "fchownat", "fchmodat2", "futimens", "utimensat", "fstatvfs",
}  # fmt: skip
"""Calls that the scenes lead through, so that each of them fails in `test_whatever_fails_is_told_or_made_good`."""
UNREACHED = {"fdatasync": "never called", "chmod, fstatat": "of kernels without fchmodat2 and statx"}
"""What could fail too, and why it is not among them."""


def test_the_scenes_lead_through_these_calls(library: Path, tmp_path: Path) -> None:
    reached: set[str] = set()
    for mode, version, scenes in (("direct", 3, SCENES), ("atomic", 3, SCENES), ("direct", 6, SCENES_6)):
        root = tmp_path / f"{mode}{version}"
        root.mkdir()
        server = FaultyServer(library, root, mode, version)
        for scene in scenes:
            play(server, scene)
            reached |= set(server.calls)
        assert server.stop() == 0
    older_kernel = {"fchmodat2"} if "chmod" in reached else set()
    assert REACHED - reached == older_kernel
    assert not reached & {"fdatasync"}, UNREACHED


# --- real disks ---


def _through(flags: int) -> Callable[[Asked], bytes]:
    return lambda sftp: sftp.handle(b"/f", WRITE | CREAT | TRUNC | flags)


def _written(sftp: Asked, handle: bytes, data: bytes) -> Status:
    return sftp.write(handle, data)


def _copied(sftp: Asked, handle: bytes, data: bytes) -> Status:
    sftp_source = sftp.handle(b"/source", READ)
    return sftp.code(m.CopyData(1, sftp_source, 0, len(data), handle, 0))


def _watched(sftp: Asked) -> bytes:
    sftp.on(FileWrite, lambda e: None)
    return sftp.handle(b"/f", WRITE | CREAT | TRUNC)


WAYS: dict[str, tuple[Callable[[Asked], bytes], Callable[[Asked, bytes, bytes], Status]]] = {
    "Python": (_through(0), _written),
    "appending": (_through(APPEND), _written),
    "text": (_through(TEXT), _written),
    "watched": (_watched, _written),
    "copy-data": (_through(0), _copied),
}
FULL = {Status.NO_SPACE_ON_FILESYSTEM, Status.FAILURE}


@pytest.mark.parametrize("mode", UPLOAD_MODES)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_writing_tells_its_error_twice(
    tmp_path: Path, limit_file_size: FileSizeLimit, way: str, mode: str
) -> None:
    begin, write = WAYS[way]
    data = bytes(range(1, 256)) * 20
    (tmp_path / "source").write_bytes(data)
    (tmp_path / "f").write_bytes(OLD)
    with rooted(tmp_path, upload_mode=mode) as sftp:
        handle = begin(sftp)
        with limit_file_size(1000):
            assert write(sftp, handle, data) in FULL
        assert sftp.close(handle) in FULL
    assert mode == "direct" or (tmp_path / "f").read_bytes() == OLD
    assert set(os.listdir(tmp_path)) == {"f", "source"}


@pytest.mark.parametrize("mode", UPLOAD_MODES)
@pytest.mark.parametrize("limit", ["size of files", "disk"])
def test_a_disk_that_is_full_is_told_by_write_and_close(
    small_volume: Path, limit_file_size: FileSizeLimit, mode: str, limit: str
) -> None:
    """In C, where the mode is direct; the process is not killed by SIGXFSZ."""
    settings = Settings(upload_mode=mode)
    with RootedFileSystem(str(small_volume)) as fs, StdioServer(fs, settings) as server, ExitStack() as stack:
        client = server.client.init()
        handle = client.open(b"/f", PUT)
        if limit == "size of files":
            stack.enter_context(limit_file_size(40_000))
        codes = [client.write(handle, at, bytes(10_000)) for at in range(0, 100_000, 10_000)]
        assert codes[0] == Code.OK
        assert codes[-1] == Code.FAILURE
        acknowledged = codes.index(Code.FAILURE) * 10_000
        assert client.shut(handle) == Code.FAILURE
        if mode == "direct":
            assert (small_volume / "f").stat().st_size >= acknowledged
        else:
            assert os.listdir(small_volume) == []
        (small_volume / "f").unlink(missing_ok=True)
        handle = client.open(b"/f", PUT)
        assert client.write(handle, 0, b"there is room again") == Code.OK
        assert client.shut(handle) == Code.OK
