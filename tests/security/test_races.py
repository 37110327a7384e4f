"""Class 12: while another process swaps directories and links, no operation ever reaches what lies outside."""

import ctypes
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path

import pytest

from libsshd.constants import OpenFlags
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes

OUTSIDE = b"outside"
ITERATIONS = 1500
DEADLINE = 30.0  # seconds until the other process must have shown itself

# Exchanges pairs of names until its input ends. With the exchange there is always something under both names.
SWAPPER = """
import ctypes, os, select, sys
libc = ctypes.CDLL(None)
pairs = [(a.encode(), b.encode()) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    for _ in range(200):
        for a, b in pairs:
            libc.renameat2(-100, a, -100, b, 2)
"""

# Makes and removes files until its input ends.
CHURN = """
import os, select, sys
os.chdir(sys.argv[1])
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    for n in range(300): os.close(os.open(str(n), os.O_CREAT | os.O_WRONLY))
    for n in range(300): os.unlink(str(n))
"""

Operation = Callable[[RootedFileSystem, bytes], object]


def read_file(fs: RootedFileSystem, path: bytes) -> bytes:
    fd = fs.open(path, OpenFlags.READ, None)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def write_file(fs: RootedFileSystem, path: bytes) -> None:
    fd = fs.open(path, OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.TRUNC, None)
    try:
        os.write(fd, b"inside")
    finally:
        os.close(fd)


def create(fs: RootedFileSystem, path: bytes) -> None:
    os.close(fs.open(path + b".new", OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.EXCL, None))


def list_names(fs: RootedFileSystem, path: bytes) -> list[bytes]:
    directory = fs.opendir(os.path.dirname(path))
    try:
        return [entry.name for entry in directory.read(100)]
    finally:
        directory.close()


# Steps undo each other. A step may lose its race, so each is tried whatever became of the one before.
OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "read": (read_file,),
    "write": (write_file,),
    "create": (create, lambda fs, p: fs.remove(p + b".new")),
    "opendir": (list_names,),
    "stat": (lambda fs, p: fs.stat(p),),
    "lstat": (lambda fs, p: fs.lstat(p),),
    "setstat": (lambda fs, p: fs.setstat(p, Attributes(permissions=0o640, atime=1, mtime=1)),),
    "truncate": (lambda fs, p: fs.setstat(p, Attributes(size=1)),),
    "lsetstat": (lambda fs, p: fs.lsetstat(p, Attributes(permissions=0o640, mtime=1)),),
    "readlink": (lambda fs, p: fs.readlink(p + b".link"),),
    "mkdir": (lambda fs, p: fs.mkdir(p + b".dir", None), lambda fs, p: fs.rmdir(p + b".dir")),
    "rename": (
        lambda fs, p: fs.rename(b"/spare", p + b".moved", overwrite=False),
        lambda fs, p: fs.rename(p + b".moved", b"/spare", overwrite=True),
    ),
    "link": (lambda fs, p: fs.link(b"/spare", p + b".hard"), lambda fs, p: fs.remove(p + b".hard")),
    "link from": (
        lambda fs, p: fs.link(p, b"/taken"),
        lambda fs, p: read_file(fs, b"/taken"),
        lambda fs, p: fs.remove(b"/taken"),
    ),
    "symlink": (lambda fs, p: fs.symlink(b"/x", p + b".sym"), lambda fs, p: fs.remove(p + b".sym")),
}


