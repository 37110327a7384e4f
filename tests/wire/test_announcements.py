"""What VERSION says in each version, byte by byte."""

import pytest

from libsshd.constants import FileType
from libsshd.wire import messages as m
from libsshd.wire.codec import codec_for
from libsshd.wire.extensions import EXTENSIONS
from libsshd.wire.offer import Offer

from . import client_encoding as client
from .packets import fields

OFFER = Offer(6, b"\n", 261_120, b"prod", b"1.2")
COMMON = [extension.name for extension in EXTENSIONS if extension.version is not None]
FILE_SYSTEM = b"default-fs-attribs@vandyke.com"
VENDOR = fields(
    b"\x00\x00\x00\x04prod",  # vendor-name
    b"\x00\x00\x00\x04prod",  # product-name
    b"\x00\x00\x00\x031.2",  # product-version
    b"\x00\x00\x00\x00\x00\x00\x00\x00",  # product-build-number
)


def announced(version: int, offer: Offer = OFFER) -> dict[bytes, bytes]:
    pairs = codec_for(version).announcements(offer)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize(
    ("version", "more"),
    [
        (3, [b"symlink-order@rjk.greenend.org.uk", b"versions"]),
        (4, [b"text-seek", b"newline", b"versions", b"vendor-id", FILE_SYSTEM]),
        (5, [b"text-seek", b"newline", b"versions", b"vendor-id", FILE_SYSTEM, b"supported"]),
        (
            6,
            [
                b"text-seek",
                b"newline",
                b"versions",
                b"vendor-id",
                FILE_SYSTEM,
                b"supported2",
                b"acl-supported",
                b"filename-charset",
            ],
        ),
    ],
)
def test_each_version_announces_its_own_and_every_extension_by_name(version: int, more: list[bytes]) -> None:
    assert list(announced(version)) == COMMON + more


def test_what_is_announced_has_the_bytes_of_the_drafts() -> None:
    said = announced(6)
    assert said[b"newline"] == b"\n"
    assert said[b"versions"] == b"3,4,5,6"
    assert said[b"vendor-id"] == VENDOR
    assert said[b"acl-supported"] == b"\x00\x00\x00\x00"
    assert said[b"filename-charset"] == b"UTF-8"
    assert said[FILE_SYSTEM] == fields(
        b"\x00\x00\x00\x00",  # names that differ in case alone are different
        b"\x00\x00\x00\x01/",  # characters that no name has
        b"\x00\x00\x00\x00",  # number of reserved names
    )
    assert said[b"statvfs@openssh.com"] == b"2"


def served(version: int) -> list[bytes]:
    return [extension.name for extension in codec_for(version).extensions if extension.decode]


def test_supported_has_the_fields_of_version_5() -> None:
    assert announced(5)[b"supported"] == fields(
        b"\x00\x00\x01\xad",  # supported-attribute-mask: size, permissions, two times, owners, subsecond times
        b"\x00\x00\x00\x00",  # supported-attribute-bits
        b"\x00\x00\x00\x3f",  # supported-open-flags: dispositions, append, text
        b"\x00\x1b\x01\xef",  # supported-access-mask: not WRITE_ACL, WRITE_NAMED_ATTRS
        b"\x00\x03\xfc\x00",  # max-read-size
        *map(client.string, served(5)),  # extension names
    )


def test_supported2_has_the_fields_of_version_6() -> None:
    assert announced(6)[b"supported2"] == fields(
        b"\x00\x00\x05\xad",  # supported-attribute-mask: the same and allocation size
        b"\x00\x00\x00\x00",  # supported-attribute-bits
        b"\x00\x00\x0e\xff",  # supported-open-flags: advisory locks, NOFOLLOW and DELETE_ON_CLOSE too
        b"\x00\x00\x00\x00",  # supported-access-mask: of ACLs
        b"\x00\x03\xfc\x00",  # max-read-size
        b"\x0c\x01",  # supported-open-block-vector
        b"\x0c\x01",  # supported-block-vector
        b"\x00\x00\x00\x00",  # attrib-extension-count
        client.u32(len(served(6))),  # extension-count
        *map(client.string, served(6)),  # extension-names
    )
    assert {b"version-select", b"filename-translation-control", b"vendor-id"} < set(served(6))


def test_no_choice_of_versions_is_offered_where_there_is_only_one() -> None:
    assert b"versions" not in announced(3, Offer(3))
    assert announced(4, Offer(4))[b"versions"] == b"3,4"


def test_what_is_hidden_is_neither_announced_nor_listed() -> None:
    hidden = {b"statvfs@openssh.com", b"version-select", b"filename-translation-control", b"vendor-id"}
    said = announced(6, Offer(6, announces=lambda name: name not in hidden))
    assert not {*hidden, b"versions", b"filename-charset"} & set(said)
    assert not any(client.string(name) in said[b"supported2"] for name in hidden)
    assert client.string(b"fstatvfs@openssh.com") in said[b"supported2"]


# --- names that are not UTF-8 ---

LATIN = b"caf\xe9"
MARKS = fields(
    b"\x00\x00\x42\x00",  # valid-attribute-flags: bits, untranslated-name
    b"\x01",  # type: regular
    b"\x00\x00\x08\x00",  # attrib-bits: TRANSLATION_ERR
    b"\x00\x00\x08\x00",  # attrib-bits-valid
    b"\x00\x00\x00\x04caf\xe9",  # untranslated-name
)
BARE = b"\x00\x00\x00\x00\x01"


def entry(name: bytes, attributes: m.Attributes | None = None) -> m.Entry:
    return m.Entry(name, b"", attributes or m.Attributes(file_type=FileType.REGULAR))


@pytest.mark.parametrize("name", [b"plain", "café".encode(), b""])
def test_a_name_in_utf_8_has_no_marks(name: bytes) -> None:
    codec = codec_for(6)
    for each in (codec, codec.translating(True), codec.translating(False)):
        assert each.entry(entry(name)) == client.string(name) + BARE


def test_a_name_that_is_not_utf_8_is_sent_as_it_is_and_marked() -> None:
    assert codec_for(6).entry(entry(LATIN)) == client.string(LATIN) + MARKS


def test_a_client_may_ask_for_utf_8_or_for_names_as_they_are() -> None:
    translated, raw = codec_for(6).translating(True), codec_for(6).translating(False)
    assert translated.entry(entry(LATIN)) == client.string("caf\ufffd".encode()) + MARKS
    assert raw.entry(entry(LATIN)) == client.string(LATIN) + BARE
    assert raw.translating(True) is translated


def test_marks_leave_other_bits_alone() -> None:
    given = m.Attributes(attrib_bits=4, attrib_bits_valid=6)
    sent = codec_for(6).name(1, [entry(LATIN, given)])
    reply = client.decode_reply(sent[4:], 6)
    assert isinstance(reply, client.NameReply)
    attributes = reply.entries[0].attributes
    assert (attributes.attrib_bits, attributes.attrib_bits_valid) == (0x804, 0x806)
    assert (given.attrib_bits, given.untranslated_name) == (4, None)


@pytest.mark.parametrize("version", [4, 5])
def test_before_version_6_names_are_sent_as_they_are(version: int) -> None:
    codec = codec_for(version)
    assert codec.entry(entry(LATIN)) == client.string(LATIN) + BARE
    assert codec.translating(True) is codec
