"""Versions 4 to 6, byte by byte; what they share with version 3 is tested there."""

from typing import Any

import pytest

from libsshd.constants import AttributeFlags, FileType, Packet, Status
from libsshd.wire import messages as m
from libsshd.wire.buffer import Malformed, Unsupported
from libsshd.wire.codec import Codec, codec_for

from . import client_encoding as client
from .later_packets import (
    ALL_V4,
    ALL_V4_VALUE,
    ALL_V5,
    ALL_V5_VALUE,
    ALL_V6,
    ALL_V6_VALUE,
    NO_ATTRIBUTES,
    OF_VERSION,
    requests_of,
)
from .packets import Literal, fields

LATER = (4, 5, 6)
each_version = pytest.mark.parametrize("version", LATER)
each_request = pytest.mark.parametrize(
    ("version", "packet", "request_"),
    [
        pytest.param(version, packet, request, id=f"{version}-{name}")
        for version in LATER
        for name, (packet, request) in requests_of(version).items()
    ],
)
TYPES = {4: {*range(3, 21), 200}, 5: {*range(3, 21), 200}, 6: {*range(3, 20), 21, 22, 23, 200}}
NOBODY = fields(
    b"\x00\x00\x00\x06nobody",  # unknown-name
    b"\x00\x00\x00\x04none",  # unknown-name
)
ACL, SUBSECOND, EXTENDED = 0x40, 0x100, 0x80000000


@each_request
def test_a_request_decodes_to_what_its_bytes_say(version: int, packet: Literal, request_: m.Request) -> None:
    assert codec_for(version).decode(packet) == request_


@each_request
def test_the_client_side_encodes_a_request_to_the_same_bytes(
    version: int, packet: Literal, request_: m.Request
) -> None:
    if packet[0] != Packet.LINK or not isinstance(request_, m.Hardlink):  # the client side sends the extension
        assert client.encode(request_, version) == packet


@each_request
def test_bytes_behind_the_last_field_are_ignored(version: int, packet: Literal, request_: m.Request) -> None:
    excess = b"" if isinstance(request_, m.Realpath) and version == 6 else b"\xff" * 100  # its paths go on to the end
    assert codec_for(version).decode(packet + excess) == request_


@each_version
def test_every_request_of_the_draft_has_a_literal(version: int) -> None:
    assert {packet[0] for packet, _ in OF_VERSION[version].values()} == TYPES[version]
    assert {int(kind) for kind in codec_for(version).requests()} == TYPES[version]


@each_version
def test_a_request_of_another_version_is_unsupported(version: int) -> None:
    for kind in {Packet.SYMLINK, Packet.LINK, Packet.BLOCK, Packet.UNBLOCK} - TYPES[version]:
        with pytest.raises(Unsupported) as caught:
            codec_for(version).decode(bytes([kind]) + b"\x00\x00\x00\x07" + bytes(40))
        assert caught.value.request_id == 7


# --- requests ---


@each_version
@pytest.mark.parametrize("name", ["stat", "lstat", "fstat"])
def test_without_flags_everything_is_wanted(version: int, name: str) -> None:
    packet, request = requests_of(version)[name]
    bare = codec_for(version).decode(packet[:-4])
    assert bare == type(request)(request.request_id, *(part[4:] for part in packet.parts[2:3]))  # type: ignore[arg-type]


@each_version
def test_mkdir_may_come_without_attributes_and_without_their_type(version: int) -> None:
    packet, _ = requests_of(version)["mkdir"]
    for bare in (packet[:-5], packet[:-1]):
        assert codec_for(version).decode(bare) == m.Mkdir(12, b"/d", m.Attributes())


