"""SFTP version 3: draft-ietf-secsh-filexfer-02, with OpenSSH's order of SYMLINK's arguments.

A later version is a subclass that replaces only what its draft changes: entries of `requests`, `attributes`,
`encode_attributes`, `entry`, and the class attributes.
"""

from collections.abc import Callable, Sequence
from struct import Struct, error
from typing import ClassVar, TypeAlias

from libsshd.constants import OpenFlags, Packet, Status
from libsshd.errors import status_text
from libsshd.wire.announcements import SELECT, VENDOR_ID_REQUEST, VERSIONS
from libsshd.wire.buffer import Malformed, Reader, Unsupported, string, text, u32, u64
from libsshd.wire.extensions import EXTENSIONS, SYMLINK_ORDER, Extension
from libsshd.wire.messages import (
    Attributes,
    Close,
    DirectoryEntry,
    Fsetstat,
    Fstat,
    Lstat,
    Mkdir,
    Open,
    Opendir,
    Read,
    Readdir,
    Readlink,
    Realpath,
    Remove,
    Rename,
    Request,
    Rmdir,
    Setstat,
    Stat,
    Symlink,
    Write,
)
from libsshd.wire.offer import Offer

Decoder: TypeAlias = Callable[[int, Reader], Request]

# Plain integers: packing or testing an IntEnum member costs several times as much.
_STATUS = int(Packet.STATUS)
_HANDLE = int(Packet.HANDLE)
_DATA = int(Packet.DATA)
_NAME = int(Packet.NAME)
_ATTRS = int(Packet.ATTRS)
_EXTENDED_REPLY = int(Packet.EXTENDED_REPLY)

_SIZE = 0x00000001
_UIDGID = 0x00000002
_PERMISSIONS = 0x00000004
_ACMODTIME = 0x00000008
_EXTENDED = 0x80000000
_FROM_STAT = _SIZE | _UIDGID | _PERMISSIONS | _ACMODTIME
_KNOWN = _FROM_STAT | _EXTENDED

_TEXT = int(OpenFlags.TEXT)  # has no meaning before version 4
_MAX_TIME = 2**32 - 1

_read_head = Struct(">BI").unpack_from  # type, request id
_pack_head = Struct(">IBI").pack  # length, type, request id
_pack_head_and_u32 = Struct(">IBII").pack  # length, type, request id, first uint32 of the body
_pack_u32 = Struct(">I").pack
_pack_from_stat = Struct(">IQ5I").pack  # flags, size, uid, gid, permissions, atime, mtime

# Statuses of later versions that have a better equivalent than FAILURE.
_OLDER_STATUS: dict[int, int] = {
    Status.NO_SUCH_PATH: Status.NO_SUCH_FILE,
    Status.WRITE_PROTECT: Status.PERMISSION_DENIED,
}


