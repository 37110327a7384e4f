"""Every request and extension of every version, damaged: an answer with the right status or the end of the channel.

The requests are the literals of tests/wire/packets.py and later_packets.py, and the versions those that libsshd
speaks: what is added there is tried here. Statuses and types are written out and not taken from libsshd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.stdio import Ending
from libsshd.settings import Settings
from libsshd.wire.codec import codec_for
from tests.security.conftest import Serve
from tests.support.hostile import Peer
from tests.support.rawsftp import Code, RawSFTP, Reply, Type, string, u32
from tests.support.stdio import StdioServer
from tests.wire.later_packets import complete_cuts, requests_of
from tests.wire.packets import Literal

REPLIES = {Type.STATUS, Type.HANDLE, Type.DATA, Type.NAME, Type.ATTRS, Type.EXTENDED_REPLY}
REQUEST_TYPES = {
    3: {*range(3, 21), 200},
    4: {*range(3, 21), 200},
    5: {*range(3, 21), 200},
    6: {*range(3, 20), 21, 22, 23, 200},  # LINK instead of SYMLINK; BLOCK, UNBLOCK
}
INVALID_HANDLE = {3: Code.FAILURE, 4: 9, 5: 9, 6: 9}
HANDLES = ("handle", "read_handle", "write_handle")
TAKE_DIRECTORIES = {"Close", "Fstat", "Fsetstat", "Fstatvfs", "Readdir", "Block", "Unblock"}
LENGTHS = (0, 1, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1)
BATCH = 64  # requests under way at once: their replies fit the buffers of a socket


def is_spoken(version: int) -> bool:
    try:
        codec_for(version)
    except ValueError:
        return False
    return True


VERSIONS = [version for version in REQUEST_TYPES if is_spoken(version)]
each_version = pytest.mark.parametrize("version", VERSIONS)
each_request = pytest.mark.parametrize(
    ("version", "name"),
    [pytest.param(version, name, id=f"{version}-{name}") for version in VERSIONS for name in requests_of(version)],
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the literals name: /f, /l, /d, /a, and /b, which is missing."""
    path = tmp_path / "root"
    (path / "d").mkdir(parents=True)
    (path / "f").write_bytes(b"content")
    (path / "a").write_bytes(b"a")
    (path / "l").symlink_to("f")
    return path


Connect = Callable[[int], RawSFTP]


@pytest.fixture
def start(root: Path) -> Iterator[Callable[[int], StdioServer]]:
    """`start(version)` serves over a socket pair; nothing is sent yet."""
    with ExitStack() as stack:
        fs = stack.enter_context(RootedFileSystem(str(root)))
        yield lambda version: stack.enter_context(
            StdioServer(fs, Settings(allow_links=True, protocol_version=version))
        )


def begin(client: RawSFTP, version: int) -> RawSFTP:
    assert client.init(version).version == version
    return client


@pytest.fixture(params=["pipe", "connection"])
def connect(request: pytest.FixtureRequest, start: Callable[[int], StdioServer], serve: Serve) -> Iterator[Connect]:
    """`connect(version)` is a session of that version, over descriptors or over SSH."""
    with ExitStack() as stack:

        def over_ssh(version: int) -> RawSFTP:
            server = serve(allow_links=True, protocol_version=version)
            peer = stack.enter_context(Peer(server.local_port))
            return begin(RawSFTP(peer.login().sftp()), version)

        yield over_ssh if request.param == "connection" else lambda version: begin(start(version).client, version)


def replies(client: RawSFTP, requests: Iterable[bytes]) -> Iterator[tuple[bytes, Reply]]:
    """Each request with its reply, which must have its id."""
    waiting = list(requests)
    for batch in (waiting[at : at + BATCH] for at in range(0, len(waiting), BATCH)):
        client.post_all(batch)
        for request in batch:
            reply = client.reply()
            assert (reply.type in REPLIES, reply.id) == (True, int.from_bytes(request[1:5], "big")), request
            yield request, reply


def still_answers(client: RawSFTP) -> None:
    assert client.ask(Type.REALPATH, string(b".")).type == Type.NAME


def cuts(literal: Literal) -> Iterator[bytes]:
    """The literal ended behind each byte from the id on."""
    yield from (bytes(literal[:end]) for end in range(5, len(literal)))


