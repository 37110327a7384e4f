"""The face that a tree in memory shows to a program: files by their paths, as in a dict."""

import os
import threading
from collections.abc import Iterator
from errno import EEXIST, EISDIR, ENAMETOOLONG, ENOTDIR

from libsshd.fs.base import normalise
from libsshd.fs.content import Contents
from libsshd.fs.node import NAME_MAX, DirectoryNode, FileNode, Found, LinkNode, Node, Producer, error, find
from libsshd.fs.volume import Volume

_MODE_BITS = 0o7777
_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644
_SECOND = 1_000_000_000


class Snapshot:
    """A tree as it was; for `Tree.restore`, any number of times."""

    def __init__(self, root: DirectoryNode) -> None:
        self.root = root


class Tree:
    """Paths are texts or bytes, and begin at the root with or without a slash. What is wrong is an OSError, as open()
    has it; a text as content is UTF-8. Links on the way are followed; rights do not count, which are for clients.
    """

    root: DirectoryNode
    volume: Volume
    lock: threading.RLock
    contents: Contents

    # --- room ---

    @property
    def quota(self) -> int | None:
        """Bytes that all files together may have, of a part those of the whole; None: as many as they like."""
        return self.volume.quota

    @quota.setter
    def quota(self, quota: int | None) -> None:
        self.volume.quota = quota

    @property
    def used(self) -> int:
        """The sizes of all files together, in bytes; a file of several names counts once."""
        with self.lock:
            return self.volume.used

    # --- files ---

    def __setitem__(self, path: str | bytes, content: bytes | str) -> None:
        """Makes or replaces a file, and the directories above it that are missing."""
        data = content.encode() if isinstance(content, str) else bytes(content)
        with self.lock:
            self.contents.replace(self._file(path), data)

    def __getitem__(self, path: str | bytes) -> bytes:
        """The content of a file."""
        with self.lock:
            node = self._find(path).there
            if not isinstance(node, FileNode):
                raise error(EISDIR)
            if node.producer is None:
                return self.contents.read(node)
            producer, length = node.producer, node.length
        return producer(0, length)  # which may take its time

    def __delitem__(self, path: str | bytes) -> None:
        """Removes what has this name, a link itself; a directory with all that is in it."""
        with self.lock:
            found = self._find(path, follow=False)
            if isinstance(found.there, DirectoryNode):
                self._empty(found.there)
            if found.name:
                self._detach(found)

    def __contains__(self, path: object) -> bool:
        """Whether there is something of that name, be it a link that leads nowhere."""
        if not isinstance(path, str | bytes):
            return False
        with self.lock:
            try:
                return self._find(path, follow=False).node is not None
            except OSError:
                return False

    def produce(self, path: str | bytes, length: int, producer: Producer) -> None:
        """A file of `length` bytes that `producer(offset, length)` makes when they are read; nobody can write it, but
        it can be replaced. The function is called on the threads of connections.
        """
        with self.lock:
            self.contents.produce(self._file(path), length, producer)

    def fill(self, path: str | bytes, count: int, content: bytes = b"", name: str = "file{:06}") -> None:
        """Makes so many files in a directory."""
        with self.lock:
            directory = self._directory(path)
            for number in range(count):
                directory.entries[name.format(number).encode()] = FileNode(_FILE_MODE, content)
            directory.touch(content=True)

    def make_directory(self, path: str | bytes, mode: int = _DIRECTORY_MODE) -> None:
        """Makes a directory and those above it; one that is there stays as it is, but for its mode."""
        with self.lock:
            directory = self._directory(path)
            directory.mode = directory.mode & ~_MODE_BITS | mode & _MODE_BITS

    def make_link(self, path: str | bytes, target: str | bytes) -> None:
        """Makes a symbolic link, in place of another one."""
        with self.lock:
            found = self._found_to_make(path)
            if found.node is not None and not isinstance(found.node, LinkNode):
                raise error(EEXIST)
            found.parent.entries[found.name] = LinkNode(os.fsencode(target))

    def set(
        self, path: str | bytes, *, mode: int | None = None, uid: int | None = None, gid: int | None = None,
        atime: float | None = None, mtime: float | None = None,
    ) -> None:  # fmt: skip
        """Changes attributes, those of a link itself; times in seconds since 1970 UTC."""
        with self.lock:
            node = self._find(path, follow=False).there
            node.mode = node.mode if mode is None else node.mode & ~_MODE_BITS | mode & _MODE_BITS
            node.uid = node.uid if uid is None else uid
            node.gid = node.gid if gid is None else gid
            self.contents.set_times(node, _nanoseconds(atime), _nanoseconds(mtime))

    # --- all of it ---

    def tree(self) -> dict[str, bytes | str | None]:
        """What there is, by its path: the content of a file; "-> target" for a link; None for a directory, under a
        path with a slash at its end, if nothing is in it. A file that is produced is "made when it is read".
        """
        with self.lock:
            return dict(sorted(self._described()))

    def _described(self) -> Iterator[tuple[str, bytes | str | None]]:
        waiting = [("", self.root)]
        while waiting:
            above, directory = waiting.pop()
            for name, node in directory.entries.items():
                path = above + os.fsdecode(name)
                if isinstance(node, DirectoryNode):
                    waiting.append((path + "/", node))
                else:
                    yield path, self._told(node)
            if above and not directory.entries:
                yield above, None

    def _told(self, node: Node) -> bytes | str:
        if isinstance(node, LinkNode):
            return f"-> {os.fsdecode(node.target)}"
        assert isinstance(node, FileNode)
        return self.contents.read(node) if node.producer is None else "made when it is read"

    def snapshot(self) -> Snapshot:
        """The tree as it is now, to come back to. Bytes are shared; what somebody has open is copied."""
        with self.lock:
            return Snapshot(self._clone(self.root))

    def restore(self, snapshot: Snapshot) -> None:
        """Makes it what it was; who has files open keeps them, without a name."""
        with self.lock:
            self._become(self._clone(snapshot.root))

    def clear(self) -> None:
        """Removes everything."""
        with self.lock:
            self._become(DirectoryNode(_DIRECTORY_MODE))

    def settle(self) -> None:
        """Gives back descriptors that nobody needs."""
        with self.lock:
            self.contents.settle()

    def _become(self, root: DirectoryNode) -> None:
        self._empty(self.root)
        self.contents.drop_orphans()
        self.root.like(root)
        self.root.entries, self.root.links = root.entries, root.links
        for node in root.entries.values():
            if isinstance(node, DirectoryNode):
                node.parent = self.root

    def _empty(self, directory: DirectoryNode) -> None:
        """All that is below it is without a name."""
        for node in list(directory.below()):
            self.volume.unlink(node)
            if isinstance(node, DirectoryNode):
                node.entries = {}
        directory.entries, directory.links = {}, 2

    def _clone(self, root: DirectoryNode) -> DirectoryNode:
        """Names of one file lead to one copy."""
        result = _copy_of(root)
        made: dict[Node, Node] = {}
        waiting = [(root, result)]
        while waiting:
            original, copy = waiting.pop()
            for name, node in original.entries.items():
                copy.entries[name] = there = made.get(node) or self._clone_node(node)
                made[node] = there
                if isinstance(node, DirectoryNode) and isinstance(there, DirectoryNode):
                    there.parent = copy
                    waiting.append((node, there))
        return result

    def _clone_node(self, node: Node) -> Node:
        if isinstance(node, DirectoryNode):
            return _copy_of(node)
        if isinstance(node, FileNode):
            copy: Node = self.contents.clone(node)
        else:
            assert isinstance(node, LinkNode)
            copy = LinkNode(node.target)
            copy.like(node)
        copy.links = node.links
        return copy

    # --- names ---

    def _find(self, path: str | bytes, *, follow: bool = True) -> Found:
        return find(self.root, normalise(os.fsencode(path)), follow=follow, rights=False)

    def _found_to_make(self, path: str | bytes) -> Found:
        """Makes the directories above it."""
        parent, _, name = normalise(os.fsencode(path)).rpartition(b"/")
        if not name:
            raise error(EEXIST)
        if len(name) > NAME_MAX:
            raise error(ENAMETOOLONG)
        directory = self._directory(parent or b"/")
        return Found(directory, name, directory.entries.get(name))

    def _directory(self, path: str | bytes) -> DirectoryNode:
        """Makes what is missing of it."""
        at = self.root
        above = b""
        for name in normalise(os.fsencode(path)).split(b"/"):
            if name:
                above += b"/" + name
                at = self._directory_in(at, name, above)
        return at

    def _directory_in(self, parent: DirectoryNode, name: bytes, path: bytes) -> DirectoryNode:
        node = parent.entries.get(name)
        if isinstance(node, LinkNode):
            node = self._find(path).there
        if node is None:
            if len(name) > NAME_MAX:
                raise error(ENAMETOOLONG)
            node = parent.entries[name] = DirectoryNode(_DIRECTORY_MODE, parent)
            parent.links += 1
            parent.touch(content=True)
        if not isinstance(node, DirectoryNode):
            raise error(ENOTDIR)
        return node

    def _file(self, path: str | bytes) -> FileNode:
        """The file of that name, made if there is none; where a link leads nowhere, it is made there."""
        found = self._found_to_make(path)
        if isinstance(found.node, LinkNode):
            found = self._find(path)
        node = found.node
        if node is None:
            node = found.parent.entries[found.name] = FileNode(_FILE_MODE)
            found.parent.touch(content=True)
        if not isinstance(node, FileNode):
            raise error(EISDIR)
        return node

    def _detach(self, found: Found) -> None:
        node = found.parent.entries.pop(found.name)
        if isinstance(node, DirectoryNode):
            found.parent.links -= 1
        found.parent.touch(content=True)
        self.volume.unlink(node)


def _copy_of(directory: DirectoryNode) -> DirectoryNode:
    """As it is, but empty."""
    copy = DirectoryNode(0)
    copy.like(directory)
    copy.links = directory.links
    return copy


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * _SECOND)
