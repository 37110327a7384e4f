"""ATTRS of versions 4 to 6: one table per version, the fields in the order of its draft.

Sources: draft-04 and draft-05, section 5; draft-13, section 7.
"""

from collections.abc import Callable
from dataclasses import dataclass

from libsshd.constants import AttribBits, AttributeFlags, FileType
from libsshd.wire.buffer import Malformed, Reader, i64, string, u8, u32, u64
from libsshd.wire.messages import Attributes

# Plain integers: an operation on IntFlag members costs more than most fields.
SIZE = int(AttributeFlags.SIZE)
PERMISSIONS = int(AttributeFlags.PERMISSIONS)
ACCESSTIME = int(AttributeFlags.ACCESSTIME)
CREATETIME = int(AttributeFlags.CREATETIME)
MODIFYTIME = int(AttributeFlags.MODIFYTIME)
ACL = int(AttributeFlags.ACL)
OWNERGROUP = int(AttributeFlags.OWNERGROUP)
SUBSECOND_TIMES = int(AttributeFlags.SUBSECOND_TIMES)
BITS = int(AttributeFlags.BITS)
ALLOCATION_SIZE = int(AttributeFlags.ALLOCATION_SIZE)
TEXT_HINT = int(AttributeFlags.TEXT_HINT)
MIME_TYPE = int(AttributeFlags.MIME_TYPE)
LINK_COUNT = int(AttributeFlags.LINK_COUNT)
UNTRANSLATED_NAME = int(AttributeFlags.UNTRANSLATED_NAME)
CTIME = int(AttributeFlags.CTIME)
EXTENDED = int(AttributeFlags.EXTENDED)

TIMES = ACCESSTIME | CREATETIME | MODIFYTIME | CTIME
MODE_BITS = 0o7777
"""All that the drafts define; the kind of file has a field of its own."""

_NS_MAX = 999_999_999
_I64 = 2**63
_ALL_BITS = sum(AttribBits)
_V5_BITS = _ALL_BITS & ~int(AttribBits.TRANSLATION_ERR)