@each_version
def test_a_request_cut_anywhere_is_a_bad_message(version: int, connect: Connect) -> None:
    client = connect(version)
    for name, (literal, _) in requests_of(version).items():
        whole = complete_cuts(version, name)
        for request, reply in replies(client, cuts(literal)):
            if len(request) not in whole:
                assert (reply.type, reply.type == Type.STATUS and reply.code) == (Type.STATUS, Code.BAD_MESSAGE), (
                    name,
                    request,
                )
    still_answers(client)


@each_version
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_packet_without_a_whole_id_ends_the_channel(
    version: int, size: int, start: Callable[[int], StdioServer]
) -> None:
    server = start(version)
    begin(server.client, version).send(b"\x11\x00\x00\x00"[:size])
    assert server.ending().kind == "protocol-error"


def lengths(literal: Literal) -> Iterator[tuple[bytes, bool]]:
    """The literal with another number in each of its lengths and counts; True when it promises what is not there."""
    for number, part in enumerate(literal.parts[2:], 2):
        before, after = b"".join(literal.parts[:number]), part[4:] + b"".join(literal.parts[number + 1 :])
        is_string = len(part) > 4 and int.from_bytes(part[:4], "big") == len(part) - 4
        if is_string or len(part) == 4:
            for length in (*LENGTHS, len(after) + 1):
                yield before + u32(length) + after, is_string and length > len(after)


each_request_but_the_selection_of_a_version = pytest.mark.parametrize(  # a wrong one ends the channel
    ("version", "name"),
    [
        pytest.param(version, name, id=f"{version}-{name}")
        for version in VERSIONS
        for name in requests_of(version)
        if name != "version-select"
    ],
)


@each_request_but_the_selection_of_a_version
def test_a_length_that_is_not_true_is_answered_and_never_believed(
    version: int, name: str, start: Callable[[int], StdioServer]
) -> None:
    client = begin(start(version).client, version)
    wrong = list(lengths(requests_of(version)[name][0]))
    for (request, lies), (_, reply) in zip(wrong, replies(client, [request for request, _ in wrong]), strict=True):
        assert not lies or reply.code == Code.BAD_MESSAGE, request
    still_answers(client)


@each_version
def test_an_unknown_type_is_unsupported(version: int, start: Callable[[int], StdioServer]) -> None:
    client = begin(start(version).client, version)
    unknown = sorted(set(range(256)) - REQUEST_TYPES[version] - {Type.INIT, Type.VERSION})
    for rest in (b"", bytes(40), b"\xff" * 40):
        requests = [bytes([kind]) + u32(kind) + rest for kind in unknown]
        assert {reply.code for _, reply in replies(client, requests)} == {Code.OP_UNSUPPORTED}
    still_answers(client)


@each_version
@pytest.mark.parametrize("extension", [b"", b"unknown@example.com", b"statvfs@openssh.co", b"statvfs@openssh.com\0"])
def test_an_unknown_extension_is_unsupported(
    version: int, extension: bytes, start: Callable[[int], StdioServer]
) -> None:
    client = begin(start(version).client, version)
    assert client.extend(extension, string(b"/")).code == Code.OP_UNSUPPORTED
    assert client.extend(extension).code == Code.OP_UNSUPPORTED
    still_answers(client)


@each_version
def test_every_type_has_a_literal(version: int) -> None:
    """So that nothing is left untried."""
    assert {literal[0] for literal, _ in requests_of(version).values()} == REQUEST_TYPES[version]


# --- handles ---


def handle_fields(version: int, name: str) -> list[int]:
    """Which parts of a literal are handles."""
    literal, request = requests_of(version)[name]
    found: list[int] = []
    for field in HANDLES:
        if (handle := getattr(request, field, None)) is not None:
            found.append(literal.parts.index(string(handle), max(found, default=1) + 1))
    return found


def with_handles(version: int, name: str, handles: Sequence[bytes]) -> bytes:
    """A literal with other handles."""
    parts = list(requests_of(version)[name][0].parts)
    for field, handle in zip(handle_fields(version, name), handles, strict=True):
        parts[field] = string(handle)
    return b"".join(parts)


each_request_with_handles = pytest.mark.parametrize(
    ("version", "name"),
    [
        pytest.param(version, name, id=f"{version}-{name}")
        for version in VERSIONS
        for name in requests_of(version)
        if handle_fields(version, name)
    ],
)


def an_open_file(client: RawSFTP, version: int) -> bytes:
    """For reading and writing."""
    access = u32(3) if version < 5 else u32(0x3) + u32(2)  # READ and WRITE; READ_DATA and WRITE_DATA, OPEN_EXISTING
    attributes = u32(0) if version < 4 else u32(0) + b"\x01"  # none; of a regular file
    return client.ask(Type.OPEN, string(b"/f"), access, attributes).handle


