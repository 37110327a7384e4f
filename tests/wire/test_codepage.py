"""Code pages: names on the wire in another encoding, UTF-8 inside."""

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.constants import Status
from libsshd.errors import StatusError
from libsshd.wire import messages as m
from libsshd.wire.buffer import Malformed, Unsupported
from libsshd.wire.codec import codec_for
from libsshd.wire.codepage import _CODECS, UTF_8, TranslatedV3, Translation, codec_name

from . import client_encoding as client
from . import packets
from .packets import REQUESTS

each_page = pytest.mark.parametrize("page", _CODECS)

western = Translation(1252)
codec = codec_for(3, western)


class TestPages:
    @each_page
    def test_every_page_has_a_codec(self, page: int) -> None:
        assert "/a.txt".encode(codec_name(page)).decode(codec_name(page)) == "/a.txt"

    @pytest.mark.parametrize(
        ("page", "character", "wire"),
        [
            (37, "A", b"\xc1"),
            (437, "é", b"\x82"),
            (850, "ø", b"\x9b"),
            (858, "€", b"\xd5"),
            (866, "Ж", b"\x86"),
            (874, "ก", b"\xa1"),
            (932, "表", b"\x95\x5c"),
            (936, "中", b"\xd6\xd0"),
            (949, "한", b"\xc7\xd1"),
            (950, "中", b"\xa4\xa4"),
            (1250, "ő", b"\xf5"),
            (1251, "Ж", b"\xc6"),
            (1252, "€", b"\x80"),
            (1258, "₫", b"\xfe"),
            (1361, "한", b"\xd0\x65"),
            (10000, "é", b"\x8e"),
            (20127, "A", b"A"),
            (20866, "Ж", b"\xf6"),
            (21866, "ї", b"\xa7"),
            (28591, "é", b"\xe9"),
            (28605, "€", b"\xa4"),
            (28606, "ș", b"\xba"),
            (51932, "日", b"\xc6\xfc"),
            (51949, "한", b"\xc7\xd1"),
            (54936, "€", b"\xa2\xe3"),
            (UTF_8, "é", b"\xc3\xa9"),
        ],
    )
    def test_a_page_is_what_its_number_says(self, page: int, character: str, wire: bytes) -> None:
        translation = Translation(page)
        assert translation.to_local(wire) == character.encode()
        assert translation.to_wire(character.encode()) == wire
        assert translation.to_wire(character.encode(), exact=True) == wire

    @pytest.mark.parametrize("page", [-1, 0, 1, 2, 3, 4, 10, 30, 42, 709, 65002, 65536, 0x8C000100])
    def test_a_number_that_names_no_fixed_encoding_is_refused(self, page: int) -> None:
        with pytest.raises(ValueError, match=rf"^Code page {page} is not supported; use .* 65001"):
            Translation(page)


class TestTranslation:
    def test_utf_8_is_left_alone_even_where_it_is_none(self) -> None:
        translation = Translation(UTF_8)
        for name in (b"", b"\xff\xfe", b"\xc3\xa9", b"a\0b"):
            assert translation.to_local(name) == translation.to_wire(name, exact=True) == name

    @pytest.mark.parametrize(
        ("page", "wire"), [(1252, b"\x81"), (20127, b"\x80"), (932, b"\x95"), (65000, b"+2AA-"), (1200, b"a")]
    )
    def test_bytes_that_the_page_does_not_have_are_malformed(self, page: int, wire: bytes) -> None:
        with pytest.raises(Malformed, match=f"code page {page}"):
            Translation(page).to_local(wire)

    @pytest.mark.parametrize("name", ["Ж".encode(), b"\xff", b"caf\xc3"])
    def test_what_the_page_lacks_is_replaced_unless_it_must_be_exact(self, name: bytes) -> None:
        shown = western.to_wire(b"a" + name + b"b")
        assert shown.startswith(b"a")
        assert shown.endswith(b"?b")
        with pytest.raises(StatusError, match="code page 1252") as caught:
            western.to_wire(name, exact=True)
        assert caught.value.status == Status.INVALID_FILENAME

    @each_page
    @given(name=st.binary(max_size=30))
    def test_any_bytes_translate_or_fail_as_told(self, page: int, name: bytes) -> None:
        translation = Translation(page)
        translation.to_wire(name)
        try:
            local = translation.to_local(name)
        except Malformed:
            return
        assert page == UTF_8 or local.decode() is not None

    @each_page
    @given(name=st.text(max_size=20) | st.text("¥£\u2212〜\x1bㅤa/", max_size=5))
    def test_what_can_be_written_exactly_comes_back(self, page: int, name: str) -> None:
        translation = Translation(page)
        try:
            wire = translation.to_wire(name.encode(), exact=True)
        except StatusError:
            return
        assert translation.to_local(wire) == name.encode()


