"""The client's side of SFTP version 3: requests to bytes, replies from bytes.

Written from the draft with struct alone, so that it can disagree with the server's codec. Packets to encode
and decode are without their uint32 length; `frame` adds it. Used by the wire tests and by drivers that speak
raw SFTP.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

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


def string(value: bytes) -> bytes:
    return u32(len(value)) + value


def frame(packet: bytes) -> bytes:
    """A packet with its length, as it goes over the channel."""
    return string(packet)


def encode_init(version: int, extensions: Pairs = ()) -> bytes:
    return b"\x01" + u32(version) + b"".join(string(name) + string(data) for name, data in extensions)


def encode(request: Any) -> bytes:
    """A request of messages.py as its packet; an Extended sends any extension by name."""
    kind, fields = _REQUESTS[type(request)]
    return bytes((kind,)) + u32(request.request_id) + fields(request)


def encode_extended(request_id: int, name: bytes, data: bytes) -> bytes:
    return encode(m.Extended(request_id, name, data))


def encode_attributes(a: m.Attributes) -> bytes:
    """ATTRS; uid and gid, and atime and mtime, are both given or both None."""
    flags, fields = 0, b""
    if a.size is not None:
        flags, fields = flags | 1, fields + u64(a.size)
    if a.uid is not None and a.gid is not None:
        flags, fields = flags | 2, fields + u32(a.uid) + u32(a.gid)
    if a.permissions is not None:
        flags, fields = flags | 4, fields + u32(a.permissions)
    if a.atime is not None and a.mtime is not None:
        flags, fields = flags | 8, fields + u32(a.atime) + u32(a.mtime)
    if a.extended:
        pairs = b"".join(string(name) + string(data) for name, data in a.extended)
        flags, fields = flags | 0x80000000, fields + u32(len(a.extended)) + pairs
    return u32(flags) + fields


_REQUESTS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    m.Open: (3, lambda r: string(r.path) + u32(r.flags) + encode_attributes(r.attributes)),
    m.Close: (4, lambda r: string(r.handle)),
    m.Read: (5, lambda r: string(r.handle) + u64(r.offset) + u32(r.length)),
    m.Write: (6, lambda r: string(r.handle) + u64(r.offset) + string(r.data)),
    m.Lstat: (7, lambda r: string(r.path)),
    m.Fstat: (8, lambda r: string(r.handle)),
    m.Setstat: (9, lambda r: string(r.path) + encode_attributes(r.attributes)),
    m.Fsetstat: (10, lambda r: string(r.handle) + encode_attributes(r.attributes)),
    m.Opendir: (11, lambda r: string(r.path)),
    m.Readdir: (12, lambda r: string(r.handle)),
    m.Remove: (13, lambda r: string(r.path)),
    m.Mkdir: (14, lambda r: string(r.path) + encode_attributes(r.attributes)),
    m.Rmdir: (15, lambda r: string(r.path)),
    m.Realpath: (16, lambda r: string(r.path)),
    m.Stat: (17, lambda r: string(r.path)),
    m.Rename: (18, lambda r: string(r.old_path) + string(r.new_path)),
    m.Readlink: (19, lambda r: string(r.path)),
    m.Symlink: (20, lambda r: string(r.target_path) + string(r.link_path)),
    m.Extended: (200, lambda r: string(r.name) + r.data),
    m.Statvfs: (200, lambda r: string(b"statvfs@openssh.com") + string(r.path)),
    m.Fstatvfs: (200, lambda r: string(b"fstatvfs@openssh.com") + string(r.handle)),
    m.Hardlink: (200, lambda r: string(b"hardlink@openssh.com") + string(r.old_path) + string(r.new_path)),
    m.Fsync: (200, lambda r: string(b"fsync@openssh.com") + string(r.handle)),
    m.Lsetstat: (
        200,
        lambda r: string(b"lsetstat@openssh.com") + string(r.path) + encode_attributes(r.attributes),
    ),
    m.Limits: (200, lambda r: string(b"limits@openssh.com")),
}


def encode_posix_rename(request_id: int, old_path: bytes, new_path: bytes) -> bytes:
    """posix-rename@openssh.com, which the server decodes to a Rename with flags."""
    return encode_extended(request_id, b"posix-rename@openssh.com", string(old_path) + string(new_path))


class _Cursor:
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

    def string(self) -> bytes:
        return self.take(self.u32())


def decode_reply(packet: bytes) -> Reply:
    """A reply from its packet; AssertionError for one that does not fill its packet exactly."""
    cursor = _Cursor(packet[1:])
    reply = _REPLIES[packet[0]](cursor)
    assert not cursor.data, "bytes follow the server's reply"
    return reply


def decode_attributes(c: _Cursor) -> m.Attributes:
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
    return m.Entry(c.string(), c.string(), decode_attributes(c))


_REPLIES: dict[int, Callable[[_Cursor], Reply]] = {
    2: _version,
    101: _status,
    102: lambda c: HandleReply(c.u32(), c.string()),
    103: lambda c: DataReply(c.u32(), c.string()),
    104: _name,
    105: lambda c: AttrsReply(c.u32(), decode_attributes(c)),
    201: lambda c: ExtendedReply(c.u32(), c.take(len(c.data))),
}
