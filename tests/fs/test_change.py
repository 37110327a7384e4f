"""SETSTAT and its like: everything given reaches one object, in one order."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes

from .outcome import code_of


@pytest.fixture(params=["path", "descriptor"])
def change(
    fs: RootedFileSystem, root: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[Attributes], None]]:
    """Applies attributes to /f by its path or by a descriptor."""
    (root / "f").write_bytes(b"12345")
    fd = os.open(root / "f", os.O_RDWR)
    if request.param == "path":
        yield lambda attributes: fs.setstat(b"/f", attributes)
    else:
        yield lambda attributes: fs.fsetstat(fd, attributes)
    os.close(fd)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs privileges")


class TestSetstat:
    def test_size(self, change: Callable[[Attributes], None], root: Path) -> None:
        change(Attributes(size=3))
        assert (root / "f").read_bytes() == b"123"
        change(Attributes(size=5))
        assert (root / "f").read_bytes() == b"123\0\0"

    def test_mode_is_the_low_twelve_bits(self, change: Callable[[Attributes], None], root: Path) -> None:
        change(Attributes(permissions=0o100751))
        assert (root / "f").stat().st_mode == 0o100751

    def test_one_time_leaves_the_other_alone(self, change: Callable[[Attributes], None], root: Path) -> None:
        change(Attributes(atime=100, mtime=200, atime_ns=1, mtime_ns=2))
        change(Attributes(mtime=300))
        after = (root / "f").stat()
        assert (after.st_atime_ns, after.st_mtime_ns) == (100 * 10**9 + 1, 300 * 10**9)

    @needs_root
    def test_one_owner_leaves_the_other_alone(self, change: Callable[[Attributes], None], root: Path) -> None:
        change(Attributes(uid=12, gid=34))
        change(Attributes(gid=56))
        assert ((root / "f").stat().st_uid, (root / "f").stat().st_gid) == (12, 56)

    @needs_root
    def test_the_mode_survives_the_change_of_owner_and_size(
        self, change: Callable[[Attributes], None], root: Path
    ) -> None:
        change(Attributes(size=1, uid=12, gid=34, permissions=0o6755, atime=1, mtime=2))
        after = (root / "f").stat()
        assert (after.st_size, after.st_mode, after.st_mtime) == (1, 0o106755, 2)

    def test_nothing_given_changes_nothing(self, change: Callable[[Attributes], None], root: Path) -> None:
        before = (root / "f").stat()
        change(Attributes())
        assert (root / "f").stat().st_ctime_ns == before.st_ctime_ns

    @pytest.mark.parametrize(
        ("attributes", "expected"),
        [
            (Attributes(size=2**63), errno.EFBIG),
            (Attributes(size=2**64), errno.EINVAL),
            (Attributes(uid=2**32), errno.EINVAL),
            (Attributes(mtime=2**64), errno.EINVAL),
            (Attributes(mtime=0, mtime_ns=(1 << 30) - 1), errno.EINVAL),
            (Attributes(atime=0, atime_ns=(1 << 30) - 2), errno.EINVAL),
        ],
    )
    def test_values_out_of_range_are_refused_before_anything_changes(
        self, change: Callable[[Attributes], None], root: Path, attributes: Attributes, expected: int
    ) -> None:
        attributes.permissions = 0o600
        (root / "f").chmod(0o644)
        assert code_of(lambda: change(attributes)) == expected
        assert (root / "f").stat().st_mode == 0o100644

    def test_the_first_failure_stops(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "d").mkdir(mode=0o755)
        assert code_of(lambda: fs.setstat(b"/d", Attributes(size=1, permissions=0o700))) == errno.EISDIR
        assert stat.S_IMODE((root / "d").stat().st_mode) == 0o755

    def test_a_fifo_has_no_size_and_holds_nobody(self, fs: RootedFileSystem, root: Path) -> None:
        os.mkfifo(root / "fifo")
        assert code_of(lambda: fs.setstat(b"/fifo", Attributes(size=0))) == errno.EINVAL

    def test_size_needs_a_writable_descriptor(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"12345")
        fd = os.open(root / "f", os.O_RDONLY)
        assert code_of(lambda: fs.fsetstat(fd, Attributes(size=1))) == errno.EINVAL
        os.close(fd)

    def test_setstat_follows_a_link_inside_the_root(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"12345")
        (root / "link").symlink_to("/f")
        fs.setstat(b"/link", Attributes(size=2, permissions=0o600, atime=1, mtime=2))
        after = (root / "f").stat()
        assert (after.st_size, after.st_mode, after.st_mtime) == (2, 0o100600, 2)

    def test_lsetstat_changes_the_link_itself(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").touch(mode=0o644)
        (root / "link").symlink_to("/f")
        before = (root / "f").stat()
        fs.lsetstat(b"/link", Attributes(atime=1, mtime=2, uid=os.geteuid(), gid=os.getegid()))
        assert code_of(lambda: fs.lsetstat(b"/link", Attributes(permissions=0o600))) == errno.EOPNOTSUPP
        assert code_of(lambda: fs.lsetstat(b"/link", Attributes(size=1))) == errno.EINVAL
        assert (root / "link").lstat().st_mtime == 2
        assert (root / "f").stat() == before

    def test_lsetstat_takes_the_mode_that_every_link_has(self, fs: RootedFileSystem, root: Path) -> None:
        """asyncssh sends it when it preserves the attributes of a tree."""
        (root / "f").touch(mode=0o600)
        (root / "link").symlink_to("/f")
        fs.lsetstat(b"/link", Attributes(permissions=0o120777, atime=1, mtime=2))
        assert (root / "link").lstat().st_mtime == 2
        fs.lsetstat(b"/link", Attributes(permissions=0o777))
        assert (root / "f").stat().st_mode == 0o100600
        fs.lsetstat(b"/f", Attributes(permissions=0o777))
        assert (root / "f").stat().st_mode == 0o100777

    def test_lsetstat_of_a_file_is_setstat(self, fs: RootedFileSystem, root: Path) -> None:
        (root / "f").write_bytes(b"12345")
        fs.lsetstat(b"/f", Attributes(size=2, permissions=0o600))
        assert ((root / "f").stat().st_size, (root / "f").stat().st_mode) == (2, 0o100600)
