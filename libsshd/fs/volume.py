"""What a tree in memory and its parts have in common: contents, room, and how attributes are set."""

import os
import threading
from errno import EACCES, EFBIG, EINVAL, EISDIR, ENOSPC
from stat import S_ISGID, S_ISUID, S_IXGRP

from libsshd.constants import Status
from libsshd.errors import UnsettableError
from libsshd.fs.base import Content
from libsshd.fs.changes import MODE_BITS, check_settable, ids_of
from libsshd.fs.content import Contents, Metered, Produced
from libsshd.fs.node import NAME_MAX, WRITABLE, DirectoryNode, FileNode, Node, error
from libsshd.wire.messages import Attributes

_SECOND = 1_000_000_000
_SIZE_MAX = 2**63 - 1
_BLOCK = 4096
_ROOMY = 1 << 40
"""Bytes that a tree without a quota says it may hold."""
_FILES = 1 << 30
_NOBODY = 2**32 - 1


class Volume:
    """Everything happens under `lock`."""

    def __init__(self, root: DirectoryNode, quota: int | None) -> None:
        self.root = root
        self.quota = quota
        self.lock = threading.RLock()
        self.contents = Contents()

    # --- room ---

    @property
    def used(self) -> int:
        """Bytes: the sizes of all files, each once; also of one that has no name, but is open."""
        files: dict[Node, None] = dict.fromkeys(self.root.below())
        files.update(dict.fromkeys(self.contents.nodes()))
        return sum(node.size for node in files if isinstance(node, FileNode))

    def left(self) -> int:
        """Bytes that it may have beyond those."""
        return _ROOMY if self.quota is None else max(0, self.quota - self.used)

    def content(self, fd: int) -> Content | None:
        """What stands between the descriptor and its file, if it is more than the kernel."""
        node = self.contents.node_of(fd)
        if isinstance(node, FileNode) and node.producer is not None:
            return Produced(node.length, node.producer)
        return None if self.quota is None else Metered(fd, self.lock, self.left)

    def space(self) -> os.statvfs_result:
        used = self.used
        total = _ROOMY if self.quota is None else self.quota
        free = max(0, total - used) // _BLOCK
        return os.statvfs_result(
            (_BLOCK, _BLOCK, total // _BLOCK, free, free, _FILES, _FILES, _FILES, 0, NAME_MAX, 0)
        )  # fmt: skip

    # --- nodes ---

    def unlink(self, node: Node) -> None:
        """It has one name less; what has a file open keeps it."""
        node.links = 0 if isinstance(node, DirectoryNode) else node.links - 1
        node.touch()
        if isinstance(node, FileNode) and not node.links:
            self.contents.forget(node)

    def change(self, node: Node, a: Attributes, *, is_open: bool = False) -> None:
        """Raises OSError; and UnsettableError, before anything is changed."""
        check_settable(a)
        ids_of(a)
        if a.size is not None and a.allocation_size is not None and a.allocation_size < a.size:
            raise UnsettableError(Status.INVALID_PARAMETER, "The allocation size is below the size")
        size = a.size
        if size is None and a.allocation_size is not None and a.allocation_size < node.size:
            size = a.allocation_size
        if size is not None:
            self._resize(node, size, is_open=is_open)
        self.set(node, a)

    def _resize(self, node: Node, size: int, *, is_open: bool) -> None:
        if isinstance(node, DirectoryNode):
            raise error(EISDIR)
        if not isinstance(node, FileNode):
            raise error(EINVAL)
        if not is_open:
            node.check(WRITABLE)
        if node.producer is not None:
            raise error(EACCES)
        if size > _SIZE_MAX:
            raise error(EFBIG)
        if self.quota is not None and size - node.size > self.left():
            raise error(ENOSPC)
        self.contents.resize(node, size)

    def set(self, node: Node, a: Attributes) -> None:
        """Owner, mode and times. Raises UnsettableError."""
        owner, group = (None if one == _NOBODY else one for one in ids_of(a))
        if owner is not None or group is not None:
            node.uid = node.uid if owner is None else owner
            node.gid = node.gid if group is None else group
            _drop_privileges(node)
        if a.permissions is not None:
            node.mode = node.mode & ~MODE_BITS | a.permissions & MODE_BITS
        atime = None if a.atime is None else a.atime * _SECOND + a.atime_ns
        mtime = None if a.mtime is None else a.mtime * _SECOND + a.mtime_ns
        if atime is not None or mtime is not None:
            self.contents.set_times(node, atime, mtime)
        node.touch()


def _drop_privileges(node: Node) -> None:
    """A program that belongs to somebody else does not run as that one by itself, as after chown(2)."""
    if isinstance(node, FileNode):
        node.mode &= ~S_ISUID
        if node.mode & S_IXGRP:
            node.mode &= ~S_ISGID
