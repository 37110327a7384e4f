"""Whatever a hostile client puts into a packet, the codec raises its own two exceptions and nothing else."""

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.wire.buffer import Malformed, Unsupported
from libsshd.wire.codec import codec_for

from .client_encoding import string
from .packets import EVERY_REQUEST, REQUESTS

codec = codec_for(3)

LENGTHS = (0, 1, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1)
MKDIR_WITHOUT_ATTRIBUTES = REQUESTS["mkdir"][0][:-4]


@pytest.mark.parametrize("packet", EVERY_REQUEST)
def test_a_request_cut_anywhere_is_malformed_and_names_its_request(packet: bytes) -> None:
    for cut in (packet[:end] for end in range(len(packet))):
        if cut == MKDIR_WITHOUT_ATTRIBUTES:
            continue
        with pytest.raises(Malformed) as caught:
            codec.decode(cut)
        expected = int.from_bytes(packet[1:5], "big") if len(cut) >= 5 else None
        assert caught.value.request_id == expected


def decode_quietly(packet: bytes) -> None:
    with suppress(Malformed, Unsupported):
        codec.decode(packet)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(packet: bytes) -> None:
    decode_quietly(packet)


@given(st.sampled_from(sorted(codec.requests())), st.binary(max_size=200))
def test_random_bytes_behind_a_request_type_raise_nothing_else(kind: int, rest: bytes) -> None:
    decode_quietly(bytes([kind]) + rest)


@given(st.sampled_from(sorted(e.name for e in codec.extensions)), st.binary(max_size=200))
def test_random_bytes_behind_an_extension_name_raise_nothing_else(name: bytes, rest: bytes) -> None:
    decode_quietly(b"\xc8\x00\x00\x00\x01" + string(name) + rest)


@given(st.sampled_from(EVERY_REQUEST), st.data())
def test_a_request_with_bytes_changed_raises_nothing_else(packet: bytes, data: st.DataObject) -> None:
    changed = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(1, len(packet) - 1))] = data.draw(st.integers(0, 255))
    decode_quietly(bytes(changed))


@pytest.mark.parametrize("packet", EVERY_REQUEST)
def test_no_length_on_the_wire_is_allocated(packet: bytes) -> None:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for at in range(1, len(packet) - 3):
            for length in LENGTHS:
                decode_quietly(packet[:at] + length.to_bytes(4, "big") + packet[at + 4 :])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 32768


@pytest.mark.parametrize("size", [0, 1, 2**15, 2**18])
def test_a_length_that_is_there_is_read(size: int) -> None:
    data = bytes(size)
    packet = b"\x06\x00\x00\x00\x01" + string(b"h") + bytes(8) + string(data)
    request = codec.decode(packet)
    assert request.data == data  # type: ignore[union-attr]


def test_a_count_of_extended_attributes_beyond_the_packet_is_refused_at_once() -> None:
    packet = b"\x09\x00\x00\x00\x01" + string(b"/f") + b"\x80\x00\x00\x00" + b"\x00\x10\x00\x00" + bytes(8)
    with pytest.raises(Malformed, match="more items"):
        codec.decode(packet)