@contextmanager
def racing(program: str, *arguments: Path) -> Iterator[None]:
    """Runs the other process, from when it is ready until its input ends."""
    command = [sys.executable, "-I", "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(DEADLINE)


class Arena:
    """Below the root a directory and a link to outside that change places, and a way up that is moved meanwhile."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root"
        self.outside = base / "outside"
        (self.root / "area" / "dir").mkdir(parents=True)
        (self.root / "deep" / "a" / "b").mkdir(parents=True)
        (self.root / "flat").mkdir()
        self.outside.mkdir()
        for directory, content in ((self.root / "area" / "dir", b"inside"), (self.outside, OUTSIDE)):
            (directory / "file").write_bytes(content)
            (directory / "file.link").symlink_to(content.decode())
        (self.outside / "only").touch()
        (self.root / "spare").touch()
        (self.root / "area" / "link").symlink_to(self.outside)
        (self.root / "area" / "relative").symlink_to("../../outside")
        (self.root / "up").symlink_to("deep/a/b/../../../../outside")

    def snapshot(self) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for path in [self.outside, *sorted(self.outside.iterdir())]:
            s = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            found.append((path.name, s.st_mode, s.st_nlink, s.st_size, s.st_mtime_ns, s.st_ctime_ns, data))
        return found

    def swapping(self) -> AbstractContextManager[None]:
        """Exchanges names until left."""
        area = self.root / "area"
        pairs = [
            area / "dir",
            area / "link",
            area / "dir",
            area / "relative",
            self.root / "deep" / "a",
            self.root / "flat",
        ]
        return racing(SWAPPER, *pairs)


def exchange_works(base: Path) -> bool:
    (base / "x").touch()
    (base / "y").touch()
    return bool(ctypes.CDLL(None).renameat2(-100, bytes(base / "x"), -100, bytes(base / "y"), 2) == 0)


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    if not exchange_works(tmp_path):
        pytest.skip("this file system cannot exchange names")
    return Arena(tmp_path)


ALLOWED = {errno.ENOENT, errno.EAGAIN, errno.ELOOP, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EINVAL}


def shows_outside(answer: object) -> bool:
    if isinstance(answer, Attributes):
        return answer.size == len(OUTSIDE)
    return answer == OUTSIDE or (isinstance(answer, list) and b"only" in answer)


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_race_leads_out(arena: Arena, operation: str, walk: bool) -> None:
    before = arena.snapshot()
    paths = (b"/area/dir/file", b"/area/link/file", b"/area/relative/file", b"/up/file")
    succeeded = [0] * len(OPERATIONS[operation])
    with RootedFileSystem(str(arena.root), walk=walk) as fs, arena.swapping():
        for path in paths * ITERATIONS:
            for number, step in enumerate(OPERATIONS[operation]):
                try:
                    assert not shows_outside(step(fs, path))
                    succeeded[number] += 1
                except OSError as error:
                    assert error.errno in ALLOWED
    assert arena.snapshot() == before
    assert all(succeeded), "a step always failed, so its race was never run"


def test_resolving_by_text_would_lose_this_race(arena: Arena) -> None:
    """The arena is worth something: realpath and then open, the classical mistake, is led out of it."""
    root = os.path.realpath(arena.root)
    end = time.monotonic() + DEADLINE
    escaped = False
    with arena.swapping():
        while not escaped:
            assert time.monotonic() < end
            with suppress(OSError):
                real = os.path.realpath(f"{root}/area/dir/file")
                if real.startswith(root + "/"):
                    escaped = Path(real).read_bytes() == OUTSIDE


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
def test_size_and_time_always_reach_the_same_object(tmp_path: Path, walk: bool) -> None:
    """SETSTAT of a name that is exchanged meanwhile: each object has got all of it or nothing."""
    if not exchange_works(tmp_path):
        pytest.skip("this file system cannot exchange names")
    fds = [os.open(tmp_path / name, os.O_RDWR) for name in "xy"]
    for fd in fds:
        os.utime(fd, (0, 0))
    reached = [0, 0]
    with RootedFileSystem(str(tmp_path), walk=walk) as fs, racing(SWAPPER, tmp_path / "x", tmp_path / "y"):
        for number in range(1, 5 * ITERATIONS):
            try:
                fs.setstat(b"/x", Attributes(size=number, atime=number, mtime=number))
            except OSError as error:
                assert error.errno == errno.EAGAIN
            for index, fd in enumerate(fds):
                s = os.fstat(fd)
                assert s.st_size == s.st_mtime
                reached[index] += s.st_size == number
    for fd in fds:
        os.close(fd)
    assert all(reached), "both objects should have had their turn"


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
def test_entries_that_vanish_while_they_are_read_are_left_out(tmp_path: Path, walk: bool) -> None:
    (tmp_path / "stays").touch()
    with RootedFileSystem(str(tmp_path), walk=walk) as fs, racing(CHURN, tmp_path):
        for _ in range(100):
            directory = fs.opendir(b"/")
            entries = list(chain.from_iterable(iter(partial(directory.read, 64), [])))
            directory.close()
            assert b"stays" in {entry.name for entry in entries}
            assert all(entry.attributes.permissions for entry in entries)
