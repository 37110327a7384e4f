"""SFTP requests, attributes and directory entries as values, the same for versions 3 to 6.

A field that only some versions carry has the default that the others imply. Names, paths and handles are
bytes, unchanged from the wire; flags are plain integers, to be tested against the IntFlags of constants.
"""

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, Protocol, TypeAlias, TypeVar, dataclass_transform

from libsshd.constants import FileType, RealpathControl, RenameFlags

POSIX_RENAME = int(RenameFlags.OVERWRITE | RenameFlags.ATOMIC)
"""Flags of a Rename that is rename(2) and nothing more."""

_T = TypeVar("_T")


def _same(self: Any, other: Any) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    return all(getattr(self, f.name) == getattr(other, f.name) for f in fields(self))


def _shown(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in fields(self))})"


@dataclass_transform()
def message(cls: type[_T]) -> type[_T]:
    """A dataclass with slots that is made in a third of the time: with fifty of them, a start would feel it."""
    cls.__doc__ = cls.__doc__ or cls.__name__  # or its signature would be looked up, which takes long
    made: Any = dataclass(slots=True, eq=False, repr=False)(cls)
    made.__eq__, made.__repr__, made.__hash__ = _same, _shown, None
    return made  # type: ignore[no-any-return]


@message
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


Basic: TypeAlias = tuple[int, int, int, int, int, int]
"""Size, uid, gid, permissions, atime and mtime: all that version 3 tells of a file."""


class DirectoryEntry(Protocol):
    """One name in a NAME reply; `longname` is a line like `ls -l` prints (version 3 only).

    `basic` is what the attributes say of those six, if all are known and come at no cost, and else None.
    """

    @property
    def name(self) -> bytes: ...
    @property
    def longname(self) -> bytes: ...
    @property
    def attributes(self) -> Attributes: ...
    @property
    def basic(self) -> Basic | None: ...


@message
class Entry:
    """A DirectoryEntry whose attributes are at hand."""

    name: bytes
    longname: bytes
    attributes: Attributes
    basic: Basic | None = None


@message
class Open:
    """`flags` are OpenFlags bits in every version, whatever form the version gives them on the wire.

    `desired_access` is the ACE4 mask (AccessMask), 0 in version 3. `modes` are OpenModes bits, which only versions 5
    and 6 have.
    """

    request_id: int
    path: bytes
    flags: int
    attributes: Attributes
    desired_access: int = 0
    modes: int = 0


@message
class Close:
    request_id: int
    handle: bytes


@message
class Read:
    request_id: int
    handle: bytes
    offset: int
    length: int


@message
class Write:
    request_id: int
    handle: bytes
    offset: int
    data: bytes


@message
class Lstat:
    """`flags`: the attributes wanted (versions 4 and later), 0 for all."""

    request_id: int
    path: bytes
    flags: int = 0


@message
class Stat:
    """`flags`: the attributes wanted (versions 4 and later), 0 for all."""

    request_id: int
    path: bytes
    flags: int = 0


@message
class Fstat:
    """`flags`: the attributes wanted (versions 4 and later), 0 for all."""

    request_id: int
    handle: bytes
    flags: int = 0


@message
class Setstat:
    request_id: int
    path: bytes
    attributes: Attributes


@message
class Fsetstat:
    request_id: int
    handle: bytes
    attributes: Attributes


@message
class Opendir:
    request_id: int
    path: bytes


@message
class Readdir:
    request_id: int
    handle: bytes


@message
class Remove:
    request_id: int
    path: bytes


@message
class Mkdir:
    request_id: int
    path: bytes
    attributes: Attributes


@message
class Rmdir:
    request_id: int
    path: bytes


@message
class Realpath:
    """`control` and `compose` (paths to append in turn) come with version 6."""

    request_id: int
    path: bytes
    control: int = RealpathControl.NO_CHECK
    compose: tuple[bytes, ...] = ()


@message
class Rename:
    """`flags` are RenameFlags bits."""

    request_id: int
    old_path: bytes
    new_path: bytes
    flags: int = 0


@message
class PosixRename(Rename):
    """posix-rename@openssh.com: rename(2) and nothing more."""

    flags: int = POSIX_RENAME


@message
class Readlink:
    request_id: int
    path: bytes


class SymlinkOrder(Enum):
    """How sure it is which of the two paths of a Symlink is which."""

    OPENSSH = "version 3: taken for OpenSSH's order, target first, which a few clients do not follow"
    DRAFT = "versions 4 and 5: taken for the draft's order, link first, which many clients do not follow"
    SURE = "LINK of version 6: all agree"


