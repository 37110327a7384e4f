"""read_only denies by effect: whatever would change the tree, whatever its name or flags."""

import errno
import os
from pathlib import Path

import pytest

from libsshd.constants import OpenFlags
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes

from .outcome import code_of

R = OpenFlags.READ


class TestReadOnly:
    @pytest.fixture
    def tree(self, root: Path) -> Path:
        (root / "d").mkdir()
        (root / "f").write_bytes(b"kept")
        (root / "link").symlink_to("f")
        return root

    @staticmethod
    def snapshot(root: Path) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for path in sorted([root, *root.rglob("*")]):
            s = path.lstat()
            found.append((str(path), s.st_ino, s.st_mode, s.st_size, s.st_nlink, s.st_mtime_ns, s.st_ctime_ns))
        return found

    @pytest.mark.parametrize("walk", [False, True])
    def test_every_change_is_denied(self, tree: Path, walk: bool) -> None:
        fs = RootedFileSystem(str(tree), read_only=True, walk=walk)
        before = self.snapshot(tree)
        fd = os.open(tree / "f", os.O_RDWR)
        for call in (
            lambda: fs.mkdir(b"/new", None),
            lambda: fs.rmdir(b"/d"),
            lambda: fs.remove(b"/f"),
            lambda: fs.rename(b"/f", b"/g", overwrite=False),
            lambda: fs.rename(b"/f", b"/g", overwrite=True),
            lambda: fs.symlink(b"f", b"/new"),
            lambda: fs.link(b"/f", b"/new"),
            lambda: fs.setstat(b"/f", Attributes(permissions=0)),
            lambda: fs.lsetstat(b"/link", Attributes(mtime=0)),
            lambda: fs.fsetstat(fd, Attributes(size=0)),
        ):
            assert code_of(call) == errno.EROFS
        os.close(fd)
        assert self.snapshot(tree) == before
        fs.close()

    def test_no_set_of_flags_opens_for_writing_or_creates(self, tree: Path) -> None:
        fs = RootedFileSystem(str(tree), read_only=True)
        before = self.snapshot(tree)
        for bits in range(128):
            for path in (b"/f", b"/missing", b"/link", b"/d/missing"):
                try:
                    fd = fs.open(path, OpenFlags(bits), 0o666)
                except OSError as error:
                    assert error.errno == (errno.EROFS if bits & 0x1E else errno.ENOENT)
                else:
                    assert not bits & 0x1E
                    with pytest.raises(OSError):
                        os.write(fd, b"x")
                    os.close(fd)
        assert self.snapshot(tree) == before
        fs.close()

    def test_reading_goes_on(self, tree: Path) -> None:
        fs = RootedFileSystem(str(tree), read_only=True)
        os.close(fs.open(b"/link", R, None))
        directory = fs.opendir(b"/")
        assert {entry.name for entry in directory.read(10)} == {b".", b"..", b"d", b"f", b"link"}
        directory.close()
        assert fs.readlink(b"/link") == b"f"
        fs.close()
