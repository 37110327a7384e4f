"""SFTP version 4: draft-ietf-secsh-filexfer-04.

Its number of the PERMISSIONS flag, that of ACL, is a slip: everyone takes that of version 3, as later drafts do.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct, error
from typing import ClassVar

from libsshd.constants import AccessMask, FileType, OpenFlags, Packet, Status
from libsshd.wire.announcements import FILE_SYSTEM, NEWLINE, SELECT, VENDOR_ID, VERSIONS
from libsshd.wire.attributes import (
    ACCESSTIME,
    CREATETIME,
    MODE_BITS,
    MODIFYTIME,
    OWNERGROUP,
    PERMISSIONS,
    SIZE,
    SUBSECOND_TIMES,
    V4_FIELDS,
    Layout,
)
from libsshd.wire.buffer import Reader, string
from libsshd.wire.extensions import EXTENSIONS, TEXT_SEEK, Extension
from libsshd.wire.messages import Attributes, DirectoryEntry, Fstat, Lstat, Open, Request, Stat, Symlink, SymlinkOrder
from libsshd.wire.v3 import V3, Decoder

_FROM_STAT = SIZE | OWNERGROUP | PERMISSIONS | ACCESSTIME | MODIFYTIME | SUBSECOND_TIMES
_WITH_BIRTH = _FROM_STAT | CREATETIME

_ACCESS = (
    (int(OpenFlags.READ), int(AccessMask.READ_DATA | AccessMask.READ_ATTRIBUTES)),
    (int(OpenFlags.WRITE), int(AccessMask.WRITE_DATA | AccessMask.WRITE_ATTRIBUTES)),
    (int(OpenFlags.APPEND), int(AccessMask.APPEND_DATA)),
)


@lru_cache(maxsize=256)
def _pack_from_stat(owner: int, group: int) -> Callable[..., bytes]:
    """Flags, type, size, owner and group of so many bytes, permissions, atime, mtime."""
    return Struct(f">IBQI{owner}sI{group}sIqIqI").pack


@lru_cache(maxsize=256)
def _pack_with_birth(owner: int, group: int) -> Callable[..., bytes]:
    """The same with a createtime."""
    return Struct(f">IBQI{owner}sI{group}sIqIqIqI").pack


def wanted_flags(r: Reader) -> int:
    """The flags of STAT and its like, which phpseclib leaves out in every version."""
    return 0 if r.at_end else r.u32()


class V4(V3):
    """Attributes are typed, owners are names, times have nanoseconds, names no long form."""

    version: ClassVar[int] = 4
    last_status: ClassVar[int] = Status.NO_MEDIA
    extensions: ClassVar[tuple[Extension, ...]] = (
        *EXTENSIONS, TEXT_SEEK, NEWLINE, VERSIONS, SELECT, VENDOR_ID, FILE_SYSTEM,
    )  # fmt: skip
    native_open: ClassVar[bool] = False
    language: ClassVar[str] = "en"
    long_names: ClassVar[bool] = False
    names_principals: ClassVar[bool] = True
    sets_initial_attributes: ClassVar[bool] = True
    layout: ClassVar[Layout] = Layout(V4_FIELDS, FileType.UNKNOWN)

    def requests(self) -> dict[int, Decoder]:
        """What the draft changes, section 6."""
        return super().requests() | {
            Packet.OPEN: self._open,
            Packet.LSTAT: lambda n, r: Lstat(n, r.string(), wanted_flags(r)),
            Packet.FSTAT: lambda n, r: Fstat(n, r.string(), wanted_flags(r)),
            Packet.STAT: lambda n, r: Stat(n, r.string(), wanted_flags(r)),
            Packet.SYMLINK: _symlink,
        }

    def _open(self, request_id: int, r: Reader) -> Request:
        path, flags, attributes = r.string(), r.u32(), self.attributes(r)
        return Open(request_id, path, flags, attributes, sum(mask for flag, mask in _ACCESS if flags & flag))

    def attributes(self, r: Reader) -> Attributes:
        """ATTRS."""
        return self.layout.read(r)

    def encode_attributes(self, attributes: Attributes, wanted: int = 0) -> bytes:
        """ATTRS: of what is known, what is `wanted`; with 0 all but the ACL.

        What a field cannot hold becomes the nearest that it can.
        """
        if not wanted and not attributes.extended:
            try:
                return self._from_stat(attributes)
            except (error, TypeError):
                pass  # something is missing or out of range
        return self.layout.write(attributes, wanted)

    def _from_stat(self, a: Attributes) -> bytes:
        """What the kernel tells of a file. Raises struct.error or TypeError for any other set of attributes."""
        owner, group = len(a.owner), len(a.group)  # type: ignore[arg-type]
        # fmt: off
        if a.createtime is None:
            return _pack_from_stat(owner, group)(
                _FROM_STAT, self.layout.types[a.file_type], a.size, owner, a.owner, group, a.group,
                a.permissions & MODE_BITS, a.atime, a.atime_ns, a.mtime, a.mtime_ns,  # type: ignore[operator]
            )
        return _pack_with_birth(owner, group)(
            _WITH_BIRTH, self.layout.types[a.file_type], a.size, owner, a.owner, group, a.group,
            a.permissions & MODE_BITS, a.atime, a.atime_ns, a.createtime, a.createtime_ns,  # type: ignore[operator]
            a.mtime, a.mtime_ns,
        )
        # fmt: on

    def entry(self, entry: DirectoryEntry) -> bytes:
        """One name of a NAME packet, for `names`."""
        return string(entry.name) + self.encode_attributes(entry.attributes)


def _symlink(request_id: int, r: Reader) -> Symlink:
    link, target = r.string(), r.string()
    return Symlink(request_id, target, link, SymlinkOrder.DRAFT)
