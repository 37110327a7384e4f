"""A directory of this machine as a file system; nothing outside it can be reached or told from missing.

The kernel resolves every path below one descriptor (path.c), so neither the text of a path nor a link nor a rename in
mid-way leads out. A link's target is resolved inside the root, as under chroot. For one user, a directory below the
root can become a root of its own (`beneath`), or the only part of the tree that may be used (`restricted_to`).
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from errno import EACCES, EINVAL, EROFS
from functools import cache
from stat import S_ISLNK
from types import TracebackType
from typing import Self
from weakref import finalize

from libsshd._native import path as native
from libsshd.constants import OpenFlags
from libsshd.fs.base import NativeFiles, normalise
from libsshd.fs.changes import change_of, initial_change, sets_more
from libsshd.fs.listing import ListedEntry, Listing, attributes_of
from libsshd.fs.restricted import RestrictedFileSystem
from libsshd.fs.sweep import Swept, sweep
from libsshd.fs.upload import Upload, copy, is_temporary, upload
from libsshd.wire.messages import Attributes

_MODE_BITS = 0o7777
_FILE_MODE = 0o666
_DIRECTORY_MODE = 0o777
_LINK_MODE = 0o777
_ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC

# Plain integers: testing IntFlag members costs more than opening the file.
_READ, _WRITE, _APPEND = int(OpenFlags.READ), int(OpenFlags.WRITE), int(OpenFlags.APPEND)
_CREAT, _TRUNC, _EXCL = int(OpenFlags.CREAT), int(OpenFlags.TRUNC), int(OpenFlags.EXCL)
_ACCESS = {0: os.O_RDONLY, _READ: os.O_RDONLY, _WRITE: os.O_WRONLY, _READ | _WRITE: os.O_RDWR}
_CHANGING = _WRITE | _APPEND | _CREAT | _TRUNC
_KNOWN = _READ | _EXCL | _CHANGING


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@cache
def _open_flags(flags: int) -> int:
    """O_* of the SSH_FXF bits. EXCL means nothing without CREAT; neither READ nor WRITE means reading, as in OpenSSH.

    TRUNC without WRITE is EINVAL: the kernel would refuse it only after the file was created.
    """
    if flags & _TRUNC and not flags & _WRITE:
        raise _error(EINVAL)
    result = _ACCESS[flags & (_READ | _WRITE)]
    if flags & _APPEND:
        result |= os.O_APPEND
    if flags & _TRUNC:
        result |= os.O_TRUNC
    if flags & _CREAT:
        result |= os.O_CREAT | (os.O_EXCL if flags & _EXCL else 0)
    return result


@cache
def _native_flags(read_only: bool, uploads: bool) -> tuple[int, ...]:
    """`_open_flags` of every combination; -1 where it would raise, something would change that must not, or more is
    to be done than opening.
    """

    def of(flags: int) -> int:
        forbidden = (flags & _TRUNC and not flags & _WRITE) or (read_only and flags & _CHANGING)
        return -1 if forbidden or (uploads and flags & _WRITE) else _open_flags(flags)

    return tuple(map(of, range(64)))


def _mode(permissions: int | None, default: int) -> int:
    return default if permissions is None else permissions & _MODE_BITS


class RootedDirectory:
    """An open directory. Entries that vanish while they are read are left out."""

    def __init__(self, fs: "RootedFileSystem", fd: int, *, clock: bool) -> None:
        self._fs = fs  # whose root must stay open as long as ".." is compared with it
        self._fd = fd
        self._listing = Listing(time.time(), clock=clock)
        self._waiting: list[ListedEntry] = []

    def read(self, limit: int) -> list[ListedEntry]:
        """At most `limit` further entries, [] at the end."""
        if not self._waiting:
            names, stats = native.read_directory(self._fs.fileno(), self.fileno())
            self._waiting = self._listing.entries(names, stats)
        result, self._waiting = self._waiting[:limit], self._waiting[limit:]
        return result

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class RootedFileSystem:
    """The tree below `root`, which any number of threads may share. Implements FileSystem.

    read_only denies with EROFS whatever would change something, whatever its name or flags. walk resolves paths
    without openat2 even where the kernel has it. Raises FileNotFoundError, NotADirectoryError or another OSError
    about `root`.

    The root's descriptor is closed once: by `close`, or when the last reference is dropped.
    """

    def __init__(self, root: str | bytes, *, read_only: bool = False, walk: bool = False) -> None:
        self._own(os.open(root, _ROOT_FLAGS), native.WALK if walk else 0, read_only=read_only)

    def _own(self, root: int, rules: int, *, read_only: bool) -> None:
        self._root = root
        self._rules = rules
        self._read_only = read_only
        self._closing = finalize(self, os.close, root)
        self._closing.atexit = False  # threads may still serve then

    def _at(self, path: bytes, rules: int) -> "RootedFileSystem":
        fs = RootedFileSystem.__new__(RootedFileSystem)
        fs._own(native.resolve(self._root, path, _ROOT_FLAGS, rules=self._rules), rules, read_only=self._read_only)
        return fs

    def beneath(self, path: bytes) -> "RootedFileSystem":
        """The directory `path` as a root of its own, independent of this one; links are resolved inside it.

        Raises FileNotFoundError, NotADirectoryError or another OSError about `path` (documented: UserRootDirectory).
        """
        return self._at(path, self._rules)

    def restricted_to(self, home: bytes) -> "RootedFileSystem | RestrictedFileSystem":
        """The same paths, but only the directory `home` and what is below it may be used; b"/" narrows nothing.

        Independent of this one. What a link leads to counts, not what it is called: see RestrictedFileSystem. Raises
        OSError as `beneath` does (documented: RestrictUserToHomeDir).
        """
        home = normalise(home)
        if home == b"/":
            return self.beneath(home)
        return RestrictedFileSystem(self._at(home, self._rules | native.BENEATH), home)

    def fileno(self) -> int:
        """The root's descriptor, -1 when closed; owned by this object."""
        return self._root

    def close(self) -> None:
        """To be called when no thread uses it any more; what is opened through it stays open."""
        self._root = -1
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _writing(self) -> None:
        if self._read_only:
            raise _error(EROFS)

    @staticmethod
    def _no_temporary(*paths: bytes) -> None:
        """What is uploaded or copied is its owner's alone until it has its name, which handlers are asked about."""
        for path in paths:
            if b"/.libsshd-" in path and is_temporary(path[path.rindex(b"/") + 1 :]):
                raise _error(EACCES)

    def native_files(self, *, read_only: bool = False, uploads: bool = False) -> NativeFiles:
        flags = _native_flags(self._read_only or read_only, uploads)
        return NativeFiles(self._root, bool(self._rules & native.WALK), flags)

    def open(self, path: bytes, flags: int, permissions: int | None, *, nofollow: bool = False) -> int:
        if flags & _CHANGING:
            self._writing()
        self._no_temporary(path)
        how = _open_flags(flags & _KNOWN) | (os.O_NOFOLLOW if nofollow else 0)
        return native.open_file(self._root, path, how, _mode(permissions, _FILE_MODE), rules=self._rules)

    def create(self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False) -> int:
        """What exists is opened first: its attributes are not looked at, however strange.

        A link that leads to nothing is only opened in passing, so a file made behind it has the mode alone.
        """
        if not sets_more(initial):
            return self.open(path, flags, initial.permissions, nofollow=nofollow)
        if not flags & _EXCL:
            with suppress(FileNotFoundError):
                return self.open(path, flags & ~_CREAT, None, nofollow=nofollow)
        change = initial_change(initial)
        try:
            fd = self.open(path, flags | _EXCL, initial.permissions, nofollow=nofollow)
        except FileExistsError:
            if flags & _EXCL:
                raise
            return self.open(path, flags, initial.permissions, nofollow=nofollow)
        try:
            change.apply_to_file(fd)
        except BaseException:
            with suppress(OSError):
                self.remove_same(path, fd)
            os.close(fd)
            raise
        return fd

    def upload(
        self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False, resumable: bool = False
    ) -> Upload | None:
        self._writing()
        self._no_temporary(path)
        mode = _mode(initial.permissions, _FILE_MODE)
        begun = upload(
            self._root, path, _open_flags(flags & _KNOWN), mode, rules=self._rules, nofollow=nofollow,
            resumable=resumable,
        )  # fmt: skip
        if begun is not None and begun.is_new and sets_more(initial):
            try:
                initial_change(initial).apply_to_file(begun.fd)
            except BaseException:
                begun.withdraw()
                os.close(begun.fd)
                raise
        return begun

    def copy(self, path: bytes, permissions: int, *, exclusive: bool, durable: bool) -> Upload:
        self._writing()
        self._no_temporary(path)
        return copy(self._root, path, permissions, rules=self._rules, exclusive=exclusive, durable=durable)

    def sweep(self, most: int, go_on: Callable[[Swept], bool]) -> Swept:
        """Removes temporaries that nobody holds any more; see `sweep`."""
        return sweep(self._root, self._rules, most, go_on)

    def content(self, fd: int) -> None:
        """None: the kernel does it all."""

    def opendir(self, path: bytes, *, clock: bool = True) -> RootedDirectory:
        return RootedDirectory(self, native.open_directory(self._root, path, rules=self._rules), clock=clock)

    def stat(self, path: bytes) -> Attributes:
        return attributes_of(native.stat(self._root, path, follow=True, rules=self._rules))

    def lstat(self, path: bytes) -> Attributes:
        return attributes_of(native.stat(self._root, path, follow=False, rules=self._rules))

    def fstat(self, fd: int) -> Attributes:
        return attributes_of(native.file_stat(fd))

    def setstat(self, path: bytes, attributes: Attributes) -> None:
        self._writing()
        self._no_temporary(path)
        change_of(attributes).apply(self._root, path, follow=True, rules=self._rules)

    def lsetstat(self, path: bytes, attributes: Attributes) -> None:
        self._writing()
        self._no_temporary(path)
        asked = attributes.permissions
        if asked is not None and asked & _MODE_BITS == _LINK_MODE and S_ISLNK(self.lstat(path).permissions or 0):
            attributes = replace(attributes, permissions=None)  # it has that mode, and no other can be set
        change_of(attributes).apply(self._root, path, follow=False, rules=self._rules)

    def fsetstat(self, fd: int, attributes: Attributes) -> None:
        self._writing()
        change_of(attributes).apply_to_file(fd)

    def mkdir(self, path: bytes, permissions: int | None) -> None:
        self._writing()
        native.mkdir(self._root, path, _mode(permissions, _DIRECTORY_MODE), rules=self._rules)

    def create_directory(self, path: bytes, initial: Attributes) -> None:
        self._writing()
        change = initial_change(initial)
        self.mkdir(path, initial.permissions)
        try:
            change.apply(self._root, path, follow=False, rules=self._rules)
        except BaseException:
            with suppress(OSError):
                self.rmdir(path)
            raise

    def rmdir(self, path: bytes) -> None:
        self._writing()
        native.rmdir(self._root, path, rules=self._rules)

    def remove(self, path: bytes) -> None:
        self._writing()
        native.remove(self._root, path, rules=self._rules)

    def leads_to(self, path: bytes, fd: int) -> bool:
        try:
            named = native.stat(self._root, path, follow=False, rules=self._rules)
        except FileNotFoundError:
            return False
        return named[:2] == native.file_stat(fd)[:2]

    def remove_same(self, path: bytes, fd: int) -> None:
        self._writing()
        if self.leads_to(path, fd):
            self.remove(path)

    def rename(self, old: bytes, new: bytes, *, overwrite: bool) -> None:
        self._writing()
        self._no_temporary(old, new)
        native.rename(self._root, old, new, replace=overwrite, rules=self._rules)

    def symlink(self, target: bytes, link: bytes) -> None:
        self._writing()
        native.symlink(self._root, target, link, rules=self._rules)

    def readlink(self, path: bytes) -> bytes:
        return native.readlink(self._root, path, rules=self._rules)

    def link(self, old: bytes, new: bytes) -> None:
        self._writing()
        self._no_temporary(old, new)
        native.link(self._root, old, new, rules=self._rules)

    def realpath(self, path: bytes) -> bytes:
        return normalise(path)

    def statvfs(self, path: bytes) -> os.statvfs_result:
        fd = native.resolve(self._root, path, os.O_PATH, rules=self._rules)
        try:
            return os.statvfs(fd)
        finally:
            os.close(fd)

    def fstatvfs(self, fd: int) -> os.statvfs_result:
        return os.fstatvfs(fd)
