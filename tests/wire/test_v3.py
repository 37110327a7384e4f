"""Version 3, byte by byte."""

from typing import Any

import pytest

from libsshd.constants import Packet, RenameFlags, Status
from libsshd.wire import messages as m
from libsshd.wire.buffer import Malformed, Unsupported
from libsshd.wire.codec import codec_for

from . import client_encoding as client
from .packets import ALL_ATTRIBUTES, ALL_ATTRIBUTES_VALUE, REQUESTS, fields

codec = codec_for(3)
each_request = pytest.mark.parametrize(("packet", "request_"), REQUESTS.values(), ids=list(REQUESTS))


@each_request
def test_a_request_decodes_to_what_its_bytes_say(packet: bytes, request_: m.Request) -> None:
    assert codec.decode(packet) == request_


@each_request
def test_the_client_side_encodes_a_request_to_the_same_bytes(packet: bytes, request_: m.Request) -> None:
    assert client.encode(request_) == packet


def test_every_request_of_the_draft_has_a_literal() -> None:
    packets = {packet[0] for packet, _ in REQUESTS.values()}
    assert packets == {kind for kind in Packet if kind.value in (*range(3, 21), 200)}
    assert packets == set(codec.requests())


def test_posix_rename_is_a_rename_that_overwrites() -> None:
    flags = int(RenameFlags.OVERWRITE | RenameFlags.ATOMIC)
    packet, _ = REQUESTS["posix-rename"]
    assert codec.decode(packet) == m.PosixRename(19, b"/a", b"/b", flags)


@each_request
def test_bytes_behind_the_last_field_are_ignored(packet: bytes, request_: m.Request) -> None:
    assert codec.decode(packet + b"\xff" * 100) == request_


def test_a_write_takes_its_length_not_the_rest_of_the_packet() -> None:
    packet = client.encode(m.Write(1, b"h", 0, b"four"))
    request = codec.decode(packet + bytes(32768))
    assert isinstance(request, m.Write)
    assert request.data == b"four"


def test_mkdir_may_come_without_attributes() -> None:
    packet, request = REQUESTS["mkdir"]
    assert codec.decode(packet[:-4]) == request


def test_unknown_attribute_flags_are_ignored_while_the_known_fields_keep_their_place() -> None:
    packet = fields(
        b"\x09",  # SSH_FXP_SETSTAT
        b"\x00\x00\x00\x01",  # id
        b"\x00\x00\x00\x02/f",  # path
        b"\x00\x00\x00\x14",  # flags: permissions, and one unknown
        b"\x00\x00\x01\xa4",  # permissions
        b"\x01\x02\x03\x04",  # the unknown field
    )
    assert codec.decode(packet) == m.Setstat(1, b"/f", m.Attributes(permissions=0o644))


def test_unknown_attribute_flags_before_extended_attributes_are_malformed() -> None:
    packet = fields(
        b"\x09",  # SSH_FXP_SETSTAT
        b"\x00\x00\x00\x01",  # id
        b"\x00\x00\x00\x02/f",  # path
        b"\x80\x00\x00\x10",  # flags: extended, and one unknown before it
        b"\x00\x00\x00\x00",  # the unknown field or extended_count
        b"\x00\x00\x00\x00",
    )
    with pytest.raises(Malformed) as caught:
        codec.decode(packet)
    assert caught.value.request_id == 1


UNSERVED = sorted(set(range(256)) - set(codec.requests()) - {Packet.INIT, Packet.VERSION})


@pytest.mark.parametrize("kind", UNSERVED)
def test_an_unknown_type_is_unsupported_and_names_its_request(kind: int) -> None:
    with pytest.raises(Unsupported) as caught:
        codec.decode(bytes([kind]) + b"\x00\x00\x00\x07")
    assert caught.value.request_id == 7
    assert caught.value.extension == b""


