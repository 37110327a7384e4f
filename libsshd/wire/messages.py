"""SFTP requests, attributes and directory entries as values, the same for versions 3 to 6.

A field that only some versions carry has the default that the others imply. Names, paths and handles are
bytes, unchanged from the wire; flags are plain integers, to be tested against the IntFlags of constants.
"""

from dataclasses import dataclass
from typing import TypeAlias

from libsshd.constants import FileType, RealpathControl, RenameFlags

POSIX_RENAME = int(RenameFlags.OVERWRITE | RenameFlags.ATOMIC)
"""Flags of a Rename that is rename(2) and nothing more."""


@dataclass(slots=True)
class Attributes:
    """File attributes; None means not given: "unknown" in a reply, "leave alone" in a request.

    Size in bytes; times in seconds since 1970 UTC, each with the nanoseconds within that second.
    `permissions` is the POSIX mode, with the type bits (S_IFMT) where they are known: version 3 has no other
    file type.
    Fields after `extended` exist from version 4 on (draft-13, section 7).
    """

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    permissions: int | None = None
    atime: int | None = None
    mtime: int | None = None
    extended: tuple[tuple[bytes, bytes], ...] = ()
    file_type: FileType = FileType.UNKNOWN
    atime_ns: int = 0
    mtime_ns: int = 0
    createtime: int | None = None
    createtime_ns: int = 0
    ctime: int | None = None
    ctime_ns: int = 0
    owner: bytes | None = None
    group: bytes | None = None
    allocation_size: int | None = None
    acl: bytes | None = None
    attrib_bits: int | None = None
    attrib_bits_valid: int | None = None
    text_hint: int | None = None
    mime_type: bytes | None = None
    link_count: int | None = None
    untranslated_name: bytes | None = None


@dataclass(slots=True)
class Entry:
    """One name in a NAME reply; `longname` is a line like `ls -l` prints (version 3 only)."""

    name: bytes
    longname: bytes
    attributes: Attributes


@dataclass(slots=True)
class Open:
    """`flags` are OpenFlags bits in every version; `desired_access` is the ACE4 mask of versions 5 and 6."""

    request_id: int
    path: bytes
    flags: int
    attributes: Attributes
    desired_access: int = 0


@dataclass(slots=True)
class Close:
    request_id: int
    handle: bytes


@dataclass(slots=True)
class Read:
    request_id: int
    handle: bytes
    offset: int
    length: int


@dataclass(slots=True)
class Write:
    request_id: int
    handle: bytes
    offset: int
    data: bytes


@dataclass(slots=True)
class Lstat:
    """`flags`: the attributes wanted (versions 4 and later), 0 for all."""

    request_id: int
    path: bytes
    flags: int = 0


@dataclass(slots=True)
class Stat:
    """`flags`: the attributes wanted (versions 4 and later), 0 for all."""

    request_id: int
    path: bytes
    flags: int = 0


@dataclass(slots=True)
class Fstat:
    """`flags`: the attributes wanted (versions 4 and later), 0 for all."""

    request_id: int
    handle: bytes
    flags: int = 0


@dataclass(slots=True)
class Setstat:
    request_id: int
    path: bytes
    attributes: Attributes


@dataclass(slots=True)
class Fsetstat:
    request_id: int
    handle: bytes
    attributes: Attributes


@dataclass(slots=True)
class Opendir:
    request_id: int
    path: bytes


@dataclass(slots=True)
class Readdir:
    request_id: int
    handle: bytes


@dataclass(slots=True)
class Remove:
    request_id: int
    path: bytes


@dataclass(slots=True)
class Mkdir:
    request_id: int
    path: bytes
    attributes: Attributes


@dataclass(slots=True)
class Rmdir:
    request_id: int
    path: bytes


@dataclass(slots=True)
class Realpath:
    """`control` and `compose` (paths to append in turn) come with version 6."""

    request_id: int
    path: bytes
    control: int = RealpathControl.NO_CHECK
    compose: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Rename:
    """`flags` are RenameFlags bits; POSIX_RENAME is posix-rename@openssh.com."""

    request_id: int
    old_path: bytes
    new_path: bytes
    flags: int = 0


@dataclass(slots=True)
class Readlink:
    request_id: int
    path: bytes


@dataclass(slots=True)
class Symlink:
    """`target_path` is stored as it is; `link_path` is the link to create."""

    request_id: int
    target_path: bytes
    link_path: bytes


@dataclass(slots=True)
class Extended:
    """An extension request nobody has decoded; `data` is what follows the name."""

    request_id: int
    name: bytes
    data: bytes


@dataclass(slots=True)
class Statvfs:
    request_id: int
    path: bytes


@dataclass(slots=True)
class Fstatvfs:
    request_id: int
    handle: bytes


@dataclass(slots=True)
class Hardlink:
    request_id: int
    old_path: bytes
    new_path: bytes


@dataclass(slots=True)
class Fsync:
    request_id: int
    handle: bytes


@dataclass(slots=True)
class Lsetstat:
    request_id: int
    path: bytes
    attributes: Attributes


@dataclass(slots=True)
class Limits:
    request_id: int


Request: TypeAlias = (
    Open | Close | Read | Write | Lstat | Fstat | Setstat | Fsetstat | Opendir | Readdir | Remove | Mkdir
    | Rmdir | Realpath | Stat | Rename | Readlink | Symlink
    | Statvfs | Fstatvfs | Hardlink | Fsync | Lsetstat | Limits
)  # fmt: skip
"""What a codec decodes to."""
