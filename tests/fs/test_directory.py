"""Reading directories: every name once, unchanged, with its own attributes."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libsshd.constants import FileType
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes, DirectoryEntry

from .outcome import code_of

DOTS = {b".", b".."}


def read_all(fs: RootedFileSystem, path: bytes, limit: int = 100) -> list[DirectoryEntry]:
    directory = fs.opendir(path)
    try:
        return [entry for batch in iter(lambda: directory.read(limit), []) for entry in batch]
    finally:
        directory.close()


def test_an_empty_directory_has_its_two_dots(fs: RootedFileSystem) -> None:
    assert {entry.name for entry in read_all(fs, b"/")} == DOTS


@pytest.mark.parametrize("limit", [1, 7, 100, 10_000])
def test_every_name_comes_once_in_batches_of_at_most_the_limit(fs: RootedFileSystem, root: Path, limit: int) -> None:
    expected = {b"%d" % number * (number % 50 + 1) for number in range(1500)}
    for name in expected:
        os.close(os.open(os.path.join(os.fsencode(root), name), os.O_CREAT | os.O_WRONLY))
    directory = fs.opendir(b"/")
    batches = list(iter(lambda: directory.read(limit), []))
    assert directory.read(limit) == []
    directory.close()
    assert max(map(len, batches)) <= limit
    names = [entry.name for batch in batches for entry in batch]
    assert len(names) == len(set(names))
    assert set(names) == expected | DOTS


def test_names_are_bytes_and_survive(fs: RootedFileSystem, root: Path) -> None:
    names = {b"a\nb", b"\xff\xfe", b"\xc3\xa9", b"n" * 255, b" ", b"-l", b"\\", b"\x1b[31m", b"\x01"}
    for name in names:
        os.mkdir(os.path.join(os.fsencode(root), name))
    entries = read_all(fs, b"/")
    assert {entry.name for entry in entries} == names | DOTS
    for entry in entries:
        assert entry.longname.endswith(b" " + entry.name.replace(b"\n", b"?"))
        assert b"\n" not in entry.longname


def test_attributes_are_those_of_the_entry_itself(fs: RootedFileSystem, root: Path) -> None:
    (root / "file").write_bytes(b"123")
    (root / "directory").mkdir()
    (root / "link").symlink_to("file")
    (root / "dangling").symlink_to("/nowhere")
    os.mkfifo(root / "fifo")
    types = {}
    read_all(fs, b"/")  # the first reading moves the directory's own atime
    for entry in read_all(fs, b"/"):
        assert entry.attributes == fs.lstat(b"/" + entry.name)
        types[entry.name] = entry.attributes.file_type
    assert types == {
        b".": FileType.DIRECTORY,
        b"..": FileType.DIRECTORY,
        b"file": FileType.REGULAR,
        b"directory": FileType.DIRECTORY,
        b"link": FileType.SYMLINK,
        b"dangling": FileType.SYMLINK,
        b"fifo": FileType.FIFO,
    }


def test_the_root_is_its_own_parent(fs: RootedFileSystem, root: Path) -> None:
    (root / "d").mkdir()
    os.utime(root, (1, 2))
    os.utime(root.parent, (3, 4))
    by_name = {entry.name: entry for entry in read_all(fs, b"/")}
    assert by_name[b".."].attributes == by_name[b"."].attributes
    by_name = {entry.name: entry for entry in read_all(fs, b"/d")}
    assert by_name[b".."].attributes == fs.stat(b"/")


def test_what_is_no_directory_fails_when_opened(fs: RootedFileSystem, root: Path) -> None:
    (root / "file").touch()
    os.mkfifo(root / "fifo")
    assert code_of(lambda: fs.opendir(b"/missing")) == errno.ENOENT
    assert code_of(lambda: fs.opendir(b"/file")) == errno.ENOTDIR
    assert code_of(lambda: fs.opendir(b"/fifo")) == errno.ENOTDIR


def test_a_link_to_a_directory_is_followed(fs: RootedFileSystem, root: Path) -> None:
    (root / "d" / "e").mkdir(parents=True)
    (root / "link").symlink_to("/d")
    assert {entry.name for entry in read_all(fs, b"/link")} == {b"e"} | DOTS


def test_a_closed_directory_reads_nothing(fs: RootedFileSystem) -> None:
    directory = fs.opendir(b"/")
    fd = directory.fileno()
    assert fs.fstat(fd).file_type == FileType.DIRECTORY
    directory.close()
    directory.close()
    assert code_of(lambda: directory.read(10)) == errno.EBADF


def test_a_directory_removed_meanwhile_is_at_its_end(fs: RootedFileSystem, root: Path) -> None:
    (root / "d").mkdir()
    directory = fs.opendir(b"/d")
    (root / "d").rmdir()
    try:
        assert {entry.name for entry in directory.read(10)} <= DOTS
    except OSError as error:
        assert error.errno == errno.ENOENT
    directory.close()


@pytest.fixture
def nobody() -> Iterator[Callable[[], None]]:
    if os.geteuid() != 0:
        pytest.skip("changing the user needs privileges")
    yield lambda: os.seteuid(65534)
    os.seteuid(0)


def test_entries_that_may_not_be_looked_at_keep_their_names(
    fs: RootedFileSystem, root: Path, nobody: Callable[[], None]
) -> None:
    (root / "d").mkdir()
    (root / "d" / "secret").touch()
    (root / "d").chmod(0o744)
    root.chmod(0o755)
    nobody()
    by_name = {entry.name: entry for entry in read_all(fs, b"/d")}
    assert set(by_name) == {b"secret"} | DOTS
    assert by_name[b"secret"].attributes == Attributes()
    assert by_name[b"secret"].longname.startswith(b"?---------")
