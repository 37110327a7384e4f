"""A file system of which only the home directory may be used, under the paths it has in the whole tree."""

import os
from errno import EACCES

from libsshd.fs.base import Content, Directory, Draft, ServedFileSystem, below, normalise
from libsshd.wire.messages import Attributes


class RestrictedFileSystem:
    """`home`, a normalised path, and what is below it. Implements FileSystem (documented: RestrictUserToHomeDir).

    Every other path is PermissionError (EACCES), whether it exists or not. So is one that an absolute link or ".."
    leads out of the home, even if it would come back: only relative links within the home work. The home itself is
    neither removed nor renamed. `inside` is rooted at the home and belongs to this object from now on.
    """

    def __init__(self, inside: ServedFileSystem, home: bytes) -> None:
        self._inside = inside
        self._home = home

    def close(self) -> None:
        """To be called when no thread uses it any more; what is opened through it stays open."""
        self._inside.close()

    def _below(self, path: bytes) -> bytes:
        return below(path, self._home)

    def _name(self, path: bytes) -> bytes:
        """A name that may be taken away, which the home may not."""
        if path == self._home:
            raise OSError(EACCES, os.strerror(EACCES))
        return below(path, self._home)

    def native_files(self, *, read_only: bool = False, uploads: bool = False) -> None:
        """None: C knows no homes."""

    def open(self, path: bytes, flags: int, permissions: int | None, *, nofollow: bool = False) -> int:
        return self._inside.open(self._below(path), flags, permissions, nofollow=nofollow)

    def create(self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False) -> int:
        return self._inside.create(self._below(path), flags, initial, nofollow=nofollow)

    def upload(
        self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False, resumable: bool = False
    ) -> Draft | None:
        return self._inside.upload(self._below(path), flags, initial, nofollow=nofollow, resumable=resumable)

    def copy(self, path: bytes, permissions: int, *, exclusive: bool, durable: bool) -> Draft:
        return self._inside.copy(self._name(path), permissions, exclusive=exclusive, durable=durable)

    def content(self, fd: int) -> Content | None:
        return self._inside.content(fd)

    def opendir(self, path: bytes, *, clock: bool = True) -> Directory:
        return self._inside.opendir(self._below(path), clock=clock)

    def stat(self, path: bytes) -> Attributes:
        return self._inside.stat(self._below(path))

    def lstat(self, path: bytes) -> Attributes:
        return self._inside.lstat(self._below(path))

    def fstat(self, fd: int) -> Attributes:
        return self._inside.fstat(fd)

    def setstat(self, path: bytes, attributes: Attributes) -> None:
        self._inside.setstat(self._below(path), attributes)

    def lsetstat(self, path: bytes, attributes: Attributes) -> None:
        self._inside.lsetstat(self._below(path), attributes)

    def fsetstat(self, fd: int, attributes: Attributes) -> None:
        self._inside.fsetstat(fd, attributes)

    def mkdir(self, path: bytes, permissions: int | None) -> None:
        self._inside.mkdir(self._below(path), permissions)

    def create_directory(self, path: bytes, initial: Attributes) -> None:
        self._inside.create_directory(self._below(path), initial)

    def rmdir(self, path: bytes) -> None:
        self._inside.rmdir(self._name(path))

    def remove(self, path: bytes) -> None:
        self._inside.remove(self._name(path))

    def leads_to(self, path: bytes, fd: int) -> bool:
        return self._inside.leads_to(self._below(path), fd)

    def remove_same(self, path: bytes, fd: int) -> None:
        self._inside.remove_same(self._name(path), fd)

    def rename(self, old: bytes, new: bytes, *, overwrite: bool) -> None:
        self._inside.rename(self._name(old), self._name(new), overwrite=overwrite)

    def symlink(self, target: bytes, link: bytes) -> None:
        self._inside.symlink(target, self._below(link))

    def readlink(self, path: bytes) -> bytes:
        return self._inside.readlink(self._below(path))

    def link(self, old: bytes, new: bytes) -> None:
        self._inside.link(self._below(old), self._below(new))

    def realpath(self, path: bytes) -> bytes:
        path = normalise(path)
        self._below(path)
        return path

    def statvfs(self, path: bytes) -> os.statvfs_result:
        return self._inside.statvfs(self._below(path))

    def fstatvfs(self, fd: int) -> os.statvfs_result:
        return self._inside.fstatvfs(fd)
