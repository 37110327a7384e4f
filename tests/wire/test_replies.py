"""Replies taken apart: literal bytes, what the codecs encode, and what is damaged."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.constants import FileType, Status
from libsshd.wire.buffer import Malformed, string, u32
from libsshd.wire.codec import codec_for, encode_version
from libsshd.wire.messages import Attributes, Entry
from libsshd.wire.replies import (
    AttrsReply,
    DataReply,
    ExtendedReply,
    HandleReply,
    NameReply,
    Reply,
    StatusReply,
    VersionReply,
    decode_reply,
    split_packets,
)

VERSIONS = (3, 4, 5, 6)


def packet(*fields: bytes) -> bytes:
    return string(b"".join(fields))


VERSION = (
    packet(
        b"\x02",  # SSH_FXP_VERSION
        b"\0\0\0\x03",  # version
        b"\0\0\0\x08versions",  # name
        b"\0\0\0\x033,4",  # data
    ),
    VersionReply(3, ((b"versions", b"3,4"),)),
)
STATUS = (
    packet(
        b"\x65",  # SSH_FXP_STATUS
        b"\0\0\0\x07",  # id
        b"\0\0\0\x02",  # SSH_FX_NO_SUCH_FILE
        b"\0\0\0\x04Gone",  # message
        b"\0\0\0\x02en",  # language
    ),
    StatusReply(7, 2, b"Gone", b"en"),
)
BARE_STATUS = (
    packet(
        b"\x65",  # SSH_FXP_STATUS
        b"\0\0\0\x07",  # id
        b"\0\0\0\x00",  # SSH_FX_OK, and nothing behind it
    ),
    StatusReply(7, 0, b"", b""),
)
HANDLE = (
    packet(
        b"\x66",  # SSH_FXP_HANDLE
        b"\0\0\0\x08",  # id
        b"\0\0\0\x0212",  # handle
    ),
    HandleReply(8, b"12"),
)
DATA = (
    packet(
        b"\x67",  # SSH_FXP_DATA
        b"\0\0\0\x09",  # id
        b"\0\0\0\x05bytes",  # data
    ),
    DataReply(9, b"bytes"),
)
NAME = (
    packet(
        b"\x68",  # SSH_FXP_NAME
        b"\0\0\0\x0a",  # id
        b"\0\0\0\x01",  # count
        b"\0\0\0\x01f",  # filename
        b"\0\0\0\x04-rw-",  # longname
        b"\0\0\0\x01",  # SSH_FILEXFER_ATTR_SIZE
        b"\0\0\0\0\0\0\0\x05",  # size
    ),
    NameReply(10, (Entry(b"f", b"-rw-", Attributes(size=5)),)),
)
ATTRS = (
    packet(
        b"\x69",  # SSH_FXP_ATTRS
        b"\0\0\0\x0b",  # id
        b"\0\0\0\x04",  # SSH_FILEXFER_ATTR_PERMISSIONS
        b"\0\0\x81\xa4",  # permissions
    ),
    AttrsReply(11, Attributes(permissions=0o100644)),
)
EXTENDED = (
    packet(
        b"\xc9",  # SSH_FXP_EXTENDED_REPLY
        b"\0\0\0\x0c",  # id
        b"anything",
    ),
    ExtendedReply(12, b"anything"),
)
OF_VERSION_3 = (VERSION, STATUS, BARE_STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED)

NAME_OF_6 = packet(
    b"\x68",  # SSH_FXP_NAME
    b"\0\0\0\x0a",  # id
    b"\0\0\0\x01",  # count
    b"\0\0\0\x01f",  # filename
    b"\0\0\0\x01",  # SSH_FILEXFER_ATTR_SIZE
    b"\x01",  # SSH_FILEXFER_TYPE_REGULAR
    b"\0\0\0\0\0\0\0\x05",  # size
)
ENTRY_OF_6 = Entry(b"f", b"", Attributes(size=5, file_type=FileType.REGULAR))


@pytest.mark.parametrize(("data", "reply"), OF_VERSION_3, ids=lambda value: type(value).__name__)
def test_literal_bytes_of_version_3(data: bytes, reply: Reply) -> None:
    assert decode_reply(codec_for(3), data) == reply


def test_names_of_later_versions_have_no_long_form() -> None:
    assert decode_reply(codec_for(4), NAME_OF_6) == NameReply(10, (ENTRY_OF_6,))


@pytest.mark.parametrize(("end", "at_end"), [(b"", False), (b"\x00", False), (b"\x01", True)])
def test_version_6_may_say_that_nothing_follows(end: bytes, at_end: bool) -> None:
    data = string(NAME_OF_6[4:] + end)
    assert decode_reply(codec_for(6), data) == NameReply(10, (ENTRY_OF_6,), at_end)


@pytest.mark.parametrize(("data", "reply"), OF_VERSION_3, ids=lambda value: type(value).__name__)
def test_a_packet_that_is_cut_is_malformed(data: bytes, reply: Reply) -> None:
    for length in range(len(data)):
        with pytest.raises(Malformed):
            decode_reply(codec_for(3), data[:length])


@pytest.mark.parametrize(("data", "reply"), OF_VERSION_3, ids=lambda value: type(value).__name__)
def test_a_body_that_is_cut_is_malformed_or_another_reply(data: bytes, reply: Reply) -> None:
    for length in range(4, len(data)):
        shorter = string(data[4:length])
        with contextlib.suppress(Malformed):
            assert decode_reply(codec_for(3), shorter) != reply


@pytest.mark.parametrize("kind", [0, 1, 3, 20, 100, 106, 200, 202, 255])
def test_what_is_no_reply_is_malformed(kind: int) -> None:
    with pytest.raises(Malformed, match="no type of a reply"):
        decode_reply(codec_for(3), packet(bytes([kind]), u32(1), bytes(20)))


def test_a_count_is_checked_before_anything_is_made() -> None:
    with pytest.raises(Malformed, match="more items"):
        decode_reply(codec_for(3), packet(b"\x68", u32(1), u32(2**32 - 1), b"x" * 100))


numbers = st.integers(0, 2**32 - 1)
texts = st.binary(max_size=100)
attributes = st.builds(
    Attributes, size=st.integers(0, 2**64 - 1), permissions=st.integers(0, 0o7777),
    file_type=st.just(FileType.REGULAR),
)  # fmt: skip


@given(st.sampled_from(VERSIONS), numbers, texts, st.lists(st.tuples(st.text(max_size=20), attributes), max_size=5))
def test_what_a_codec_encodes_comes_back(
    version: int, number: int, data: bytes, listed: list[tuple[str, Attributes]]
) -> None:
    codec = codec_for(version)
    names = [name.encode() for name, _ in listed]
    entries = [Entry(name, b"line", found) for name, (_, found) in zip(names, listed, strict=True)]
    assert decode_reply(codec, codec.handle(number, data)) == HandleReply(number, data)
    assert decode_reply(codec, codec.data(number, data)) == DataReply(number, data)
    assert decode_reply(codec, codec.extended_reply(number, data)) == ExtendedReply(number, data)
    reply = decode_reply(codec, codec.name(number, entries))
    assert isinstance(reply, NameReply)
    assert [entry.name for entry in reply.entries] == names
    assert [entry.attributes.size for entry in reply.entries] == [found.size for _, found in listed]
    for found in (found for _, found in listed):
        told = decode_reply(codec, codec.attrs(number, found))
        assert isinstance(told, AttrsReply)
        assert (told.attributes.size, told.attributes.permissions) == (found.size, found.permissions)


@given(st.sampled_from(VERSIONS), numbers, st.sampled_from(list(Status)), st.text(min_size=1, max_size=30))
def test_every_status_comes_back_as_its_version_knows_it(
    version: int, number: int, status: Status, text: str
) -> None:
    codec = codec_for(version)
    reply = decode_reply(codec, codec.status(number, status, text))
    assert isinstance(reply, StatusReply)
    assert (reply.request_id, reply.status) == (number, codec.known_status(status))
    assert reply.text == text.encode("utf-8", "replace")


@given(numbers, st.lists(st.tuples(texts, texts), max_size=5))
def test_a_version_comes_back_with_its_extensions(version: int, pairs: list[tuple[bytes, bytes]]) -> None:
    assert decode_reply(codec_for(3), encode_version(version, pairs)) == VersionReply(version, tuple(pairs))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(data: bytes) -> None:
    for version in VERSIONS:
        with contextlib.suppress(Malformed):
            decode_reply(codec_for(version), string(data))


def test_packets_in_a_row_are_split_and_the_last_may_be_cut() -> None:
    first, second = HANDLE[0], DATA[0]
    assert split_packets(first + second) == [first, second]
    assert split_packets(first + second[:7]) == [first, second[:7]]
    assert split_packets(first + b"\0") == [first, b"\0"]
    assert split_packets(b"") == []