def test_an_unknown_extension_is_unsupported_and_names_itself() -> None:
    with pytest.raises(Unsupported) as caught:
        codec.decode(client.encode_extended(7, b"teleport@example.org", b"\xff"))
    assert caught.value.request_id == 7
    assert caught.value.extension == b"teleport@example.org"


@pytest.mark.parametrize("kind", [Packet.INIT, Packet.VERSION])
def test_a_second_negotiation_is_malformed_and_has_no_request_to_answer(kind: Packet) -> None:
    with pytest.raises(Malformed) as caught:
        codec.decode(bytes([kind]) + b"\x00\x00\x00\x03")
    assert caught.value.request_id is None


REPLIES: dict[str, tuple[bytes, bytes, client.Reply]] = {
    "status": (
        codec.status(1, Status.NO_SUCH_FILE, "gone \u00e9", "en"),
        fields(
            b"\x00\x00\x00\x1a",  # length
            b"\x65",  # SSH_FXP_STATUS
            b"\x00\x00\x00\x01",  # id
            b"\x00\x00\x00\x02",  # error/status code
            b"\x00\x00\x00\x07gone \xc3\xa9",  # error message
            b"\x00\x00\x00\x02en",  # language tag
        ),
        client.StatusReply(1, 2, "gone \u00e9", "en"),
    ),
    "status with stock text": (
        codec.status(2, Status.OK),
        fields(
            b"\x00\x00\x00\x18",  # length
            b"\x65",  # SSH_FXP_STATUS
            b"\x00\x00\x00\x02",  # id
            b"\x00\x00\x00\x00",  # error/status code
            b"\x00\x00\x00\x07Success",  # error message
            b"\x00\x00\x00\x00",  # language tag
        ),
        client.StatusReply(2, 0, "Success", ""),
    ),
    "handle": (
        codec.handle(3, b"\x00\xff"),
        fields(
            b"\x00\x00\x00\x0b",  # length
            b"\x66",  # SSH_FXP_HANDLE
            b"\x00\x00\x00\x03",  # id
            b"\x00\x00\x00\x02\x00\xff",  # handle
        ),
        client.HandleReply(3, b"\x00\xff"),
    ),
    "data": (
        codec.data(4, b"abc"),
        fields(
            b"\x00\x00\x00\x0c",  # length
            b"\x67",  # SSH_FXP_DATA
            b"\x00\x00\x00\x04",  # id
            b"\x00\x00\x00\x03abc",  # data
        ),
        client.DataReply(4, b"abc"),
    ),
    "name": (
        codec.name(
            5,
            [
                m.Entry(b"\xff", b"- \xff", m.Attributes(1, 2, 3, 4, 5, 6)),
                m.Entry(b"", b"", m.Attributes()),
            ],
        ),
        fields(
            b"\x00\x00\x00\x41",  # length
            b"\x68",  # SSH_FXP_NAME
            b"\x00\x00\x00\x05",  # id
            b"\x00\x00\x00\x02",  # count
            b"\x00\x00\x00\x01\xff",  # filename
            b"\x00\x00\x00\x03- \xff",  # longname
            b"\x00\x00\x00\x0f",  # flags: size, uidgid, permissions, acmodtime
            b"\x00\x00\x00\x00\x00\x00\x00\x01",  # size
            b"\x00\x00\x00\x02",  # uid
            b"\x00\x00\x00\x03",  # gid
            b"\x00\x00\x00\x04",  # permissions
            b"\x00\x00\x00\x05",  # atime
            b"\x00\x00\x00\x06",  # mtime
            b"\x00\x00\x00\x00",  # filename
            b"\x00\x00\x00\x00",  # longname
            b"\x00\x00\x00\x00",  # flags: none, the dummy attributes of READLINK and REALPATH
        ),
        client.NameReply(
            5,
            [
                m.Entry(b"\xff", b"- \xff", m.Attributes(1, 2, 3, 4, 5, 6)),
                m.Entry(b"", b"", m.Attributes()),
            ],
        ),
    ),
    "attrs": (
        codec.attrs(6, ALL_ATTRIBUTES_VALUE),
        fields(
            b"\x00\x00\x00\x40",  # length
            b"\x69",  # SSH_FXP_ATTRS
            b"\x00\x00\x00\x06",  # id
            ALL_ATTRIBUTES,
        ),
        client.AttrsReply(6, ALL_ATTRIBUTES_VALUE),
    ),
    "extended reply": (
        codec.extended_reply(7, b"xyz"),
        fields(
            b"\x00\x00\x00\x08",  # length
            b"\xc9",  # SSH_FXP_EXTENDED_REPLY
            b"\x00\x00\x00\x07",  # id
            b"xyz",  # request-specific data
        ),
        client.ExtendedReply(7, b"xyz"),
    ),
}