@pytest.mark.parametrize(
    ("access", "flags", "sent"),
    [
        (0x1, 2, 0x01),  # READ_DATA, OPEN_EXISTING
        (0x2, 2, 0x02),  # WRITE_DATA
        (0x4, 2, 0x02),  # APPEND_DATA writes
        (0x7, 2, 0x03),
        (0x2, 0, 0x2A),  # CREATE_NEW: CREAT, EXCL
        (0x2, 1, 0x1A),  # CREATE_TRUNCATE: CREAT, TRUNC
        (0x3, 3, 0x0B),  # OPEN_OR_CREATE: CREAT
        (0x2, 4, 0x12),  # TRUNCATE_EXISTING: TRUNC
        (0x6, 0x0A, 0x06),  # APPEND_DATA
        (0x6, 0x12, 0x06),  # APPEND_DATA_ATOMIC
        (0x1, 0x22, 0x41),  # TEXT_MODE
        (0x80, 2, 0),  # READ_ATTRIBUTES alone
        (0, 2, 0x01),  # phpseclib to read
        (0, 3, 0x0A),  # phpseclib to write
        (0, 1, 0x1A),
        (0, 4, 0x12),
    ],
)
@pytest.mark.parametrize("version", [5, 6])
def test_access_and_disposition_become_open_flags(version: int, access: int, flags: int, sent: int) -> None:
    packet = b"\x03\x00\x00\x00\x01" + client.string(b"/f") + client.u32(access) + client.u32(flags) + NO_ATTRIBUTES
    request = codec_for(version).decode(packet)
    assert isinstance(request, m.Open)
    told = access or (0x1 if flags == 2 else 0x2)  # handlers see what is granted
    assert (request.flags, request.desired_access, request.modes) == (sent, told, flags & 0x10)


@pytest.mark.parametrize("flags", [5, 6, 7])
@pytest.mark.parametrize("version", [5, 6])
def test_a_disposition_that_does_not_exist_is_malformed(version: int, flags: int) -> None:
    packet = b"\x03\x00\x00\x00\x01" + client.string(b"/f") + client.u32(1) + client.u32(flags) + NO_ATTRIBUTES
    with pytest.raises(Malformed, match="disposition"):
        codec_for(version).decode(packet)


@pytest.mark.parametrize(
    ("flags", "access"), [(0, 0), (1, 0x81), (2, 0x102), (3, 0x183), (6, 0x106), (0x1A, 0x102), (0x40, 0)]
)
def test_version_4_derives_the_access_from_the_flags(flags: int, access: int) -> None:
    packet = b"\x03\x00\x00\x00\x01" + client.string(b"/f") + client.u32(flags) + NO_ATTRIBUTES
    request = codec_for(4).decode(packet)
    assert isinstance(request, m.Open)
    assert (request.flags, request.desired_access) == (flags, access)


def test_realpath_of_version_6_needs_neither_control_nor_paths() -> None:
    packet, _ = requests_of(6)["realpath"]
    bare = packet[:10]
    assert codec_for(6).decode(bare) == m.Realpath(14, b".", control=1)
    assert codec_for(6).decode(bare + b"\x02") == m.Realpath(14, b".", control=2)
    assert codec_for(6).decode(bare + b"\x01\x00\x00\x00\x00") == m.Realpath(14, b".", compose=(b"",))


# --- attributes ---


def setstat(flags: int, rest: bytes) -> bytes:
    return b"\x09\x00\x00\x00\x01" + client.string(b"/f") + client.u32(flags) + b"\x01" + rest


UNKNOWN = {4: 0x7FFFFE02, 5: 0x7FFFFC02, 6: 0x7FFF0002}


@pytest.mark.parametrize(
    ("version", "bit"),
    [(version, bit) for version, mask in UNKNOWN.items() for bit in range(32) if mask >> bit & 1],
)
def test_a_flag_that_the_version_does_not_have_is_malformed(version: int, bit: int) -> None:
    with pytest.raises(Malformed, match="flags") as caught:
        codec_for(version).decode(setstat(1 << bit, bytes(100)))
    assert caught.value.request_id == 1


@each_version
def test_more_nanoseconds_than_a_second_has_are_malformed(version: int) -> None:
    good, bad = client.u64(1) + client.u32(999_999_999), client.u64(1) + client.u32(1_000_000_000)
    assert codec_for(version).decode(setstat(0x108, good)) is not None
    with pytest.raises(Malformed, match="nanoseconds"):
        codec_for(version).decode(setstat(0x108, bad))


