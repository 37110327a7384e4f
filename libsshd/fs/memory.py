"""A tree in memory as a file system, which ends with the process; for tests above all.

It does what a directory on a disk does, with these differences: one user owns it all, whose rights its modes tell,
root or not; new objects get their modes as under a umask of 022; there are no extended attributes and access lists.
"""

import os
from dataclasses import replace
from errno import (
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
    EWOULDBLOCK,
)  # fmt: skip
from stat import S_IMODE

from libsshd.constants import OpenFlags
from libsshd.fs.base import Content, Draft, normalise
from libsshd.fs.changes import MODE_BITS, check_settable
from libsshd.fs.directory import MemoryDirectory
from libsshd.fs.draft import MemoryDraft
from libsshd.fs.listing import attributes_of
from libsshd.fs.node import (
    NAME_MAX,
    PATH_MAX,
    READABLE,
    WRITABLE,
    DirectoryNode,
    FileNode,
    Found,
    LinkNode,
    Node,
    error,
    find,
)  # fmt: skip
from libsshd.fs.restricted import RestrictedFileSystem
from libsshd.fs.tree import Tree
from libsshd.fs.upload import PARTIAL, resumed_name
from libsshd.fs.volume import Volume
from libsshd.wire.messages import Attributes

_READ, _WRITE, _APPEND = int(OpenFlags.READ), int(OpenFlags.WRITE), int(OpenFlags.APPEND)
_CREAT, _TRUNC, _EXCL = int(OpenFlags.CREAT), int(OpenFlags.TRUNC), int(OpenFlags.EXCL)
_UMASK = 0o022
_FILE_MODE, _DIRECTORY_MODE = 0o666, 0o777


