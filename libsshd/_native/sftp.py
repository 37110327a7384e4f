"""The C side of one SFTP channel: its handle table and its queue of replies."""

import os
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from errno import EEXIST, EINVAL, ENOENT
from functools import partial
from typing import Any, NamedTuple

from ._core import ffi, lib


class EventKind(IntEnum):
    """What `next()` came back with; `sshd_event_kind` in cdef.h says what each one carries."""

    NONE = lib.SSHD_EVENT_NONE
    MESSAGE = lib.SSHD_EVENT_MESSAGE
    BANNER = lib.SSHD_EVENT_BANNER
    KEYS = lib.SSHD_EVENT_KEYS
    PACKET = lib.SSHD_EVENT_PACKET
    FAILED = lib.SSHD_EVENT_FAILED
    BAD_FRAME = lib.SSHD_EVENT_BAD_FRAME
    EOF = lib.SSHD_EVENT_EOF
    CLOSED = lib.SSHD_EVENT_CLOSED
    WAKE = lib.SSHD_EVENT_WAKE
    DEADLINE = lib.SSHD_EVENT_DEADLINE
    STALLED = lib.SSHD_EVENT_STALLED
    IDLE = lib.SSHD_EVENT_IDLE
    GONE = lib.SSHD_EVENT_GONE


_HANDLE_MAX = 256
_HANDLES_MOST = 1024
_ADD, _REMOVE = int(lib.SSHD_ORDER_ADD), int(lib.SSHD_ORDER_REMOVE)
_OPERATIONS = {lib.SSHD_HANDLE_READ: "read", lib.SSHD_HANDLE_WRITE: "write", lib.SSHD_HANDLE_CLOSE: "close"}
_buffer = ffi.buffer
_new_stats = partial(ffi.new, ffi.typeof("sshd_handle_stats *"))


class HandleAccess(IntFlag):
    """What C may do with a handle by itself."""

    READ = lib.SSHD_HANDLE_READ
    WRITE = lib.SSHD_HANDLE_WRITE


class Watch(IntFlag):
    """Requests that go to Python although C could answer them."""

    NOTHING = 0
    READ = lib.SSHD_WATCH_READ
    WRITE = lib.SSHD_WATCH_WRITE
    OPEN = lib.SSHD_WATCH_OPEN
    CLOSE = lib.SSHD_WATCH_CLOSE


class HandleStats(NamedTuple):
    """What happened to a file while C served it: bytes, and the first errno a WRITE met (0 if none)."""

    error: int
    bytes_read: int
    bytes_written: int


class HandleCounts:
    """The handles of one connection, open now and made so far; C and Python both count."""

    __slots__ = ("_c",)

    def __init__(self, most: int) -> None:
        self._c = ffi.new("sshd_counts *")
        self._c.most = most

    @property
    def open(self) -> int:
        return self._c.open  # type: ignore[no-any-return]

    @property
    def most(self) -> int:
        """How many may be open."""
        return self._c.most  # type: ignore[no-any-return]

    @most.setter
    def most(self, most: int) -> None:
        self._c.most = most

    @property
    def full(self) -> bool:
        return self._c.open >= self._c.most  # type: ignore[no-any-return]

    def next_number(self) -> int:
        """A number no handle of the connection has had."""
        self._c.made += 1
        return self._c.made  # type: ignore[no-any-return]


class Adopted(NamedTuple):
    """A file that C opened: its descriptor, HandleAccess bits and path."""

    fd: int
    access: int
    path: bytes


