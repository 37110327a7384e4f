"""Random conversations: against a model of files, and made of garbage."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from libsshd._native import Watch
from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.stdio import Ending, make_pipe, serve
from libsshd.wire import messages as m
from tests.support.stdio import Scratch, make_session
from tests.wire.client_encoding import (
    AttrsReply,
    DataReply,
    HandleReply,
    Reply,
    StatusReply,
    decode_reply,
    encode,
    encode_init,
    frame,
    string,
    u32,
)
from tests.wire.packets import EVERY_REQUEST

from .engine import DATA_MAX, chunked_input

INIT = frame(encode_init(3))
OK, EOF, PERMISSION_DENIED, FAILURE = 0, 1, 3, 4
NAMES = (b"a", b"b")


def split_replies(replies: bytes) -> list[bytes]:
    """Packets without their lengths; an assertion fails when the last one is cut."""
    packets = []
    while replies:
        size = int.from_bytes(replies[:4], "big")
        assert len(replies) >= 4 + size
        packets.append(replies[4 : 4 + size])
        replies = replies[4 + size :]
    return packets


# --- against a model ---


@dataclass
class Model:
    """Files as bytes, and what the server must say. Handles are numbered as the session numbers them."""

    files: dict[bytes, bytearray]
    handles: dict[bytes, tuple[bytes, int]]
    made: int = 0

    def open(self, r: m.Open) -> Reply:
        self.made += 1
        handle = b"%d" % self.made
        self.handles[handle] = (r.path, r.flags)
        self.files.setdefault(r.path, bytearray())
        if r.flags & 0x10:
            self.files[r.path].clear()
        return HandleReply(r.request_id, handle)

    def close(self, r: m.Close) -> Reply:
        return status(r, FAILURE if self.handles.pop(r.handle, None) is None else OK)

    def read(self, r: m.Read) -> Reply:
        path, flags = self.handles.get(r.handle, (b"", 0))
        if not path or not flags & 1:
            return status(r, PERMISSION_DENIED if path else FAILURE)
        content = bytes(self.files[path][r.offset : r.offset + min(r.length, DATA_MAX)])
        return DataReply(r.request_id, content) if content else status(r, EOF)

    def write(self, r: m.Write) -> Reply:
        path, flags = self.handles.get(r.handle, (b"", 0))
        if not path or not flags & 2:
            return status(r, PERMISSION_DENIED if path else FAILURE)
        content = self.files[path]
        if r.data:
            offset = len(content) if flags & 4 else r.offset
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(r.data)] = r.data
        return status(r, OK)

    def fstat(self, r: m.Fstat) -> Reply:
        path, _ = self.handles.get(r.handle, (b"", 0))
        if not path:
            return status(r, FAILURE)
        return AttrsReply(r.request_id, m.Attributes(size=len(self.files[path])))

    def answer(self, request: m.Request) -> Reply:
        reply: Reply = getattr(self, type(request).__name__.lower())(request)
        return reply


def status(request: m.Request, code: int) -> Reply:
    return StatusReply(request.request_id, code, "", "")


def comparable(reply: Reply) -> Reply:
    """Without what the model does not know: texts, and attributes but the size."""
    if isinstance(reply, StatusReply):
        return StatusReply(reply.request_id, reply.status, "", "")
    if isinstance(reply, AttrsReply):
        return AttrsReply(reply.request_id, m.Attributes(size=reply.attributes.size))
    return reply


numbers = st.integers(0, 2**32 - 1)
handles = st.integers(1, 6).map(lambda n: b"%d" % n) | st.sampled_from([b"", b"0", b"01", b"1\0", b"x" * 256])
paths = st.sampled_from(NAMES).map(lambda name: b"/" + name)
open_flags = st.sampled_from([0x01, 0x02, 0x03, 0x06, 0x07, 0x12, 0x13]).map(lambda bits: bits | 0x08)
offsets = st.integers(0, 3000) | st.sampled_from([DATA_MAX - 1, DATA_MAX, 2**18])
lengths = st.integers(0, 3000) | st.sampled_from([DATA_MAX - 1, DATA_MAX, DATA_MAX + 1, 2**31, 2**32 - 1])
blobs = st.binary(max_size=40) | st.builds(
    lambda byte, size: byte * size, st.binary(min_size=1, max_size=1), st.integers(0, 5000)
)
opens = st.builds(m.Open, numbers, paths, open_flags, st.just(m.Attributes()))
closes = st.builds(m.Close, numbers, handles)
reads = st.builds(m.Read, numbers, handles, offsets, lengths)
writes = st.builds(m.Write, numbers, handles, offsets, blobs)
fstats = st.builds(m.Fstat, numbers, handles)
requests = st.one_of(writes, reads, opens, closes, fstats, writes, reads)
conversations = st.builds(
    lambda first, second, rest: [first, second, *rest], opens, opens, st.lists(requests, max_size=30)
)
watches = st.sampled_from([Watch.NOTHING, Watch.READ, Watch.WRITE, Watch.READ | Watch.WRITE])


def cut(whole: bytes, places: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(whole), *(place % (len(whole) + 1) for place in places)})
    return [whole[a:b] for a, b in pairwise(edges)]


def converse(root: Path, input: int, watch: Watch = Watch.NOTHING) -> tuple[Ending, list[bytes]]:
    with RootedFileSystem(str(root)) as fs, Scratch() as output:
        pipe = make_pipe(input, output.fd)
        pipe.sftp.watch(watch)
        ending = serve(pipe, make_session(pipe, fs))
        return ending, split_replies(output.content())


def assert_as_the_model(root: Path, sequence: list[m.Request], outcome: tuple[Ending, list[bytes]]) -> None:
    model = Model({}, {})
    expected = [model.answer(request) for request in sequence]
    ending, replies = outcome
    assert ending == Ending("eof", 0)
    assert [comparable(decode_reply(reply)) for reply in replies[1:]] == expected
    assert {b"/" + os.fsencode(path.name): path.read_bytes() for path in root.iterdir()} == model.files


@settings(settings.get_profile("native"), max_examples=120)
@given(conversations, watches)
def test_any_conversation_does_what_the_model_does(sequence: list[m.Request], watch: Watch) -> None:
    whole = INIT + b"".join(frame(encode(request)) for request in sequence)
    with TemporaryDirectory() as directory, Scratch(whole) as source:
        root = Path(directory)
        assert_as_the_model(root, sequence, converse(root, source.fd, watch))


@settings(settings.get_profile("native"), max_examples=80)
@given(conversations, st.lists(st.integers(0, 2**20), max_size=60))
def test_any_conversation_may_be_cut_anywhere(sequence: list[m.Request], places: list[int]) -> None:
    sequence = [request for request in sequence if not isinstance(request, m.Write) or len(request.data) < 1000]
    whole = INIT + b"".join(frame(encode(request)) for request in sequence)
    with TemporaryDirectory() as directory, chunked_input(cut(whole, places)) as source:
        root = Path(directory)
        assert_as_the_model(root, sequence, converse(root, source.fileno()))


# --- garbage ---

hostile_u32 = st.sampled_from([0, 1, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1]).map(u32)
names = st.sampled_from([b"1", b"2", b"/a", b"/d", b"/d/../a", b"..", b"", b"\0", b"posix-rename@openssh.com"])
fragments = st.one_of(hostile_u32, names.map(string), st.binary(max_size=12), st.just(b"\0" * 8))
kinds = st.integers(1, 255) | st.sampled_from([*range(3, 21), 200])
garbage = st.builds(
    lambda kind, number, rest: bytes((kind,)) + u32(number) + b"".join(rest),
    kinds,
    numbers,
    st.lists(fragments, max_size=6),
)


@st.composite
def broken(draw: Callable[[st.SearchStrategy[int]], int]) -> bytes:
    """A request of the literal ones with a few bytes changed."""
    packet = bytearray(EVERY_REQUEST[draw(st.integers(0, len(EVERY_REQUEST) - 1))])
    for _ in range(draw(st.integers(0, 3))):
        packet[draw(st.integers(5, len(packet) - 1))] = draw(st.integers(0, 255))
    return bytes(packet[: draw(st.integers(5, len(packet)))])


valid = st.sampled_from(
    [
        encode(m.Open(1, b"/a", 0x0B, m.Attributes())),
        encode(m.Mkdir(2, b"/d", m.Attributes())),
        encode(m.Opendir(3, b"/")),
        encode(m.Write(4, b"1", 0, b"content")),
    ]
)
packets = st.lists(garbage | broken() | valid, max_size=15)


@contextmanager
def internal_errors() -> Iterator[list[str]]:
    """What the server logs about exceptions that nobody expected."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    collector = Collector(logging.ERROR)
    logger = logging.getLogger("libsshd")
    logger.addHandler(collector)
    try:
        yield found
    finally:
        logger.removeHandler(collector)


