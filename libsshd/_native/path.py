"""The calls of path.c with Python's types: bytes and integers in, OSError out; one C call, without the GIL, each.

Paths are virtual ("/a/b") below the root's descriptor. An OSError carries errno and its text, never a path: the real
one is nobody's business, the virtual one is known to the caller.
"""

import os
from collections.abc import Iterator
from errno import EINVAL
from struct import Struct
from typing import Any, TypeAlias

from ._core import ffi, lib

Stat: TypeAlias = tuple[int, ...]
"""sshd_stat: device, inode, links, size, allocation, atime, mtime, ctime, birth, atime_ns, mtime_ns, ctime_ns,
birth_ns, mode, uid, gid, bits, bits_known, birth_known (0: nothing is known of the birth).

A mode of 0 means that the kernel refused to tell anything about this entry of a directory.
"""

WALK = int(lib.SSHD_RULE_WALK)
"""Of `rules`: paths are resolved component by component even where the kernel has openat2."""
BENEATH = int(lib.SSHD_RULE_BENEATH)
"""Of `rules`: an absolute link, or ".." at the root, is EACCES instead of being resolved inside the root."""

_STAT = Struct("=5Q4q10I")
_BATCH = int(lib.SSHD_DIRECTORY_BATCH)
_NAMES = int(lib.SSHD_DIRECTORY_NAMES)
_TARGET_SIZE = 4096

_allocate = ffi.new_allocator(should_clear_after_alloc=False)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def _path(path: bytes) -> bytes:
    """C would take what stands before a NUL for the whole path."""
    if b"\0" in path:
        raise OSError(EINVAL, os.strerror(EINVAL))
    return path


def resolve(root: int, path: bytes, flags: int, *, rules: int) -> int:
    """A descriptor opened with the O_* flags, whatever kind of object it is."""
    return _checked(lib.sshd_path_resolve(root, _path(path), flags, 0, rules))


def open_file(root: int, path: bytes, flags: int, mode: int, *, rules: int) -> int:
    """A descriptor of a regular file; EISDIR for a directory, ENXIO for anything else."""
    return _checked(lib.sshd_path_open(root, _path(path), flags, mode, rules))


def stat(root: int, path: bytes, *, follow: bool, rules: int) -> Stat:
    """What the path leads to; with follow=False a link itself."""
    result = _allocate("sshd_stat *")
    _checked(lib.sshd_path_stat(root, _path(path), follow, result, rules))
    return _STAT.unpack(ffi.buffer(result))


def file_stat(fd: int) -> Stat:
    """What the descriptor refers to."""
    result = _allocate("sshd_stat *")
    _checked(lib.sshd_file_stat(fd, result))
    return _STAT.unpack(ffi.buffer(result))


class Change:
    """Attributes to set, None for those to leave alone. OSError EINVAL for a value that its field cannot hold."""

    __slots__ = ("_struct",)

    def __init__(
        self,
        *,
        size: int | None,
        allocation: int | None = None,
        uid: int | None,
        gid: int | None,
        mode: int | None,
        atime: tuple[int | None, int],
        mtime: tuple[int | None, int],
    ) -> None:
        """Size and space to set aside in bytes; times as (seconds, nanoseconds within that second)."""
        what = (
            (lib.SSHD_CHANGE_SIZE if size is not None else 0)
            | (lib.SSHD_CHANGE_ALLOCATION if allocation is not None else 0)
            | (lib.SSHD_CHANGE_UID if uid is not None else 0)
            | (lib.SSHD_CHANGE_GID if gid is not None else 0)
            | (lib.SSHD_CHANGE_MODE if mode is not None else 0)
            | (lib.SSHD_CHANGE_ATIME if atime[0] is not None else 0)
            | (lib.SSHD_CHANGE_MTIME if mtime[0] is not None else 0)
        )
        fields = (
            what,
            uid or 0,
            gid or 0,
            mode or 0,
            size or 0,
            allocation or 0,
            atime[0] or 0,
            mtime[0] or 0,
            atime[1],
            mtime[1],
        )
        try:
            self._struct: Any = ffi.new("sshd_change *", fields)
        except OverflowError:
            raise OSError(EINVAL, os.strerror(EINVAL)) from None

    def apply(self, root: int, path: bytes, *, follow: bool, rules: int) -> None:
        """In the order size, space, owner, mode, times, all on the same object; stops at the first failure."""
        _checked(lib.sshd_path_change(root, _path(path), follow, self._struct, rules))

    def apply_to_file(self, fd: int) -> None:
        """As apply; size and space need a writable descriptor."""
        _checked(lib.sshd_file_change(fd, self._struct))


def mkdir(root: int, path: bytes, mode: int, *, rules: int) -> None:
    """A new directory, its mode subject to the umask."""
    _checked(lib.sshd_path_mkdir(root, _path(path), mode, rules))


def rmdir(root: int, path: bytes, *, rules: int) -> None:
    """Removes an empty directory."""
    _checked(lib.sshd_path_rmdir(root, _path(path), rules))


def remove(root: int, path: bytes, *, rules: int) -> None:
    """Removes a name that is no directory; a link itself."""
    _checked(lib.sshd_path_remove(root, _path(path), rules))


def rename(root: int, old: bytes, new: bytes, *, replace: bool, rules: int) -> None:
    """EEXIST if the new name is taken, unless it may be replaced."""
    _checked(lib.sshd_path_rename(root, _path(old), _path(new), replace, rules))


def symlink(root: int, target: bytes, path: bytes, *, rules: int) -> None:
    """Stores the target as given; it is confined when the link is used."""
    _checked(lib.sshd_path_symlink(root, _path(target), _path(path), rules))


def link(root: int, old: bytes, new: bytes, *, rules: int) -> None:
    """A hard link, to a symbolic link itself."""
    _checked(lib.sshd_path_link(root, _path(old), _path(new), rules))


def readlink(root: int, path: bytes, *, rules: int) -> bytes:
    """The target as stored; EINVAL if the path is no link."""
    target = _allocate("char[]", _TARGET_SIZE)
    length = _checked(lib.sshd_path_readlink(root, _path(path), target, _TARGET_SIZE, rules))
    return bytes(ffi.buffer(target, length))


def open_directory(root: int, path: bytes, *, rules: int) -> int:
    """A descriptor for read_directory."""
    return _checked(lib.sshd_directory_open(root, _path(path), rules))


def read_directory(root: int, fd: int) -> tuple[list[bytes], Iterator[Stat]]:
    """The next names and what each is, at most some 500; no names at the end."""
    stats = _allocate("sshd_stat[]", _BATCH)
    names = _allocate("char[]", _NAMES)
    used = ffi.new("size_t *")
    count = _checked(lib.sshd_directory_read(root, fd, stats, names, used))
    packed = bytes(ffi.buffer(names, used[0]))
    return packed.split(b"\0")[:count], _STAT.iter_unpack(ffi.buffer(stats, count * _STAT.size))
