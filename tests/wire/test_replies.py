"""Replies taken apart: literal bytes, what the codecs encode, and what is damaged."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.constants import FileType, Status
from libsshd.errors import status_text
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

from .later_packets import ALL_V4, ALL_V4_VALUE, ALL_V5, ALL_V5_VALUE, ALL_V6, ALL_V6_VALUE
from .packets import ALL_ATTRIBUTES, ALL_ATTRIBUTES_VALUE
from .test_round_trip import unasked

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
LAST_NAME_OF_6 = packet(
    NAME_OF_6[4:],
    b"\x01",  # end-of-list
)
ATTRS_OF_4 = (
    packet(
        b"\x69",  # SSH_FXP_ATTRS
        b"\0\0\0\x0b",  # id
        b"\0\0\0\x84",  # SSH_FILEXFER_ATTR_PERMISSIONS, SSH_FILEXFER_ATTR_OWNERGROUP
        b"\x02",  # SSH_FILEXFER_TYPE_DIRECTORY
        b"\0\0\0\x03kim",  # owner
        b"\0\0\0\x05users",  # group
        b"\0\0\x01\xed",  # permissions
    ),
    AttrsReply(11, Attributes(permissions=0o755, file_type=FileType.DIRECTORY, owner=b"kim", group=b"users")),
)


def every_attribute(fields: bytes, attributes: Attributes) -> tuple[bytes, AttrsReply]:
    data = packet(
        b"\x69",  # SSH_FXP_ATTRS
        b"\0\0\0\x0d",  # id
        fields,
    )
    return data, AttrsReply(13, attributes)


SHARED: dict[str, tuple[bytes, Reply]] = {
    "version": VERSION, "status": STATUS, "bare status": BARE_STATUS, "handle": HANDLE, "data": DATA,
    "extended": EXTENDED,
}  # fmt: skip
OF_VERSION: dict[int, dict[str, tuple[bytes, Reply]]] = {
    3: {
        **SHARED,
        "name": NAME,
        "attrs": ATTRS,
        "every attribute": every_attribute(ALL_ATTRIBUTES, ALL_ATTRIBUTES_VALUE),
    },
    4: {
        **SHARED,
        "name": (NAME_OF_6, NameReply(10, (ENTRY_OF_6,))),
        "attrs": ATTRS_OF_4,
        "every attribute": every_attribute(ALL_V4, ALL_V4_VALUE),
    },
    5: {**SHARED, "every attribute": every_attribute(ALL_V5, ALL_V5_VALUE)},
    6: {
        **SHARED,
        "name": (NAME_OF_6, NameReply(10, (ENTRY_OF_6,))),
        "last name": (LAST_NAME_OF_6, NameReply(10, (ENTRY_OF_6,), at_end=True)),
        "every attribute": every_attribute(ALL_V6, ALL_V6_VALUE),
    },
}
COMPLETE_CUTS = {
    "version": {9},  # before the first extension
    "status": {13, 21},  # before the text, before the language
    "extended": set(range(9, 17)),  # anywhere in its data, whose form only the extension knows
    "last name": {len(NAME_OF_6)},  # before end-of-list
}
"""Where a body may end early: number of bytes before it, the length field among them."""

each_version = pytest.mark.parametrize("version", VERSIONS)
each_literal = pytest.mark.parametrize(
    ("version", "data", "reply", "complete"),
    [
        pytest.param(version, *literal, COMPLETE_CUTS.get(name, set()), id=f"{version}-{name}")
        for version, literals in OF_VERSION.items()
        for name, literal in literals.items()
    ],
)


@each_literal
def test_literal_bytes_mean_the_reply_their_draft_describes(
    version: int, data: bytes, reply: Reply, complete: set[int]
) -> None:
    assert decode_reply(codec_for(version), data) == reply


def test_a_status_may_end_behind_its_text() -> None:
    data = packet(
        b"\x65",  # SSH_FXP_STATUS
        b"\0\0\0\x07",  # id
        b"\0\0\0\x04",  # SSH_FX_FAILURE
        b"\0\0\0\x02No",  # message
    )
    assert decode_reply(codec_for(3), data) == StatusReply(7, 4, b"No", b"")


def test_names_of_later_versions_have_no_long_form() -> None:
    assert decode_reply(codec_for(4), NAME_OF_6) == NameReply(10, (ENTRY_OF_6,))


@pytest.mark.parametrize("version", [3, 4, 5])
def test_a_byte_behind_the_names_is_no_end_of_list_before_version_6(version: int) -> None:
    codec = codec_for(version)
    encoded = codec.names(10, 0, b"")
    assert decode_reply(codec, string(encoded[4:] + b"\x01")) == NameReply(10, ())


@pytest.mark.parametrize(("end", "at_end"), [(b"", False), (b"\x00", False), (b"\x01", True)])
def test_version_6_may_say_that_nothing_follows(end: bytes, at_end: bool) -> None:
    data = string(NAME_OF_6[4:] + end)
    assert decode_reply(codec_for(6), data) == NameReply(10, (ENTRY_OF_6,), at_end)


@each_literal
def test_a_packet_that_is_cut_is_malformed(version: int, data: bytes, reply: Reply, complete: set[int]) -> None:
    for length in range(len(data)):
        with pytest.raises(Malformed):
            decode_reply(codec_for(version), data[:length])


@each_literal
def test_a_body_that_is_cut_is_malformed_but_before_what_is_optional(
    version: int, data: bytes, reply: Reply, complete: set[int]
) -> None:
    for length in range(4, len(data)):
        shorter = string(data[4:length])
        if length in complete:
            assert type(decode_reply(codec_for(version), shorter)) is type(reply)
            assert decode_reply(codec_for(version), shorter) != reply
        else:
            with pytest.raises(Malformed, match=r"past the end|more items"):
                decode_reply(codec_for(version), shorter)


@each_literal
def test_a_length_field_that_is_wrong_is_malformed(
    version: int, data: bytes, reply: Reply, complete: set[int]
) -> None:
    right = len(data) - 4
    for wrong in (0, right - 1, right + 1, right + 4, 2**31, 2**32 - 1):
        with pytest.raises(Malformed, match="length field"):
            decode_reply(codec_for(version), u32(wrong) + data[4:])


@each_literal
def test_bytes_behind_the_length_told_are_malformed(
    version: int, data: bytes, reply: Reply, complete: set[int]
) -> None:
    for more in (b"\0", data):
        with pytest.raises(Malformed, match="length field"):
            decode_reply(codec_for(version), data + more)


@each_version
def test_what_is_no_reply_is_malformed_and_names_its_request(version: int) -> None:
    replies = {2, 101, 102, 103, 104, 105, 201}
    for kind in set(range(256)) - replies:
        with pytest.raises(Malformed, match="no type of a reply") as caught:
            decode_reply(codec_for(version), packet(bytes([kind]), u32(14), bytes(20)))
        assert caught.value.request_id == 14


@pytest.mark.parametrize("version", [4, 5, 6])
def test_attribute_flags_that_a_later_version_does_not_have_are_malformed(version: int) -> None:
    data = packet(
        b"\x69",  # SSH_FXP_ATTRS
        b"\0\0\0\x0b",  # id
        b"\0\x01\0\0",  # a flag of no version
        b"\x01",  # SSH_FILEXFER_TYPE_REGULAR
    )
    with pytest.raises(Malformed, match="flags"):
        decode_reply(codec_for(version), data)


def test_a_count_is_checked_before_anything_is_made() -> None:
    with pytest.raises(Malformed, match="more items"):
        decode_reply(codec_for(3), packet(b"\x68", u32(1), u32(2**32 - 1), b"x" * 100))


numbers = st.integers(0, 2**32 - 1)
texts = st.binary(max_size=100)
pairs = st.lists(st.tuples(texts, texts), max_size=5)


def entries_of(version: int) -> st.SearchStrategy[list[Entry]]:
    names = st.text(max_size=20).map(str.encode) if version == 6 else texts  # which marks what is not UTF-8
    long_names = texts if version == 3 else st.just(b"")
    return st.lists(st.builds(Entry, names, long_names, unasked(version)), max_size=5)


@each_version
@given(numbers, texts)
def test_any_handle_data_and_extended_reply_comes_back(version: int, number: int, data: bytes) -> None:
    codec = codec_for(version)
    assert decode_reply(codec, codec.handle(number, data)) == HandleReply(number, data)
    assert decode_reply(codec, codec.data(number, data)) == DataReply(number, data)
    assert decode_reply(codec, codec.extended_reply(number, data)) == ExtendedReply(number, data)


@each_version
@given(numbers, st.data())
def test_any_names_come_back_with_all_that_their_version_tells(
    version: int, number: int, data: st.DataObject
) -> None:
    codec, entries = codec_for(version), data.draw(entries_of(version))
    assert decode_reply(codec, codec.name(number, entries)) == NameReply(number, tuple(entries))


@each_version
@given(numbers, st.booleans(), st.data())
def test_the_end_of_a_list_comes_back_in_version_6_alone(
    version: int, number: int, at_end: bool, data: st.DataObject
) -> None:
    codec, entries = codec_for(version), data.draw(entries_of(version))
    encoded = codec.names(number, len(entries), b"".join(map(codec.entry, entries)), at_end)
    assert decode_reply(codec, encoded) == NameReply(number, tuple(entries), at_end and version == 6)


@pytest.mark.parametrize("version", [4, 5, 6])
@given(numbers, st.text(max_size=20), texts)
def test_a_long_name_is_not_sent_from_version_4_on(version: int, number: int, name: str, line: bytes) -> None:
    codec = codec_for(version)
    encoded = codec.name(number, [Entry(name.encode(), line, Attributes())])
    assert decode_reply(codec, encoded) == NameReply(number, (Entry(name.encode(), b"", Attributes()),))


@each_version
@given(numbers, st.data())
def test_any_attributes_come_back(version: int, number: int, data: st.DataObject) -> None:
    codec, attributes = codec_for(version), data.draw(unasked(version))
    assert decode_reply(codec, codec.attrs(number, attributes)) == AttrsReply(number, attributes)


@each_version
@given(numbers, st.sampled_from(Status), st.text(min_size=1, max_size=30), st.sampled_from(["", "en", "de-CH"]))
def test_every_status_comes_back_as_its_version_knows_it(
    version: int, number: int, status: Status, text: str, language: str
) -> None:
    codec = codec_for(version)
    reply = decode_reply(codec, codec.status(number, status, text, language))
    assert reply == StatusReply(
        number, codec.known_status(status), text.encode("utf-8", "replace"), language.encode()
    )


@each_version
@pytest.mark.parametrize("status", Status)
def test_a_status_without_a_text_comes_back_with_the_stock_text(version: int, status: Status) -> None:
    codec = codec_for(version)
    reply = decode_reply(codec, codec.status(7, status))
    text, language = status_text(status).encode(), codec.language.encode()
    assert reply == StatusReply(7, codec.known_status(status), text, language)


@each_version
def test_unknown_principals_behind_a_status_do_not_change_it(version: int) -> None:
    codec = codec_for(version)
    reply = decode_reply(codec, codec.status(7, Status.UNKNOWN_PRINCIPAL, "Who?", "en", unknown=[b"kim", b"\xff"]))
    assert reply == StatusReply(7, codec.known_status(Status.UNKNOWN_PRINCIPAL), b"Who?", b"en")


@each_version
@given(numbers, pairs)
def test_a_version_comes_back_with_its_extensions(
    version: int, told: int, extensions: list[tuple[bytes, bytes]]
) -> None:
    encoded = encode_version(told, extensions)
    assert decode_reply(codec_for(version), encoded) == VersionReply(told, tuple(extensions))


def decode_quietly(version: int, data: bytes) -> None:
    with contextlib.suppress(Malformed):
        decode_reply(codec_for(version), data)


@each_version
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(version: int, data: bytes) -> None:
    decode_quietly(version, data)
    decode_quietly(version, string(data))


@each_version
@given(st.sampled_from([2, 101, 102, 103, 104, 105, 201]), st.binary(max_size=200))
def test_no_bytes_behind_the_type_of_a_reply_raise_anything_but_malformed(
    version: int, kind: int, rest: bytes
) -> None:
    decode_quietly(version, packet(bytes([kind]), rest))


@each_version
@given(st.data())
def test_a_reply_with_bytes_changed_raises_nothing_but_malformed(version: int, data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from([literal for literal, _ in OF_VERSION[version].values()])))
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(4, len(changed) - 1))] = data.draw(st.integers(0, 255))
    decode_quietly(version, bytes(changed))


def test_packets_in_a_row_are_split_and_the_last_may_be_cut() -> None:
    first, second = HANDLE[0], DATA[0]
    assert split_packets(first + second) == [first, second]
    assert split_packets(first + second[:7]) == [first, second[:7]]
    assert split_packets(first + b"\0") == [first, b"\0"]
    assert split_packets(b"") == []


@given(st.lists(texts.map(string), max_size=5), st.data())
def test_packets_cut_anywhere_are_whole_before_the_cut_and_no_byte_is_lost(
    packets: list[bytes], data: st.DataObject
) -> None:
    row = b"".join(packets)
    assert split_packets(row) == packets
    cut = row[: data.draw(st.integers(0, len(row)))]
    parts = split_packets(cut)
    assert b"".join(parts) == cut
    assert parts[:-1] == packets[: max(len(parts) - 1, 0)]
