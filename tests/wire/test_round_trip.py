"""What a client encodes the server decodes, and the other way round, for any values."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd.constants import FileType, OpenFlags, Status
from libsshd.wire import messages as m
from libsshd.wire.codec import codec_for, decode_init, encode_version

from . import client_encoding as client

VERSIONS = (3, 4, 5, 6)
each_version = pytest.mark.parametrize("version", VERSIONS)

u8s = st.integers(0, 2**8 - 1)
u32s = st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)
i64s = st.integers(-(2**63), 2**63 - 1)
strings = st.binary(max_size=300)
names = st.none() | st.binary(min_size=1, max_size=300)
pairs = st.lists(st.tuples(strings, strings), max_size=3).map(tuple)
both_or_none = st.none() | st.tuples(u32s, u32s)
times = st.just((None, 0)) | st.tuples(i64s, st.integers(0, 10**9 - 1))
FILE_TYPES = {4: st.sampled_from([kind for kind in FileType if kind <= 5]), 5: st.sampled_from(FileType)}


@st.composite
def early_attributes(draw: st.DrawFn) -> m.Attributes:
    """What version 3 can say."""
    uid, gid = draw(both_or_none) or (None, None)
    atime, mtime = draw(both_or_none) or (None, None)
    size, permissions = draw(st.none() | u64s), draw(st.none() | u32s)
    return m.Attributes(size, uid, gid, permissions, atime, mtime, draw(pairs))


@st.composite
def late_attributes(draw: st.DrawFn, version: int) -> m.Attributes:
    """What a later version can say, but for the ACL."""
    a = m.Attributes(draw(st.none() | u64s), permissions=draw(st.none() | st.integers(0, 0o7777)))
    a.file_type = draw(FILE_TYPES[min(version, 5)])
    a.owner, a.group, a.extended = draw(names), draw(names), draw(pairs)
    a.atime, a.atime_ns = draw(times)
    a.mtime, a.mtime_ns = draw(times)
    a.createtime, a.createtime_ns = draw(times)
    if version == 5:
        a.attrib_bits = draw(st.none() | st.integers(0, 0x7FF))
    if version == 6:
        a.attrib_bits, a.attrib_bits_valid = draw(both_or_none) or (None, None)
        a.ctime, a.ctime_ns = draw(times)
        a.allocation_size, a.text_hint, a.link_count = (
            draw(st.none() | u64s),
            draw(st.none() | u8s),
            draw(st.none() | u32s),
        )
        a.mime_type, a.untranslated_name = draw(st.none() | strings), draw(st.none() | strings)
    return a


def attribute_sets(version: int) -> st.SearchStrategy[m.Attributes]:
    return early_attributes() if version == 3 else late_attributes(version)


def unasked(version: int) -> st.SearchStrategy[m.Attributes]:
    """What a reply says that was not asked for each of its attributes: less in versions 5 and 6."""
    missing: dict[int, Any] = {5: {"attrib_bits": None}, 6: {"allocation_size": None}}
    return attribute_sets(version).map(lambda a: dataclasses.replace(a, **missing.get(version, {})))


@st.composite
def late_opens(draw: st.DrawFn, version: int) -> m.Open:
    """OPEN of versions 5 and 6: flags that follow from the access."""
    read, write, append = (draw(st.booleans()) for _ in range(3))
    atomic = append and draw(st.booleans())
    access = read * 1 + write * 2 + append * 4 + 0x80
    flags = draw(st.sampled_from([0x28, 0x18, 0, 0x08, 0x10]))
    flags |= read * 1 + (write or append) * 2 + append * 4 + draw(st.sampled_from([0, 0x40]))
    modes = draw(u32s) & ~0x3F | atomic * 0x10
    return m.Open(draw(u32s), draw(strings), flags, draw(attribute_sets(version)), access, modes)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "request_id": u32s,
    "offset": u64s,
    "length": u32s,
    "line": u64s,
    "flags": u32s,
    "control": u8s,
    "mask": u32s,
    "build": u64s,
    "translate": st.booleans(),
    "compose": st.lists(strings, max_size=3).map(tuple),
    "uids": st.lists(u32s, max_size=5).map(tuple),
    "gids": st.lists(u32s, max_size=5).map(tuple),
    "start": u64s,
    "read_offset": u64s,
    "write_offset": u64s,
    "block_size": u32s,
    "overwrite": st.booleans(),
    "algorithms": st.lists(strings.filter(lambda name: b"," not in name), min_size=1, max_size=3).map(tuple),
}
LENGTHS_OF_64_BITS = {
    m.CopyData,
    m.CheckFile,
    m.CheckFileName,
    m.CheckFileHandle,
    m.Md5Hash,
    m.Md5HashHandle,
    m.Ranges,
}
IMPLIED = {"desired_access", "modes", "order"}
ONLY_IN_VERSION_6 = (m.Block, m.Unblock, m.FilenameTranslationControl)
FLAGS_SINCE = {m.Open: 3, m.Stat: 4, m.Lstat: 4, m.Fstat: 4, m.Rename: 5}
REQUESTS = sorted(set(m.Request.__args__), key=lambda kind: kind.__name__)
ORDERS = {3: m.SymlinkOrder.OPENSSH, 4: m.SymlinkOrder.DRAFT, 5: m.SymlinkOrder.DRAFT, 6: m.SymlinkOrder.SURE}


def is_sent(kind: Any, field: str, version: int) -> bool:
    if field == "flags":
        return version >= FLAGS_SINCE.get(kind, 99)
    return field not in IMPLIED and (version == 6 or field not in ("control", "compose"))


def any_request(kind: Any, version: int) -> st.SearchStrategy[Any]:
    """Requests with random values in all fields that the version sends, by field name; bytes unless listed."""
    if kind is m.Open and version > 4:
        return late_opens(version)
    strategies = FIELDS | {"attributes": attribute_sets(version)}
    if kind in LENGTHS_OF_64_BITS:
        strategies |= {"length": u64s}
    sent = [f.name for f in dataclasses.fields(kind) if is_sent(kind, f.name, version)]
    extra = {"order": st.just(ORDERS[version])} if kind is m.Symlink else {}
    return st.builds(kind, **{name: strategies.get(name, strings) for name in sent}, **extra)


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        pytest.param(version, kind, id=f"{version}-{kind.__name__}")
        for version in VERSIONS
        for kind in REQUESTS
        if version == 6 or kind not in ONLY_IN_VERSION_6
        if version > 3 or kind is not m.TextSeek
    ],
)
@given(st.data())
def test_any_request_survives(version: int, kind: Any, data: st.DataObject) -> None:
    request = data.draw(any_request(kind, version))
    decoded: Any = codec_for(version).decode(client.encode(request, version))
    if kind is m.Open and version == 4:
        request.desired_access = decoded.desired_access
    if kind is m.Open and version == 3:
        request.flags &= ~int(OpenFlags.TEXT)  # not in its draft
    assert decoded == request


@each_version
@given(u32s, st.data())
def test_any_attributes_survive(version: int, request_id: int, data: st.DataObject) -> None:
    attributes = data.draw(unasked(version))
    packet = codec_for(version).attrs(request_id, attributes)
    assert packet == client.frame(packet[4:])
    assert client.decode_reply(packet[4:], version) == client.AttrsReply(request_id, attributes)


@each_version
@given(u32s, st.data())
def test_any_names_survive(version: int, request_id: int, data: st.DataObject) -> None:
    names = st.text(max_size=50).map(str.encode) if version == 6 else strings  # where others are marked
    longnames = strings if version == 3 else st.just(b"")
    entries = data.draw(st.lists(st.builds(m.Entry, names, longnames, unasked(version)), max_size=5))
    packet = codec_for(version).name(request_id, entries)
    assert packet == client.frame(packet[4:])
    assert client.decode_reply(packet[4:], version) == client.NameReply(request_id, entries)


codec = codec_for(3)


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
