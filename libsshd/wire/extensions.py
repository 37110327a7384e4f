"""Extensions of SFTP: one table with one entry each, and the data of their replies.

To add one: its message in messages.py, an entry here, its operation in serve/operations.py.
Source: OpenSSH's PROTOCOL, section 4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Protocol, TypeAlias

from libsshd.wire.buffer import Reader
from libsshd.wire.messages import (
    POSIX_RENAME,
    Attributes,
    Fstatvfs,
    Fsync,
    Hardlink,
    Limits,
    Lsetstat,
    Rename,
    Request,
    Statvfs,
)

AttributesDecoder: TypeAlias = Callable[[Reader], Attributes]
ExtensionDecoder: TypeAlias = Callable[[int, Reader, AttributesDecoder], Request]


@dataclass(frozen=True, slots=True)
class Extension:
    """`version` is what the VERSION packet says next to the name.

    `decode(request_id, reader behind the name, decoder of attributes)` makes the request and raises
    Malformed; it is None for what is only announced.
    """

    name: bytes
    version: bytes
    decode: ExtensionDecoder | None = None


EXTENSIONS = (
    Extension(b"posix-rename@openssh.com", b"1", lambda n, r, _: Rename(n, r.string(), r.string(), POSIX_RENAME)),
    Extension(b"statvfs@openssh.com", b"2", lambda n, r, _: Statvfs(n, r.string())),
    Extension(b"fstatvfs@openssh.com", b"2", lambda n, r, _: Fstatvfs(n, r.string())),
    Extension(b"hardlink@openssh.com", b"1", lambda n, r, _: Hardlink(n, r.string(), r.string())),
    Extension(b"fsync@openssh.com", b"1", lambda n, r, _: Fsync(n, r.string())),
    Extension(b"lsetstat@openssh.com", b"1", lambda n, r, attributes: Lsetstat(n, r.string(), attributes(r))),
    Extension(b"limits@openssh.com", b"1", lambda n, _r, _: Limits(n)),
)

# Says that SYMLINK has OpenSSH's argument order, which only version 3 is sure to have.
SYMLINK_ORDER = Extension(b"symlink-order@rjk.greenend.org.uk", b"targetpath-linkpath")


class VolumeFigures(Protocol):
    """The fields of os.statvfs_result that the reply carries."""

    @property
    def f_bsize(self) -> int: ...
    @property
    def f_frsize(self) -> int: ...
    @property
    def f_blocks(self) -> int: ...
    @property
    def f_bfree(self) -> int: ...
    @property
    def f_bavail(self) -> int: ...
    @property
    def f_files(self) -> int: ...
    @property
    def f_ffree(self) -> int: ...
    @property
    def f_favail(self) -> int: ...
    @property
    def f_fsid(self) -> int: ...
    @property
    def f_flag(self) -> int: ...
    @property
    def f_namemax(self) -> int: ...


_STATVFS = Struct(">11Q")
_LIMITS = Struct(">4Q")
_U64_MASK = 2**64 - 1
_KNOWN_VOLUME_FLAGS = 0x1 | 0x2  # SSH_FXE_STATVFS_ST_RDONLY, SSH_FXE_STATVFS_ST_NOSUID: Linux's own numbers


def statvfs_reply(volume: VolumeFigures) -> bytes:
    """Data of the EXTENDED_REPLY to statvfs and fstatvfs: sizes in bytes, counts in blocks of f_frsize."""
    return _STATVFS.pack(
        volume.f_bsize,
        volume.f_frsize,
        volume.f_blocks,
        volume.f_bfree,
        volume.f_bavail,
        volume.f_files,
        volume.f_ffree,
        volume.f_favail,
        volume.f_fsid & _U64_MASK,
        volume.f_flag & _KNOWN_VOLUME_FLAGS,
        volume.f_namemax,
    )


def limits_reply(*, packet_length: int, read_length: int, write_length: int, open_handles: int) -> bytes:
    """Data of the EXTENDED_REPLY to limits: bytes, and a number of handles; 0 means no limit of our own."""
    return _LIMITS.pack(packet_length, read_length, write_length, open_handles)
