"""What a client encodes the server decodes, and the other way round, for any values."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.constants import Status
from libsshd.wire import messages as m
from libsshd.wire.codec import codec_for, decode_init, encode_version

from . import client_encoding as client

codec = codec_for(3)

u32s = st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)
strings = st.binary(max_size=300)
pairs = st.lists(st.tuples(strings, strings), max_size=3).map(tuple)
both_or_none = st.none() | st.tuples(u32s, u32s)


@st.composite
def attribute_sets(draw: st.DrawFn) -> m.Attributes:
    uid, gid = draw(both_or_none) or (None, None)
    atime, mtime = draw(both_or_none) or (None, None)
    size, permissions = draw(st.none() | u64s), draw(st.none() | u32s)
    return m.Attributes(size, uid, gid, permissions, atime, mtime, draw(pairs))


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "request_id": u32s,
    "offset": u64s,
    "length": u32s,
    "flags": u32s,
    "attributes": attribute_sets(),
}
NOT_SENT_BY_VERSION_3 = {"desired_access", "control", "compose"}
FLAGS_SENT = {m.Open}
REQUESTS = sorted(set(m.Request.__args__), key=lambda kind: kind.__name__)


def any_request(kind: Any) -> st.SearchStrategy[Any]:
    """Requests with random values in all fields that version 3 sends, by field name; bytes unless listed."""
    names = [f.name for f in dataclasses.fields(kind) if f.name not in NOT_SENT_BY_VERSION_3]
    sent = [name for name in names if name != "flags" or kind in FLAGS_SENT]
    return st.builds(kind, **{name: FIELDS.get(name, strings) for name in sent})


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
@given(st.data())
def test_any_request_survives(kind: Any, data: st.DataObject) -> None:
    request = data.draw(any_request(kind))
    assert codec.decode(client.encode(request)) == request


@given(u32s, attribute_sets())
def test_any_attributes_survive(request_id: int, attributes: m.Attributes) -> None:
    packet = codec.attrs(request_id, attributes)
    assert packet == client.frame(packet[4:])
    assert client.decode_reply(packet[4:]) == client.AttrsReply(request_id, attributes)


@given(u32s, st.lists(st.builds(m.Entry, strings, strings, attribute_sets()), max_size=5))
def test_any_names_survive(request_id: int, entries: list[m.Entry]) -> None:
    packet = codec.name(request_id, entries)
    assert packet == client.frame(packet[4:])
    assert client.decode_reply(packet[4:]) == client.NameReply(request_id, entries)


@given(u32s, st.integers(0, 8), st.text(min_size=1), st.sampled_from(["", "en", "de-CH"]))
def test_any_status_survives(request_id: int, status: int, message: str, language: str) -> None:
    packet = codec.status(request_id, Status(status), message, language)
    assert packet == client.frame(packet[4:])
    assert client.decode_reply(packet[4:]) == client.StatusReply(request_id, status, message, language)


@given(u32s, strings)
def test_any_handle_data_and_extended_reply_survive(request_id: int, value: bytes) -> None:
    for packet, reply in [
        (codec.handle(request_id, value), client.HandleReply(request_id, value)),
        (codec.data(request_id, value), client.DataReply(request_id, value)),
        (codec.extended_reply(request_id, value), client.ExtendedReply(request_id, value)),
    ]:
        assert packet == client.frame(packet[4:])
        assert client.decode_reply(packet[4:]) == reply


@given(u32s, pairs)
def test_any_negotiation_survives(version: int, extensions: Any) -> None:
    assert decode_init(client.encode_init(version, extensions)) == (version, list(extensions))
    packet = encode_version(version, extensions)
    assert packet == client.frame(packet[4:])
    assert client.decode_reply(packet[4:]) == client.VersionReply(version, extensions)
