"""Whatever a hostile client puts into a packet, the codec raises its own two exceptions and nothing else."""

import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.wire.buffer import Malformed, Unsupported
from libsshd.wire.codec import codec_for

from .client_encoding import string
from .later_packets import OF_VERSION, complete_cuts, requests_of

LENGTHS = (0, 1, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1)
each_version = pytest.mark.parametrize("version", OF_VERSION)
each_request = pytest.mark.parametrize(
    ("version", "name"),
    [pytest.param(version, name, id=f"{version}-{name}") for version in OF_VERSION for name in requests_of(version)],
)


@each_request
def test_a_request_cut_anywhere_is_malformed_and_names_its_request(version: int, name: str) -> None:
    packet, _ = requests_of(version)[name]
    complete = complete_cuts(version, name)
    for end in (end for end in range(len(packet)) if end not in complete):
        with pytest.raises(Malformed) as caught:
            codec_for(version).decode(packet[:end])
        expected = int.from_bytes(packet[1:5], "big") if end >= 5 else None
        assert caught.value.request_id == expected


@each_request
def test_a_request_may_be_cut_before_what_is_optional(version: int, name: str) -> None:
    packet, request = requests_of(version)[name]
    for end in complete_cuts(version, name):
        assert type(codec_for(version).decode(packet[:end])) is type(request)


def decode_quietly(version: int, packet: bytes) -> None:
    with suppress(Malformed, Unsupported):
        codec_for(version).decode(packet)


@each_version
@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(version: int, packet: bytes) -> None:
    decode_quietly(version, packet)


@each_version
@given(st.integers(3, 23), st.binary(max_size=200))
def test_random_bytes_behind_a_request_type_raise_nothing_else(version: int, kind: int, rest: bytes) -> None:
    decode_quietly(version, bytes([kind]) + rest)


@each_version
@given(st.data(), st.binary(max_size=200))
def test_random_bytes_behind_an_extension_name_raise_nothing_else(
    version: int, data: st.DataObject, rest: bytes
) -> None:
    name = data.draw(st.sampled_from([extension.name for extension in codec_for(version).extensions]))
    decode_quietly(version, b"\xc8\x00\x00\x00\x01" + string(name) + rest)


@each_version
@given(st.data())
def test_a_request_with_bytes_changed_raises_nothing_else(version: int, data: st.DataObject) -> None:
    packet = data.draw(st.sampled_from([packet for packet, _ in requests_of(version).values()]))
    changed = bytearray(packet)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(1, len(packet) - 1))] = data.draw(st.integers(0, 255))
    decode_quietly(version, bytes(changed))


@each_request
def test_no_length_on_the_wire_is_allocated(version: int, name: str) -> None:
    packet, _ = requests_of(version)[name]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for at in range(1, len(packet) - 3):
            for length in LENGTHS:
                decode_quietly(version, packet[:at] + length.to_bytes(4, "big") + packet[at + 4 :])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 2**17  # far below the largest lengths, above what waits for the garbage collector


@pytest.mark.parametrize("size", [0, 1, 2**15, 2**18])
def test_a_length_that_is_there_is_read(size: int) -> None:
    data = bytes(size)
    packet = b"\x06\x00\x00\x00\x01" + string(b"h") + bytes(8) + string(data)
    request = codec_for(3).decode(packet)
    assert request.data == data  # type: ignore[union-attr]


def test_a_count_of_extended_attributes_beyond_the_packet_is_refused_at_once() -> None:
    packet = b"\x09\x00\x00\x00\x01" + string(b"/f") + b"\x80\x00\x00\x00" + b"\x00\x10\x00\x00" + bytes(8)
    with pytest.raises(Malformed, match="more items"):
        codec_for(3).decode(packet)
