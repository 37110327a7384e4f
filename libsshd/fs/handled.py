"""No file system at all: what lies between the events when there is no root directory.

What has an event succeeds and does nothing, for the handlers have done it; what has none is not supported.
"""

import os
from errno import EOPNOTSUPP
from typing import NoReturn

from libsshd.constants import Status
from libsshd.errors import StatusError
from libsshd.fs.base import NativeFiles, normalise
from libsshd.wire.messages import Attributes, Entry


class HandledDirectory:
    """A directory whose names, if any, a handler gives."""

    def read(self, limit: int) -> list[Entry]:
        return []

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        """There is nothing to let go of."""


def _unsupported() -> NoReturn:
    raise StatusError(Status.OP_UNSUPPORTED, os.strerror(EOPNOTSUPP))


class HandledFileSystem:
    """Implements FileSystem. Descriptors are -1: the files behind them are the handlers' own."""

    def native_files(self, *, read_only: bool, uploads: bool = False) -> NativeFiles | None:
        return None

    def open(self, path: bytes, flags: int, permissions: int | None, *, nofollow: bool = False) -> int:
        return -1

    def create(self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False) -> int:
        return -1

    def upload(
        self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False, resumable: bool = False
    ) -> None:
        """When an upload counts is for the handlers to say."""

    def copy(self, path: bytes, permissions: int, *, exclusive: bool, durable: bool) -> NoReturn:
        _unsupported()

    def content(self, fd: int) -> None:
        """There are no descriptors."""

    def opendir(self, path: bytes, *, clock: bool = True) -> HandledDirectory:
        return HandledDirectory()

    def stat(self, path: bytes) -> Attributes:
        return Attributes()

    def lstat(self, path: bytes) -> Attributes:
        return Attributes()

    def fstat(self, fd: int) -> Attributes:
        return Attributes()

    def setstat(self, path: bytes, attributes: Attributes) -> None:
        """Done by SetAttributes."""

    def lsetstat(self, path: bytes, attributes: Attributes) -> None:
        """Done by SetAttributes."""

    def fsetstat(self, fd: int, attributes: Attributes) -> None:
        """Done by SetAttributes."""

    def mkdir(self, path: bytes, permissions: int | None) -> None:
        """Done by DirCreate."""

    def create_directory(self, path: bytes, initial: Attributes) -> None:
        """Done by DirCreate."""

    def rmdir(self, path: bytes) -> None:
        """Done by DirRemove."""

    def remove(self, path: bytes) -> None:
        """Done by FileRemove."""

    def leads_to(self, path: bytes, fd: int) -> bool:
        return False

    def remove_same(self, path: bytes, fd: int) -> None:
        """Done by FileRemove."""

    def rename(self, old: bytes, new: bytes, *, overwrite: bool) -> None:
        """Done by FileRename."""

    def symlink(self, target: bytes, link: bytes) -> None:
        """Done by LinkCreate."""

    def link(self, old: bytes, new: bytes) -> None:
        """Done by LinkCreate."""

    def readlink(self, path: bytes) -> bytes:
        return b""

    def realpath(self, path: bytes) -> bytes:
        return normalise(path)

    def statvfs(self, path: bytes) -> os.statvfs_result:
        _unsupported()

    def fstatvfs(self, fd: int) -> os.statvfs_result:
        _unsupported()