@message
class Symlink:
    """`target_path` is stored as it is; `link_path` is the link to create."""

    request_id: int
    target_path: bytes
    link_path: bytes
    order: SymlinkOrder = SymlinkOrder.OPENSSH


@message
class Block:
    """A lock on `length` bytes from `offset` on, 0 for those up to the end; `mask` are OpenModes.BLOCK_... bits."""

    request_id: int
    handle: bytes
    offset: int
    length: int
    mask: int


@message
class Unblock:
    """Takes back the Block of exactly this range."""

    request_id: int
    handle: bytes
    offset: int
    length: int


@message
class Extended:
    """An extension request nobody has decoded; `data` is what follows the name."""

    request_id: int
    name: bytes
    data: bytes


@message
class Statvfs:
    request_id: int
    path: bytes


@message
class Fstatvfs:
    request_id: int
    handle: bytes


@message
class Hardlink:
    request_id: int
    old_path: bytes
    new_path: bytes


@message
class Fsync:
    request_id: int
    handle: bytes


@message
class Lsetstat:
    request_id: int
    path: bytes
    attributes: Attributes


@message
class Limits:
    request_id: int


@message
class ExpandPath:
    """expand-path@openssh.com: REALPATH that knows "~" and "~user"."""

    request_id: int
    path: bytes


@message
class HomeDirectory:
    """home-directory: of the user named, b"" for the one who asks."""

    request_id: int
    user: bytes


@message
class UsersGroupsById:
    """users-groups-by-id@openssh.com: names of numbers."""

    request_id: int
    uids: tuple[int, ...]
    gids: tuple[int, ...]


@message
class CopyData:
    """copy-data: `length` 0 is up to the end of the file."""

    request_id: int
    read_handle: bytes
    read_offset: int
    length: int
    write_handle: bytes
    write_offset: int


@message
class CopyFile:
    request_id: int
    old_path: bytes
    new_path: bytes
    overwrite: bool


@message
class CheckFileName:
    """check-file-name. `algorithms` in the client's order of preference; `length` 0 is up to the end of the file;
    one hash for each `block_size` bytes, 0 for a single one.
    """

    request_id: int
    path: bytes
    algorithms: tuple[bytes, ...]
    start: int
    length: int
    block_size: int


@message
class CheckFileHandle:
    """check-file-handle; fields as in CheckFileName."""

    request_id: int
    handle: bytes
    algorithms: tuple[bytes, ...]
    start: int
    length: int
    block_size: int


@message
class CheckFile(CheckFileHandle):
    """check-file, as older drafts call check-file-handle."""


@message
class Md5Hash:
    """md5-hash: `quick_check` is the MD5 of the first 2,048 bytes of the range, which must match, or b""."""

    request_id: int
    path: bytes
    start: int
    length: int
    quick_check: bytes


@message
class Md5HashHandle:
    """md5-hash-handle; fields as in Md5Hash."""

    request_id: int
    handle: bytes
    start: int
    length: int
    quick_check: bytes


@message
class SpaceAvailable:
    request_id: int
    path: bytes


@message
class GetTempFolder:
    request_id: int


@message
class MakeTempFolder:
    request_id: int


@message
class Ranges:
    """ranges@asyncssh.com: where a sparse file has data, from `offset` on for `length` bytes."""

    request_id: int
    handle: bytes
    offset: int
    length: int


@message
class TextSeek:
    """text-seek: the next READ or WRITE of a text file is at the beginning of `line`, counted from 0."""

    request_id: int
    handle: bytes
    line: int


@message
class VendorId:
    """vendor-id: what the client says of itself."""

    request_id: int
    vendor: bytes
    product: bytes
    version: bytes
    build: int


@message
class VersionSelect:
    """version-select: another of the versions that the server listed."""

    request_id: int
    version: bytes


@message
class FilenameTranslationControl:
    """filename-translation-control: names in UTF-8, or in the bytes they have on the disk."""

    request_id: int
    translate: bool


Request: TypeAlias = (
    Open | Close | Read | Write | Lstat | Fstat | Setstat | Fsetstat | Opendir | Readdir | Remove | Mkdir
    | Rmdir | Realpath | Stat | Rename | Readlink | Symlink | Block | Unblock
    | VendorId | VersionSelect | FilenameTranslationControl
    | PosixRename | Statvfs | Fstatvfs | Hardlink | Fsync | Lsetstat | Limits | ExpandPath | HomeDirectory
    | UsersGroupsById | GetTempFolder | MakeTempFolder | CopyData | CopyFile | CheckFile | CheckFileName
    | CheckFileHandle | Md5Hash | Md5HashHandle | SpaceAvailable | Ranges | TextSeek
)  # fmt: skip
"""What a codec decodes to."""
