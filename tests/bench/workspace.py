"""The files of a benchmark: one temporary directory on tmpfs, gone when the run ends."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

MIB = 1 << 20
SMALL_SIZE = 4096  # bytes
FILES_PER_DIRECTORY = 100


class BenchError(Exception):
    """A sentence for the person who runs the benchmark."""


def digest(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(root: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file below `root`."""
    return {str(path.relative_to(root)): digest(path) for path in root.rglob("*") if path.is_file()}


def discard(path: Path) -> None:
    """Remove a file or a tree that may not exist."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Workspace:
    """`root` is what the servers serve, `local` the client's side; `path` holds keys, configurations, logs.

    The parent must be a tmpfs with room for three times the largest transfer.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent

    def __enter__(self) -> Workspace:
        self.path = Path(tempfile.mkdtemp(prefix="libsshd-bench-", dir=self._parent))
        self.root = self.path / "root"
        self.local = self.path / "local"
        self.root.mkdir()
        self.local.mkdir()
        self.user_key = self._make_key("user")
        self.host_key = self._make_key("host")
        self.authorized_keys = self.path / "user.pub"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _make_key(self, name: str) -> Path:
        path = self.path / name
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(path)],
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return path

    def big(self, mib: int) -> Path:
        """A served file of `mib` MiB that does not compress; made on first use."""
        path = self.root / f"big-{mib}.bin"
        if not path.exists():
            self._need(3 * mib * MIB)
            with path.open("wb") as file:
                for _ in range(mib):
                    file.write(os.urandom(MIB))
        return path

    def small(self, count: int) -> Path:
        """A served tree of `count` files of 4 KiB, a hundred to a directory; made on first use."""
        path = self.root / f"small-{count}"
        if not path.exists():
            for number in range(count):
                folder = path / f"part-{number // FILES_PER_DIRECTORY:03d}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"file-{number:05d}.dat").write_bytes(os.urandom(SMALL_SIZE))
        return path

    def many(self, count: int) -> Path:
        """A served directory of `count` empty files; made on first use."""
        path = self.root / f"many-{count}"
        if not path.exists():
            path.mkdir()
            for number in range(count):
                (path / f"entry-{number:06d}.txt").touch()
        return path

    def warm(self, mib: int) -> None:
        """Touch `mib` MiB of memory, so that no server has to be the first.

        On a virtual machine the first use of a page costs several times the later ones.
        """
        self._need(mib * MIB)
        path = self.path / "warm"
        with path.open("wb") as file:
            for _ in range(mib):
                file.write(bytes(MIB))
        path.unlink()

    def _need(self, size: int) -> None:
        free = shutil.disk_usage(self.path).free
        if free < size:
            raise BenchError(f"{self._parent} has {free // MIB} MiB free, {size // MIB} MiB are needed")
