"""The client's side of SFTP versions 3 to 6: requests to bytes, replies from bytes.

Written from the drafts with struct alone, so that it can disagree with the server's codec. Packets to encode
and decode are without their uint32 length; `frame` adds it. Used by the wire tests and by drivers that speak
raw SFTP.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from libsshd.constants import FileType
from libsshd.wire import messages as m

Pairs = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True)
class VersionReply:
    version: int
    extensions: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class StatusReply:
    request_id: int
    status: int
    message: str
    language: str


@dataclass(frozen=True)
class HandleReply:
    request_id: int
    handle: bytes


@dataclass(frozen=True)
class DataReply:
    request_id: int
    data: bytes


@dataclass(frozen=True)
class NameReply:
    request_id: int
    entries: list[m.Entry]


@dataclass(frozen=True)
class AttrsReply:
    request_id: int
    attributes: m.Attributes


@dataclass(frozen=True)
class ExtendedReply:
    request_id: int
    data: bytes


Reply = VersionReply | StatusReply | HandleReply | DataReply | NameReply | AttrsReply | ExtendedReply


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def u32s(values: Iterable[int]) -> bytes:
    return b"".join(map(u32, values))


def string(value: bytes) -> bytes:
    return u32(len(value)) + value


def frame(packet: bytes) -> bytes:
    """A packet with its length, as it goes over the channel."""
    return string(packet)


def encode_init(version: int, extensions: Pairs = ()) -> bytes:
    return b"\x01" + u32(version) + b"".join(string(name) + string(data) for name, data in extensions)


def encode(request: Any, version: int = 3) -> bytes:
    """A request of messages.py as its packet; an Extended sends any extension by name."""
    kind, fields = _CHANGED.get(version, _REQUESTS).get(type(request)) or _REQUESTS[type(request)]
    return bytes((kind,)) + u32(request.request_id) + fields(request, version)


def encode_extended(request_id: int, name: bytes, data: bytes) -> bytes:
    return encode(m.Extended(request_id, name, data))


def encode_attributes(a: m.Attributes, version: int = 3) -> bytes:
    """ATTRS; in version 3 uid and gid, and atime and mtime, are both given or both None."""
    given = _late_fields(a, version) if version > 3 else _early_fields(a)
    flags, parts = 0, []
    for flag, part in given:
        if part is not None:
            flags |= flag
            parts.append(part)
    if version > 3 and _subsecond(a):
        flags |= 0x100
    return u32(flags) + (bytes((a.file_type,)) if version > 3 else b"") + b"".join(parts)


Given = Iterable[tuple[int, bytes | None]]


def _early_fields(a: m.Attributes) -> Given:
    yield 1, None if a.size is None else u64(a.size)
    yield 2, None if a.uid is None or a.gid is None else u32(a.uid) + u32(a.gid)
    yield 4, None if a.permissions is None else u32(a.permissions)
    yield 8, None if a.atime is None or a.mtime is None else u32(a.atime) + u32(a.mtime)
    yield 0x80000000, _pairs(a)


def _subsecond(a: m.Attributes) -> bool:
    """One of the times has nanoseconds: then all have."""
    return bool(a.atime_ns or a.createtime_ns or a.mtime_ns or a.ctime_ns)


def _late_fields(a: m.Attributes, version: int) -> Given:
    time = _time if _subsecond(a) else _whole_time
    yield 1, None if a.size is None else u64(a.size)
    if version == 6:
        yield 0x400, None if a.allocation_size is None else u64(a.allocation_size)
    yield 0x80, string(a.owner or b"") + string(a.group or b"") if a.owner or a.group else None
    yield 4, None if a.permissions is None else u32(a.permissions)
    yield 8, time(a.atime, a.atime_ns)
    yield 0x10, time(a.createtime, a.createtime_ns)
    yield 0x20, time(a.mtime, a.mtime_ns)
    if version == 6:
        yield 0x8000, time(a.ctime, a.ctime_ns)
    yield 0x40, None if a.acl is None else string(a.acl)
    if version == 5:
        yield 0x200, None if a.attrib_bits is None else u32(a.attrib_bits)
    if version == 6:
        yield 0x200, None if a.attrib_bits is None else u32(a.attrib_bits) + u32(a.attrib_bits_valid or 0)
        yield 0x800, None if a.text_hint is None else bytes((a.text_hint,))
        yield 0x1000, None if a.mime_type is None else string(a.mime_type)
        yield 0x2000, None if a.link_count is None else u32(a.link_count)
        yield 0x4000, None if a.untranslated_name is None else string(a.untranslated_name)
    yield 0x80000000, _pairs(a)


def _time(seconds: int | None, nanoseconds: int) -> bytes | None:
    return None if seconds is None else struct.pack(">qI", seconds, nanoseconds)


def _whole_time(seconds: int | None, _: int) -> bytes | None:
    return None if seconds is None else struct.pack(">q", seconds)


def _pairs(a: m.Attributes) -> bytes | None:
    pairs = b"".join(string(name) + string(data) for name, data in a.extended)
    return u32(len(a.extended)) + pairs if a.extended else None


def _open_5(r: m.Open, version: int) -> bytes:
    """The disposition and flags that stand for OpenFlags and OpenModes."""
    disposition = {0x28: 0, 0x18: 1, 0: 2, 0x08: 3, 0x10: 4}[r.flags & 0x38]
    append, text = (8 if r.flags & 4 else 0), (0x20 if r.flags & 0x40 else 0)
    flags = disposition | append | text | r.modes
    return string(r.path) + u32(r.desired_access) + u32(flags) + encode_attributes(r.attributes, version)


Encoder = tuple[int, Callable[[Any, int], bytes]]

_REQUESTS: dict[type, Encoder] = {
    m.Open: (3, lambda r, v: string(r.path) + u32(r.flags) + encode_attributes(r.attributes, v)),
    m.Close: (4, lambda r, v: string(r.handle)),
    m.Read: (5, lambda r, v: string(r.handle) + u64(r.offset) + u32(r.length)),
    m.Write: (6, lambda r, v: string(r.handle) + u64(r.offset) + string(r.data)),
    m.Lstat: (7, lambda r, v: string(r.path)),
    m.Fstat: (8, lambda r, v: string(r.handle)),
    m.Setstat: (9, lambda r, v: string(r.path) + encode_attributes(r.attributes, v)),
    m.Fsetstat: (10, lambda r, v: string(r.handle) + encode_attributes(r.attributes, v)),
    m.Opendir: (11, lambda r, v: string(r.path)),
    m.Readdir: (12, lambda r, v: string(r.handle)),
    m.Remove: (13, lambda r, v: string(r.path)),
    m.Mkdir: (14, lambda r, v: string(r.path) + encode_attributes(r.attributes, v)),
    m.Rmdir: (15, lambda r, v: string(r.path)),
    m.Realpath: (16, lambda r, v: string(r.path)),
    m.Stat: (17, lambda r, v: string(r.path)),
    m.Rename: (18, lambda r, v: string(r.old_path) + string(r.new_path)),
    m.Readlink: (19, lambda r, v: string(r.path)),
    m.Symlink: (20, lambda r, v: string(r.target_path) + string(r.link_path)),
    m.Extended: (200, lambda r, v: string(r.name) + r.data),
    m.PosixRename: (200, lambda r, v: string(b"posix-rename@openssh.com") + string(r.old_path) + string(r.new_path)),
    m.Statvfs: (200, lambda r, v: string(b"statvfs@openssh.com") + string(r.path)),
    m.Fstatvfs: (200, lambda r, v: string(b"fstatvfs@openssh.com") + string(r.handle)),
    m.Hardlink: (200, lambda r, v: string(b"hardlink@openssh.com") + string(r.old_path) + string(r.new_path)),
    m.Fsync: (200, lambda r, v: string(b"fsync@openssh.com") + string(r.handle)),
    m.Lsetstat: (
        200,
        lambda r, v: string(b"lsetstat@openssh.com") + string(r.path) + encode_attributes(r.attributes, v),
    ),
    m.Limits: (200, lambda r, v: string(b"limits@openssh.com")),
    m.ExpandPath: (200, lambda r, v: string(b"expand-path@openssh.com") + string(r.path)),
    m.HomeDirectory: (200, lambda r, v: string(b"home-directory") + string(r.user)),
    m.UsersGroupsById: (
        200,
        lambda r, v: string(b"users-groups-by-id@openssh.com") + string(u32s(r.uids)) + string(u32s(r.gids)),
    ),
    m.GetTempFolder: (200, lambda r, v: string(b"get-temp-folder")),
    m.MakeTempFolder: (200, lambda r, v: string(b"make-temp-folder")),
    m.VendorId: (
        200,
        lambda r, v: string(b"vendor-id") + string(r.vendor) + string(r.product) + string(r.version) + u64(r.build),
    ),
    m.VersionSelect: (200, lambda r, v: string(b"version-select") + string(r.version)),
    m.FilenameTranslationControl: (
        200,
        lambda r, v: string(b"filename-translation-control") + bytes((r.translate,)),
    ),
    m.CopyData: (
        200,
        lambda r, v: (
            string(b"copy-data")
            + string(r.read_handle)
            + u64(r.read_offset)
            + u64(r.length)
            + string(r.write_handle)
            + u64(r.write_offset)
        ),
    ),
    m.CopyFile: (
        200,
        lambda r, v: string(b"copy-file") + string(r.old_path) + string(r.new_path) + bytes([r.overwrite]),
    ),
    m.CheckFile: (200, lambda r, v: string(b"check-file") + string(r.handle) + _hashing(r)),
    m.CheckFileName: (200, lambda r, v: string(b"check-file-name") + string(r.path) + _hashing(r)),
    m.CheckFileHandle: (200, lambda r, v: string(b"check-file-handle") + string(r.handle) + _hashing(r)),
    m.Md5Hash: (200, lambda r, v: string(b"md5-hash") + string(r.path) + _md5_hashing(r)),
    m.Md5HashHandle: (200, lambda r, v: string(b"md5-hash-handle") + string(r.handle) + _md5_hashing(r)),
    m.SpaceAvailable: (200, lambda r, v: string(b"space-available") + string(r.path)),
    m.Ranges: (200, lambda r, v: string(b"ranges@asyncssh.com") + string(r.handle) + u64(r.offset) + u64(r.length)),
}
_V4: dict[type, Encoder] = {
    m.TextSeek: (200, lambda r, v: string(b"text-seek") + string(r.handle) + u64(r.line)),
    m.Lstat: (7, lambda r, v: string(r.path) + u32(r.flags)),
    m.Fstat: (8, lambda r, v: string(r.handle) + u32(r.flags)),
    m.Stat: (17, lambda r, v: string(r.path) + u32(r.flags)),
    m.Symlink: (20, lambda r, v: string(r.link_path) + string(r.target_path)),
}
_V5 = _V4 | {
    m.Open: (3, _open_5),
    m.Rename: (18, lambda r, v: string(r.old_path) + string(r.new_path) + u32(r.flags)),
}
_V6 = _V5 | {
    m.Realpath: (16, lambda r, v: string(r.path) + bytes((r.control,)) + b"".join(map(string, r.compose))),
    m.Symlink: (21, lambda r, v: string(r.link_path) + string(r.target_path) + b"\x01"),
    m.Block: (22, lambda r, v: string(r.handle) + u64(r.offset) + u64(r.length) + u32(r.mask)),
    m.Unblock: (23, lambda r, v: string(r.handle) + u64(r.offset) + u64(r.length)),
}
_CHANGED = {4: _V4, 5: _V5, 6: _V6}


def _hashing(r: Any) -> bytes:
    return string(b",".join(r.algorithms)) + u64(r.start) + u64(r.length) + u32(r.block_size)


def _md5_hashing(r: Any) -> bytes:
    return u64(r.start) + u64(r.length) + string(r.quick_check)


class _Cursor:
    version = 3

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        assert len(self.data) >= size, "the server's packet ends too early"
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "big")

    def time(self, subsecond: bool) -> tuple[int, int]:
        return int.from_bytes(self.take(8), "big", signed=True), self.u32() if subsecond else 0

    def string(self) -> bytes:
        return self.take(self.u32())


def decode_reply(packet: bytes, version: int = 3) -> Reply:
    """A reply from its packet; AssertionError for one that does not fill its packet exactly."""
    cursor = _Cursor(packet[1:])
    cursor.version = version
    reply = _REPLIES[packet[0]](cursor)
    assert not cursor.data, "bytes follow the server's reply"
    return reply


def decode_attributes(c: _Cursor) -> m.Attributes:
    return _early_attributes(c) if c.version == 3 else _late_attributes(c)


def _early_attributes(c: _Cursor) -> m.Attributes:
    flags = c.u32()
    assert not flags & ~0x8000000F, f"flags unknown to version 3: {flags:#x}"
    a = m.Attributes()
    if flags & 1:
        a.size = c.u64()
    if flags & 2:
        a.uid, a.gid = c.u32(), c.u32()
    if flags & 4:
        a.permissions = c.u32()
    if flags & 8:
        a.atime, a.mtime = c.u32(), c.u32()
    if flags & 0x80000000:
        a.extended = tuple((c.string(), c.string()) for _ in range(c.u32()))
    return a


_KNOWN = {4: 0x800001FD, 5: 0x800003FD, 6: 0x8000FFFD}


def _late_attributes(c: _Cursor) -> m.Attributes:
    flags = c.u32()
    assert not flags & ~_KNOWN[c.version], f"flags unknown to version {c.version}: {flags:#x}"
    a = m.Attributes(file_type=FileType(c.take(1)[0]))
    for flag, names, take in _LATE:
        if flags & flag:
            for name, value in zip(names, take(c, bool(flags & 0x100)), strict=True):
                setattr(a, name, value)
    return a


_LATE: tuple[tuple[int, tuple[str, ...], Callable[[_Cursor, bool], tuple[Any, ...]]], ...] = (
    (0x1, ("size",), lambda c, _: (c.u64(),)),
    (0x400, ("allocation_size",), lambda c, _: (c.u64(),)),
    (0x80, ("owner", "group"), lambda c, _: (c.string() or None, c.string() or None)),
    (0x4, ("permissions",), lambda c, _: (c.u32(),)),
    (0x8, ("atime", "atime_ns"), _Cursor.time),
    (0x10, ("createtime", "createtime_ns"), _Cursor.time),
    (0x20, ("mtime", "mtime_ns"), _Cursor.time),
    (0x8000, ("ctime", "ctime_ns"), _Cursor.time),
    (0x40, ("acl",), lambda c, _: (c.string(),)),
    (0x200, ("attrib_bits", "attrib_bits_valid"), lambda c, _: (c.u32(), c.u32() if c.version == 6 else None)),
    (0x800, ("text_hint",), lambda c, _: (c.take(1)[0],)),
    (0x1000, ("mime_type",), lambda c, _: (c.string(),)),
    (0x2000, ("link_count",), lambda c, _: (c.u32(),)),
    (0x4000, ("untranslated_name",), lambda c, _: (c.string(),)),
    (0x80000000, ("extended",), lambda c, _: (tuple((c.string(), c.string()) for _ in range(c.u32())),)),
)


def _version(c: _Cursor) -> VersionReply:
    version, extensions = c.u32(), []
    while c.data:
        extensions.append((c.string(), c.string()))
    return VersionReply(version, tuple(extensions))


def _status(c: _Cursor) -> StatusReply:
    return StatusReply(c.u32(), c.u32(), c.string().decode(), c.string().decode("ascii"))


def _name(c: _Cursor) -> NameReply:
    request_id = c.u32()
    return NameReply(request_id, [_entry(c) for _ in range(c.u32())])


def _entry(c: _Cursor) -> m.Entry:
    return m.Entry(c.string(), c.string() if c.version == 3 else b"", decode_attributes(c))


_REPLIES: dict[int, Callable[[_Cursor], Reply]] = {
    2: _version,
    101: _status,
    102: lambda c: HandleReply(c.u32(), c.string()),
    103: lambda c: DataReply(c.u32(), c.string()),
    104: _name,
    105: lambda c: AttrsReply(c.u32(), decode_attributes(c)),
    201: lambda c: ExtendedReply(c.u32(), c.take(len(c.data))),
}
