"""Locks on open files: BLOCK and UNBLOCK, and what OPEN asks for (draft-13, sections 8.1.1.3 and 8.8).

They are open file description locks of the kernel, so they hold between all clients and every process of the machine
that locks at all, and end with the file's last descriptor, whatever becomes of the client. Nothing here ever waits.

Rules:
- Only advisory locks that keep off writers can be promised: readers and names are not the kernel's to block.
- A lock is exclusive if it is to keep off readers too, or if its own handle may write; else it is shared.
- A range that overlaps any granted BLOCK is refused, be it the same handle's or shared.
"""

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EACCES, EAGAIN, EINVAL, EOPNOTSUPP
from struct import Struct

from libsshd.constants import OpenModes, Status
from libsshd.errors import StatusError

BLOCKS = int(OpenModes.BLOCK_READ | OpenModes.BLOCK_WRITE | OpenModes.BLOCK_DELETE | OpenModes.BLOCK_ADVISORY)
"""What of OPEN's modes asks for a lock: the mask of a BLOCK."""
_SHARED = int(OpenModes.BLOCK_WRITE | OpenModes.BLOCK_ADVISORY)
_EXCLUSIVE = _SHARED | int(OpenModes.BLOCK_READ)

LOCKS_MAX = 256
"""Ranges of one handle: the kernel keeps each in memory of its own."""
_END = 2**63
"""The kernel's offsets are signed; a range that ends there or behind it is one without an end."""

_FLOCK = Struct("@hhqqi0q")  # struct flock of fcntl(2): type, whence, start, length (0: no end), pid (must be 0)


@dataclass(slots=True, frozen=True)
class Range:
    """Bytes `start` up to but not including `stop`; the last stop is 2**63."""

    start: int
    stop: int

    def overlaps(self, other: "Range") -> bool:
        return self.start < other.stop and other.start < self.stop

    def flock(self, kind: int) -> bytes:
        """The kernel's form of it; `kind` is F_RDLCK, F_WRLCK or F_UNLCK."""
        return _FLOCK.pack(kind, os.SEEK_SET, self.start, 0 if self.stop == _END else self.stop - self.start, 0)


WHOLE = Range(0, _END)


@dataclass(slots=True, frozen=True)
class Lock:
    """A granted lock. `key` is the (offset, length) by which UNBLOCK names it, None for that of OPEN."""

    key: tuple[int, int] | None
    range: Range


def check_mask(mask: int) -> None:
    """Raises StatusError for what nobody here can promise."""
    if mask not in (_SHARED, _EXCLUSIVE):
        raise StatusError(Status.OP_UNSUPPORTED, "Only advisory locks against writing are supported")


def check_access(mask: int, *, writable: bool) -> None:
    """Raises StatusError for an exclusive lock on what is only open for reading: the kernel wants it writable."""
    if mask == _EXCLUSIVE and not writable:
        raise StatusError(Status.PERMISSION_DENIED, "A lock that keeps off readers needs a file open for writing")


def lock_whole(fd: int, *, writable: bool) -> Lock:
    """The lock that OPEN asks for; with fd -1 nobody else's count.

    Raises StatusError: LOCK_CONFLICT when somebody else has one that it does not go with; OSError.
    """
    if fd >= 0:
        _set(fd, WHOLE.flock(_kind(writable)), Status.LOCK_CONFLICT)
    return Lock(None, WHOLE)


def lock_range(fd: int, offset: int, length: int, held: Sequence[Lock], *, writable: bool) -> Lock:
    """The lock that BLOCK asks for, on a handle that holds those; with fd -1 nobody else's count.

    Raises StatusError: BYTE_RANGE_LOCK_REFUSED when any part of the range is locked; OSError.
    """
    wanted = _range(offset, length, fd)
    if any(lock.range.overlaps(wanted) for lock in held):
        raise StatusError(Status.BYTE_RANGE_LOCK_REFUSED, "The range overlaps one that this handle has locked")
    if len(held) >= LOCKS_MAX:
        raise StatusError(Status.BYTE_RANGE_LOCK_REFUSED, "Too many ranges are locked")
    if fd >= 0 and wanted.start < wanted.stop:
        if _is_taken(fd, wanted):
            raise StatusError(Status.BYTE_RANGE_LOCK_REFUSED)
        _set(fd, wanted.flock(_kind(writable)), Status.BYTE_RANGE_LOCK_REFUSED)
    return Lock((offset, length), wanted)


def find(held: Sequence[Lock], offset: int, length: int) -> Lock:
    """The lock of exactly this BLOCK. Raises StatusError: NO_MATCHING_BYTE_RANGE_LOCK."""
    for lock in held:
        if lock.key == (offset, length):
            return lock
    raise StatusError(Status.NO_MATCHING_BYTE_RANGE_LOCK)


def unlock(fd: int, lock: Lock) -> None:
    """Raises OSError."""
    if fd >= 0 and lock.range.start < lock.range.stop:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, lock.range.flock(fcntl.F_UNLCK))


def unlock_all(fd: int) -> None:
    """Raises OSError."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, WHOLE.flock(fcntl.F_UNLCK))


def _range(offset: int, length: int, fd: int) -> Range:
    """`length` 0 is up to what is now the end of the file: nothing, for an offset there or behind it."""
    if offset >= _END:
        raise StatusError(Status.INVALID_PARAMETER, "No file reaches so far")
    if length == 0:
        size = os.fstat(fd).st_size if fd >= 0 else _END
        return Range(offset, max(offset, size))
    return Range(offset, min(offset + length, _END))


def _kind(writable: bool) -> int:
    """Who may write must be alone, be it only against readers that want no writer."""
    return fcntl.F_WRLCK if writable else fcntl.F_RDLCK


def _is_taken(fd: int, wanted: Range) -> bool:
    """Somebody else has a lock of any kind there."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, wanted.flock(fcntl.F_WRLCK))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def _set(fd: int, wanted: bytes, conflict: Status) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
    except OSError as error:
        if error.errno in (EAGAIN, EACCES):
            raise StatusError(conflict) from None
        if error.errno in (EINVAL, EOPNOTSUPP):
            raise StatusError(Status.OP_UNSUPPORTED, "This file system has no such locks") from None
        raise
