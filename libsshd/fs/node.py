"""What a tree in memory is made of: files, directories and links, and the way along a path."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from errno import EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR
from itertools import count
from stat import S_IFDIR, S_IFLNK, S_IFREG
from typing import NamedTuple
from weakref import ref

from libsshd.fs.listing import Stat

NAME_MAX, PATH_MAX = 255, 4096
_LINKS_MAX = 40
_DEVICE = 1
_BLOCK = 4096
_SECOND = 1_000_000_000
READABLE, WRITABLE, SEARCHABLE = 0o400, 0o200, 0o100
"""The owner's rights, which count for everybody: they are all the same user here."""

Producer = Callable[[int, int], bytes]
"""From an offset and a length to the bytes that a file has there; fewer only at its end."""

_numbers = count(1)


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Node:
    """What files, directories and links have in common. Times in nanoseconds since 1970 UTC."""

    __slots__ = ("atime", "birth", "ctime", "gid", "links", "mode", "mtime", "number", "uid")

    def __init__(self, mode: int) -> None:
        now = time.time_ns()
        self.number = next(_numbers)
        self.mode = mode
        self.uid, self.gid = os.geteuid(), os.getegid()
        self.links = 1
        self.atime = self.mtime = self.ctime = self.birth = now

    @property
    def size(self) -> int:
        return 0

    @property
    def allocation(self) -> int:
        """Bytes that are taken, which may be fewer than the size."""
        return -(-self.size // _BLOCK) * _BLOCK

    def touch(self, *, content: bool = False) -> None:
        """Something about it has changed."""
        self.ctime = time.time_ns()
        if content:
            self.mtime = self.ctime

    def check(self, right: int) -> None:
        """Raises PermissionError."""
        if not self.mode & right:
            raise error(EACCES)

    def stat(self) -> Stat:
        # fmt: off
        return (
            _DEVICE, self.number, self.links, self.size, self.allocation,
            self.atime // _SECOND, self.mtime // _SECOND, self.ctime // _SECOND, self.birth // _SECOND,
            self.atime % _SECOND, self.mtime % _SECOND, self.ctime % _SECOND, self.birth % _SECOND,
            self.mode, self.uid, self.gid, 0, 0, 1,
        )
        # fmt: on

    def like(self, other: "Node") -> None:
        """Takes over all that is not the content."""
        self.mode, self.uid, self.gid = other.mode, other.uid, other.gid
        self.atime, self.mtime, self.ctime, self.birth = other.atime, other.mtime, other.ctime, other.birth


class Sparse:
    """A content with holes: `length` bytes, zero but for the parts, which are told with their offsets."""

    __slots__ = ("length", "parts")

    def __init__(self, length: int, parts: Sequence[tuple[int, bytes]]) -> None:
        self.length = length
        self.parts = parts

    def __len__(self) -> int:
        return self.length

    def __bytes__(self) -> bytes:
        whole = bytearray(self.length)
        for offset, part in self.parts:
            whole[offset : offset + len(part)] = part
        return bytes(whole)


class FileNode(Node):
    """A file. Its content is `data`, unless it is in the memfd `fd`; or `producer` makes it, `length` bytes of it."""

    __slots__ = ("data", "fd", "length", "producer")

    def __init__(self, mode: int, data: bytes = b"") -> None:
        super().__init__(S_IFREG | mode)
        self.data: bytes | Sparse = data
        self.fd = -1
        self.producer: Producer | None = None
        self.length = 0

    @property
    def size(self) -> int:
        if self.producer is not None:
            return self.length
        return len(self.data) if self.fd < 0 else os.fstat(self.fd).st_size

    @property
    def allocation(self) -> int:
        if self.fd >= 0:
            return os.fstat(self.fd).st_blocks * 512
        if isinstance(self.data, Sparse):
            return sum(-(-len(part) // _BLOCK) * _BLOCK for _, part in self.data.parts)
        return super().allocation

    def stat(self) -> Stat:
        """While it is in a memfd, the kernel keeps its times."""
        if self.fd >= 0 and self.producer is None:
            found = os.fstat(self.fd)
            self.atime = found.st_atime_ns
            if found.st_mtime_ns != self.mtime:
                self.mtime = found.st_mtime_ns
                self.ctime = max(self.ctime, found.st_ctime_ns)
        return super().stat()


class LinkNode(Node):
    """A symbolic link."""

    __slots__ = ("target",)

    def __init__(self, target: bytes) -> None:
        super().__init__(S_IFLNK | 0o777)
        self.target = target

    @property
    def size(self) -> int:
        return len(self.target)


class DirectoryNode(Node):
    """A directory. It does not hold the one it is in: a tree is gone with its root."""

    __slots__ = ("__weakref__", "_parent", "entries")

    def __init__(self, mode: int, parent: "DirectoryNode | None" = None) -> None:
        super().__init__(S_IFDIR | mode)
        self.entries: dict[bytes, Node] = {}
        self._parent = None if parent is None else ref(parent)
        self.links = 2

    @property
    def parent(self) -> "DirectoryNode":
        """The directory it is in; itself, if it is a root or was removed."""
        return (self._parent and self._parent()) or self

    @parent.setter
    def parent(self, parent: "DirectoryNode") -> None:
        self._parent = ref(parent)

    def put(self, name: bytes, node: Node) -> None:
        """Raises PermissionError; FileNotFoundError where it was removed itself."""
        if not self.links:
            raise error(ENOENT)
        self.check(WRITABLE)
        self.entries[name] = node
        if isinstance(node, DirectoryNode):
            node.parent = self
            self.links += 1
        self.touch(content=True)

    def take(self, name: bytes) -> Node:
        """Raises PermissionError."""
        self.check(WRITABLE)
        node = self.entries.pop(name)
        if isinstance(node, DirectoryNode):
            self.links -= 1
        self.touch(content=True)
        return node

    def below(self) -> Iterator[Node]:
        """Every object in it, and in what is in it; one of several names several times."""
        waiting = [self]
        while waiting:
            for node in waiting.pop().entries.values():
                yield node
                if isinstance(node, DirectoryNode):
                    waiting.append(node)

    def is_below(self, other: Node) -> bool:
        """Whether it is `other`, or somewhere in it."""
        at = self
        while at is not other and at.parent is not at:
            at = at.parent
        return at is other


class Found(NamedTuple):
    """Where a path leads: a name in a directory, and what has it. A name of b"" is one that no name leads to."""

    parent: DirectoryNode
    name: bytes
    node: Node | None

    @property
    def there(self) -> Node:
        """Raises FileNotFoundError."""
        if self.node is None:
            raise error(ENOENT)
        return self.node


def find(
    root: DirectoryNode, path: bytes, *, follow: bool, beneath: bool = False, rights: bool = True
) -> Found:  # fmt: skip
    """Goes along a path, inside of `root`: as under chroot, or with `beneath` by no absolute link and no ".." at it.
    Without `rights` those that it takes do not count.

    Raises OSError: ENOENT for a directory on the way, but not for the last name.
    """
    if len(path) >= PATH_MAX:
        raise error(ENAMETOOLONG)
    return _Walk(root, path, beneath=beneath, rights=rights).to_end(follow=follow)


class _Walk:
    """On the way along a path."""

    def __init__(self, root: DirectoryNode, path: bytes, *, beneath: bool, rights: bool) -> None:
        self._root = root
        self._beneath = beneath
        self._rights = rights
        self._at: Node = root
        self._names = _names(path)
        self._links = 0

    def to_end(self, *, follow: bool) -> Found:
        while self._names:
            directory, name = self._step()
            if name == b"..":
                self._go_up(directory)
                continue
            child = directory.entries.get(name)
            if isinstance(child, LinkNode) and (self._names or follow):
                self._go_along(child, directory)
            elif not self._names:
                return Found(directory, name, child)
            elif child is None:
                raise error(ENOENT)
            else:
                self._at = child
        if not isinstance(self._at, DirectoryNode):
            raise error(ENOTDIR)
        return Found(self._at, b"", self._at)

    def _step(self) -> tuple[DirectoryNode, bytes]:
        """The directory where it is, and the name to look up there."""
        name = self._names.pop()
        if not isinstance(self._at, DirectoryNode):
            raise error(ENOTDIR)
        if len(name) > NAME_MAX:
            raise error(ENAMETOOLONG)
        if self._rights:
            self._at.check(SEARCHABLE)
        return self._at, name

    def _go_up(self, directory: DirectoryNode) -> None:
        if directory is not self._root:
            self._at = directory.parent
        elif self._beneath:
            raise error(EACCES)

    def _go_along(self, link: LinkNode, directory: DirectoryNode) -> None:
        self._links += 1
        if self._links > _LINKS_MAX:
            raise error(ELOOP)
        is_absolute = link.target[:1] == b"/"
        if is_absolute and self._beneath:
            raise error(EACCES)
        self._at = self._root if is_absolute else directory
        self._names += _names(link.target)


def _names(path: bytes) -> list[bytes]:
    """The last one first."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