def an_open_directory(client: RawSFTP) -> bytes:
    return client.ask(Type.OPENDIR, string(b"/d")).handle


def expect_invalid(client: RawSFTP, version: int, name: str, handles: Sequence[bytes]) -> None:
    request = with_handles(version, name, handles)
    ((_, reply),) = replies(client, [request])
    assert reply.code == INVALID_HANDLE[version], request


@each_request_with_handles
def test_a_handle_nobody_gave_out_is_invalid(version: int, name: str, start: Callable[[int], StdioServer]) -> None:
    client = begin(start(version).client, version)
    good = an_open_file(client, version)
    closed = an_open_file(client, version)
    assert client.shut(closed) == Code.OK
    count = len(handle_fields(version, name))
    for wrong in (b"", b"nobody", b"0", good + b"\0", b"0" + good, bytes(256), bytes(257), bytes(100_000), closed):
        for at in range(count):
            expect_invalid(client, version, name, [wrong if number == at else good for number in range(count)])
    still_answers(client)


@each_request_with_handles
def test_a_handle_of_the_wrong_kind_is_invalid(version: int, name: str, start: Callable[[int], StdioServer]) -> None:
    client = begin(start(version).client, version)
    file, directory = an_open_file(client, version), an_open_directory(client)
    request = type(requests_of(version)[name][1]).__name__
    count = len(handle_fields(version, name))
    if request == "Readdir":
        expect_invalid(client, version, name, [file])
    elif request not in TAKE_DIRECTORIES:
        for at in range(count):
            expect_invalid(client, version, name, [directory if number == at else file for number in range(count)])
    still_answers(client)


# --- framing and negotiation ---


@each_version
@pytest.mark.parametrize("length", [0, 2**18 + 1, 2**31, 2**32 - 1])
def test_a_packet_of_no_or_too_many_bytes_ends_the_channel(
    version: int, length: int, start: Callable[[int], StdioServer]
) -> None:
    server = start(version)
    client = begin(server.client, version)
    still_answers(client)
    client.literal(u32(length) + bytes(20))
    assert server.ending() == Ending("bad-frame", length)
    with pytest.raises(EOFError):
        client.packet()


@each_version
def test_the_largest_packet_is_answered(version: int, start: Callable[[int], StdioServer]) -> None:
    client = begin(start(version).client, version)
    for kind in sorted(REQUEST_TYPES[version]):
        request = bytes([kind]) + u32(kind) + bytes(2**18 - 5)
        assert [reply.type in REPLIES for _, reply in replies(client, [request])] == [True]
    still_answers(client)


@each_version
@pytest.mark.parametrize("again", [3, 4, 5, 6, 0, 2**32 - 1])
@pytest.mark.parametrize("kind", [Type.INIT, Type.VERSION])
def test_a_second_negotiation_ends_the_channel(
    version: int, again: int, kind: Type, start: Callable[[int], StdioServer]
) -> None:
    server = start(version)
    client = begin(server.client, version)
    client.send(bytes([kind]) + u32(again))
    assert server.ending().kind == "protocol-error"
    with pytest.raises(EOFError):
        client.packet()


@each_request
def test_a_request_before_the_negotiation_ends_the_channel(
    version: int, name: str, start: Callable[[int], StdioServer], root: Path
) -> None:
    before = sorted(root.iterdir())
    server = start(version)
    server.client.send(requests_of(version)[name][0])
    assert server.ending().kind == "protocol-error"
    with pytest.raises(EOFError):
        server.client.packet()
    assert sorted(root.iterdir()) == before


@pytest.mark.parametrize("offered", [0, 1, 2])
def test_a_client_too_old_for_us_loses_its_channel(offered: int, start: Callable[[int], StdioServer]) -> None:
    server = start(VERSIONS[-1])
    server.client.send(bytes([Type.INIT]) + u32(offered))
    assert server.ending().kind == "protocol-error"


@each_version
@pytest.mark.parametrize("offered", [6, 7, 100, 2**31, 2**32 - 1])
def test_a_client_that_offers_more_gets_what_is_allowed(
    version: int, offered: int, start: Callable[[int], StdioServer]
) -> None:
    client = start(version).client.init(offered)
    assert client.version == version
    still_answers(client)