_UNSIGNED: dict[int, tuple[Callable[[Reader], int], Callable[[int], bytes]]] = {
    8: (Reader.u8, u8),
    32: (Reader.u32, u32),
    64: (Reader.u64, u64),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One or two values behind a flag.

    `read(reader, attributes, subsecond)` raises Malformed. `write(attributes, subsecond)` is None for what is not
    known; a number that the field cannot hold becomes the nearest that it can.
    """

    flag: int
    read: Callable[[Reader, Attributes, int], None]
    write: Callable[[Attributes, int], bytes | None]


def _number(flag: int, name: str, bits: int) -> Field:
    take, put = _UNSIGNED[bits]
    most = 2**bits - 1

    def read(r: Reader, a: Attributes, _: int) -> None:
        setattr(a, name, take(r))

    def write(a: Attributes, _: int) -> bytes | None:
        value = getattr(a, name)
        return None if value is None else put(min(max(value, 0), most))

    return Field(flag, read, write)


def _text(flag: int, name: str) -> Field:
    def read(r: Reader, a: Attributes, _: int) -> None:
        setattr(a, name, r.string())

    def write(a: Attributes, _: int) -> bytes | None:
        value = getattr(a, name)
        return None if value is None else string(value)

    return Field(flag, read, write)


def _time(flag: int, seconds: str, nanoseconds: str) -> Field:
    def read(r: Reader, a: Attributes, subsecond: int) -> None:
        setattr(a, seconds, r.i64())
        if subsecond:
            setattr(a, nanoseconds, _nanoseconds(r.u32()))

    def write(a: Attributes, subsecond: int) -> bytes | None:
        value = getattr(a, seconds)
        if value is None:
            return None
        packed = i64(min(max(value, -_I64), _I64 - 1))
        return packed + u32(min(max(getattr(a, nanoseconds), 0), _NS_MAX)) if subsecond else packed

    return Field(flag, read, write)


def _nanoseconds(value: int) -> int:
    """Above a second they have a meaning of their own for the system: draft-13, section 7.7 calls them invalid."""
    if value > _NS_MAX:
        raise Malformed("more nanoseconds than a second has")
    return value


def _read_owners(r: Reader, a: Attributes, _: int) -> None:
    a.owner = r.string() or None
    a.group = r.string() or None


def _write_owners(a: Attributes, _: int) -> bytes | None:
    """Rule: an empty name is an absent one; a number that has no name is sent as its digits."""
    owner, group = _principal(a.owner, a.uid), _principal(a.group, a.gid)
    return string(owner) + string(group) if owner or group else None


def _principal(name: bytes | None, number: int | None) -> bytes:
    if name is None:
        return b"" if number is None else b"%d" % number
    return name


def _write_permissions(a: Attributes, _: int) -> bytes | None:
    return None if a.permissions is None else u32(a.permissions & MODE_BITS)


def _acl(nothing: bytes) -> Field:
    def write(a: Attributes, _: int) -> bytes | None:
        return string(nothing if a.acl is None else a.acl)

    return Field(ACL, _text(ACL, "acl").read, write)


def _read_bits_and_mask(r: Reader, a: Attributes, _: int) -> None:
    a.attrib_bits, a.attrib_bits_valid = r.u32_pair()


def _write_bits_and_mask(a: Attributes, _: int) -> bytes | None:
    return None if a.attrib_bits is None else u32(a.attrib_bits) + u32(_valid(a))


def _write_bits(a: Attributes, _: int) -> bytes | None:
    return None if a.attrib_bits is None else u32(a.attrib_bits & _valid(a) & _V5_BITS)


def _valid(a: Attributes) -> int:
    return _ALL_BITS if a.attrib_bits_valid is None else a.attrib_bits_valid


_SIZE = _number(SIZE, "size", 64)
_ALLOCATION_SIZE = _number(ALLOCATION_SIZE, "allocation_size", 64)
_OWNERGROUP = Field(OWNERGROUP, _read_owners, _write_owners)
_PERMISSIONS = Field(PERMISSIONS, _number(PERMISSIONS, "permissions", 32).read, _write_permissions)
_ATIME = _time(ACCESSTIME, "atime", "atime_ns")
_CREATETIME = _time(CREATETIME, "createtime", "createtime_ns")
_MTIME = _time(MODIFYTIME, "mtime", "mtime_ns")
_CTIME = _time(CTIME, "ctime", "ctime_ns")

V4_FIELDS = (_SIZE, _OWNERGROUP, _PERMISSIONS, _ATIME, _CREATETIME, _MTIME, _acl(u32(0)))
V5_FIELDS = (*V4_FIELDS, Field(BITS, _number(BITS, "attrib_bits", 32).read, _write_bits))
V6_FIELDS = (
    _SIZE,
    _ALLOCATION_SIZE,
    _OWNERGROUP,
    _PERMISSIONS,
    _ATIME,
    _CREATETIME,
    _MTIME,
    _CTIME,
    _acl(u32(0) + u32(0)),
    Field(BITS, _read_bits_and_mask, _write_bits_and_mask),
    _number(TEXT_HINT, "text_hint", 8),
    _text(MIME_TYPE, "mime_type"),
    _number(LINK_COUNT, "link_count", 32),
    _text(UNTRANSLATED_NAME, "untranslated_name"),
)

_TYPES: dict[int, FileType] = {int(file_type): file_type for file_type in FileType}


class Layout:
    """ATTRS of one version. `last_type` is the highest number of a file type that it has.

    The fields of the flags in `unasked` are only sent when they are asked for.
    """

    def __init__(self, fields: tuple[Field, ...], last_type: FileType, unasked: int = ACL) -> None:
        self._fields = fields
        self._usual = ~unasked
        self.known = SUBSECOND_TIMES | EXTENDED | sum(field.flag for field in fields)
        self.types: dict[int, int] = {
            int(file_type): int(file_type if file_type <= last_type else FileType.SPECIAL) for file_type in FileType
        }
        """Numbers on the wire: a type of later versions is SPECIAL."""

    def read(self, r: Reader) -> Attributes:
        """Raises Malformed, also for flags that this version does not have: "a protocol error"."""
        flags = r.u32()
        a = Attributes()
        if not flags and r.at_end:
            return a  # without attributes some clients, phpseclib among them, leave the type out too
        a.file_type = _TYPES.get(r.u8(), FileType.UNKNOWN)
        if flags & ~self.known:
            raise Malformed("attribute flags that this version does not have")
        subsecond = flags & SUBSECOND_TIMES
        for field in self._fields:
            if flags & field.flag:
                field.read(r, a, subsecond)
        if flags & EXTENDED:
            a.extended = tuple((r.string(), r.string()) for _ in range(r.count(8)))
        return a

    def write(self, a: Attributes, wanted: int) -> bytes:
        """Of what is known, what is wanted; with 0 all that is sent unasked."""
        wanted = wanted or self._usual
        subsecond = wanted & SUBSECOND_TIMES
        flags, parts = 0, [u8(self.types[a.file_type])]
        for field in self._fields:
            if wanted & field.flag and (part := field.write(a, subsecond)) is not None:
                flags |= field.flag
                parts.append(part)
        if subsecond and flags & TIMES:
            flags |= SUBSECOND_TIMES
        if a.extended and wanted & EXTENDED:
            flags |= EXTENDED
            parts.append(u32(len(a.extended)))
            parts += (string(part) for pair in a.extended for part in pair)
        return u32(flags) + b"".join(parts)
