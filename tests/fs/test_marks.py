"""What is known of a file besides what version 3 tells: birth, space on the disk, marks (draft-13, section 7)."""

import os
import subprocess
from pathlib import Path

import pytest

from libsshd.constants import AttribBits
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes

HIDDEN, SPARSE, IMMUTABLE, APPEND_ONLY = map(
    int, (AttribBits.HIDDEN, AttribBits.SPARSE, AttribBits.IMMUTABLE, AttribBits.APPEND_ONLY)
)


def all_ways(fs: RootedFileSystem, name: str) -> list[Attributes]:
    """STAT, LSTAT and READDIR."""
    path = b"/" + name.encode()
    entries = {entry.name: entry.attributes for entry in fs.opendir(b"/").read(100)}
    return [fs.stat(path), fs.lstat(path), entries[name.encode()]]


def marks(a: Attributes) -> tuple[int, int]:
    assert a.attrib_bits is not None
    assert a.attrib_bits_valid is not None
    assert a.attrib_bits & ~a.attrib_bits_valid == 0
    return a.attrib_bits, a.attrib_bits_valid


def test_the_birth_is_that_of_the_kernel(fs: RootedFileSystem, root: Path) -> None:
    (root / "f").write_bytes(b"x")
    told = subprocess.run(["stat", "-c", "%W %z", root / "f"], capture_output=True, check=True).stdout.split()
    if told[0] in (b"0", b"-"):
        pytest.skip("this file system knows no births")
    os.utime(root / "f", (1, 2))
    for found in all_ways(fs, "f"):
        assert found.createtime == int(told[0])
        assert 0 <= found.createtime_ns < 10**9
        assert found.ctime is not None
        assert found.ctime >= found.createtime


def test_the_space_on_the_disk_is_what_the_file_takes(fs: RootedFileSystem, root: Path) -> None:
    (root / "f").write_bytes(bytes(100_000))
    for found in all_ways(fs, "f"):
        assert found.allocation_size == (root / "f").stat().st_blocks * 512


@pytest.mark.parametrize(("name", "hidden"), [("f", 0), (".f", HIDDEN), ("..f", HIDDEN), ("f.", 0)])
def test_a_name_that_begins_with_a_period_is_hidden(name: str, hidden: int, fs: RootedFileSystem, root: Path) -> None:
    (root / name).write_bytes(b"x")
    for found in all_ways(fs, name):
        bits, known = marks(found)
        assert (bits & HIDDEN, known & HIDDEN) == (hidden, HIDDEN)


def test_of_what_has_no_name_nobody_knows_whether_it_is_hidden(fs: RootedFileSystem, root: Path) -> None:
    (root / ".f").write_bytes(b"x")
    with (root / ".f").open() as file:
        assert marks(fs.fstat(file.fileno()))[1] & HIDDEN == 0
    assert marks(fs.stat(b"/"))[1] & HIDDEN == 0
    assert all(marks(found)[1] & HIDDEN == 0 for found in all_ways(fs, "."))


def test_a_file_with_holes_is_sparse(fs: RootedFileSystem, root: Path) -> None:
    (root / "full").write_bytes(bytes(1 << 20))
    with (root / "holes").open("wb") as file:
        file.truncate(1 << 20)
        assert marks(fs.fstat(file.fileno()))[0] & SPARSE
    assert all(marks(found)[0] & SPARSE for found in all_ways(fs, "holes"))
    assert not any(marks(found)[0] & SPARSE for found in all_ways(fs, "full"))


def test_a_directory_is_never_sparse(fs: RootedFileSystem, root: Path) -> None:
    (root / "d").mkdir()
    assert all(marks(found)[1] & SPARSE == 0 for found in all_ways(fs, "d"))


@pytest.mark.parametrize(("letter", "mark"), [("i", IMMUTABLE), ("a", APPEND_ONLY)])
def test_marks_of_the_file_system_are_told(letter: str, mark: int, fs: RootedFileSystem, root: Path) -> None:
    (root / "f").write_bytes(b"x")
    try:
        subprocess.run(["chattr", f"+{letter}", root / "f"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this file system or this user cannot mark files")
    try:
        assert all(marks(found)[0] & mark for found in all_ways(fs, "f"))
    finally:
        subprocess.run(["chattr", f"-{letter}", root / "f"], check=True)
    assert not any(marks(found)[0] & mark for found in all_ways(fs, "f"))