@each_version
@pytest.mark.parametrize(
    ("number", "kind"), [(0, FileType.UNKNOWN), (5, FileType.UNKNOWN), (9, FileType.FIFO), (10, FileType.UNKNOWN)]
)
def test_a_type_that_does_not_exist_is_unknown(version: int, number: int, kind: FileType) -> None:
    packet = setstat(4, client.u32(0o644)).replace(b"\x04\x01", bytes((4, number)))
    request = codec_for(version).decode(packet)
    assert isinstance(request, m.Setstat)
    assert request.attributes.file_type == kind


ALL = {4: (ALL_V4, ALL_V4_VALUE), 5: (ALL_V5, ALL_V5_VALUE), 6: (ALL_V6, ALL_V6_VALUE)}


@each_version
def test_all_attributes_are_sent_with_the_bytes_of_the_draft(version: int) -> None:
    literal, value = ALL[version]
    reply = codec_for(version).attrs(6, value, 0xFFFFFFFF)
    assert reply == client.frame(b"\x69\x00\x00\x00\x06" + literal)
    assert client.decode_reply(reply[4:], version) == client.AttrsReply(6, value)


FROM_STAT = m.Attributes(
    1, 1000, 100, 0o100644, 2, 3, (), FileType.REGULAR, 4, 5, None, 0, 6, 7, b"kim", b"users", link_count=1
)
SENT = {
    4: fields(
        b"\x00\x00\x01\xad",  # flags: size, permissions, accesstime, modifytime, ownergroup, subsecond times
        b"\x01",  # type: regular
        b"\x00\x00\x00\x00\x00\x00\x00\x01",  # size
        b"\x00\x00\x00\x03kim",  # owner
        b"\x00\x00\x00\x05users",  # group
        b"\x00\x00\x01\xa4",  # permissions: without the type
        b"\x00\x00\x00\x00\x00\x00\x00\x02",  # atime
        b"\x00\x00\x00\x04",  # atime_nseconds
        b"\x00\x00\x00\x00\x00\x00\x00\x03",  # mtime
        b"\x00\x00\x00\x05",  # mtime_nseconds
    ),
    6: fields(
        b"\x00\x00\xa1\xad",  # valid-attribute-flags: the same, link-count, ctime
        b"\x01",  # type: regular
        b"\x00\x00\x00\x00\x00\x00\x00\x01",  # size
        b"\x00\x00\x00\x03kim",  # owner
        b"\x00\x00\x00\x05users",  # group
        b"\x00\x00\x01\xa4",  # permissions: without the type
        b"\x00\x00\x00\x00\x00\x00\x00\x02",  # atime
        b"\x00\x00\x00\x04",  # atime-nseconds
        b"\x00\x00\x00\x00\x00\x00\x00\x03",  # mtime
        b"\x00\x00\x00\x05",  # mtime-nseconds
        b"\x00\x00\x00\x00\x00\x00\x00\x06",  # ctime
        b"\x00\x00\x00\x07",  # ctime-nseconds
        b"\x00\x00\x00\x01",  # link-count
    ),
}
SENT[5] = SENT[4]


@each_version
def test_what_the_kernel_tells_is_sent_as_far_as_the_version_has_it(version: int) -> None:
    codec = codec_for(version)
    assert codec.encode_attributes(FROM_STAT) == SENT[version]
    entry = m.Entry(b"f", b"ignored", FROM_STAT)
    assert codec.entry(entry) == b"\x00\x00\x00\x01f" + SENT[version]
    assert codec.name(5, [entry]) == client.frame(
        b"\x68\x00\x00\x00\x05\x00\x00\x00\x01\x00\x00\x00\x01f" + SENT[version]
    )


def reply_to(version: int, attributes: m.Attributes, wanted: int = 0) -> m.Attributes:
    reply = client.decode_reply(codec_for(version).attrs(0, attributes, wanted)[4:], version)
    assert isinstance(reply, client.AttrsReply)
    return reply.attributes


def changed(**others: Any) -> m.Attributes:
    """FROM_STAT with some fields of other values."""
    return m.Attributes(**({name: getattr(FROM_STAT, name) for name in m.Attributes.__match_args__} | others))