@pytest.mark.parametrize(("encoded", "literal", "reply"), REPLIES.values(), ids=list(REPLIES))
def test_a_reply_has_the_bytes_of_the_draft(encoded: bytes, literal: bytes, reply: client.Reply) -> None:
    assert encoded == literal
    assert client.decode_reply(literal[4:]) == reply


def test_names_joins_entries_that_were_encoded_one_by_one() -> None:
    entries = [m.Entry(b"a", b"-a", ALL_ATTRIBUTES_VALUE), m.Entry(b"b", b"-b", m.Attributes(size=1))]
    blob = b"".join(codec.entry(entry) for entry in entries)
    assert codec.names(1, 2, blob) == codec.name(1, entries)
    assert len(codec.names(1, 2, blob)) == len(blob) + 13


def reply_to(attributes: m.Attributes) -> m.Attributes:
    reply = client.decode_reply(codec.attrs(0, attributes)[4:])
    assert isinstance(reply, client.AttrsReply)
    return reply.attributes


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (m.Attributes(1, 2, 3, 4, -1, 2**32), m.Attributes(1, 2, 3, 4, 0, 2**32 - 1)),
        (m.Attributes(atime=-(2**63), mtime=2**63), m.Attributes(atime=0, mtime=2**32 - 1)),
        (m.Attributes(atime=7), m.Attributes(atime=7, mtime=7)),
        (m.Attributes(mtime=0), m.Attributes(atime=0, mtime=0)),
        (m.Attributes(size=1, uid=2), m.Attributes(size=1)),
        (m.Attributes(gid=0, permissions=0), m.Attributes(permissions=0)),
        (m.Attributes(atime=1, atime_ns=999_999_999, mtime=1), m.Attributes(atime=1, mtime=1)),
        (m.Attributes(owner=b"o", group=b"g", acl=b"", createtime=1, link_count=2), m.Attributes()),
    ],
)
def test_attributes_are_sent_as_far_as_version_3_can_express_them(given: Any, sent: Any) -> None:
    assert reply_to(given) == sent


@pytest.mark.parametrize(
    ("status", "sent"),
    [(number, number) for number in range(9)]
    + [(9, 4), (10, 2), (11, 4), (12, 3)]
    + [(number, 4) for number in (*range(13, 33), 255, 2**32 - 1, -1)],
)
def test_a_status_of_later_versions_is_sent_as_the_nearest_one(status: int, sent: int) -> None:
    for message in ("", "some text"):
        reply = client.decode_reply(codec.status(9, status, message)[4:])
        assert isinstance(reply, client.StatusReply)
        assert reply.status == sent


def test_a_mapped_status_keeps_the_text_of_the_original() -> None:
    reply = client.decode_reply(codec.status(9, Status.DIR_NOT_EMPTY)[4:])
    assert reply == client.StatusReply(9, Status.FAILURE, "Directory not empty", "")


def test_a_message_with_a_name_that_is_not_utf_8_is_still_utf_8() -> None:
    message = b"no \xff here".decode("utf-8", "surrogateescape")
    reply = client.decode_reply(codec.status(9, Status.FAILURE, message)[4:])
    assert reply == client.StatusReply(9, 4, "no ? here", "")
