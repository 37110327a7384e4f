"""An open directory of a tree in memory."""

import time
from itertools import islice
from typing import TYPE_CHECKING

from libsshd.fs.listing import ListedEntry, Listing
from libsshd.fs.node import DirectoryNode

if TYPE_CHECKING:
    from libsshd.fs.memory import MemoryFileSystem


class MemoryDirectory:
    """An open directory: the names it had when it was opened, with the attributes they have when they are read."""

    def __init__(self, fs: "MemoryFileSystem", node: DirectoryNode, fd: int, *, clock: bool) -> None:
        self._fs = fs
        self._fd = fd
        self._listing = Listing(time.time(), clock=clock)
        above = node if node is fs.root else node.parent
        self._names = iter([b".", b"..", *node.entries])
        self._nodes = iter([node, above, *node.entries.values()])

    def read(self, limit: int) -> list[ListedEntry]:
        """At most `limit` further entries, [] at the end."""
        with self._fs.lock:
            names, nodes = list(islice(self._names, limit)), islice(self._nodes, limit)
            return self._listing.entries(names, [node.stat() for node in nodes])

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with self._fs.lock:
                self._fs.contents.drop_token(fd)
