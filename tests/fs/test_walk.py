"""The walk answers as openat2 does: same object or same errno."""

import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libsshd.constants import OpenFlags
from libsshd.fs.rooted import RootedFileSystem

from .outcome import code_of

NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def both(root: Path) -> Iterator[tuple[RootedFileSystem, RootedFileSystem]]:
    with RootedFileSystem(str(root)) as kernel, RootedFileSystem(str(root), walk=True) as walk:
        yield kernel, walk


def outcome(call: Callable[..., object], *arguments: object) -> object:
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def random_target(rng: random.Random) -> str:
    parts = rng.choices([*NAMES, "..", ".", ""], [3, 3, 3, 3, 4, 1, 1], k=rng.randint(1, 6))
    return rng.choice(["", "", "/"]) + "/".join(parts) or "."


def grow(root: Path, rng: random.Random) -> None:
    """A tree of directories, files and links to anywhere; names repeat, so that links often lead somewhere."""
    (root / "a").mkdir()
    (root / "a" / "b").touch()
    (root / "c").symlink_to("c/x")
    directories = [root, root / "a"]
    for _ in range(60):
        path = rng.choice(directories) / rng.choice(NAMES)
        if os.path.lexists(path):
            continue
        kind = rng.random()
        if kind < 0.45:
            path.mkdir()
            directories.append(path)
        elif kind < 0.55:
            path.touch()
        else:
            path.symlink_to(random_target(rng))


@pytest.mark.parametrize("seed", range(8))
def test_any_path_in_any_tree_leads_to_the_same_object(
    both: tuple[RootedFileSystem, RootedFileSystem], root: Path, seed: int
) -> None:
    rng = random.Random(seed)
    grow(root, rng)
    found = set()
    for _ in range(800):
        path = b"/" + random_target(rng).encode()
        for operation in ("stat", "lstat", "readlink"):
            by_kernel, by_walk = (outcome(getattr(fs, operation), path) for fs in both)
            assert by_walk == by_kernel, (operation, path)
            found.add(by_kernel if isinstance(by_kernel, str) else "found")
    assert {"found", "ENOTDIR", "ELOOP"} <= found, "the trees should have some of everything"


@pytest.mark.parametrize("seed", range(4))
def test_any_path_opens_the_same_file(both: tuple[RootedFileSystem, RootedFileSystem], root: Path, seed: int) -> None:
    rng = random.Random(1000 + seed)
    grow(root, rng)

    def open_inode(fs: RootedFileSystem, path: bytes, flags: int) -> int:
        fd = fs.open(path, OpenFlags(flags), None)
        try:
            return os.fstat(fd).st_ino
        finally:
            os.close(fd)

    for _ in range(400):
        path = b"/" + random_target(rng).encode()
        for flags in (OpenFlags.READ, OpenFlags.WRITE, OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.EXCL):
            if flags & OpenFlags.EXCL and path.endswith((b"/", b".")):
                continue  # operations on names never see such a path
            by_kernel = outcome(open_inode, both[0], path, flags)
            if flags & OpenFlags.EXCL and isinstance(by_kernel, int):
                continue  # it is there now
            assert outcome(open_inode, both[1], path, flags) == by_kernel, (path, flags)


@pytest.mark.parametrize(("links", "expected"), [(39, None), (40, None), (41, errno.ELOOP), (100, errno.ELOOP)])
def test_forty_links_are_the_limit(fs: RootedFileSystem, root: Path, links: int, expected: int | None) -> None:
    (root / "l0").write_bytes(b"x")
    for number in range(links):
        (root / f"l{number + 1}").symlink_to(f"l{number}")
    last = b"/l%d" % links
    if expected is None:
        assert fs.stat(last).size == 1
    else:
        assert code_of(lambda: fs.stat(last)) == expected


def test_a_loop_ends(fs: RootedFileSystem, root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("/a/x")
    for call in (fs.stat, fs.opendir, fs.statvfs):
        assert code_of(call, b"/a") == errno.ELOOP
    assert code_of(fs.mkdir, b"/a/d", None) == errno.ELOOP
    assert fs.lstat(b"/a").link_count == 1


def test_targets_that_climb_and_dive_are_bounded(root: Path) -> None:
    """Forty links full of "d/.." deep in a tree would otherwise buy millions of system calls with one request."""
    depth = 900
    here = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    (root / "l0").symlink_to("d")
    for number in range(20):
        (root / f"l{number + 1}").symlink_to("d/" * depth + "../d/" * 400 + "../" * 50 + f"../../l{number}")
    with RootedFileSystem(str(root), walk=True) as fs:
        assert code_of(lambda: fs.stat(b"/l20")) == errno.ELOOP
        assert fs.stat(b"/" + b"d/" * depth + b"../" * 10).link_count == 3


@pytest.mark.parametrize("length", [4093, 4094, 4095])
def test_long_targets_are_walked_as_far_as_a_path_may_be_long(root: Path, length: int) -> None:
    (root / "d").mkdir()
    (root / "link").symlink_to(("/" * length)[:-1] + "d")
    with RootedFileSystem(str(root), walk=True) as fs:
        assert fs.stat(b"/link").link_count == 2
        if length == 4095:
            assert code_of(lambda: fs.stat(b"/link/x")) == errno.ENAMETOOLONG


@pytest.mark.skipif(not os.path.islink("/proc/self/fd/0"), reason="needs /proc")
def test_links_of_proc_are_not_followed_to_objects(tmp_path: Path) -> None:
    """A server of "/" must not hand out what its own descriptors and working directory lead to."""
    (tmp_path / "f").touch()
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    with RootedFileSystem("/") as kernel, RootedFileSystem("/", walk=True) as walk:
        for fs in (kernel, walk):
            for name in (b"fd/%d" % fd, b"exe", b"cwd/x", b"root/etc"):
                assert code_of(fs.stat, b"/proc/self/" + name) == errno.ELOOP
            assert fs.stat(b"/proc/self/status").permissions
            assert fs.stat(b"/proc/mounts").permissions
    os.close(fd)
