"""The contents of files in memory: bytes while nobody has them open, a memfd from then on.

With a memfd behind it, all that a descriptor can do is done as for a file on a disk: by the kernel, and READ and
WRITE in C. Rules:
- Each handle has an open file description of its own, with a shared flock(2) on it: that somebody has the file open
  can be seen from an exclusive one, which is not to be had then.
- When memfds become many, those that nobody has open any more become bytes again, the oldest first.
- What has no name is gone as soon as nobody has it open.
"""

import fcntl
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from errno import EACCES, ENOSPC, ENXIO
from weakref import finalize

from libsshd.fs.node import FileNode, Node, Producer, Sparse, error

_OPEN_USUALLY, _LARGE_USUALLY = 64, 128
"""Files that may stay memfds although nobody has them open; and up to which the large ones do, to spare copies."""
_SMALL = 1024 * 1024


class Contents:
    """The memfds of one tree. Everything happens under the lock of the tree."""

    def __init__(self) -> None:
        self._nodes: dict[int, Node] = {}  # by the inode of a memfd
        self._live: OrderedDict[FileNode, None] = OrderedDict()  # those with a memfd, in the order to look at them
        self._orphans: list[FileNode] = []
        self._masters: set[int] = set()
        finalize(self, _close_all, self._masters).atexit = False

    def node_of(self, fd: int) -> Node:
        """What a descriptor leads to that came from here."""
        return self._nodes[os.fstat(fd).st_ino]

    def nodes(self) -> Iterator[Node]:
        """What has a memfd, be it without a name."""
        self.drop_orphans()
        return iter(self._live)

    def open(self, node: FileNode, flags: int) -> int:
        """A descriptor with an open file description of its own. Raises OSError."""
        self.drop_orphans()
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

    def is_open(self, node: FileNode) -> bool:
        """Whether somebody has it open."""
        if node.fd < 0:
            return False
        try:
            fcntl.flock(node.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(node.fd, fcntl.LOCK_UN)
        return False

    # --- what a file holds ---

    def read(self, node: FileNode) -> bytes:
        """All of a file that is not produced. Raises OSError."""
        return bytes(self._data(node))

    def replace(self, node: FileNode, data: bytes) -> None:
        """Another content, also for those who have the file open."""
        node.producer = None
        if node.fd < 0:
            node.data = data
        else:
            os.ftruncate(node.fd, 0)
            _write(node.fd, data, 0)
        node.touch(content=True)

    def produce(self, node: FileNode, length: int, producer: Producer) -> None:
        """From now on `producer` makes what is read, for those who open it then."""
        node.producer, node.length, node.data = producer, length, b""
        if node.fd >= 0:
            os.ftruncate(node.fd, 0)
            os.ftruncate(node.fd, length)
        node.touch(content=True)

    def resize(self, node: FileNode, size: int) -> None:
        """Not of what is produced. Raises OSError."""
        if node.fd >= 0 or isinstance(node.data, Sparse):
            os.ftruncate(self._master(node), size)
        elif size <= len(node.data):
            node.data = node.data[:size]
        else:
            node.data = Sparse(size, [(0, node.data)])
        node.touch(content=True)

    def set_times(self, node: Node, atime: int | None, mtime: int | None) -> None:
        node.stat()
        node.atime = node.atime if atime is None else atime
        node.mtime = node.mtime if mtime is None else mtime
        if isinstance(node, FileNode) and node.fd >= 0:
            os.utime(node.fd, ns=(node.atime, node.mtime))

    def clone(self, node: FileNode) -> FileNode:
        """A file of its own with the same content and attributes."""
        node.stat()
        made = FileNode(0)
        if node.producer is not None:
            made.producer, made.length = node.producer, node.length
        else:
            made.data = self._data(node)
        made.like(node)
        return made

    @staticmethod
    def _data(node: FileNode) -> bytes | Sparse:
        return node.data if node.fd < 0 else _at_rest(node.fd)

    # --- memfds ---

    def forget(self, node: FileNode) -> None:
        """It has no name any more."""
        if not self._settle(node):
            self._orphans.append(node)

    def settle(self) -> None:
        """Gives back every descriptor that is not needed."""
        self.drop_orphans()
        for node in list(self._live):
            self._settle(node)

    def _master(self, node: FileNode) -> int:
        if node.fd < 0:
            self._settle_some()
            node.fd = self._new(node)
            if node.producer is not None:
                os.ftruncate(node.fd, node.length)
            else:
                _fill(node.fd, node.data)
            os.utime(node.fd, ns=(node.atime, node.mtime))
            node.data = b""
        return node.fd

    def _new(self, node: FileNode) -> int:
        fd = os.memfd_create("libsshd", os.MFD_CLOEXEC)
        self._masters.add(fd)
        self._nodes[os.fstat(fd).st_ino] = node
        self._live[node] = None
        return fd

    def drop_orphans(self) -> None:
        """Lets go of what was open without a name, where it is so no more."""
        if self._orphans:
            self._orphans = [node for node in self._orphans if not self._settle(node)]

    def _settle_some(self) -> None:
        """More than one is made new, so that they do not become more."""
        for _ in range(max(0, min(2, len(self._live) - _OPEN_USUALLY))):
            node = next(iter(self._live))
            self._live.move_to_end(node)
            if len(self._live) > _LARGE_USUALLY or _is_small(node.fd):
                self._settle(node)

    def _settle(self, node: FileNode) -> bool:
        """Makes it bytes again, or nothing if it has no name; whether that was possible."""
        if self.is_open(node):
            return False
        if node.fd < 0:
            return True
        if node.links and node.producer is None:
            node.stat()
            node.data = _at_rest(node.fd)
        fd, node.fd = node.fd, -1
        del self._nodes[os.fstat(fd).st_ino], self._live[node]
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
    """Whether it holds little, holes aside."""
    return os.fstat(fd).st_blocks * 512 <= _SMALL


def _at_rest(fd: int) -> bytes | Sparse:
    size = os.fstat(fd).st_size
    parts = [(start, _read(fd, start, end)) for start, end in _ranges(fd, size)]
    if not size or (len(parts) == 1 and len(parts[0][1]) == size):
        return parts[0][1] if parts else b""
    return Sparse(size, parts)


def _ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where there are data, and not holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == ENXIO:  # there is but a hole left
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _read(fd: int, start: int, end: int) -> bytes:
    parts = []
    while start < end and (part := os.pread(fd, end - start, start)):
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _fill(fd: int, data: bytes | Sparse) -> None:
    if isinstance(data, bytes):
        _write(fd, data, 0)
        return
    os.ftruncate(fd, data.length)
    for offset, part in data.parts:
        _write(fd, part, offset)


def _write(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def _close_all(fds: set[int]) -> None:
    for fd in fds:
        os.close(fd)
