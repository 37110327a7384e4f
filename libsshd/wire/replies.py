"""Replies taken apart: what a client sees of a codec's packets, for whoever compares, logs or changes them.

Sources: draft-02, section 7; draft-13, section 9. Encoding is the codecs'.
"""

from typing import TypeAlias

from libsshd.constants import Packet
from libsshd.wire.buffer import Malformed, Reader
from libsshd.wire.codec import Codec
from libsshd.wire.messages import Attributes, Entry, message


@message
class VersionReply:
    version: int
    extensions: tuple[tuple[bytes, bytes], ...]


@message
class StatusReply:
    """`status` is the number on the wire."""

    request_id: int
    status: int
    text: bytes
    language: bytes


@message
class HandleReply:
    request_id: int
    handle: bytes


@message
class DataReply:
    request_id: int
    data: bytes


@message
class NameReply:
    """`at_end`: version 6 said that nothing is left to list."""

    request_id: int
    entries: tuple[Entry, ...]
    at_end: bool = False


@message
class AttrsReply:
    request_id: int
    attributes: Attributes


@message
class ExtendedReply:
    request_id: int
    data: bytes


Reply: TypeAlias = VersionReply | StatusReply | HandleReply | DataReply | NameReply | AttrsReply | ExtendedReply


def split_packets(data: bytes) -> list[bytes]:
    """The packets that stand in a row, each with its length field; the last may be cut."""
    packets = []
    while data:
        length = 4 + int.from_bytes(data[:4], "big")
        packets.append(data[:length])
        data = data[length:]
    return packets


def decode_reply(codec: Codec, packet: bytes) -> Reply:
    """One reply, its length field first. Raises Malformed, also for a type that is no reply's."""
    r = Reader(packet)
    if r.u32() != len(packet) - 4:
        raise Malformed("the length field does not tell the packet's length")
    kind = r.u8()
    if kind == Packet.VERSION:
        return _version(r)
    request_id = r.u32()
    if kind == Packet.STATUS:
        return _status(request_id, r)
    if kind == Packet.HANDLE:
        return HandleReply(request_id, r.string())
    if kind == Packet.DATA:
        return DataReply(request_id, r.string())
    if kind == Packet.NAME:
        return _name(codec, request_id, r)
    if kind == Packet.ATTRS:
        return AttrsReply(request_id, codec.attributes(r))
    if kind == Packet.EXTENDED_REPLY:
        return ExtendedReply(request_id, r.rest())
    raise Malformed(f"{kind} is no type of a reply", request_id)


def _version(r: Reader) -> VersionReply:
    version = r.u32()
    extensions = []
    while not r.at_end:
        extensions.append((r.string(), r.string()))
    return VersionReply(version, tuple(extensions))


def _status(request_id: int, r: Reader) -> StatusReply:
    """Some old servers end it behind the number."""
    status = r.u32()
    text = b"" if r.at_end else r.string()
    language = b"" if r.at_end else r.string()
    return StatusReply(request_id, status, text, language)


def _name(codec: Codec, request_id: int, r: Reader) -> NameReply:
    entries = []
    for _ in range(r.count(8)):
        name = r.string()
        long_name = r.string() if codec.long_names else b""
        entries.append(Entry(name, long_name, codec.attributes(r)))
    at_end = codec.tells_end_of_list and not r.at_end and r.boolean()
    return NameReply(request_id, tuple(entries), at_end)