UNASKED = {5: int(AttributeFlags.BITS), 6: int(AttributeFlags.ALLOCATION_SIZE)}
SHORT_AND_LONG_WAY = [
    changed(),
    changed(createtime=-1, createtime_ns=9),
    changed(createtime=-1, createtime_ns=9, attrib_bits=4, attrib_bits_valid=0x84, allocation_size=8192),
    changed(attrib_bits=4, attrib_bits_valid=0x84, allocation_size=8192),
    changed(file_type=FileType.DIRECTORY, permissions=0o41777, owner=b"", group=b"x" * 300),
    changed(atime=-(2**63), mtime=2**63 - 1),
]


@each_version
@pytest.mark.parametrize("attributes", SHORT_AND_LONG_WAY)
def test_the_short_way_sends_what_the_long_way_sends(version: int, attributes: m.Attributes) -> None:
    codec = codec_for(version)
    usual = 0xFFFFFFFF & ~(ACL | UNASKED.get(version, 0))
    assert codec.encode_attributes(attributes) == codec.encode_attributes(attributes, usual)


def test_version_6_sends_the_allocation_size_only_when_it_is_asked_for() -> None:
    """lftp does not know the field."""
    given = changed(allocation_size=8192)
    assert reply_to(6, given).allocation_size is None
    assert reply_to(6, given, int(AttributeFlags.ALLOCATION_SIZE)).allocation_size == 8192


@each_version
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (m.Attributes(), m.Attributes()),
        (m.Attributes(atime=2**63, mtime=-(2**63) - 1), m.Attributes(atime=2**63 - 1, mtime=-(2**63))),
        (m.Attributes(atime=1, atime_ns=2_000_000_000), m.Attributes(atime=1, atime_ns=999_999_999)),
        (m.Attributes(size=2**64), m.Attributes(size=2**64 - 1)),
        (m.Attributes(size=-1), m.Attributes(size=0)),
        (m.Attributes(uid=1000, gid=100), m.Attributes(owner=b"1000", group=b"100")),
        (m.Attributes(uid=1000), m.Attributes(owner=b"1000")),
        (m.Attributes(group=b"users"), m.Attributes(group=b"users")),
        (m.Attributes(permissions=0o177777), m.Attributes(permissions=0o7777)),
        (m.Attributes(acl=bytes(4)), m.Attributes()),
        (changed(mtime=None, owner=None, group=None, uid=None, gid=None, ctime=None, link_count=None),
         m.Attributes(1, permissions=0o644, atime=2, atime_ns=4, file_type=FileType.REGULAR)),
    ],
)  # fmt: skip
def test_attributes_are_sent_as_far_as_the_version_can_express_them(
    version: int, given: m.Attributes, sent: m.Attributes
) -> None:
    assert reply_to(version, given) == sent


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"link_count": 2**32}, {"link_count": 2**32 - 1}),
        ({"text_hint": 256}, {"text_hint": 255}),
        ({"attrib_bits": 4}, {"attrib_bits": 4, "attrib_bits_valid": 0xFFF}),
        ({"attrib_bits": 4, "attrib_bits_valid": 6}, {"attrib_bits": 4, "attrib_bits_valid": 6}),
        ({"untranslated_name": b"\xe9"}, {"untranslated_name": b"\xe9"}),
        ({"mime_type": b"text/plain"}, {"mime_type": b"text/plain"}),
    ],
)
def test_version_6_sends_what_only_it_has(given: dict[str, Any], sent: dict[str, Any]) -> None:
    base = reply_to(6, changed())
    expected = m.Attributes(**({name: getattr(base, name) for name in m.Attributes.__match_args__} | sent))
    assert reply_to(6, changed(**given)) == expected
    assert reply_to(5, changed(**given)).link_count is None


def test_version_5_sends_only_bits_that_are_valid_and_that_it_has() -> None:
    bits = int(AttributeFlags.BITS)
    assert reply_to(5, changed(attrib_bits=0xFFF), bits).attrib_bits == 0x7FF
    assert reply_to(5, changed(attrib_bits=0xFFF, attrib_bits_valid=0x806), bits).attrib_bits == 6
    assert reply_to(4, changed(attrib_bits=0xFFF), bits).attrib_bits is None


