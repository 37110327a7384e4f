"""Opening and looking, resolved by openat2 and by the walk alike."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from libsshd.constants import FileType, OpenFlags
from libsshd.fs.rooted import RootedFileSystem

from .outcome import code_of

R, W, APPEND, CREAT, TRUNC, EXCL = (
    OpenFlags.READ,
    OpenFlags.WRITE,
    OpenFlags.APPEND,
    OpenFlags.CREAT,
    OpenFlags.TRUNC,
    OpenFlags.EXCL,
)


def write(fs: RootedFileSystem, path: bytes, flags: OpenFlags, data: bytes) -> None:
    fd = fs.open(path, flags, None)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


class TestRoot:
    def test_a_missing_root_is_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            RootedFileSystem(str(tmp_path / "missing"))

    def test_a_file_is_no_root(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError):
            RootedFileSystem(os.fsencode(tmp_path / "file"))

    def test_after_close_nothing_is_reached(self, root: Path) -> None:
        fs = RootedFileSystem(str(root))
        fs.close()
        fs.close()
        assert code_of(lambda: fs.stat(b"/")) == errno.EBADF
        assert code_of(lambda: fs.mkdir(b"/a", None)) == errno.EBADF

    def test_the_root_may_move(self, fs: RootedFileSystem, root: Path) -> None:
        root.rename(root.with_name("elsewhere"))
        fs.mkdir(b"/a", None)
        assert (root.with_name("elsewhere") / "a").is_dir()


class TestOpen:
    def test_reading_and_writing(self, fs: RootedFileSystem, root: Path) -> None:
        write(fs, b"/f", W | CREAT, b"hello")
        fd = fs.open(b"/f", R, None)
        assert os.read(fd, 10) == b"hello"
        assert not os.get_inheritable(fd)
        os.close(fd)

    def test_without_read_or_write_it_is_reading(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"x")
        fd = fs.open(b"/f", OpenFlags(0), None)
        assert os.read(fd, 10) == b"x"
        os.close(fd)

    def test_append_writes_behind_the_end(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"one ")
        write(fs, b"/f", W | APPEND, b"two")
        assert (root / "f").read_bytes() == b"one two"

    def test_trunc_empties_and_its_absence_does_not(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"long text")
        write(fs, b"/f", W, b"L")
        assert (root / "f").read_bytes() == b"Long text"
        write(fs, b"/f", W | TRUNC | CREAT, b"S")
        assert (root / "f").read_bytes() == b"S"

    @pytest.mark.parametrize("flags", [TRUNC, R | TRUNC, R | TRUNC | CREAT, TRUNC | CREAT | APPEND | EXCL])
    def test_trunc_without_write_changes_nothing(self, fs: RootedFileSystem, root: Path, flags: OpenFlags) -> None:
        (root / "f").write_bytes(b"kept")
        assert code_of(lambda: fs.open(b"/f", flags, None)) == errno.EINVAL
        assert code_of(lambda: fs.open(b"/new", flags, None)) == errno.EINVAL
        assert (root / "f").read_bytes() == b"kept"
        assert not (root / "new").exists()

    def test_excl_takes_only_what_is_new(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"kept")
        (root / "dangling").symlink_to("nowhere")
        for path in (b"/f", b"/dangling"):
            assert code_of(fs.open, path, W | CREAT | EXCL | TRUNC, None) == errno.EEXIST
        os.close(fs.open(b"/new", W | CREAT | EXCL | TRUNC, None))
        assert (root / "f").read_bytes() == b"kept"
        assert not (root / "nowhere").exists()

    def test_creating_through_a_dangling_link_makes_its_target(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "link").symlink_to("/target")
        write(fs, b"/link", W | CREAT, b"x")
        assert (root / "target").read_bytes() == b"x"

    @pytest.mark.parametrize(
        ("permissions", "mask", "expected"),
        [
            (None, 0o022, 0o644),
            (None, 0, 0o666),
            (0o100600, 0o022, 0o600),
            (0o777, 0o027, 0o750),
            (0o4755, 0, 0o4755),
        ],
    )
    def test_a_new_file_has_the_mode_asked_for_under_the_umask(
        self, fs: RootedFileSystem, root: Path, umask: Callable[[int], None], permissions: int | None, mask: int,
        expected: int,
    ) -> None:  # fmt: skip
        umask(mask)
        os.close(fs.open(b"/f", W | CREAT, permissions))
        assert stat.S_IMODE((root / "f").stat().st_mode) == expected

    @pytest.mark.parametrize("flags", [R, W, R | W, W | CREAT, W | CREAT | TRUNC])
    def test_a_directory_is_told_from_a_file(self, fs: RootedFileSystem, root: Path, flags: OpenFlags) -> None:
        (root / "d").mkdir()
        for path in (b"/", b"/d"):
            assert code_of(fs.open, path, flags, None) == errno.EISDIR

    @pytest.mark.parametrize("flags", [R, W, R | W, W | CREAT | TRUNC])
    @pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
    def test_special_files_are_refused_at_once(
        self, fs: RootedFileSystem, root: Path, kind: str, flags: OpenFlags
    ) -> None:
        special = make_special(root / kind, kind)
        with ThreadPoolExecutor(1) as pool:
            try:
                error = pool.submit(code_of, lambda: fs.open(b"/" + kind.encode(), flags, None)).result(timeout=10)
            except TimeoutError:
                os.close(os.open(root / kind, os.O_RDWR | os.O_NONBLOCK))  # lets the thread go
                raise
        assert error == errno.ENXIO or (kind == "device" and error == errno.EACCES)  # mounted with nodev
        special()

    def test_a_trailing_newline_and_odd_bytes_are_part_of_the_name(self, fs: RootedFileSystem, root: Path) -> None:
        for name in (b"a\n", b"\xff\xfe", b" ", b"-rf", b"\\..\\", b"n" * 255):
            write(fs, b"/" + name, W | CREAT | EXCL, b"x")
        assert sorted(os.listdir(os.fsencode(root))) == sorted(
            [b"a\n", b"\xff\xfe", b" ", b"-rf", b"\\..\\", b"n" * 255]
        )


def make_special(path: Path, kind: str) -> Callable[[], None]:
    """Returns what to call in the end."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        listener = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(path.parent)  # the address holds 108 bytes
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)
        return listener.close
    else:
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("making a device needs privileges")
    return lambda: None


