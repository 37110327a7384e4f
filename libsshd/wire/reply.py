"""The data of the EXTENDED_REPLY packets of extensions."""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Protocol

from libsshd.constants import Packet
from libsshd.wire.buffer import Reader, boolean, string, u32


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


_SPACE = Struct(">4QI")
_RANGE = Struct(">2Q")
_U32_MAX = 2**32 - 1


def space_available_reply(volume: VolumeFigures) -> bytes:
    """Data of the EXTENDED_REPLY to space-available (draft-ietf-secsh-filexfer-extensions-00, section 4): bytes.

    The device's, those of it that are unused, what a user may have of it, that of it which is unused; and the size
    of an allocation unit.
    """
    size, taken = volume.f_frsize, volume.f_blocks - volume.f_bfree
    return _SPACE.pack(
        size * volume.f_blocks,
        size * volume.f_bfree,
        size * (taken + volume.f_bavail),
        size * volume.f_bavail,
        min(size, _U32_MAX),
    )


def names_reply(users: Iterable[bytes], groups: Iterable[bytes]) -> bytes:
    """Data of the EXTENDED_REPLY to users-groups-by-id: the names in the order of the numbers asked for."""
    return string(b"".join(map(string, users))) + string(b"".join(map(string, groups)))


def ranges_reply(ranges: Sequence[tuple[int, int]], *, at_end: bool) -> bytes:
    """Data of the EXTENDED_REPLY to ranges: offsets and lengths in bytes, and whether no others follow."""
    return u32(len(ranges)) + b"".join(_RANGE.pack(*extent) for extent in ranges) + boolean(at_end)


def check_file_reply(algorithm: bytes, hashes: bytes, name: bytes = b"") -> bytes:
    """Data of the EXTENDED_REPLY to check-file-name and check-file-handle (draft-...-extensions-00, section 3).

    Older drafts have the `name` check-file before it, and so has who asks by that name.
    """
    return (string(name) if name else b"") + string(algorithm) + hashes


def md5_hash_reply(name: bytes, digest: bytes) -> bytes:
    """Data of the EXTENDED_REPLY to md5-hash (draft-ietf-secsh-filexfer-05, section 8.1)."""
    return string(name) + string(digest)


# --- taken apart again, where one request is made of others ---


def handle_of(packet: bytes) -> bytes:
    """What a HANDLE carries."""
    return _string_at(packet, 9)


def data_of(packet: bytes) -> bytes:
    """What a DATA carries; b"" for a STATUS, which says EOF."""
    return _string_at(packet, 9) if packet[4] == Packet.DATA else b""


def _string_at(packet: bytes, position: int) -> bytes:
    return Reader(packet, position).string()