class V3:
    """The codec of version 3; it has no state, one instance serves all sessions.

    Rule: bytes behind the last field of a request are ignored, as OpenSSH does; clients are known to send a
    longer buffer than the length inside WRITE tells, and a later field must not lock out an older server.
    """

    version: ClassVar[int] = 3
    last_status: ClassVar[int] = Status.OP_UNSUPPORTED
    extensions: ClassVar[tuple[Extension, ...]] = (*EXTENSIONS, SYMLINK_ORDER, VERSIONS, SELECT, VENDOR_ID_REQUEST)
    native_open: ClassVar[bool] = True
    """C may answer OPEN and CLOSE by itself: they have version 3's layout, and names are those of the file system."""
    language: ClassVar[str] = ""
    """Language tag of this server's own messages; version 3 has OpenSSH's."""
    long_names: ClassVar[bool] = True
    """Each name in a NAME comes with a line of `ls -l`."""
    tells_end_of_list: ClassVar[bool] = False
    """A NAME may close with end-of-list, as in version 6."""
    names_principals: ClassVar[bool] = False
    """Owner and group are names, as from version 4 on, and not numbers."""
    sets_initial_attributes: ClassVar[bool] = False
    """OPEN and MKDIR give what they create all attributes they carry, and not, as OpenSSH does, the mode alone."""
    ignores_extended: ClassVar[bool] = True
    """Extended attributes that nobody knows are left out, as up to version 5, and no reason to refuse a request."""

    def requests(self) -> dict[int, Decoder]:
        """Every request of this version: fields in the order of the draft, section 6."""
        return {
            Packet.OPEN: lambda n, r: Open(n, r.string(), r.u32() & ~_TEXT, self.attributes(r)),
            Packet.CLOSE: lambda n, r: Close(n, r.string()),
            Packet.READ: lambda n, r: Read(n, r.string(), r.u64(), r.u32()),
            Packet.WRITE: lambda n, r: Write(n, r.string(), r.u64(), r.string()),
            Packet.LSTAT: lambda n, r: Lstat(n, r.string()),
            Packet.FSTAT: lambda n, r: Fstat(n, r.string()),
            Packet.SETSTAT: lambda n, r: Setstat(n, r.string(), self.attributes(r)),
            Packet.FSETSTAT: lambda n, r: Fsetstat(n, r.string(), self.attributes(r)),
            Packet.OPENDIR: lambda n, r: Opendir(n, r.string()),
            Packet.READDIR: lambda n, r: Readdir(n, r.string()),
            Packet.REMOVE: lambda n, r: Remove(n, r.string()),
            Packet.MKDIR: lambda n, r: Mkdir(n, r.string(), self.mkdir_attributes(r)),
            Packet.RMDIR: lambda n, r: Rmdir(n, r.string()),
            Packet.REALPATH: lambda n, r: Realpath(n, r.string()),
            Packet.STAT: lambda n, r: Stat(n, r.string()),
            Packet.RENAME: lambda n, r: Rename(n, r.string(), r.string()),
            Packet.READLINK: lambda n, r: Readlink(n, r.string()),
            # The draft has linkpath first; every client and server follows OpenSSH, which has it second.
            Packet.SYMLINK: lambda n, r: Symlink(n, r.string(), r.string()),
            Packet.EXTENDED: self._extended,
        }

    def __init__(self) -> None:
        self._decoders = {int(kind): decoder for kind, decoder in self.requests().items()}
        self._extension_decoders = {entry.name: entry.decode for entry in self.extensions if entry.decode}
        self._stock_status = {int(status): self._status_body(status, "", self.language) for status in Status}

    def announcements(self, offer: Offer) -> list[tuple[bytes, bytes]]:
        """Names and data of the extensions, for encode_version."""
        entries = [entry for entry in self.extensions if offer.announces(entry.name)]
        names = tuple(entry.name for entry in entries if entry.decode)
        said = (
            (entry.name, entry.version(offer, names) if callable(entry.version) else entry.version)
            for entry in entries
        )
        return [(name, data) for name, data in said if data is not None]

    def decode(self, payload: bytes) -> Request:
        """One request from a packet without its length field.

        Raises Malformed, or Unsupported for a type or extension that this version does not know.
        """
        try:
            kind, request_id = _read_head(payload)
        except error:
            raise Malformed("the packet ends before its request id") from None
        decoder = self._decoders.get(kind)
        if decoder is None:
            raise _not_a_request(kind, request_id)
        try:
            return decoder(request_id, Reader(payload, 5))
        except Malformed as malformed:
            malformed.request_id = request_id
            raise

    def _extended(self, request_id: int, r: Reader) -> Request:
        name = r.string()
        decoder = self._extension_decoders.get(name)
        if decoder is None:
            raise Unsupported("unknown extension", request_id, name)
        return decoder(request_id, r, self.attributes)

    def attributes(self, r: Reader) -> Attributes:
        """ATTRS, section 5.

        Rule: the fields stand in the order of their flag bits, so an unknown bit is ignored (as OpenSSH does)
        while its field could only follow all known ones. With EXTENDED, the highest bit, it would stand
        somewhere before that, and nobody knows how long it is: Malformed.
        """
        flags = r.u32()
        size = uid = gid = permissions = atime = mtime = None
        if flags & _SIZE:
            size = r.u64()
        if flags & _UIDGID:
            uid, gid = r.u32_pair()
        if flags & _PERMISSIONS:
            permissions = r.u32()
        if flags & _ACMODTIME:
            atime, mtime = r.u32_pair()
        if not flags & _EXTENDED:
            return Attributes(size, uid, gid, permissions, atime, mtime)
        if flags & ~_KNOWN:
            raise Malformed("unknown attribute flags before extended attributes")
        extended = tuple((r.string(), r.string()) for _ in range(r.count(8)))
        return Attributes(size, uid, gid, permissions, atime, mtime, extended)

    def mkdir_attributes(self, r: Reader) -> Attributes:
        """ATTRS, which some clients leave out when they make a directory."""
        return Attributes() if r.at_end else self.attributes(r)

    def encode_attributes(self, attributes: Attributes, wanted: int = 0) -> bytes:  # noqa: ARG002
        """ATTRS, section 5; `wanted` matters from version 4 on.

        Version 3 has pairs (owner and group, both times) and unsigned 32-bit seconds: half a pair of ids is
        left out, a missing time takes the other's value, a time outside 1970 to 2106 the nearest one inside.
        Raises struct.error for a size, id or mode that its field cannot hold.
        """
        a = attributes
        if a.size is not None and not a.extended:
            try:
                return _pack_from_stat(_FROM_STAT, a.size, a.uid, a.gid, a.permissions, a.atime, a.mtime)
            except error:
                pass  # something is missing or out of range
        return self._encode_some_attributes(a)

    def _encode_some_attributes(self, a: Attributes) -> bytes:
        flags = 0
        fields = []
        if a.size is not None:
            flags |= _SIZE
            fields.append(u64(a.size))
        if a.uid is not None and a.gid is not None:
            flags |= _UIDGID
            fields += u32(a.uid), u32(a.gid)
        if a.permissions is not None:
            flags |= _PERMISSIONS
            fields.append(u32(a.permissions))
        if a.atime is not None or a.mtime is not None:
            flags |= _ACMODTIME
            fields += _time(a.atime, a.mtime), _time(a.mtime, a.atime)
        if a.extended:
            flags |= _EXTENDED
            fields.append(u32(len(a.extended)))
            fields += (string(part) for pair in a.extended for part in pair)
        return u32(flags) + b"".join(fields)

    def translating(self, translate: bool) -> "V3":  # noqa: ARG002
        """The codec for a client that wants names in UTF-8, or as they are; only version 6 lets it choose."""
        return self

    def known_status(self, status: int) -> int:
        """`status`, or the nearest one that this version has."""
        if 0 <= status <= self.last_status:
            return status
        return _OLDER_STATUS.get(status, Status.FAILURE)

    def _status_body(self, status: int, message: str, language: str) -> bytes:
        return u32(self.known_status(status)) + text(message or status_text(status)) + text(language)

    def status(
        self, request_id: int, status: int, message: str = "", language: str | None = None,
        unknown: Sequence[bytes] = (),
    ) -> bytes:  # fmt: skip
        """STATUS; without a message the stock text, which tells what the mapped number may not.

        `language` is the tag of a message that is not this server's own (RFC 1766), "" for one that nobody knows.
        `unknown` are the names that UNKNOWN_PRINCIPAL is about, for versions that tell them.
        """
        body = None if message or language is not None else self._stock_status.get(status)
        if body is None:
            body = self._status_body(status, message, self.language if language is None else language)
        if unknown:
            body += self._unknown_principals(unknown)
        return _pack_head(5 + len(body), _STATUS, request_id) + body

    def _unknown_principals(self, names: Sequence[bytes]) -> bytes:  # noqa: ARG002
        """Data behind a STATUS, which version 3 does not have."""
        return b""

    def handle(self, request_id: int, handle: bytes) -> bytes:
        """HANDLE; `handle` has at most 256 bytes."""
        return _pack_head_and_u32(9 + len(handle), _HANDLE, request_id, len(handle)) + handle

    def data(self, request_id: int, data: bytes) -> bytes:
        """DATA."""
        return _pack_head_and_u32(9 + len(data), _DATA, request_id, len(data)) + data

    def entry(self, entry: DirectoryEntry) -> bytes:
        """One name of a NAME packet, for `names`."""
        name, line, basic = entry.name, entry.longname, entry.basic
        try:
            attributes = _pack_from_stat(_FROM_STAT, *basic) if basic else self.encode_attributes(entry.attributes)
        except error:  # something is out of range
            attributes = self.encode_attributes(entry.attributes)
        return _pack_u32(len(name)) + name + _pack_u32(len(line)) + line + attributes

    def names(self, request_id: int, count: int, entries: bytes, at_end: bool = False) -> bytes:  # noqa: ARG002
        """NAME from `count` encoded entries; the packet is 13 bytes longer than they are.

        `at_end`: nothing is left to list, which later versions tell.
        """
        return _pack_head_and_u32(9 + len(entries), _NAME, request_id, count) + entries

    def name(self, request_id: int, entries: Sequence[DirectoryEntry]) -> bytes:
        """NAME."""
        return self.names(request_id, len(entries), b"".join(map(self.entry, entries)))

    def attrs(self, request_id: int, attributes: Attributes, wanted: int = 0) -> bytes:
        """ATTRS; `wanted` are the AttributeFlags of the request (versions 4 and later), 0 for everything known."""
        body = self.encode_attributes(attributes, wanted)
        return _pack_head(5 + len(body), _ATTRS, request_id) + body

    def extended_reply(self, request_id: int, data: bytes) -> bytes:
        """EXTENDED_REPLY."""
        return _pack_head(5 + len(data), _EXTENDED_REPLY, request_id) + data


def _time(seconds: int | None, substitute: int | None) -> bytes:
    value = substitute if seconds is None else seconds
    return u32(min(max(value or 0, 0), _MAX_TIME))


def _not_a_request(kind: int, request_id: int) -> Malformed | Unsupported:
    if kind in (Packet.INIT, Packet.VERSION):
        # They carry a version where others have their id: an answer would go to a request never made.
        return Malformed("the version is negotiated already")
    return Unsupported(f"unknown packet type {kind}", request_id)
