"""What a session asks of a file system, and the one form its paths have."""

import os
from collections.abc import Sequence
from errno import EACCES, EINVAL
from typing import NamedTuple, Protocol

from libsshd.wire.messages import Attributes, DirectoryEntry


class Directory(Protocol):
    """An open directory."""

    def read(self, limit: int) -> Sequence[DirectoryEntry]:
        """At most `limit` further entries, "." and ".." among them; an empty list at the end. Raises OSError."""

    def fileno(self) -> int:
        """The descriptor, for fstat and its like; owned by this object."""

    def close(self) -> None:
        """Lets go of the descriptor; a second call does nothing."""


class NativeFiles(NamedTuple):
    """What C needs to open files by itself: the root's descriptor, whether to walk, O_* flags by SSH_FXF bits."""

    root: int
    walk: bool
    flags: Sequence[int]


class Content(Protocol):
    """What stands between a descriptor and the bytes of its file, where a file system can do more than the kernel."""

    def read(self, length: int, offset: int) -> bytes:
        """What the file has there; b"" at its end. Raises OSError."""

    def write(self, data: memoryview, offset: int) -> int:
        """How many bytes were written, at least one of them. Raises OSError."""


class Draft(Protocol):
    """A file that has its name, or the new content, when it is published; its descriptor stays the caller's."""

    fd: int
    resumable: bool
    """Whether it could be continued if it were left."""
    spared: bool
    """Whether it is to be left when it is withdrawn."""

    @property
    def is_over(self) -> bool:
        """Whether it was published or withdrawn."""

    def publish(self) -> None:
        """Gives it its name. Raises OSError: then it is still to be withdrawn, unless it is over."""

    def withdraw(self) -> None:
        """Removes it, if it is not over and not to be spared."""


class FileSystem(Protocol):
    """All paths are virtual: absolute bytes as `normalise` returns them. Every failure is an OSError with its errno.

    Permissions are POSIX modes of which the low 12 bits count; None means the default. Descriptors that are
    returned belong to the caller.
    """

    def native_files(self, *, read_only: bool, uploads: bool = False) -> NativeFiles | None:
        """None when every OPEN must go through `open`; with read_only, flags that change nothing; with uploads, none
        for writing.
        """

    def open(self, path: bytes, flags: int, permissions: int | None, *, nofollow: bool = False) -> int:
        """A descriptor of a regular file; `flags` are OpenFlags bits. With nofollow, ELOOP for a link."""

    def create(self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False) -> int:
        """As open with CREAT; a file that it makes has these attributes, or is removed again. The size is a hint."""

    def upload(
        self, path: bytes, flags: int, initial: Attributes, *, nofollow: bool = False, resumable: bool = False
    ) -> Draft | None:
        """As create, for an OPEN with WRITE that would make or empty a file: that has its name, or the new content,
        when it is published. None for an OPEN that is none such, and is to be made as usual.

        resumable: an upload that is given up may be left, and is continued by the name it has then.
        """

    def copy(self, path: bytes, permissions: int, *, exclusive: bool, durable: bool) -> Draft:
        """A file to be written that has its name when it is published; a link of that name is replaced. Those are
        its rights. exclusive: nothing else is replaced. durable: it survives a loss of power then.
        """

    def content(self, fd: int) -> Content | None:
        """What READ and WRITE of an open file go through; None for what its descriptor does by itself."""

    def opendir(self, path: bytes, *, clock: bool = True) -> Directory:
        """Fails here, not at the first read, if there is no such directory.

        clock: long names show the time of recent changes, else always the year (documented: UnixStyleDateFormat).
        """

    def stat(self, path: bytes) -> Attributes:
        """Follows links."""

    def lstat(self, path: bytes) -> Attributes:
        """A link itself."""

    def fstat(self, fd: int) -> Attributes:
        """Of an open file or directory."""

    def setstat(self, path: bytes, attributes: Attributes) -> None:
        """Sets what is given, in the order size, allocation, owner, mode, times; stops at the first failure.

        Raises UnsettableError before anything is changed: for what can never be set, and for unknown owners.
        """

    def lsetstat(self, path: bytes, attributes: Attributes) -> None:
        """As setstat, on a link itself."""

    def fsetstat(self, fd: int, attributes: Attributes) -> None:
        """As setstat, on an open file or directory; the sizes need a writable descriptor."""

    def mkdir(self, path: bytes, permissions: int | None) -> None:
        """The parent exists, the name does not."""

    def create_directory(self, path: bytes, initial: Attributes) -> None:
        """As mkdir; what it makes has these attributes, or is removed again."""

    def rmdir(self, path: bytes) -> None:
        """Removes an empty directory."""

    def remove(self, path: bytes) -> None:
        """Removes a name that is no directory; a link itself."""

    def leads_to(self, path: bytes, fd: int) -> bool:
        """Whether the name, a link itself, is that of what is open as `fd`."""

    def remove_same(self, path: bytes, fd: int) -> None:
        """As remove, if the name still leads to what is open as `fd`; else nothing happens."""

    def rename(self, old: bytes, new: bytes, *, overwrite: bool) -> None:
        """EEXIST if `new` is taken, unless it may be replaced."""

    def symlink(self, target: bytes, link: bytes) -> None:
        """`target` is stored as given and confined when used."""

    def readlink(self, path: bytes) -> bytes:
        """The target as stored."""

    def link(self, old: bytes, new: bytes) -> None:
        """A second name for the same object, for a link itself."""

    def realpath(self, path: bytes) -> bytes:
        """The path that REALPATH tells; it says nothing about what exists."""

    def statvfs(self, path: bytes) -> os.statvfs_result:
        """Space and limits where the path leads."""

    def fstatvfs(self, fd: int) -> os.statvfs_result:
        """Space and limits where an open file or directory lies."""