@settings(settings.get_profile("native"), max_examples=300)
@given(packets)
def test_every_packet_of_garbage_gets_one_reply_or_ends_the_channel(sequence: list[bytes]) -> None:
    whole = INIT + b"".join(map(frame, sequence))
    with TemporaryDirectory() as directory, Scratch(whole) as source, internal_errors() as errors:
        ending, replies = converse(Path(directory), source.fd)
    assert errors == []
    answered = replies[1:]
    for packet, reply in zip(sequence, answered, strict=False):
        decode_reply(reply)
        assert reply[1:5] == packet[1:5]
    if ending == Ending("eof", 0):
        assert len(answered) == len(sequence)
    else:
        assert ending.kind == "protocol-error"
        assert sequence[len(answered)][0] in (1, 2)  # INIT and VERSION have no id to answer to


@settings(settings.get_profile("native"), max_examples=300)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_end_the_channel_in_order(stream: bytes, greeted: bool) -> None:
    with TemporaryDirectory() as directory, Scratch(INIT * greeted + stream) as source, internal_errors() as errors:
        ending, replies = converse(Path(directory), source.fd)
    assert errors == []
    assert ending.kind in ("eof", "bad-frame", "protocol-error")
    for reply in replies:
        decode_reply(reply)
    assert len(replies) >= greeted
