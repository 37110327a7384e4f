"""Where the kernel, a sandbox or a file system lacks a call, the operation still does what it says."""

import errno
import multiprocessing
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from libsshd.constants import AttribBits, OpenFlags
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes
from tests.native import faulty
from tests.support import seccomp
from tests.support.command import run

from .outcome import code_of

pytestmark = pytest.mark.skipif(not seccomp.SUPPORTED, reason="the filters name calls of x86-64")

Denial = tuple[int, int, tuple[int, int] | None]
AT_EMPTY_PATH = 0x1000
HIDDEN, SPARSE = int(AttribBits.HIDDEN), int(AttribBits.SPARSE)


def run_denied(root: Path, denials: list[Denial], scenario: Callable[[RootedFileSystem, Path], None]) -> None:
    """Runs the scenario in a process of its own: a filter cannot be taken back."""

    def body() -> None:
        for denial in denials:
            seccomp.deny(*denial)
        with RootedFileSystem(str(root)) as fs:
            scenario(fs, root)
        faulty.dump()

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join()
    assert process.exitcode == 0


def use_everything(fs: RootedFileSystem, root: Path) -> None:
    fs.mkdir(b"/d", None)
    fs.symlink(b"/d/../../../d", b"/link")
    os.close(fs.open(b"/link/f", OpenFlags.WRITE | OpenFlags.CREAT, None))
    fs.setstat(b"/link/f", Attributes(size=3, permissions=0o640, atime=1, mtime=2))
    fs.rename(b"/d/f", b"/d/g", overwrite=False)
    fs.link(b"/d/g", b"/h")
    after = (root / "h").stat()
    assert (after.st_size, stat.S_IMODE(after.st_mode), after.st_mtime) == (3, 0o640, 2)
    assert {entry.name for entry in fs.opendir(b"/link").read(10)} == {b".", b"..", b"g"}
    assert code_of(lambda: fs.stat(b"/missing")) == errno.ENOENT


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM, errno.EAGAIN])
def test_without_openat2_or_when_it_never_settles_paths_are_walked(root: Path, error: int) -> None:
    def scenario(fs: RootedFileSystem, root: Path) -> None:
        (root / "out").symlink_to(root.parent)
        assert code_of(lambda: fs.stat(b"/out")) == errno.ENOENT
        use_everything(fs, root)

    run_denied(root, [(seccomp.OPENAT2, error, None)], scenario)


def test_a_program_is_run_as_on_a_kernel_without_openat2() -> None:
    """What the tests of servers in processes of their own rely on."""
    asked = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.syscall(437, 0, 0, 0, 0)"
    told = f"{asked}; print(ctypes.get_errno())"
    assert run(seccomp.without(["openat2"], [sys.executable, "-c", told]), home=Path("/")) == b"%d\n" % errno.ENOSYS


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
def test_without_statx_all_is_known_but_what_it_alone_tells(root: Path, error: int) -> None:
    (root / ".file").write_bytes(b"12345")
    with RootedFileSystem(str(root)) as whole:
        expected = whole.lstat(b"/.file")
    expected.createtime, expected.createtime_ns = None, 0
    expected.attrib_bits_valid = HIDDEN | SPARSE

    def scenario(fs: RootedFileSystem, root: Path) -> None:
        assert fs.lstat(b"/.file") == fs.stat(b"/.file") == expected
        assert {entry.name: entry.attributes for entry in fs.opendir(b"/").read(9)}[b".file"] == expected
        use_everything(fs, root)

    run_denied(root, [(seccomp.STATX, error, None)], scenario)


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
def test_without_fchmodat2_the_mode_is_set_through_proc(root: Path, error: int) -> None:
    run_denied(root, [(seccomp.FCHMODAT2, error, None)], use_everything)


def test_without_the_empty_path_times_are_set_through_proc(root: Path) -> None:
    def scenario(fs: RootedFileSystem, root: Path) -> None:
        use_everything(fs, root)
        (root / "dangling").symlink_to("nowhere")
        fs.lsetstat(b"/dangling", Attributes(atime=1, mtime=2))
        assert (root / "dangling").lstat().st_mtime == 2

    run_denied(root, [(seccomp.UTIMENSAT, errno.EINVAL, (3, AT_EMPTY_PATH))], scenario)


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EINVAL])
def test_without_noreplace_rename_still_replaces_nothing(root: Path, error: int) -> None:
    def scenario(fs: RootedFileSystem, root: Path) -> None:
        use_everything(fs, root)
        (root / "a").write_bytes(b"a")
        (root / "b").write_bytes(b"b")
        (root / "d" / "e").mkdir()
        (root / "dangling").symlink_to("nowhere")
        for old, new in (
            (b"/a", b"/b"),
            (b"/a", b"/d"),
            (b"/d", b"/a"),
            (b"/d", b"/dangling"),
            (b"/a", b"/dangling"),
        ):
            assert code_of(fs.rename, old, new, overwrite=False) == errno.EEXIST
        assert code_of(lambda: fs.rename(b"/d", b"/d/e/d", overwrite=False)) == errno.EINVAL
        assert code_of(lambda: fs.rename(b"/missing", b"/x", overwrite=False)) == errno.ENOENT
        fs.rename(b"/a", b"/d/e/a", overwrite=False)
        fs.rename(b"/d/e", b"/e", overwrite=False)
        fs.rename(b"/dangling", b"/e/moved", overwrite=False)
        assert sorted(os.listdir(root / "e")) == ["a", "moved"]
        assert os.readlink(root / "e" / "moved") == "nowhere"
        assert (root / "e" / "a").read_bytes() == b"a"
        assert not os.path.lexists(root / "a")

    run_denied(root, [(seccomp.RENAMEAT2, error, None)], scenario)


def test_where_hard_links_are_missing_too_rename_looks_first(root: Path) -> None:
    def scenario(fs: RootedFileSystem, root: Path) -> None:
        (root / "a").write_bytes(b"a")
        (root / "b").write_bytes(b"b")
        assert code_of(lambda: fs.rename(b"/a", b"/b", overwrite=False)) == errno.EEXIST
        fs.rename(b"/a", b"/c", overwrite=False)
        assert sorted(os.listdir(root)) == ["b", "c"]

    linkat = 265
    run_denied(root, [(seccomp.RENAMEAT2, errno.EINVAL, None), (linkat, errno.EPERM, None)], scenario)
