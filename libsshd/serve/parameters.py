"""File attributes as the parameters of events, and back.

Times are milliseconds since 1970 UTC; -1 and "" mean that nothing is known. Owner and group are numbers as text in
version 3. What has no parameter of its own stands in OtherAttributes: `Name=Value;Name=Value`.
"""

from stat import S_IFMT
from typing import Any

from libsshd.constants import FileType
from libsshd.events import GetAttributes
from libsshd.wire.messages import Attributes

_FORMATS = {
    FileType.REGULAR: 0o100000,
    FileType.DIRECTORY: 0o040000,
    FileType.SYMLINK: 0o120000,
    FileType.SOCKET: 0o140000,
    FileType.CHAR_DEVICE: 0o020000,
    FileType.BLOCK_DEVICE: 0o060000,
    FileType.FIFO: 0o010000,
}
_TYPES = {bits: kind for kind, bits in _FORMATS.items()}

_TEXTS = {"MIMEType": "mime_type", "UntranslatedName": "untranslated_name"}
_NUMBERS = {
    "AllocationSize": ("allocation_size", 2**64),
    "TextHint": ("text_hint", 2**8),
    "LinkCount": ("link_count", 2**32),
}
_NANOSECONDS = {"ATimeNS": "atime", "CreateTimeNS": "createtime", "MTimeNS": "mtime"}


def parameters_of(a: Attributes, named: bool, kind: FileType = FileType.UNKNOWN) -> dict[str, Any]:
    """The eleven parameters; `kind` is what the operation says of the type when the attributes do not.

    `named` is the codec's names_principals: owner and group are names, not numbers.
    """
    return {
        "file_type": int(_file_type(a, kind)),
        "file_size": -1 if a.size is None else a.size,
        "file_owner": _principal(a.owner, a.uid, named),
        "file_group": _principal(a.group, a.gid, named),
        "file_permissions": -1 if a.permissions is None else a.permissions & 0o7777,
        "file_atime": _milliseconds(a.atime, a.atime_ns),
        "file_create_time": _milliseconds(a.createtime, a.createtime_ns),
        "file_mtime": _milliseconds(a.mtime, a.mtime_ns),
        "file_attrib_bits": -1 if a.attrib_bits is None else a.attrib_bits,
        "file_attrib_bits_valid": -1 if a.attrib_bits_valid is None else a.attrib_bits_valid,
        "other_attributes": _others(a),
    }


def attributes_from(event: GetAttributes, named: bool, found: Attributes | None) -> Attributes:
    """What handlers left of what was found. Raises ValueError for what cannot be sent."""
    others = _parse_others(event.other_attributes)
    kind = FileType(event.file_type) if event.file_type in FileType._value2member_map_ else FileType.UNKNOWN
    if kind == FileType.UNKNOWN and event.file_permissions > 0:
        kind = _TYPES.get(S_IFMT(event.file_permissions & 0o177777), FileType.UNKNOWN)
    result = Attributes(
        size=_known(event.file_size, "FileSize", 2**64),
        permissions=_mode(event.file_permissions, kind),
        file_type=kind,
        attrib_bits=_known(event.file_attrib_bits, "FileAttribBits", 2**32),
        attrib_bits_valid=_known(event.file_attrib_bits_valid, "FileAttribBitsValid", 2**32),
    )
    if not named:
        result.uid = _number(event.file_owner, "FileOwner", 2**32)
        result.gid = _number(event.file_group, "FileGroup", 2**32)
    else:
        result.owner, result.group = _bytes(event.file_owner) or None, _bytes(event.file_group) or None
    result.atime, result.atime_ns = _time(event.file_atime, others.get("ATimeNS"))
    result.mtime, result.mtime_ns = _time(event.file_mtime, others.get("MTimeNS"))
    result.createtime, result.createtime_ns = _time(event.file_create_time, others.get("CreateTimeNS"))
    for name, (field, bound) in _NUMBERS.items():
        setattr(result, field, _number(others.get(name, ""), name, bound))
    for name, field in _TEXTS.items():
        setattr(result, field, _bytes(others[name]) if name in others else None)
    if found is not None:  # no parameter carries it
        result.ctime, result.ctime_ns = found.ctime, found.ctime_ns
    return result


def _file_type(a: Attributes, kind: FileType) -> FileType:
    if a.file_type != FileType.UNKNOWN:
        return a.file_type
    return _TYPES.get(S_IFMT(a.permissions), kind) if a.permissions else kind


def _principal(name: bytes | None, number: int | None, named: bool) -> str:
    if named and name is not None:
        return name.decode("utf-8", "surrogateescape")
    return "" if number is None else str(number)


def _milliseconds(seconds: int | None, nanoseconds: int) -> int:
    return -1 if seconds is None else seconds * 1000 + nanoseconds // 1_000_000


def _others(a: Attributes) -> str:
    values: dict[str, object] = {name: getattr(a, field) for name, (field, _) in _NUMBERS.items()}
    for name, field in _TEXTS.items():
        raw = getattr(a, field)
        values[name] = None if raw is None else raw.decode("utf-8", "surrogateescape")
    for name, field in _NANOSECONDS.items():
        values[name] = getattr(a, f"{field}_ns") or None
    return ";".join(
        f"{name}={value}" for name, value in values.items() if value is not None and ";" not in str(value)
    )


def _parse_others(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if part)
    others = {name.strip(): value for name, _, value in pairs}
    if "FileMimeType" in others:  # as the manual calls it elsewhere
        others.setdefault("MIMEType", others["FileMimeType"])
    return others


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _known(value: int, name: str, bound: int) -> int | None:
    if value >= bound:
        raise ValueError(f"{name} is below {bound}, not {value}")
    return None if value < 0 else value


def _mode(permissions: int, kind: FileType) -> int | None:
    """Version 3 has no type but the one in the permissions, so a type alone brings usual permissions with it."""
    bits = _FORMATS.get(kind, 0)
    if permissions < 0:
        return bits | (0o755 if kind == FileType.DIRECTORY else 0o644) if bits else None
    return permissions & 0o7777 | (bits or S_IFMT(permissions & 0o177777))


def _number(text: str, name: str, bound: int) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is a number here, not {text!r}")
    return _known(int(text), name, bound)


def _time(milliseconds: int, nanoseconds: str | None) -> tuple[int | None, int]:
    if milliseconds < 0:
        return None, 0
    seconds, rest = divmod(milliseconds, 1000)
    if nanoseconds and nanoseconds.isascii() and nanoseconds.isdigit() and int(nanoseconds) < 10**9:
        return seconds, int(nanoseconds)
    return seconds, rest * 1_000_000