class ServedFileSystem(FileSystem, Protocol):
    """One that a server can give to its users in parts."""

    def beneath(self, path: bytes) -> "ServedFileSystem":
        """The directory `path` as a root of its own (documented: UserRootDirectory). Raises OSError."""

    def restricted_to(self, home: bytes) -> FileSystem:
        """The same paths, but only those from `home` on (documented: RestrictUserToHomeDir). Raises OSError."""

    def close(self) -> None:
        """Lets go of it; what is open stays so."""


def normalise(path: bytes, start: bytes = b"/") -> bytes:
    """The absolute path without empty, "." and ".." components, never above "/"; a relative one begins at `start`.

    By the text alone, so it tells nothing about what exists. Raises OSError EINVAL for a path that holds NUL.
    """
    if b"\0" in path:
        raise OSError(EINVAL, os.strerror(EINVAL))
    if path[:1] != b"/":
        path = start + b"/" + path
    elif b"//" not in path and b"/." not in path and path[-1:] != b"/":
        return path
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/" + b"/".join(parts)


def join(start: bytes, *paths: bytes) -> bytes:
    """Where the last of the paths leads, if each begins where the one before it leads, and the first at `start`.

    The text is normalised once, at its end: a request may hold thousands of paths. Raises as normalise.
    """
    if any(b"\0" in path for path in paths):
        raise OSError(EINVAL, os.strerror(EINVAL))
    given = [path for path in paths if path]
    absolute = [at for at, path in enumerate(given) if path[:1] == b"/"]
    return normalise(b"/".join(given[absolute[-1] :] if absolute else given), start)


def below(path: bytes, home: bytes) -> bytes:
    """What follows `home` in `path`, itself a path: b"/" for `home`. Both are normalised; compares whole components.

    Raises PermissionError (EACCES) for a path that is not `home` and not below it, whether it exists or not.
    """
    if path == home:
        return b"/"
    if home == b"/":
        return path
    if not path.startswith(home + b"/"):
        raise OSError(EACCES, os.strerror(EACCES))
    return path[len(home) :]