def test_version_5_sends_bits_only_when_they_are_asked_for() -> None:
    """AsyncSSH expects more bytes for them than the draft."""
    assert reply_to(5, changed(attrib_bits=4)).attrib_bits is None


@pytest.mark.parametrize(
    ("version", "kind", "sent"),
    [
        (4, FileType.FIFO, FileType.SPECIAL),
        (4, FileType.UNKNOWN, FileType.UNKNOWN),
        (5, FileType.FIFO, FileType.FIFO),
    ],
)
def test_a_type_of_later_versions_is_special(version: int, kind: FileType, sent: FileType) -> None:
    assert reply_to(version, changed(file_type=kind)).file_type == sent
    assert reply_to(version, m.Attributes(file_type=kind)).file_type == sent


@each_version
@pytest.mark.parametrize(
    "bit", [0x1, 0x4, 0x8, 0x10, 0x20, 0x80, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000]
)
def test_only_what_is_wanted_is_sent(version: int, bit: int) -> None:
    _, everything = ALL[version]
    reply = codec_for(version).attrs(0, everything, bit)[9:]
    known = int.from_bytes(ALL[version][0][:4], "big")
    assert int.from_bytes(reply[:4], "big") == bit & known
    assert len(reply) == 5 or bit & known


@each_version
def test_nanoseconds_and_extensions_are_sent_when_wanted(version: int) -> None:
    _, everything = ALL[version]
    assert reply_to(version, everything, 0x28) == m.Attributes(
        atime=-1, mtime=-(2**63), file_type=everything.file_type
    )
    assert reply_to(version, everything, 0x08 | SUBSECOND).atime_ns == 500_000_000
    assert reply_to(version, everything, SUBSECOND) == m.Attributes(file_type=everything.file_type)
    assert reply_to(version, everything, EXTENDED).extended == everything.extended
    assert reply_to(version, everything, 1).extended == ()


@pytest.mark.parametrize(("version", "nothing"), [(4, bytes(4)), (5, bytes(4)), (6, bytes(8))])
def test_an_acl_is_sent_when_wanted_and_holds_no_entries(version: int, nothing: bytes) -> None:
    assert reply_to(version, changed(), ACL) == m.Attributes(acl=nothing, file_type=FileType.REGULAR)
    assert reply_to(version, changed()).acl is None


# --- statuses ---


@pytest.mark.parametrize(("version", "data"), [(3, b""), (4, b""), (5, NOBODY), (6, NOBODY)])
def test_the_status_of_unknown_principals_names_them_where_the_version_has_it(version: int, data: bytes) -> None:
    codec = codec_for(version)
    reply = codec.status(9, Status.UNKNOWN_PRINCIPAL, "oh", unknown=[b"nobody", b"none"])
    bare = codec.status(9, Status.UNKNOWN_PRINCIPAL, "oh")
    assert reply[4:] == bare[4:] + data
    assert int.from_bytes(reply[:4], "big") == len(reply) - 4


@pytest.mark.parametrize(
    ("version", "status", "sent"),
    [
        *((version, status, status) for version, last in ((4, 13), (5, 17), (6, 31)) for status in range(last + 1)),
        *((version, status, 4) for version, last in ((4, 13), (5, 17), (6, 31)) for status in range(last + 1, 34)),
    ],
)
def test_a_status_is_sent_if_the_version_has_it(version: int, status: int, sent: int) -> None:
    reply = client.decode_reply(codec_for(version).status(9, status)[4:])
    assert isinstance(reply, client.StatusReply)
    assert reply.status == sent


@each_version
def test_a_message_of_our_own_is_in_english(version: int) -> None:
    codec: Codec = codec_for(version)
    assert client.decode_reply(codec.status(9, Status.OK)[4:]) == client.StatusReply(9, 0, "Success", "en")
    assert client.decode_reply(codec.status(9, 4, "oh")[4:]) == client.StatusReply(9, 4, "oh", "en")
    assert client.decode_reply(codec.status(9, 4, "oh", "")[4:]) == client.StatusReply(9, 4, "oh", "")