class TestCodec:
    def test_open_has_its_name_translated(self) -> None:
        packet = packets.fields(
            b"\x03",  # SSH_FXP_OPEN
            b"\x00\x00\x00\x01",  # id
            b"\x00\x00\x00\x03/\xe9\x80",  # filename
            b"\x00\x00\x00\x01",  # pflags: READ
            b"\x00\x00\x00\x00",  # flags of the attributes
        )
        assert codec.decode(packet) == m.Open(1, "/é€".encode(), 1, m.Attributes())

    @pytest.mark.parametrize("packet", [packet for packet, _ in REQUESTS.values()], ids=list(REQUESTS))
    def test_every_path_of_every_request_is_translated_and_nothing_else(self, packet: bytes) -> None:
        plain = codec_for(3)
        sent: Any = plain.decode(packet)
        names = [f.name for f in fields(sent) if "path" in f.name]
        for name in names:
            setattr(sent, name, b"/\xe9")
        received = codec.decode(client.encode(sent))
        for name in names:
            assert getattr(received, name) == b"/\xc3\xa9"
            setattr(received, name, b"/\xe9")
        assert received == sent

    def test_a_name_not_in_the_page_is_malformed_and_names_its_request(self) -> None:
        with pytest.raises(Malformed) as caught:
            codec.decode(client.encode(m.Rename(77, b"/ok", b"/\x81")))
        assert caught.value.request_id == 77

    def test_other_refusals_stay(self) -> None:
        with pytest.raises(Unsupported):
            codec.decode(b"\xfe\x00\x00\x00\x01")

    def test_a_listing_shows_what_it_can(self) -> None:
        name = "é Ж".encode()
        entry = codec.entry(m.Entry(name, b"-rw " + name, m.Attributes()))
        assert entry == packets.fields(
            b"\x00\x00\x00\x03\xe9 ?",  # filename
            b"\x00\x00\x00\x07-rw \xe9 ?",  # longname
            b"\x00\x00\x00\x00",  # flags of the attributes
        )

    def test_realpath_and_readlink_answer_exactly_or_not(self) -> None:
        path = "/é".encode()
        assert codec.name(5, [m.Entry(path, path, m.Attributes())]) == packets.fields(
            b"\x00\x00\x00\x19",  # length
            b"\x68",  # SSH_FXP_NAME
            b"\x00\x00\x00\x05",  # id
            b"\x00\x00\x00\x01",  # count
            b"\x00\x00\x00\x02/\xe9",  # filename
            b"\x00\x00\x00\x02/\xe9",  # longname
            b"\x00\x00\x00\x00",  # flags of the attributes
        )
        with pytest.raises(StatusError):
            codec.name(5, [m.Entry("/Ж".encode(), b"", m.Attributes())])

    def test_messages_are_translated_and_stock_texts_too(self) -> None:
        assert codec.status(6, Status.FAILURE, "né Ж", "en") == packets.fields(
            b"\x00\x00\x00\x17",  # length
            b"\x65",  # SSH_FXP_STATUS
            b"\x00\x00\x00\x06",  # id
            b"\x00\x00\x00\x04",  # SSH_FX_FAILURE
            b"\x00\x00\x00\x04n\xe9 ?",  # error message
            b"\x00\x00\x00\x02en",  # language tag
        )
        wire = codec_for(3, Translation(37)).status(6, Status.EOF)
        assert "End of file".encode("cp037") in wire

    def test_c_opens_no_files_by_itself(self) -> None:
        assert codec_for(3).native_open
        assert not codec.native_open


class TestChoice:
    def test_utf_8_costs_nothing(self) -> None:
        assert codec_for(3, Translation(UTF_8)) is codec_for(3)
        assert codec_for(3, None) is codec_for(3)

    def test_sessions_with_the_same_page_share_a_codec(self) -> None:
        assert codec_for(3, Translation(1252)) is codec
        assert isinstance(codec, TranslatedV3)
        assert codec_for(3, Translation(1251)) is not codec

    def test_a_version_that_is_not_spoken_has_no_translated_codec_either(self) -> None:
        with pytest.raises(ValueError, match="not supported"):
            codec_for(7, western)