class MemoryFileSystem(Tree):
    """Implements FileSystem; for a program its files are as those of a dict: see Tree. Any threads may use it.

    With a `quota` the sizes of all files together are at most so many bytes, holes included; what goes beyond is
    ENOSPC. Set anew, it holds for files that are opened from then on. What is open counts until it is closed.
    """

    def __init__(self, *, quota: int | None = None) -> None:
        root = DirectoryNode(_DIRECTORY_MODE & ~_UMASK)
        self._take(root, Volume(root, quota), beneath=False)

    def _take(self, root: DirectoryNode, volume: Volume, *, beneath: bool) -> None:
        self.root, self.volume, self._beneath = root, volume, beneath
        self.lock, self.contents = volume.lock, volume.contents

    # --- parts of it ---

    def _part(self, path: bytes, *, beneath: bool) -> "MemoryFileSystem":
        with self.lock:
            node = self.find(path).there
            if not isinstance(node, DirectoryNode):
                raise error(ENOTDIR)
        part = MemoryFileSystem.__new__(MemoryFileSystem)
        part._take(node, self.volume, beneath=beneath)
        return part

    def beneath(self, path: bytes) -> "MemoryFileSystem":
        """The directory `path` as a root of its own; links are resolved inside it. Raises OSError."""
        return self._part(path, beneath=self._beneath)

    def restricted_to(self, home: bytes) -> "MemoryFileSystem | RestrictedFileSystem":
        """The same paths, but only the directory `home` and what is below it may be used. Raises OSError."""
        home = normalise(home)
        if home == b"/":
            return self.beneath(home)
        return RestrictedFileSystem(self._part(home, beneath=True), home)

    def close(self) -> None:
        """There is nothing to let go of before the last reference is."""

    # --- paths ---

    def find(self, path: bytes, *, follow: bool = True) -> Found:
        """Under the lock. Raises OSError."""
        return find(self.root, path, follow=follow, beneath=self._beneath)

    def _place(self, path: bytes, *, follow: bool = False) -> Found:
        """For a name to be made or taken away. Raises OSError."""
        found = self.find(path, follow=follow)
        if not found.name:
            raise error(EBUSY)
        return found

    def detach(self, parent: DirectoryNode, name: bytes) -> None:
        """Takes a name away, if there is one; what has it open keeps it. Under the lock. Raises PermissionError."""
        if name in parent.entries:
            self.volume.unlink(parent.take(name))

    # --- files ---

    def native_files(self, *, read_only: bool = False, uploads: bool = False) -> None:
        """None: C opens nothing here, and reads and writes what is open."""

    def content(self, fd: int) -> Content | None:
        with self.lock:
            return self.volume.content(fd)

    def open(self, path: bytes, flags: int, permissions: int | None, *, nofollow: bool = False) -> int:
        return self.create(path, flags, Attributes(permissions=permissions), nofollow=nofollow)

    def create(self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False) -> int:
        with self.lock:
            found = self._to_open(path, flags, nofollow=nofollow)
            if found.node is not None:
                return self._opened(found.node, flags)
            node = self._made(found, initial)
            return self.contents.open(node, _how(flags))

    def _to_open(self, path: bytes, flags: int, *, nofollow: bool) -> Found:
        """Raises OSError for what is not to be opened so; no node where a file is to be made."""
        exclusive = flags & _CREAT and flags & _EXCL
        found = self.find(path, follow=not (nofollow or exclusive))
        node = found.node
        if node is None and not flags & _CREAT:
            raise error(ENOENT)
        if node is not None and exclusive:
            raise error(EEXIST)
        if isinstance(node, LinkNode):
            raise error(ELOOP)
        if isinstance(node, DirectoryNode):
            raise error(EISDIR)
        return found

    def _opened(self, node: Node, flags: int) -> int:
        assert isinstance(node, FileNode)
        if flags & _READ or not flags & _WRITE:
            node.check(READABLE)
        if flags & _WRITE:
            node.check(WRITABLE)
        if flags & _TRUNC and node.producer is not None:
            self.contents.replace(node, b"")
        fd = self.contents.open(node, _how(flags))
        if flags & _TRUNC:
            self.contents.resize(node, 0)
        return fd

    def _made(self, place: Found, initial: Attributes) -> FileNode:
        """A new file with these attributes; the size is a hint. Raises OSError, UnsettableError."""
        check_settable(initial)
        node = FileNode(_mode(initial.permissions, _FILE_MODE))
        self.volume.set(node, replace(initial, size=None, permissions=None))
        place.parent.put(place.name, node)
        return node

    def upload(
        self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False, resumable: bool = False
    ) -> Draft | None:
        with self.lock:
            target = resumed_name(path.rpartition(b"/")[2]) if resumable else None
            if target is not None:
                return self._resumed(path, target, flags, initial)
            is_exclusive = bool(flags & _EXCL)
            found = self.find(path, follow=not (nofollow or is_exclusive))
            if not found.name or (found.node is not None and is_exclusive):
                return None
            found = self._to_open(path, flags, nofollow=nofollow)
            if found.node is not None and not flags & _TRUNC:
                return None
            return self._draft(found, flags, initial, resumable=resumable)

    def _draft(self, found: Found, flags: int, initial: Attributes, *, resumable: bool) -> Draft:
        check_settable(initial)
        found.parent.check(WRITABLE)
        node = FileNode(_mode(initial.permissions, _FILE_MODE))
        if found.node is not None:
            found.node.check(WRITABLE)
            node.mode, node.uid, node.gid = found.node.mode, found.node.uid, found.node.gid
        resumable = resumable and len(PARTIAL + found.name) <= NAME_MAX
        if resumable:
            self.detach(found.parent, PARTIAL + found.name)
            found.parent.put(PARTIAL + found.name, node)
        fd = self.contents.open(node, _how(flags))
        return MemoryDraft(self, found, node, fd, exclusive=bool(flags & _EXCL), resumable=resumable)

    def _resumed(self, path: bytes, target: bytes, flags: int, initial: Attributes) -> Draft | None:
        """What is left of an upload, to be continued by its own name. Where nothing is left, it begins anew."""
        found = self._to_open(path, flags, nofollow=True)
        place = Found(found.parent, target, found.parent.entries.get(target))
        if found.node is None:
            return self._draft(place, flags & ~_EXCL, initial, resumable=True)
        assert isinstance(found.node, FileNode)
        if self.contents.is_open(found.node):
            raise error(EWOULDBLOCK)
        fd = self._opened(found.node, flags)
        return MemoryDraft(self, place, found.node, fd, exclusive=False, resumable=True)

    def copy(self, path: bytes, permissions: int, *, exclusive: bool, durable: bool) -> Draft:  # noqa: ARG002
        with self.lock:
            place = self._place(path)
            place.parent.check(WRITABLE)
            node = FileNode(_mode(permissions, _FILE_MODE))
            fd = self.contents.open(node, os.O_WRONLY)
            return MemoryDraft(self, place, node, fd, exclusive=exclusive)

    # --- attributes ---

    def stat(self, path: bytes) -> Attributes:
        with self.lock:
            return attributes_of(self.find(path).there.stat())

    def lstat(self, path: bytes) -> Attributes:
        with self.lock:
            return attributes_of(self.find(path, follow=False).there.stat())

    def fstat(self, fd: int) -> Attributes:
        with self.lock:
            return attributes_of(self.contents.node_of(fd).stat())

    def setstat(self, path: bytes, attributes: Attributes) -> None:
        with self.lock:
            self.volume.change(self.find(path).there, attributes)

    def lsetstat(self, path: bytes, attributes: Attributes) -> None:
        with self.lock:
            node = self.find(path, follow=False).there
            asked = attributes.permissions
            if isinstance(node, LinkNode) and asked is not None and S_IMODE(asked) != S_IMODE(node.mode):
                raise error(EPERM)
            self.volume.change(node, attributes)

    def fsetstat(self, fd: int, attributes: Attributes) -> None:
        with self.lock:
            self.volume.change(self.contents.node_of(fd), attributes, is_open=True)

    # --- directories ---

    def opendir(self, path: bytes, *, clock: bool = True) -> MemoryDirectory:
        with self.lock:
            node = self.find(path).there
            if not isinstance(node, DirectoryNode):
                raise error(ENOTDIR)
            node.check(READABLE)
            return MemoryDirectory(self, node, self.contents.open_token(node), clock=clock)

    def mkdir(self, path: bytes, permissions: int | None) -> None:
        self.create_directory(path, Attributes(permissions=permissions))

    def create_directory(self, path: bytes, initial: Attributes) -> None:
        check_settable(initial)
        with self.lock:
            found = self.find(path, follow=False)
            if found.node is not None:
                raise error(EEXIST)
            node = DirectoryNode(_mode(initial.permissions, _DIRECTORY_MODE))
            self.volume.set(node, replace(initial, size=None, permissions=None))
            found.parent.put(found.name, node)

    def rmdir(self, path: bytes) -> None:
        with self.lock:
            found = self._place(path)
            if not isinstance(found.there, DirectoryNode):
                raise error(ENOTDIR)
            if found.there.entries:
                raise error(ENOTEMPTY)
            self.detach(found.parent, found.name)

    # --- names ---

    def remove(self, path: bytes) -> None:
        with self.lock:
            found = self.find(path, follow=False)
            if isinstance(found.there, DirectoryNode):
                raise error(EISDIR)
            self.detach(found.parent, found.name)

    def leads_to(self, path: bytes, fd: int) -> bool:
        with self.lock:
            return self.find(path, follow=False).node is self.contents.node_of(fd)

    def remove_same(self, path: bytes, fd: int) -> None:
        with self.lock:
            if self.leads_to(path, fd):
                self.remove(path)

    def rename(self, old: bytes, new: bytes, *, overwrite: bool) -> None:
        with self.lock:
            source, target = self._place(old), self.find(new, follow=False)
            node, there = source.there, target.node
            if there is node:
                if overwrite:
                    return
                raise error(EEXIST)
            if there is not None and not overwrite:
                raise error(EEXIST)
            if not target.name:
                raise error(EBUSY)
            if isinstance(there, DirectoryNode) and source.parent.is_below(there):
                raise error(ENOTEMPTY)
            if isinstance(node, DirectoryNode):
                self._check_move(node, target)
            elif isinstance(there, DirectoryNode):
                raise error(EISDIR)
            source.parent.check(WRITABLE)
            target.parent.check(WRITABLE)
            self.detach(target.parent, target.name)
            target.parent.put(target.name, source.parent.take(source.name))
            node.touch()

    @staticmethod
    def _check_move(node: DirectoryNode, target: Found) -> None:
        """Raises OSError: a directory does not go into itself, and replaces but empty ones."""
        if target.parent.is_below(node):
            raise error(EINVAL)
        if target.node is not None and not isinstance(target.node, DirectoryNode):
            raise error(ENOTDIR)
        if target.node is not None and target.node.entries:
            raise error(ENOTEMPTY)

    def symlink(self, target: bytes, link: bytes) -> None:
        if not target:
            raise error(ENOENT)
        if b"\0" in target:
            raise error(EINVAL)
        if len(target) >= PATH_MAX:
            raise error(ENAMETOOLONG)
        with self.lock:
            found = self.find(link, follow=False)
            if found.node is not None:
                raise error(EEXIST)
            found.parent.put(found.name, LinkNode(target))

    def readlink(self, path: bytes) -> bytes:
        with self.lock:
            node = self.find(path, follow=False).there
            if not isinstance(node, LinkNode):
                raise error(EINVAL)
            return node.target

    def link(self, old: bytes, new: bytes) -> None:
        with self.lock:
            source, found = self.find(old, follow=False), self.find(new, follow=False)
            node = source.there
            if found.node is not None:
                raise error(EEXIST)
            if isinstance(node, DirectoryNode):
                raise error(EPERM)
            found.parent.put(found.name, node)
            node.links += 1
            node.touch()

    def realpath(self, path: bytes) -> bytes:
        return normalise(path)

    # --- space ---

    def statvfs(self, path: bytes) -> os.statvfs_result:
        with self.lock:
            self.find(path).there  # noqa: B018 - or it says that there is none
            return self.volume.space()

    def fstatvfs(self, fd: int) -> os.statvfs_result:
        with self.lock:
            self.contents.node_of(fd)
            return self.volume.space()


def _mode(permissions: int | None, default: int) -> int:
    return (default if permissions is None else permissions & MODE_BITS) & ~_UMASK


def _how(flags: int) -> int:
    """O_* of the SSH_FXF bits that a descriptor has. Raises OSError for TRUNC without WRITE."""
    if flags & _TRUNC and not flags & _WRITE:
        raise error(EINVAL)
    access = os.O_RDONLY if not flags & _WRITE else os.O_RDWR if flags & _READ else os.O_WRONLY
    return access | (os.O_APPEND if flags & _APPEND else 0)
