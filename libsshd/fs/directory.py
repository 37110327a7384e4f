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
        self._left = iter([(b".", node), (b"..", above), *node.entries.items()])

    def read(self, limit: int) -> list[ListedEntry]:
        """At most `limit` further entries, [] at the end."""
        with self._fs.lock:
            some = list(islice(self._left, limit))
            return self._listing.entries([name for name, _ in some], [node.stat() for _, node in some])

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with self._fs.lock:
                self._fs.contents.drop_token(fd)
