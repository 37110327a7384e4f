"""A file of a tree in memory that has its name when it is complete; the rules are those of libsshd.fs.upload."""

from errno import EEXIST, EISDIR
from typing import TYPE_CHECKING

from libsshd.fs.node import WRITABLE, DirectoryNode, FileNode, Found, error
from libsshd.fs.upload import PARTIAL

if TYPE_CHECKING:
    from libsshd.fs.memory import MemoryFileSystem


class MemoryDraft:
    """A file that nobody sees before it is published, or by the name of what is left of it alone."""

    def __init__(
        self,
        fs: "MemoryFileSystem",
        place: Found,
        node: FileNode,
        fd: int,
        *,
        exclusive: bool,
        resumable: bool = False,
    ) -> None:
        self._fs = fs
        self._place = place
        self._node = node
        self._exclusive = exclusive
        self.fd = fd
        self.resumable = resumable
        self.spared = False
        self.is_over = False

    @property
    def _partial(self) -> bytes:
        return PARTIAL + self._place.name

    def publish(self) -> None:
        """Raises OSError."""
        parent, name, _ = self._place
        with self._fs.lock:
            there = parent.entries.get(name)
            if there is not None and self._exclusive:
                raise error(EEXIST)
            if isinstance(there, DirectoryNode):
                raise error(EISDIR)
            parent.check(WRITABLE)
            if self._has_partial:
                parent.take(self._partial)
            else:
                self._node.links = 1
            self._fs.detach(parent, name)
            parent.put(name, self._node)
            self.is_over = True

    def withdraw(self) -> None:
        """Nothing is left of it, unless it is to be spared."""
        if self.is_over:
            return
        with self._fs.lock:
            self.is_over = True
            if self.spared:
                return
            if self._has_partial:
                self._fs.detach(self._place.parent, self._partial)
            else:
                self._node.links = 0
                self._fs.contents.forget(self._node)

    @property
    def _has_partial(self) -> bool:
        return self._place.parent.entries.get(self._partial) is self._node