class TestStat:
    def test_every_field_is_that_of_the_kernel(self, fs: RootedFileSystem, root: Path) -> None:
        path = root / "f"
        path.write_bytes(b"12345")
        os.link(path, root / "second")
        os.utime(path, ns=(1_111_111_111_222_333_444, 1_222_222_222_333_444_555))
        expected = path.stat()
        fd = os.open(path, os.O_RDONLY)
        for a in (fs.stat(b"/f"), fs.lstat(b"/f"), fs.fstat(fd)):
            assert (a.size, a.uid, a.gid, a.permissions) == (
                5,
                expected.st_uid,
                expected.st_gid,
                expected.st_mode,
            )
            assert (a.atime, a.atime_ns, a.mtime, a.mtime_ns) == (
                1111111111,
                222333444,
                1222222222,
                333444555,
            )
            assert (a.ctime, a.ctime_ns) == divmod(expected.st_ctime_ns, 10**9)
            assert (a.link_count, a.file_type) == (2, FileType.REGULAR)
        os.close(fd)

    def test_lstat_shows_the_link_and_stat_what_it_leads_to(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "d").mkdir()
        (root / "link").symlink_to("/d")
        assert fs.lstat(b"/link").file_type == FileType.SYMLINK
        assert fs.stat(b"/link").file_type == FileType.DIRECTORY

    def test_missing_names_and_files_as_directories_are_told_apart(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").touch()
        assert code_of(lambda: fs.stat(b"/nothing")) == errno.ENOENT
        assert code_of(lambda: fs.stat(b"/f/x")) == errno.ENOTDIR
        assert code_of(lambda: fs.stat(b"/" + b"n" * 256)) == errno.ENAMETOOLONG
        assert code_of(lambda: fs.stat(b"/n" * 2049)) == errno.ENAMETOOLONG

    def test_space_is_that_of_the_file_system(self, fs: RootedFileSystem, root: Path) -> None:
        expected = os.statvfs(root)
        fd = os.open(root, os.O_RDONLY)
        for result in (fs.statvfs(b"/"), fs.fstatvfs(fd)):
            assert (result.f_frsize, result.f_blocks) == (expected.f_frsize, expected.f_blocks)
        os.close(fd)
