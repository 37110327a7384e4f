"""Operations that make, move and remove names, resolved by openat2 and by the walk alike."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from libsshd.constants import OpenFlags
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes

from .outcome import code_of

R, W, CREAT, EXCL = OpenFlags.READ, OpenFlags.WRITE, OpenFlags.CREAT, OpenFlags.EXCL


class TestNames:
    @pytest.mark.parametrize(
        ("operation", "expected"),
        [
            (lambda fs, p: fs.mkdir(p, None), errno.EEXIST),
            (lambda fs, p: fs.rmdir(p), errno.EBUSY),
            (lambda fs, p: fs.remove(p), errno.EISDIR),
            (lambda fs, p: fs.symlink(b"x", p), errno.EEXIST),
            (lambda fs, p: fs.rename(p, b"/x", overwrite=False), errno.EBUSY),
            (lambda fs, p: fs.rename(b"/f", p, overwrite=False), errno.EEXIST),
            (lambda fs, p: fs.rename(b"/f", p, overwrite=True), errno.EBUSY),
            (lambda fs, p: fs.link(p, b"/x"), errno.EPERM),
            (lambda fs, p: fs.link(b"/f", p), errno.EEXIST),
            (lambda fs, p: fs.readlink(p), errno.EINVAL),
        ],
    )
    def test_the_root_answers_as_the_kernel_does(
        self,
        fs: RootedFileSystem,
        root: Path,
        operation: Callable[[RootedFileSystem, bytes], object],
        expected: int,
    ) -> None:
        (root / "f").touch()
        assert code_of(lambda: operation(fs, b"/")) == expected

    @pytest.mark.parametrize(("permissions", "expected"), [(None, 0o755), (0o700, 0o700), (0o41777, 0o1755)])
    def test_mkdir_takes_the_mode_under_the_umask(
        self,
        fs: RootedFileSystem,
        root: Path,
        umask: Callable[[int], None],
        permissions: int | None,
        expected: int,
    ) -> None:
        umask(0o022)
        fs.mkdir(b"/d", permissions)
        assert stat.S_IMODE((root / "d").stat().st_mode) == expected

    def test_mkdir_wants_a_new_name_in_an_old_directory(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").touch()
        (root / "dangling").symlink_to("nowhere")
        assert code_of(lambda: fs.mkdir(b"/f", None)) == errno.EEXIST
        assert code_of(lambda: fs.mkdir(b"/dangling", None)) == errno.EEXIST
        assert code_of(lambda: fs.mkdir(b"/no/d", None)) == errno.ENOENT
        assert code_of(lambda: fs.mkdir(b"/f/d", None)) == errno.ENOTDIR

    def test_rmdir_takes_only_empty_directories(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "d" / "e").mkdir(parents=True)
        (root / "f").touch()
        (root / "link").symlink_to("d/e")
        assert code_of(lambda: fs.rmdir(b"/d")) == errno.ENOTEMPTY
        assert code_of(lambda: fs.rmdir(b"/f")) == errno.ENOTDIR
        assert code_of(lambda: fs.rmdir(b"/link")) == errno.ENOTDIR
        fs.rmdir(b"/d/e")
        assert not (root / "d" / "e").exists()

    def test_remove_takes_a_link_and_not_what_it_leads_to(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "d").mkdir()
        (root / "link").symlink_to("d")
        assert code_of(lambda: fs.remove(b"/d")) == errno.EISDIR
        fs.remove(b"/link")
        assert (root / "d").is_dir()
        assert not (root / "link").is_symlink()

    def test_rename_replaces_only_when_asked(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "a").write_bytes(b"a")
        (root / "b").write_bytes(b"b")
        assert code_of(lambda: fs.rename(b"/a", b"/b", overwrite=False)) == errno.EEXIST
        assert (root / "b").read_bytes() == b"b"
        fs.rename(b"/a", b"/b", overwrite=True)
        assert os.listdir(root) == ["b"]
        assert (root / "b").read_bytes() == b"a"

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_rename_between_directories(self, fs: RootedFileSystem, root: Path, overwrite: bool) -> None:
        (root / "one" / "d").mkdir(parents=True)
        (root / "two").mkdir()
        (root / "one" / "link").symlink_to("nowhere")
        fs.rename(b"/one/d", b"/two/e", overwrite=overwrite)
        fs.rename(b"/one/link", b"/two/link", overwrite=overwrite)
        assert (root / "two" / "e").is_dir()
        assert os.readlink(root / "two" / "link") == "nowhere"
        assert code_of(lambda: fs.rename(b"/two", b"/two/e/two", overwrite=overwrite)) == errno.EINVAL
        assert code_of(lambda: fs.rename(b"/no", b"/x", overwrite=overwrite)) == errno.ENOENT

    def test_links_are_stored_as_given(self, fs: RootedFileSystem, root: Path) -> None:
        for target in (b"relative/../x", b"/absolute", b"../../up", b"\xff\n", b"t" * 4095):
            fs.symlink(target, b"/link")
            assert fs.readlink(b"/link") == target == os.readlink(os.fsencode(root / "link"))
            fs.remove(b"/link")
        assert code_of(lambda: fs.symlink(b"", b"/link")) == errno.ENOENT
        assert code_of(lambda: fs.symlink(b"t" * 4096, b"/link")) == errno.ENAMETOOLONG
        (root / "f").touch()
        assert code_of(lambda: fs.readlink(b"/f")) == errno.EINVAL
        assert code_of(lambda: fs.symlink(b"x", b"/f")) == errno.EEXIST

    def test_a_hard_link_does_not_follow(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"x")
        (root / "sym").symlink_to("f")
        fs.link(b"/f", b"/hard")
        fs.link(b"/sym", b"/sym2")
        assert (root / "hard").samefile(root / "f")
        assert os.readlink(root / "sym2") == "f"
        assert code_of(lambda: fs.link(b"/f", b"/hard")) == errno.EEXIST

    def test_a_nul_never_shortens_a_path(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"x")
        for call in (
            lambda: fs.remove(b"/f\0.txt"),
            lambda: fs.open(b"/f\0", R, None),
            lambda: fs.opendir(b"/\0"),
            lambda: fs.symlink(b"a\0b", b"/link"),
            lambda: fs.rename(b"/f", b"/g\0", overwrite=True),
        ):
            assert code_of(call) == errno.EINVAL
        assert os.listdir(root) == ["f"]

    def test_realpath_is_text(self, fs: RootedFileSystem) -> None:
        assert fs.realpath(b"/nothing/../here/.") == b"/here"


OPERATIONS: list[Callable[[RootedFileSystem, bytes], object]] = [
    lambda fs, p: os.close(fs.open(p, R, None)),
    lambda fs, p: os.close(fs.open(p, W | CREAT | EXCL, None)),
    lambda fs, p: fs.opendir(p).close(),
    lambda fs, p: fs.stat(p),
    lambda fs, p: fs.lstat(p),
    lambda fs, p: fs.setstat(p, Attributes(size=1, permissions=0o777)),
    lambda fs, p: fs.lsetstat(p, Attributes(mtime=1)),
    lambda fs, p: fs.readlink(p),
    lambda fs, p: fs.statvfs(p),
    lambda fs, p: fs.link(p, b"/d/hard"),
    lambda fs, p: fs.link(b"/f", p),
    lambda fs, p: fs.rename(p, b"/d/moved", overwrite=False),
    lambda fs, p: fs.rename(b"/f", p, overwrite=True),
    lambda fs, p: fs.symlink(b"x", p),
    lambda fs, p: fs.mkdir(p, None),
    lambda fs, p: fs.rmdir(p),
    lambda fs, p: fs.remove(p),
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_call_leaves_a_descriptor_behind(
    fs: RootedFileSystem, root: Path, operation: Callable[[RootedFileSystem, bytes], object]
) -> None:
    before = os.listdir("/proc/self/fd")
    for path in b"/ /d /d/e /d/e/new /f /f/x /link /link/new /loop /loop/x /missing/x".split():
        (root / "d" / "e").mkdir(parents=True)
        (root / "f").write_bytes(b"x")
        (root / "link").symlink_to("/d/../d/e")
        (root / "loop").symlink_to("loop")
        with contextlib.suppress(OSError):
            operation(fs, path)
        for entry in root.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    assert os.listdir("/proc/self/fd") == before
