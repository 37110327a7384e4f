"""SFTP version 5: draft-ietf-secsh-filexfer-05."""

from collections.abc import Sequence
from typing import ClassVar

from libsshd.constants import AccessMask, Disposition, FileType, OpenFlags, Packet, Status
from libsshd.wire.announcements import SUPPORTED
from libsshd.wire.attributes import ACL, BITS, V5_FIELDS, Layout
from libsshd.wire.buffer import Malformed, Reader, string
from libsshd.wire.extensions import Extension
from libsshd.wire.messages import Open, Rename, Request
from libsshd.wire.v3 import Decoder
from libsshd.wire.v4 import V4

_DISPOSITION = 0x7
_APPEND_DATA = 0x8
_APPEND_DATA_ATOMIC = 0x10
_TEXT_MODE = 0x20
_IN_FLAGS = _DISPOSITION | _APPEND_DATA | _TEXT_MODE
"""What has its place in Open.flags; the rest are Open.modes."""

_READ_DATA = int(AccessMask.READ_DATA)
_WRITE_DATA = int(AccessMask.WRITE_DATA)
_WRITE_OR_APPEND_DATA = int(AccessMask.WRITE_DATA | AccessMask.APPEND_DATA)

_READ = int(OpenFlags.READ)
_WRITE = int(OpenFlags.WRITE)
_APPEND = int(OpenFlags.APPEND)
_TEXT = int(OpenFlags.TEXT)

_FLAGS_OF_DISPOSITION: dict[int, int] = {
    Disposition.CREATE_NEW: int(OpenFlags.CREAT | OpenFlags.EXCL),
    Disposition.CREATE_TRUNCATE: int(OpenFlags.CREAT | OpenFlags.TRUNC),
    Disposition.OPEN_EXISTING: 0,
    Disposition.OPEN_OR_CREATE: int(OpenFlags.CREAT),
    Disposition.TRUNCATE_EXISTING: int(OpenFlags.TRUNC),
}


class V5(V4):
    """OPEN has an access mask and a disposition, RENAME has flags."""

    version: ClassVar[int] = 5
    last_status: ClassVar[int] = Status.LOCK_CONFLICT
    extensions: ClassVar[tuple[Extension, ...]] = (*V4.extensions, SUPPORTED)
    layout: ClassVar[Layout] = Layout(V5_FIELDS, FileType.FIFO, ACL | BITS)
    """Without the marks of a file, as its draft and AsyncSSH disagree about the length of that field."""

    def requests(self) -> dict[int, Decoder]:
        """What the draft changes, section 6."""
        return super().requests() | {
            Packet.RENAME: lambda n, r: Rename(n, r.string(), r.string(), r.u32()),
        }

    def _open(self, request_id: int, r: Reader) -> Request:
        path, access, flags, attributes = r.string(), r.u32(), r.u32(), self.attributes(r)
        access = access or _usual_access(flags)
        return Open(request_id, path, _open_flags(access, flags), attributes, access, flags & ~_IN_FLAGS)

    def _unknown_principals(self, names: Sequence[bytes]) -> bytes:
        return b"".join(map(string, names))


def _usual_access(flags: int) -> int:
    """What the disposition is good for, for a client that asks for no access at all (phpseclib)."""
    return _READ_DATA if flags & _DISPOSITION == Disposition.OPEN_EXISTING else _WRITE_DATA


def _open_flags(access: int, flags: int) -> int:
    """OpenFlags of both fields. Raises Malformed for a disposition that the draft does not have."""
    try:
        result = _FLAGS_OF_DISPOSITION[flags & _DISPOSITION]
    except KeyError:
        raise Malformed("a disposition that does not exist") from None
    if access & _READ_DATA:
        result |= _READ
    if access & _WRITE_OR_APPEND_DATA:
        result |= _WRITE
    if flags & (_APPEND_DATA | _APPEND_DATA_ATOMIC):
        result |= _APPEND
    return result | _TEXT if flags & _TEXT_MODE else result
