"""Class 5: memory errors in decoding. Handles and names of every length and of every origin but the right one.

`./dev test --asan` runs this with the core under ASan and UBSan; tests/fuzz tries what nobody thought of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from libsshd import SFTPServer
from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from tests.support.hostile import Peer
from tests.support.rawsftp import CREAT, NO_ATTRIBUTES, READ, WRITE, Code, RawSFTP, Type, string, u32, u64
from tests.support.stdio import StdioServer

NAMED = u32(0) + b"\1"  # attributes of nothing, from version 4 on with a type
NAME_MAX = 255
PACKET_MAX = 256 * 1024
INVALID_HANDLE = {3: Code.FAILURE, 4: 9, 5: 9, 6: 9}
EXTENSIONS = (b"fsync@openssh.com", b"fstatvfs@openssh.com")

each_version = pytest.mark.parametrize("version", INVALID_HANDLE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """It has a file and a directory."""
    path = tmp_path / "root"
    (path / "d").mkdir(parents=True)
    (path / "f").write_bytes(b"content")
    return path


@pytest.fixture
def begin(root: Path) -> Iterator[Callable[[int], RawSFTP]]:
    """`begin(version)`: a session of that version."""
    with ExitStack() as stack:
        fs = stack.enter_context(RootedFileSystem(str(root)))

        def start(version: int) -> RawSFTP:
            settings = Settings(allow_links=True, protocol_version=version)
            return stack.enter_context(StdioServer(fs, settings)).client.init(version)

        yield start


def uses(handle: bytes, version: int = 3) -> list[tuple[int, bytes]]:
    """Every request that takes a handle, with all else in order; CLOSE is the last."""
    h = string(handle)
    attributes = u32(0) if version == 3 else NAMED
    return [
        (Type.READ, h + u64(0) + u32(9)),
        (Type.WRITE, h + u64(0) + string(b"data")),
        (Type.FSTAT, h + (b"" if version == 3 else u32(0))),
        (Type.FSETSTAT, h + attributes),
        (Type.READDIR, h),
        *((Type.EXTENDED, string(name) + h) for name in EXTENSIONS),
        (Type.EXTENDED, string(b"copy-data") + h + u64(0) + u64(1) + h + u64(0)),
        (Type.CLOSE, h),
    ]


def codes(client: RawSFTP, requests: list[tuple[int, bytes]]) -> set[int]:
    """The statuses of all the replies, asked for at once."""
    payloads = [client.request(kind, body) for kind, body in requests]
    client.post_all(payloads)
    replies = [client.reply() for _ in payloads]
    assert [reply.id for reply in replies] == [int.from_bytes(payload[1:5], "big") for payload in payloads]
    return {reply.code for reply in replies}


@each_version
def test_a_handle_of_any_length_that_was_never_given_is_refused(
    version: int, begin: Callable[[int], RawSFTP], root: Path
) -> None:
    client = begin(version)
    client.ask(Type.OPENDIR, string(b"/d"))  # the handle "1": those below begin like it
    for length in range(301):
        for handle in {b"1"[:length].ljust(length, b"\0"), b"\xff" * length} - {b"1"}:
            assert codes(client, uses(handle, version)) == {INVALID_HANDLE[version]}, handle
    assert (root / "f").read_bytes() == b"content"


def test_a_handle_that_was_closed_is_refused_for_good(begin: Callable[[int], RawSFTP], root: Path) -> None:
    client = begin(3)
    closed = client.open(b"/f", READ | WRITE)
    assert client.shut(closed) == Code.OK
    for _ in range(300):
        again = client.open(b"/f", READ | WRITE)
        assert again != closed
        assert codes(client, uses(closed)) == {Code.FAILURE}
        assert client.shut(again) == Code.OK
    assert (root / "f").read_bytes() == b"content"


def test_a_handle_of_another_channel_or_connection_is_refused(server: SFTPServer, root: Path) -> None:
    with Peer(server.local_port) as peer, Peer(server.local_port) as stranger:
        own = RawSFTP(peer.login().sftp()).init()
        sister = RawSFTP(peer.sftp()).init()
        other = RawSFTP(stranger.login().sftp()).init()
        for handle in own.open(b"/f", READ | WRITE), own.ask(Type.OPENDIR, string(b"/d")).handle:
            assert codes(sister, uses(handle)) == {Code.FAILURE}
            assert codes(other, uses(handle)) == {Code.FAILURE}
            assert own.shut(handle) == Code.OK
    assert (root / "f").read_bytes() == b"content"


def test_a_directory_is_no_file_and_a_file_no_directory(begin: Callable[[int], RawSFTP]) -> None:
    client = begin(3)
    directory = client.ask(Type.OPENDIR, string(b"/d")).handle
    file = client.open(b"/f", READ)
    both = u64(0) + u64(1) + string(file) + u64(0)
    refused = {
        "read": (Type.READ, string(directory) + u64(0) + u32(9)),
        "write": (Type.WRITE, string(directory) + u64(0) + string(b"data")),
        "copy-data": (Type.EXTENDED, string(b"copy-data") + string(directory) + both),
        "readdir": (Type.READDIR, string(file)),
    }
    for name, request in refused.items():
        assert codes(client, [request]) == {Code.FAILURE}, name
    assert (client.shut(directory), client.shut(file)) == (Code.OK, Code.OK)


@each_version
@pytest.mark.parametrize("byte", [b"n", b"\xff", b"%"], ids=["letter", "not-utf8", "percent"])
def test_the_longest_name_is_made_listed_and_removed(
    version: int, byte: bytes, begin: Callable[[int], RawSFTP]
) -> None:
    client = begin(version)
    attributes = NO_ATTRIBUTES if version == 3 else NAMED
    path = b"/d/" + byte * NAME_MAX
    assert client.ask(Type.MKDIR, string(path), attributes).code == Code.OK
    handle = client.ask(Type.OPENDIR, string(b"/d")).handle
    reply = client.ask(Type.READDIR, string(handle))
    assert (reply.type, string(byte * NAME_MAX) in reply.body) == (Type.NAME, True)
    assert client.ask(Type.RMDIR, string(path)).code == Code.OK
    assert client.ask(Type.MKDIR, string(path + byte), attributes).code != Code.OK


def test_a_listing_of_the_longest_names_is_cut_into_packets_that_fit(
    begin: Callable[[int], RawSFTP], root: Path
) -> None:
    names = {b"%0255d" % number for number in range(1500)}  # twice each in its entry: 750 KiB
    for name in names:
        (root / "d" / name.decode()).touch()
    client = begin(3)
    handle = client.ask(Type.OPENDIR, string(b"/d")).handle
    listed: list[bytes] = []
    while (reply := client.ask(Type.READDIR, string(handle))).type == Type.NAME:
        assert len(reply.body) < PACKET_MAX
        assert all(long.endswith(name) for name, long, _ in reply.names)
        listed += [name for name, _, _ in reply.names]
    assert (len(listed), set(listed)) == (1502, names | {b".", b".."})


@pytest.mark.parametrize("length", [4095, 4096, 4097, 65_536, 200_000])
def test_a_path_of_any_length_is_answered(length: int, begin: Callable[[int], RawSFTP]) -> None:
    client = begin(3)
    for path in b"/" + b"n" * (length - 1), b"/n" * (length // 2), b"n/../" * (length // 5):
        client.ask(Type.OPEN, string(path), u32(READ | WRITE | CREAT), NO_ATTRIBUTES)
        for kind in (Type.STAT, Type.LSTAT, Type.REALPATH, Type.READLINK, Type.RMDIR, Type.OPENDIR):
            client.ask(kind, string(path))
    assert client.stat(b"/f").size == 7
