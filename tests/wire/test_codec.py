"""Negotiation."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.wire.buffer import Malformed
from libsshd.wire.codec import codec_for, decode_init, encode_version

from . import client_encoding as client
from .packets import fields

INIT = fields(
    b"\x01",  # SSH_FXP_INIT
    b"\x00\x00\x00\x06",  # version
    b"\x00\x00\x00\x03a@b",  # extension_name
    b"\x00\x00\x00\x011",  # extension_data
    b"\x00\x00\x00\x03c@d",  # extension_name
    b"\x00\x00\x00\x00",  # extension_data
)

VERSION = fields(
    b"\x00\x00\x00\x11",  # length
    b"\x02",  # SSH_FXP_VERSION
    b"\x00\x00\x00\x03",  # version
    b"\x00\x00\x00\x03a@b",  # extension_name
    b"\x00\x00\x00\x011",  # extension_data
)


def test_init_gives_the_version_and_the_extensions() -> None:
    assert decode_init(INIT) == (6, [(b"a@b", b"1"), (b"c@d", b"")])
    assert client.encode_init(6, [(b"a@b", b"1"), (b"c@d", b"")]) == INIT


def test_version_has_the_bytes_of_the_draft() -> None:
    assert encode_version(3, [(b"a@b", b"1")]) == VERSION
    assert client.decode_reply(VERSION[4:]) == client.VersionReply(3, ((b"a@b", b"1"),))


def test_init_cut_anywhere_but_behind_a_pair_is_malformed() -> None:
    behind_a_pair = {5, 17, len(INIT)}
    for end in range(len(INIT) + 1):
        if end in behind_a_pair:
            decode_init(INIT[:end])
        else:
            with pytest.raises(Malformed) as caught:
                decode_init(INIT[:end])
            assert caught.value.request_id is None


@pytest.mark.parametrize("kind", [0, *range(2, 256)])
def test_another_packet_is_no_init(kind: int) -> None:
    with pytest.raises(Malformed):
        decode_init(bytes([kind]) + INIT[1:])


@given(st.binary(max_size=100))
def test_random_bytes_behind_init_are_malformed_at_worst(rest: bytes) -> None:
    with suppress(Malformed):
        decode_init(b"\x01" + rest)


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_a_codec_is_picked_by_version(version: int) -> None:
    assert codec_for(version).version == version


@pytest.mark.parametrize("version", [-1, 0, 1, 2, 7, 2**32 - 1])
def test_a_version_that_is_not_spoken_has_no_codec(version: int) -> None:
    with pytest.raises(ValueError, match="not supported"):
        codec_for(version)
