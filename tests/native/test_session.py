"""A whole session without SSH: literal packets in, literal packets out, files on disk."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from libsshd._native import Watch
from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.stdio import Ending
from tests.support.rawsftp import (
    APPEND,
    CREAT,
    DEADLINE,
    NO_ATTRIBUTES,
    READ,
    TRUNC,
    WRITE,
    Code,
    RawSFTP,
    Reply,
    Type,
)
from tests.support.scarcity import FileSizeLimit
from tests.support.stdio import StdioServer, serve_bytes
from tests.wire.client_encoding import frame, string, u32, u64

from .engine import DATA_MAX

INIT = frame(b"\x01\x00\x00\x00\x03")
LARGEST = 2**63 - 1


@pytest.fixture
def server(fs: RootedFileSystem) -> Iterator[StdioServer]:
    with StdioServer(fs) as running:
        yield running


@pytest.fixture
def client(server: StdioServer) -> RawSFTP:
    return server.client.init()


def text(reply: Reply) -> bytes:
    """The message of a STATUS."""
    cursor = reply.cursor(Type.STATUS)
    cursor.u32()
    return cursor.string()


# --- literal bytes ---


def test_a_file_is_written_and_read_back(fs: RootedFileSystem, root: Path) -> None:
    requests = (
        INIT
        + b"\x00\x00\x00\x17"  # length
        + b"\x03"  # SSH_FXP_OPEN
        + b"\x00\x00\x00\x01"  # id
        + b"\x00\x00\x00\x02/f"  # filename
        + b"\x00\x00\x00\x0b"  # pflags: READ, WRITE, CREAT
        + b"\x00\x00\x00\x04\x00\x00\x01\xa4"  # attrs: permissions 0o644
        + b"\x00\x00\x00\x18"  # length
        + b"\x06"  # SSH_FXP_WRITE
        + b"\x00\x00\x00\x02"  # id
        + b"\x00\x00\x00\x011"  # handle
        + b"\x00\x00\x00\x00\x00\x00\x00\x00"  # offset
        + b"\x00\x00\x00\x02hi"  # data
        + b"\x00\x00\x00\x16"  # length
        + b"\x05"  # SSH_FXP_READ
        + b"\x00\x00\x00\x03"  # id
        + b"\x00\x00\x00\x011"  # handle
        + b"\x00\x00\x00\x00\x00\x00\x00\x01"  # offset
        + b"\x00\x00\x00\x05"  # len
        + b"\x00\x00\x00\x0a"  # length
        + b"\x04"  # SSH_FXP_CLOSE
        + b"\x00\x00\x00\x04"  # id
        + b"\x00\x00\x00\x011"  # handle
    )
    ending, replies = serve_bytes(fs, requests)
    assert ending == Ending("eof", 0)
    version_length = int.from_bytes(replies[:4], "big")
    assert replies[4:9] == b"\x02\x00\x00\x00\x03"  # SSH_FXP_VERSION, version
    assert replies[4 + version_length :] == (
        b"\x00\x00\x00\x0a"  # length
        b"\x66"  # SSH_FXP_HANDLE
        b"\x00\x00\x00\x01"  # id
        b"\x00\x00\x00\x011"  # handle
        b"\x00\x00\x00\x18"  # length
        b"\x65"  # SSH_FXP_STATUS
        b"\x00\x00\x00\x02"  # id
        b"\x00\x00\x00\x00"  # SSH_FX_OK
        b"\x00\x00\x00\x07Success"  # error message
        b"\x00\x00\x00\x00"  # language tag
        b"\x00\x00\x00\x0a"  # length
        b"\x67"  # SSH_FXP_DATA
        b"\x00\x00\x00\x03"  # id
        b"\x00\x00\x00\x01i"  # data
        b"\x00\x00\x00\x18"  # length
        b"\x65"  # SSH_FXP_STATUS
        b"\x00\x00\x00\x04"  # id
        b"\x00\x00\x00\x00"  # SSH_FX_OK
        b"\x00\x00\x00\x07Success"  # error message
        b"\x00\x00\x00\x00"  # language tag
    )
    assert (root / "f").read_bytes() == b"hi"


def test_replies_leave_in_the_order_of_the_requests(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f", READ | WRITE)
    kinds = (
        lambda: client.request(Type.READ, string(handle), u64(0), u32(7)),
        lambda: client.request(Type.STAT, string(b"/f")),
        lambda: client.request(Type.WRITE, string(handle), u64(0), string(b"C")),
        lambda: client.request(Type.LSTAT, string(b"/missing")),
        lambda: client.request(Type.READ, string(handle), u64(7), u32(7)),
        lambda: client.request(Type.READ, string(b"?"), u64(0), u32(7)),
    )
    first = client.next_id
    client.post_all([kinds[i % len(kinds)]() for i in range(600)])
    replies = [client.reply() for _ in range(600)]
    assert [reply.id for reply in replies] == list(range(first, first + 600))
    expected = [Type.DATA, Type.ATTRS, Type.STATUS, Type.STATUS, Type.STATUS, Type.STATUS]
    assert [reply.type for reply in replies] == expected * 100


# --- the beginning ---


@pytest.mark.parametrize("kind", [Type.READ, Type.WRITE, Type.OPEN, Type.CLOSE, Type.EXTENDED, 77])
def test_a_request_before_init_ends_the_channel_unanswered(fs: RootedFileSystem, kind: int) -> None:
    request = frame(bytes((kind,)) + u32(3) + string(b"1") + u64(0) + u32(0))
    ending, replies = serve_bytes(fs, request + INIT)
    assert ending.kind == "protocol-error"
    assert replies == b""


@pytest.mark.parametrize("packet", [b"\x01", b"\x01\x00\x00\x00", b"\x01\x00\x00\x00\x03\x00\x00\x00\x09x"])
def test_an_init_that_is_cut_ends_the_channel(fs: RootedFileSystem, packet: bytes) -> None:
    assert serve_bytes(fs, frame(packet))[0].kind == "protocol-error"


def test_a_second_init_ends_the_channel_after_what_came_before(fs: RootedFileSystem) -> None:
    ending, replies = serve_bytes(fs, INIT + frame(b"\x11\x00\x00\x00\x09\x00\x00\x00\x01/") + INIT)
    assert ending.kind == "protocol-error"
    first = 4 + int.from_bytes(replies[:4], "big")
    assert replies[first + 4 : first + 9] == b"\x69\x00\x00\x00\x09"  # SSH_FXP_ATTRS, id


def test_replies_before_a_bad_length_still_leave(fs: RootedFileSystem) -> None:
    ending, replies = serve_bytes(fs, INIT + u32(2**32 - 1))
    assert ending == Ending("bad-frame", 2**32 - 1)
    assert replies[4:9] == b"\x02\x00\x00\x00\x03"


# --- handles that are wrong ---


def assert_refused(client: RawSFTP, handle: bytes) -> None:
    """READ, WRITE, FSTAT, READDIR and CLOSE fail on the handle, and the channel goes on."""
    replies = [
        client.read(handle, 0, 10),
        client.ask(Type.WRITE, string(handle), u64(0), string(b"overwritten")),
        client.ask(Type.FSTAT, string(handle)),
        client.ask(Type.FSETSTAT, string(handle), u32(1), u64(0)),
        client.ask(Type.READDIR, string(handle)),
        client.ask(Type.CLOSE, string(handle)),
    ]
    assert [reply.code for reply in replies] == [Code.FAILURE] * len(replies)


def test_a_handle_of_0_to_300_bytes_that_was_never_given_is_invalid(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"content")
    own = client.open(b"/f", READ | WRITE)
    for size in (*range(8), 255, 256, 257, 300):
        for filler in (b"1", b"\0", b"\xff"):
            if filler * size != own:
                assert_refused(client, filler * size)
    assert client.read(own, 0, 10).data == b"content"


def test_a_handle_that_was_closed_is_invalid(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f", READ | WRITE)
    assert client.shut(handle) == Code.OK
    assert_refused(client, handle)
    assert (root / "f").read_bytes() == b"content"


def test_a_handle_of_another_channel_is_invalid(fs: RootedFileSystem, root: Path, client: RawSFTP) -> None:
    (root / "f").write_bytes(b"content")
    with StdioServer(fs) as other:
        assert other.client.init().open(b"/f", READ | WRITE) == b"1"
        assert_refused(client, b"1")
        assert other.client.read(b"1", 0, 10).data == b"content"


def test_the_handle_of_a_directory_is_none_of_a_file(client: RawSFTP) -> None:
    handle = client.ask(Type.OPENDIR, string(b"/")).handle
    assert client.read(handle, 0, 10).code == Code.FAILURE
    assert client.write(handle, 0, b"x") == Code.FAILURE
    assert client.extend(b"fsync@openssh.com", string(handle)).code == Code.FAILURE
    assert client.ask(Type.READDIR, string(handle)).type == Type.NAME
    assert client.shut(handle) == Code.OK


def test_the_handle_of_a_file_is_none_of_a_directory(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f")
    assert client.ask(Type.READDIR, string(handle)).code == Code.FAILURE
    assert client.read(handle, 0, 10).data == b"content"


def test_a_handle_is_never_given_twice(client: RawSFTP, root: Path) -> None:
    (root / "f").touch()
    seen = set()
    for _ in range(50):
        for handle in (client.open(b"/f"), client.ask(Type.OPENDIR, string(b"/")).handle):
            assert handle not in seen
            seen.add(handle)
            assert client.shut(handle) == Code.OK


# --- what a file is open for ---


def test_a_write_to_a_file_open_for_reading_is_denied_and_the_channel_goes_on(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f", READ)
    assert client.write(handle, 0, b"x") == Code.PERMISSION_DENIED
    assert client.read(handle, 0, 10).data == b"content"
    assert client.shut(handle) == Code.OK


def test_a_read_from_a_file_open_for_writing_is_denied_and_the_channel_goes_on(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f", WRITE)
    assert client.read(handle, 0, 10).code == Code.PERMISSION_DENIED
    assert client.write(handle, 0, b"C") == Code.OK
    assert client.shut(handle) == Code.OK
    assert (root / "f").read_bytes() == b"Content"


def test_a_file_opened_without_flags_is_open_for_reading(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f", 0)
    assert client.read(handle, 0, 10).data == b"content"
    assert client.write(handle, 0, b"x") == Code.PERMISSION_DENIED
    assert client.shut(handle) == Code.OK


def test_a_write_to_a_file_opened_for_appending_alone_is_denied_or_appended(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"content")
    reply = client.ask(Type.OPEN, string(b"/f"), u32(APPEND), NO_ATTRIBUTES)
    if reply.type == Type.STATUS:
        return
    code = client.write(reply.handle, 0, b"+")
    assert (code, (root / "f").read_bytes()) in [
        (Code.OK, b"content+"),
        (Code.PERMISSION_DENIED, b"content"),
    ]
    assert client.shut(reply.handle) == Code.OK


def test_appending_ignores_the_offset(client: RawSFTP, root: Path) -> None:
    (root / "f").write_bytes(b"old ")
    handle = client.open(b"/f", WRITE | APPEND)
    assert client.write(handle, 0, b"new ") == Code.OK
    assert client.write(handle, 1000, b"newer") == Code.OK
    assert client.shut(handle) == Code.OK
    assert (root / "f").read_bytes() == b"old new newer"


# --- odd numbers ---


@pytest.mark.parametrize("watch", [Watch.NOTHING, Watch.READ | Watch.WRITE])
@pytest.mark.parametrize("offset", [LARGEST - 1, LARGEST, 2**63, 2**64 - 1])
def test_an_offset_that_no_file_has_fails_and_the_channel_goes_on(
    server: StdioServer, client: RawSFTP, root: Path, offset: int, watch: Watch
) -> None:
    (root / "f").write_bytes(b"content")
    server.pipe.sftp.watch(watch)
    handle = client.open(b"/f", READ | WRITE)
    assert client.read(handle, offset, 10).code in (Code.EOF, Code.FAILURE)
    assert client.write(handle, offset, b"xx") == Code.FAILURE
    assert client.read(handle, 0, 10).data == b"content"
    assert (root / "f").stat().st_size == 7


@pytest.mark.parametrize("watch", [Watch.NOTHING, Watch.READ | Watch.WRITE])
@pytest.mark.parametrize("length", [0, 1, 2**15, DATA_MAX, DATA_MAX + 1, 2**18, 2**31, 2**32 - 1])
def test_a_read_is_cut_and_not_refused(
    server: StdioServer, client: RawSFTP, root: Path, length: int, watch: Watch
) -> None:
    content = os.urandom(300_000)
    (root / "f").write_bytes(content)
    server.pipe.sftp.watch(watch)
    reply = client.read(client.open(b"/f"), 0, length)
    if length == 0:
        assert reply.code == Code.EOF
    else:
        assert reply.data == content[: min(length, DATA_MAX)]


@pytest.mark.parametrize("watch", [Watch.NOTHING, Watch.READ | Watch.WRITE])
def test_bytes_behind_the_data_of_a_write_are_ignored(
    server: StdioServer, client: RawSFTP, root: Path, watch: Watch
) -> None:
    handle = client.open(b"/f", WRITE | CREAT)
    server.pipe.sftp.watch(watch)
    assert client.ask(Type.WRITE, string(handle), u64(0), string(b"data"), b"buffer").code == Code.OK
    assert client.write(handle, 4, b"") == Code.OK
    assert (root / "f").read_bytes() == b"data"


@pytest.mark.parametrize("kind", [Type.READ, Type.WRITE])
@pytest.mark.parametrize("length", [0, 2, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1])
def test_a_handle_length_that_is_not_true_is_answered_and_the_channel_goes_on(
    client: RawSFTP, root: Path, kind: Type, length: int
) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f", READ | WRITE)
    reply = client.ask(kind, u32(length) + handle, u64(0), string(b"DATA"))
    assert reply.code in (Code.BAD_MESSAGE, Code.FAILURE)
    assert client.read(handle, 0, 10).data == b"content"


@pytest.mark.parametrize("length", [5, 2**15, 2**18 - 1, 2**18, 2**18 + 1, 2**31, 2**32 - 1])
def test_a_data_length_beyond_the_packet_is_a_bad_message(client: RawSFTP, root: Path, length: int) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f", READ | WRITE)
    assert client.ask(Type.WRITE, string(handle), u64(0), u32(length) + b"DATA").code == Code.BAD_MESSAGE
    assert client.read(handle, 0, 10).data == b"content"


@pytest.mark.parametrize("kind", [Type.READ, Type.WRITE])
def test_a_request_cut_behind_its_id_is_a_bad_message(client: RawSFTP, root: Path, kind: Type) -> None:
    (root / "f").write_bytes(b"content")
    handle = client.open(b"/f", READ | WRITE)
    fields = string(handle) + u64(0) + (u32(3) if kind == Type.READ else string(b"xyz"))
    for cut in range(len(fields)):
        assert client.ask(kind, fields[:cut]).code == Code.BAD_MESSAGE
    assert client.read(handle, 0, 10).data == b"content"


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_request_cut_within_its_id_ends_the_channel(fs: RootedFileSystem, size: int) -> None:
    ending, _ = serve_bytes(fs, INIT + frame(b"\x05\x00\x00\x00\x01"[:size]))
    assert ending.kind == "protocol-error"


@pytest.mark.parametrize("kind", [0, 21, 22, 23, 24, 99, 101, 103, 199, 201, 255])
def test_an_unknown_type_is_not_supported_and_the_channel_goes_on(client: RawSFTP, kind: int) -> None:
    assert client.ask(kind, b"whatever").code == Code.OP_UNSUPPORTED
    assert client.stat(b"/").permissions is not None


# --- errors of the disk ---


WATCHES = pytest.mark.parametrize(
    "watch",
    [
        pytest.param(Watch.NOTHING, id="core"),
        pytest.param(Watch.WRITE, id="python"),
    ],
)


@WATCHES
def test_a_write_to_a_file_at_its_limit_fails_and_close_tells_it_again(
    server: StdioServer,
    client: RawSFTP,
    root: Path,
    limit_file_size: FileSizeLimit,
    watch: Watch,
) -> None:
    handle = client.open(b"/f", READ | WRITE | CREAT)
    server.pipe.sftp.watch(watch)
    with limit_file_size(1000):
        assert client.write(handle, 0, b"x" * 600) == Code.OK
        reply = client.ask(Type.WRITE, string(handle), u64(600), string(b"y" * 600))
        assert (reply.code, text(reply)) == (Code.FAILURE, b"File too large")
        assert client.write(handle, 0, b"later writes") == Code.OK
        assert client.read(handle, 0, 5).data == b"later"
        reply = client.ask(Type.CLOSE, string(handle))
        assert (reply.code, text(reply)) == (Code.FAILURE, b"File too large")
        assert_refused(client, handle)


@WATCHES
def test_a_full_disk_is_told_by_write_and_by_close(root: Path, small_volume: Path, watch: Watch) -> None:
    with RootedFileSystem(str(small_volume)) as fs, StdioServer(fs) as server:
        client = server.client.init()
        server.pipe.sftp.watch(watch)
        handle = client.open(b"/f", WRITE | CREAT)
        client.post_all(
            [client.request(Type.WRITE, string(handle), u64(i * 30_000), string(b"x" * 30_000)) for i in range(4)]
        )
        codes = [client.reply().code for _ in range(4)]
        assert codes == [Code.OK, Code.OK, Code.FAILURE, Code.FAILURE]
        reply = client.ask(Type.CLOSE, string(handle))
        assert reply.code == Code.FAILURE
        assert b"space" in text(reply)
        assert client.ask(Type.REMOVE, string(b"/f")).code == Code.OK


def test_a_close_after_an_error_leaves_no_descriptor_open(client: RawSFTP, limit_file_size: FileSizeLimit) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with limit_file_size(10):
        handle = client.open(b"/f", WRITE | CREAT)
        assert client.write(handle, 0, b"x" * 11) == Code.FAILURE
        assert client.shut(handle) == Code.FAILURE
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_descriptor_that_went_bad_fails_its_requests_and_not_the_channel(
    server: StdioServer, client: RawSFTP, root: Path
) -> None:
    (root / "f").write_bytes(b"content")
    bad, good = client.open(b"/f", READ | WRITE), client.open(b"/f", READ | WRITE)
    blind = os.open(os.devnull, os.O_PATH)
    os.dup2(blind, server.session.file(bad).fd)
    os.close(blind)
    assert client.read(bad, 0, 1).code == Code.FAILURE
    assert client.write(bad, 0, b"x") == Code.FAILURE
    assert client.shut(bad) == Code.FAILURE
    assert client.read(good, 0, 10).data == b"content"


# --- the end ---


def test_the_end_with_open_handles_closes_their_files(server: StdioServer, client: RawSFTP, root: Path) -> None:
    handle = client.open(b"/f", WRITE | CREAT | TRUNC)
    client.open(b"/f", READ)
    client.ask(Type.OPENDIR, string(b"/"))
    assert client.write(handle, 0, b"kept") == Code.OK
    assert server.finish() == Ending("eof", 0)
    assert server.session.context.handles.open == 0
    assert (root / "f").read_bytes() == b"kept"


def test_the_end_within_a_packet_drops_that_packet_alone(server: StdioServer, client: RawSFTP, root: Path) -> None:
    handle = client.open(b"/f", WRITE | CREAT)
    assert client.write(handle, 0, b"whole") == Code.OK
    partial = frame(client.request(Type.WRITE, string(handle), u64(0), string(b"NEVER")))[:-1]
    client.literal(partial)
    assert server.finish() == Ending("eof", len(partial))
    assert (root / "f").read_bytes() == b"whole"


def test_a_client_that_vanishes_leaves_what_was_acknowledged(fs: RootedFileSystem, root: Path) -> None:
    with StdioServer(fs) as server:
        client = server.client.init()
        handle = client.open(b"/f", WRITE | CREAT)
        assert client.write(handle, 0, b"acknowledged") == Code.OK
        client.post_all([client.request(Type.STAT, string(b"/f")) for _ in range(1000)])
    assert (root / "f").read_bytes() == b"acknowledged"
    assert server.session.context.handles.open == 0


# --- descriptors ---


@pytest.mark.parametrize("blocking", [True, False])
def test_a_transfer_in_both_directions_survives_small_buffers(
    fs: RootedFileSystem, root: Path, blocking: bool
) -> None:
    block, count = os.urandom(32_768), 200
    with StdioServer(fs, blocking=blocking, client_buffer=4096) as server:
        client = server.client.init()
        handle = client.open(b"/f", READ | WRITE | CREAT)
        first = client.next_id
        requests = b"".join(
            frame(client.request(Type.WRITE, string(handle), u64(i * len(block)), string(block)))
            + frame(client.request(Type.READ, string(handle), u64(i * len(block)), u32(len(block))))
            for i in range(count)
        )
        sender = threading.Thread(target=server.socket.sendall, args=(requests,))
        sender.start()
        for i in range(count):
            assert (client.reply().id, client.reply().data) == (first + 2 * i, block)
        sender.join(DEADLINE)
    assert (root / "f").read_bytes() == block * count


def test_fsync_sends_what_was_answered_before_it_waits(server: StdioServer, client: RawSFTP) -> None:
    handle = client.open(b"/f", WRITE | CREAT)
    client.post_all(
        [
            client.request(Type.WRITE, string(handle), u64(0), string(b"x")),
            client.request(Type.EXTENDED, string(b"fsync@openssh.com"), string(handle)),
        ]
    )
    assert [client.reply().code, client.reply().code] == [Code.OK, Code.OK]


def test_two_sessions_do_not_disturb_each_other(fs: RootedFileSystem, root: Path) -> None:
    with StdioServer(fs) as one, StdioServer(fs) as two:
        a, b = one.client.init(), two.client.init()
        first, second = a.open(b"/f", WRITE | CREAT), b.open(b"/f", READ)
        assert first == second == b"1"
        assert a.write(first, 0, b"shared") == Code.OK
        two.socket.shutdown(socket.SHUT_WR)
        assert two.ending().kind == "eof"
        assert a.write(first, 6, b" file") == Code.OK
    assert (root / "f").read_bytes() == b"shared file"
