"""SFTP version 6: draft-ietf-secsh-filexfer-13."""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from functools import cache, lru_cache
from struct import Struct
from typing import ClassVar

from libsshd.constants import AttribBits, FileType, Packet, RealpathControl, Status
from libsshd.wire.announcements import ACL_SUPPORTED, FILENAME_CHARSET, SUPPORTED2, TRANSLATION_CONTROL
from libsshd.wire.attributes import (
    ACCESSTIME,
    ACL,
    ALLOCATION_SIZE,
    BITS,
    CREATETIME,
    CTIME,
    LINK_COUNT,
    MODE_BITS,
    MODIFYTIME,
    OWNERGROUP,
    PERMISSIONS,
    SIZE,
    SUBSECOND_TIMES,
    V6_FIELDS,
    Layout,
)
from libsshd.wire.buffer import Reader, boolean, string
from libsshd.wire.extensions import Extension
from libsshd.wire.messages import (
    Attributes,
    Block,
    DirectoryEntry,
    Hardlink,
    Realpath,
    Symlink,
    SymlinkOrder,
    Unblock,
)
from libsshd.wire.v3 import V3, Decoder
from libsshd.wire.v4 import V4
from libsshd.wire.v5 import V5

_FROM_STAT = (
    SIZE | OWNERGROUP | PERMISSIONS | ACCESSTIME | MODIFYTIME | CTIME | BITS | LINK_COUNT
    | SUBSECOND_TIMES
)  # fmt: skip
_TRANSLATION_ERR = int(AttribBits.TRANSLATION_ERR)
_WITH_BIRTH = _FROM_STAT | CREATETIME
_END_OF_LIST = boolean(True)


@lru_cache(maxsize=256)
def _pack_from_stat(owner: int, group: int) -> Callable[..., bytes]:
    """Flags, type, size, owner and group of so many bytes, permissions, atime, mtime, ctime, bits, those that are
    valid, link count.
    """
    return Struct(f">IBQI{owner}sI{group}sIqIqIqIIII").pack


@lru_cache(maxsize=256)
def _pack_with_birth(owner: int, group: int) -> Callable[..., bytes]:
    """The same with a createtime before the mtime."""
    return Struct(f">IBQI{owner}sI{group}sIqIqIqIqIIII").pack


class Names(Enum):
    """What becomes of names that are not UTF-8, in replies; those in requests are bytes and mean what they say."""

    MARKED = "sent as they are, with the attributes that say so"
    TRANSLATED = "made UTF-8, with the attributes that say so and hold the name itself"
    RAW = "sent as they are"


class V6(V5):
    """Links of both kinds, locks, composed paths, and more attributes."""

    version: ClassVar[int] = 6
    last_status: ClassVar[int] = Status.NO_MATCHING_BYTE_RANGE_LOCK
    extensions: ClassVar[tuple[Extension, ...]] = (
        *V4.extensions, SUPPORTED2, ACL_SUPPORTED, FILENAME_CHARSET, TRANSLATION_CONTROL,
    )  # fmt: skip
    layout: ClassVar[Layout] = Layout(V6_FIELDS, FileType.FIFO, ACL | ALLOCATION_SIZE)
    """Without the allocation size, which lftp does not know and takes for the next field."""
    tells_end_of_list: ClassVar[bool] = True
    ignores_extended: ClassVar[bool] = False

    def __init__(self, names: Names = Names.MARKED) -> None:
        self._names = names
        super().__init__()

    def translating(self, translate: bool) -> V3:
        return _translating(Names.TRANSLATED if translate else Names.RAW)

    def requests(self) -> dict[int, Decoder]:
        """What the draft changes, section 8."""
        decoders = super().requests() | {
            Packet.REALPATH: _realpath,
            Packet.LINK: _link,
            Packet.BLOCK: lambda n, r: Block(n, r.string(), r.u64(), r.u64(), r.u32()),
            Packet.UNBLOCK: lambda n, r: Unblock(n, r.string(), r.u64(), r.u64()),
        }
        del decoders[Packet.SYMLINK]  # LINK has taken its place
        return decoders

    def _from_stat(self, a: Attributes) -> bytes:
        if not (a.text_hint is None is a.mime_type and a.untranslated_name is None):
            raise TypeError
        owner, group = len(a.owner), len(a.group)  # type: ignore[arg-type]
        # fmt: off
        if a.createtime is None:
            return _pack_from_stat(owner, group)(
                _FROM_STAT, self.layout.types[a.file_type], a.size, owner, a.owner, group, a.group,
                a.permissions & MODE_BITS, a.atime, a.atime_ns, a.mtime, a.mtime_ns,  # type: ignore[operator]
                a.ctime, a.ctime_ns, a.attrib_bits, a.attrib_bits_valid, a.link_count,
            )
        return _pack_with_birth(owner, group)(
            _WITH_BIRTH, self.layout.types[a.file_type], a.size, owner, a.owner, group, a.group,
            a.permissions & MODE_BITS, a.atime, a.atime_ns, a.createtime, a.createtime_ns,  # type: ignore[operator]
            a.mtime, a.mtime_ns, a.ctime, a.ctime_ns, a.attrib_bits, a.attrib_bits_valid, a.link_count,
        )
        # fmt: on

    def names(self, request_id: int, count: int, entries: bytes, at_end: bool = False) -> bytes:
        return super().names(request_id, count, entries + _END_OF_LIST if at_end else entries)

    def entry(self, entry: DirectoryEntry) -> bytes:
        name = entry.name
        if name.isascii() or self._names is Names.RAW or _is_utf_8(name):
            return string(name) + self.encode_attributes(entry.attributes)
        shown = name if self._names is Names.MARKED else name.decode("utf-8", "replace").encode()
        return string(shown) + self.encode_attributes(_untranslated(name, entry.attributes))


@cache
def _translating(names: Names) -> V6:
    return V6(names)


def _is_utf_8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _untranslated(name: bytes, a: Attributes) -> Attributes:
    """The attributes of what has a name that is not UTF-8 (draft-13, sections 7.9 and 7.13)."""
    valid = _TRANSLATION_ERR if a.attrib_bits is None else a.attrib_bits_valid
    return replace(
        a,
        attrib_bits=(a.attrib_bits or 0) | _TRANSLATION_ERR,
        attrib_bits_valid=None if valid is None else valid | _TRANSLATION_ERR,
        untranslated_name=name,
    )


def _realpath(request_id: int, r: Reader) -> Realpath:
    path = r.string()
    control = int(RealpathControl.NO_CHECK) if r.at_end else r.u8()
    compose = []
    while not r.at_end:
        compose.append(r.string())
    return Realpath(request_id, path, control, tuple(compose))


def _link(request_id: int, r: Reader) -> Symlink | Hardlink:
    link, existing, symbolic = r.string(), r.string(), r.boolean()
    if symbolic:
        return Symlink(request_id, existing, link, SymlinkOrder.SURE)
    return Hardlink(request_id, existing, link)