def check(result: int) -> int:
    """The result of a C function, or OSError of its negative errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


class Sftp:
    """One channel's engine. Valid as long as the connection or pipe it came from keeps the channel."""

    __slots__ = ("_counts", "_files", "_order", "_owner", "_s", "_stats")

    def __init__(self, owner: object, sftp: Any) -> None:
        self._owner = owner  # keeps the memory alive
        self._s = sftp
        self._order = lib.sshd_sftp_order(sftp)
        self._files = lib.sshd_sftp_files(sftp)
        self._stats: dict[bytes, Any] = {}
        self.limit_handles(_HANDLES_MOST, HandleCounts(_HANDLES_MOST))

    def limit_handles(self, most: int, counts: HandleCounts) -> None:
        """At most so many on this channel, and as many as `counts` allows on its connection."""
        self._counts = counts
        self._files.connection = counts._c
        self._files.most = most

    @property
    def full(self) -> bool:
        """There are as many handles as there may be on the channel; its connection may have too many sooner."""
        return self._files.open >= self._files.most  # type: ignore[no-any-return]

    def open_files(self, root: int, flags: Sequence[int], *, walk: bool) -> None:
        """C answers OPEN of version 3 by itself, below the descriptor `root`.

        `flags` has the O_* flags of all 64 combinations of SSH_FXF bits, -1 for those that Python must judge.
        """
        self._files.flags = flags
        self._files.walk = walk
        self._files.root = root

    def handle_add(self, handle: bytes, fd: int, access: int) -> None:
        """READ and WRITE on `handle` are served in C from now on, as far as `access` (HandleAccess bits) goes.

        Raises:
            OSError: EEXIST when the handle is in use, EINVAL when it is empty or above 256 bytes.
        """
        if not 0 < len(handle) <= _HANDLE_MAX:
            raise OSError(EINVAL, os.strerror(EINVAL))
        if handle in self._stats:
            raise OSError(EEXIST, os.strerror(EEXIST))
        order = self._place(handle)
        self._stats[handle] = stats = _new_stats()
        self._count(1)
        order.fd = fd
        order.access = access
        order.stats = stats
        order.action = _ADD

    def handle_remove(self, handle: bytes) -> HandleStats:
        """Forgets `handle`; the descriptor stays open.

        Raises:
            OSError: ENOENT when there is no such handle.
        """
        stats = self._stats.pop(handle, None)
        if stats is None:
            raise OSError(ENOENT, os.strerror(ENOENT))
        self._place(handle).action = _REMOVE
        self._count(-1)
        return HandleStats(stats.error, stats.bytes_read, stats.bytes_written)

    def adopt(self, handle: bytes) -> Adopted | None:
        """Takes over a file that C opened, None when it has no such; from now on Python closes it."""
        out = ffi.new("sshd_adopted *")
        if lib.sshd_sftp_adopt(self._s, handle, len(handle), out) < 0:
            return None
        self._stats[handle] = out.stats
        return Adopted(out.fd, out.access, _buffer(out.path, out.path_length)[:])

    def owned(self) -> bytes | None:
        """One of the handles that C opened and has not closed."""
        name = ffi.new("uint8_t[]", _HANDLE_MAX)
        length = lib.sshd_sftp_owned(self._s, name, _HANDLE_MAX)
        return _buffer(name, length)[:] if length else None

    def _count(self, change: int) -> None:
        self._files.open += change
        self._counts._c.open += change

    def _place(self, handle: bytes) -> Any:
        """The order, free and with the handle's name in it."""
        order = self._order
        if order.action:
            check(lib.sshd_sftp_obey(self._s))
        order.length = len(handle)
        ffi.memmove(order.name, handle, len(handle))
        return order

    def reply(self, packet: bytes) -> None:
        """Queues an encoded reply behind those already queued."""
        check(lib.sshd_sftp_reply(self._s, packet, len(packet)))

    def stock(self, ok: bytes, eof: bytes) -> None:
        """The encoded OK and EOF that C sends by itself from now on, with any request id."""
        check(lib.sshd_sftp_stock(self._s, ok, len(ok), eof, len(eof)))

    def watch(self, mask: Watch) -> Watch:
        """Sets which requests Python wants to see, from any thread; the former mask."""
        return Watch(lib.sshd_sftp_watch(self._s, mask))


class EventView:
    """The last event, for as long as the next call has not been made."""

    __slots__ = ("_e",)

    def __init__(self) -> None:
        self._e = ffi.new("sshd_event *")

    @property
    def channel(self) -> int:
        return self._e.channel  # type: ignore[no-any-return]

    @property
    def data(self) -> bytes:
        e = self._e
        return _buffer(e.data, e.length)[:] if e.data else b""

    @property
    def length(self) -> int:
        return self._e.length  # type: ignore[no-any-return]

    @property
    def error(self) -> int:
        return self._e.error  # type: ignore[no-any-return]

    @property
    def request_id(self) -> int:
        return self._e.request_id  # type: ignore[no-any-return]

    @property
    def operation(self) -> str:
        """What failed: "read", "write" or "close"."""
        return _OPERATIONS[self._e.operation]
