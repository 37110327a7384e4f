"""The contents of files in memory: bytes while nobody has them open, a memfd from then on.

With a memfd behind it, all that a descriptor can do is done as for a file on a disk: by the kernel, and READ and
WRITE in C. Rules:
- Each handle has an open file description of its own, with a shared flock(2) on it: that somebody has the file open
  can be seen from an exclusive one, which is not to be had then.
- What nobody has open any more becomes bytes again, if it is small and has no holes.
"""

import fcntl
import os
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from errno import EACCES, ENOSPC
from weakref import finalize

from libsshd.fs.node import FileNode, Frozen, Node, Producer, error

_OPEN_USUALLY = 64
"""Files that may stay memfds although nobody has them open."""
_SMALL = 1024 * 1024


class Contents:
    """The memfds of one tree. Everything happens under the lock of the tree."""

    def __init__(self) -> None:
        self._nodes: dict[int, Node] = {}  # by the inode of a memfd
        self._waiting: deque[FileNode] = deque()
        self._masters: set[int] = set()
        finalize(self, _close_all, self._masters).atexit = False

    def node_of(self, fd: int) -> Node:
        """What a descriptor leads to that came from here."""
        return self._nodes[os.fstat(fd).st_ino]

    def open(self, node: FileNode, flags: int) -> int:
        """A descriptor with an open file description of its own. Raises OSError."""
        self._settle_some()
        master = self._master(node)
        how = flags & (os.O_ACCMODE | os.O_APPEND) | os.O_CLOEXEC
        fd = os.open(f"/proc/self/fd/{master}", how)
        fcntl.flock(fd, fcntl.LOCK_SH)
        return fd

    def open_token(self, node: Node) -> int:
        """A descriptor that stands for a directory. To be given back to `drop_token`."""
        fd = os.memfd_create("libsshd", os.MFD_CLOEXEC)
        self._nodes[os.fstat(fd).st_ino] = node
        return fd

    def drop_token(self, fd: int) -> None:
        del self._nodes[os.fstat(fd).st_ino]
        os.close(fd)

    def resize(self, node: FileNode, size: int) -> None:
        """Raises OSError."""
        if node.producer is not None:
            raise error(EACCES)
        os.ftruncate(self._master(node), size)
        node.touch(content=True)

    def set_times(self, node: Node, atime: int | None, mtime: int | None) -> None:
        node.stat()
        node.atime = node.atime if atime is None else atime
        node.mtime = node.mtime if mtime is None else mtime
        if isinstance(node, FileNode) and node.fd >= 0:
            os.utime(node.fd, ns=(node.atime, node.mtime))

    def read(self, node: FileNode) -> bytes:
        """All of it. Raises OSError."""
        if node.producer is not None:
            return node.producer(0, node.length)
        if node.fd >= 0:
            return _all_of(node.fd)
        return _all_of(node.data.fd) if isinstance(node.data, Frozen) else node.data

    def replace(self, node: FileNode, data: bytes) -> None:
        """Another content, also for those who have the file open."""
        node.producer = None
        if node.fd < 0:
            node.data = data
        else:
            os.ftruncate(node.fd, 0)
            _write(node.fd, data)
        node.touch(content=True)

    def produce(self, node: FileNode, length: int, producer: Producer) -> None:
        node.producer, node.length, node.data = producer, length, b""

    def clone(self, node: FileNode) -> FileNode:
        """A file of its own with the same content and attributes."""
        node.stat()
        made = FileNode(0)
        if node.producer is not None:
            self.produce(made, node.length, node.producer)
        elif node.fd < 0:
            made.data = node.data
        elif _is_small(node.fd):
            made.data = _all_of(node.fd)
        else:
            made.data = Frozen(os.memfd_create("libsshd", os.MFD_CLOEXEC))
            _copy(node.fd, made.data.fd)
        made.like(node)
        return made

    def forget_names(self) -> None:
        """The tree is another one: what has files open keeps them, and nothing else does."""
        for node in list(self._nodes.values()):
            if isinstance(node, FileNode):
                node.links = 0
                self._settle(node)

    def settle(self) -> None:
        """Gives back every descriptor that is not needed."""
        for node in list(self._nodes.values()):
            if isinstance(node, FileNode):
                self._settle(node)

    def is_open(self, node: FileNode) -> bool:
        """Whether somebody has it open."""
        try:
            fcntl.flock(node.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(node.fd, fcntl.LOCK_UN)
        return False

    # --- memfds ---

    def _master(self, node: FileNode) -> int:
        if node.fd < 0:
            node.stat()
            node.fd = self._new(node)
            if node.producer is not None:
                os.ftruncate(node.fd, node.length)
            else:
                if isinstance(node.data, Frozen):
                    _copy(node.data.fd, node.fd)
                else:
                    _write(node.fd, node.data)
                os.utime(node.fd, ns=(node.atime, node.mtime))
            node.data = b""
            self._waiting.append(node)
        return node.fd

    def _new(self, node: FileNode) -> int:
        fd = os.memfd_create("libsshd", os.MFD_CLOEXEC)
        self._masters.add(fd)
        self._nodes[os.fstat(fd).st_ino] = node
        return fd

    def _settle_some(self) -> None:
        for _ in range(max(0, min(2, len(self._waiting) - _OPEN_USUALLY))):
            node = self._waiting.popleft()
            if not self._settle(node) and (not node.links or _is_small(node.fd)):
                self._waiting.append(node)  # somebody has it open

    def _settle(self, node: FileNode) -> bool:
        """Makes it bytes again, or nothing if it has no name; whether that was possible."""
        if node.fd < 0:
            return True
        try:
            fcntl.flock(node.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if node.links and node.producer is None and not _is_small(node.fd):
            fcntl.flock(node.fd, fcntl.LOCK_UN)
            return False
        if node.links and node.producer is None:
            node.stat()
            node.data = _all_of(node.fd)
        fd, node.fd = node.fd, -1
        del self._nodes[os.fstat(fd).st_ino]
        self._masters.discard(fd)
        os.close(fd)
        return True


class Metered:
    """Content of a file in a tree with a quota: READ is as usual, WRITE asks how much room there is.

    `left` tells how many bytes more the tree may have; it is called under `lock`, by which one WRITE at a time asks.
    """

    def __init__(self, fd: int, lock: AbstractContextManager[object], left: Callable[[], int]) -> None:
        self._fd = fd
        self._lock = lock
        self._left = left

    def read(self, length: int, offset: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def write(self, data: memoryview, offset: int) -> int:
        """Raises OSError: ENOSPC where nothing fits any more."""
        with self._lock:
            size = os.fstat(self._fd).st_size
            if fcntl.fcntl(self._fd, fcntl.F_GETFL) & os.O_APPEND:
                offset = size
            end = size + self._left()
            if data and offset >= end:
                raise error(ENOSPC)
            return os.pwrite(self._fd, data[: end - offset], offset)


class Produced:
    """Content that a function makes when it is read."""

    def __init__(self, length: int, producer: Producer) -> None:
        self._length = length
        self._producer = producer

    def read(self, length: int, offset: int) -> bytes:
        length = min(length, max(0, self._length - offset))
        return self._producer(offset, length)[:length] if length else b""

    def write(self, data: memoryview, offset: int) -> int:  # noqa: ARG002
        raise error(EACCES)


def _is_small(fd: int) -> bool:
    """Whether it is little, and has no holes that bytes would have to fill."""
    found = os.fstat(fd)
    return found.st_size <= _SMALL and found.st_blocks * 512 >= found.st_size


def _all_of(fd: int) -> bytes:
    parts = []
    offset = 0
    while part := os.pread(fd, _SMALL, offset):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


def _write(fd: int, data: bytes) -> None:
    view, offset = memoryview(data), 0
    while offset < len(view):
        offset += os.pwrite(fd, view[offset:], offset)


def _copy(source: int, target: int) -> None:
    """The bytes, and holes as holes."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    position = 0
    with suppress(OSError):  # ENXIO: there is but a hole left
        while position < size:
            position = os.lseek(source, position, os.SEEK_DATA)
            end = os.lseek(source, position, os.SEEK_HOLE)
            while position < end and (part := os.pread(source, min(_SMALL, end - position), position)):
                os.pwrite(target, part, position)
                position += len(part)


def _close_all(fds: set[int]) -> None:
    for fd in fds:
        os.close(fd)
