"""Bytes arrive as they were, in every size, in both directions, and nobody is hurt by a client that stops."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import paramiko
import pytest

from tests.support.client import CLIENTS, Client, OpenSSH, sftp_quote
from tests.support.command import wait_until
from tests.support.connection import connect, ssh_pipe
from tests.support.place import MIB, Place, noise, sha256
from tests.support.rawsftp import (
    CREAT,
    NO_ATTRIBUTES,
    READ,
    WRITE,
    ChannelStream,
    Code,
    PipeStream,
    RawSFTP,
    Stream,
    Type,
    string,
    u32,
    u64,
)
from tests.support.server import Server

SIZES = (0, 1, 32767, 32768, 262145)
BLOCK = 261_120
GIB = 1 << 30


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.name)
def test_what_is_put_is_what_is_got(
    kind: type[Client], size: int, running: Server, place: Place, tmp_path: Path
) -> None:
    client, source, back = kind(running), tmp_path / "source", tmp_path / "back"
    source.write_bytes(noise(size))
    client.put(source, place.at("file"))
    assert place.read("file") == noise(size)
    client.get(place.at("file"), back)
    assert back.read_bytes() == noise(size)


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.name)
def test_a_shorter_upload_leaves_nothing_of_the_longer_file(
    kind: type[Client], running: Server, place: Place, tmp_path: Path
) -> None:
    place.write("file", noise(100_000))
    (tmp_path / "source").write_bytes(b"short")
    kind(running).put(tmp_path / "source", place.at("file"))
    assert place.read("file") == b"short"


@pytest.fixture
def wide() -> Iterator[Path]:
    """A directory for gigabytes: in memory where there is room."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and shutil.disk_usage(memory).free > 4 * GIB and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(dir=memory if room else None) as directory:
        if shutil.disk_usage(directory).free < 3 * GIB:
            pytest.skip("no room for 3 GiB")
        yield Path(directory)


@pytest.mark.large
def test_one_gibibyte_goes_there_and_back(wide: Path, server: Callable[..., Server]) -> None:
    source, back = wide / "source", wide / "back"
    with open(source, "wb") as stream:
        stream.writelines(noise(MIB, number) for number in range(GIB // MIB))
    expected = sha256(source)
    (wide / "root").mkdir()
    sftp = OpenSSH(server(root=wide / "root"))
    sftp.batch(b"put " + sftp_quote(source) + b" /file", timeout=300)
    source.unlink()
    assert sha256(wide / "root/file") == expected
    sftp.batch(b"get /file " + sftp_quote(back), timeout=300)
    assert sha256(back) == expected


def test_blocks_of_255_kib_in_one_packet(raw: RawSFTP, place: Place) -> None:
    data = noise(2 * BLOCK)
    handle = raw.open(place.at("file"), READ | WRITE | CREAT)
    for offset in (BLOCK, 0):
        assert raw.write(handle, offset, data[offset : offset + BLOCK]) == Code.OK
    assert place.read("file") == data
    assert [raw.read(handle, offset, BLOCK).data for offset in (0, BLOCK)] == [data[:BLOCK], data[BLOCK:]]


@pytest.mark.parametrize("length", [BLOCK + 1, 1 << 18, 1 << 31, (1 << 32) - 1])
def test_a_read_of_too_much_is_cut_not_refused(length: int, raw: RawSFTP, place: Place) -> None:
    data = noise(2 * BLOCK)
    handle = raw.open(place.write("file", data))
    got = raw.read(handle, 7, length).data
    assert 0 < len(got) <= BLOCK
    assert got == data[7 : 7 + len(got)]


def test_offsets_beyond_4_gib_are_kept(raw: RawSFTP, place: Place) -> None:
    far = (1 << 33) + 5
    handle = raw.open(place.at("sparse"), READ | WRITE | CREAT)
    assert raw.write(handle, far, b"far away") == Code.OK
    assert raw.read(handle, far + 4, 100).data == b"away"
    assert raw.stat(place.at("sparse")).size == far + 8
    assert raw.shut(handle) == Code.OK
    os.truncate(place.local("sparse"), 0)


def test_200_handles_are_open_at_once(raw: RawSFTP, place: Place) -> None:
    handles = [raw.open(place.at(f"file{n}"), READ | WRITE | CREAT) for n in range(200)]
    assert len(set(handles)) == 200
    for number, handle in enumerate(handles):
        assert raw.write(handle, 0, f"content {number}".encode()) == Code.OK
    for number, handle in enumerate(handles):
        assert raw.read(handle, 0, 100).data == f"content {number}".encode()
    assert {raw.shut(handle) for handle in handles} == {Code.OK}
    assert place.read("file137") == b"content 137"


def test_the_257th_handle_is_refused_until_one_is_closed(raw: RawSFTP, place: Place) -> None:
    path = place.write("file", b"data")
    handles = [raw.open(path) for _ in range(256)]
    refused = raw.ask(Type.OPEN, string(path), u32(READ), NO_ATTRIBUTES)
    assert refused.code == Code.FAILURE
    assert raw.ask(Type.OPENDIR, string(place.remote)).code == Code.FAILURE
    assert raw.read(handles[255], 0, 10).data == b"data"
    assert raw.shut(handles[0]) == Code.OK
    assert raw.read(raw.open(path), 0, 10).data == b"data"


def pipe_to(server: Server) -> Stream:
    return PipeStream(ssh_pipe(server))


def channel_to(server: Server, stack: ExitStack) -> Stream:
    transport = connect(server)
    stack.callback(transport.close)
    return ChannelStream(transport, window=64 * 1024)


@pytest.mark.parametrize("client", ["paramiko", "ssh"])
def test_reads_that_nobody_takes_cost_no_memory(client: str, server: Callable[..., Server], tmp_path: Path) -> None:
    """1 GiB is asked for and nothing taken: the server must stop to read, not pile up replies."""
    running, requests = server(), 4096
    data = noise(BLOCK)
    (running.root / "file").write_bytes(data)
    with ExitStack() as stack:
        raw = RawSFTP(channel_to(running, stack) if client == "paramiko" else pipe_to(running))
        stack.callback(raw.stream.abort)
        handle = raw.init().open(b"/file")
        assert raw.read(handle, 0, BLOCK).data == data
        before = running.memory()
        sent = 0
        try:
            while sent < requests:
                raw.post_all([raw.request(Type.READ, string(handle), u64(0), u32(BLOCK)) for _ in range(64)])
                sent += 64
        except TimeoutError:  # the window is closed as well: fine
            pass
        assert sent >= 1024
        with connect(running) as another, another.open_sftp_client() as sftp:
            assert sftp.stat("/file").st_size == BLOCK
        assert running.memory() - before < 6 * MIB
        first = raw.next_id - sent - (0 if sent == requests else 64)
        for number in range(first, first + 40):
            reply = raw.reply()
            assert (reply.id, reply.data == data) == (number, True)


def abort(transport: paramiko.Transport) -> None:
    """The client is gone without a word: a reset instead of a farewell."""
    assert isinstance(transport.sock, socket.socket)
    transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.sock.close()
    transport.close()


def assert_serves(server: Server) -> None:
    (server.root / "probe").write_bytes(b"alive")
    with connect(server) as transport, transport.open_sftp_client() as sftp, sftp.open("/probe") as file:
        assert file.read() == b"alive"


@pytest.mark.parametrize("direction", ["download", "upload"])
def test_a_client_that_vanishes_leaves_no_descriptor(
    direction: str, server: Callable[..., Server], tmp_path: Path
) -> None:
    running = server()
    idle = running.descriptors()
    (running.root / "file").write_bytes(noise(BLOCK))
    for _ in range(5):
        transport = connect(running)
        raw = RawSFTP(ChannelStream(transport)).init()
        if direction == "download":
            handles = [raw.open(b"/file") for _ in range(10)]
            raw.post_all([raw.request(Type.READ, string(h), u64(0), u32(BLOCK)) for h in handles])
            raw.reply()
        else:
            handles = [raw.open(b"/upload%d" % n, WRITE | CREAT) for n in range(10)]
            assert raw.write(handles[0], 0, b"acknowledged") == Code.OK
            half = raw.request(Type.WRITE, string(handles[1]), u64(0), string(noise(BLOCK)))
            raw.literal(u32(len(half)) + half[: BLOCK // 2])
        abort(transport)
    assert_serves(running)
    wait_until(lambda: running.descriptors() == idle, f"{idle} descriptors")
    if direction == "upload":
        assert (running.root / "upload0").read_bytes() == b"acknowledged"


def test_a_killed_sftp_upload_leaves_a_beginning_of_the_file(server: Callable[..., Server], tmp_path: Path) -> None:
    running = server()
    data = noise(8 * MIB)
    raw = RawSFTP(pipe_to(running)).init()
    handle = raw.open(b"/file", WRITE | CREAT)
    acknowledged = 0
    for offset in range(0, 4 * MIB, BLOCK):
        assert raw.write(handle, offset, data[offset : offset + BLOCK]) == Code.OK
        acknowledged = offset + BLOCK
    raw.stream.abort()
    assert_serves(running)
    assert (running.root / "file").read_bytes() == data[:acknowledged]


def test_nothing_is_lost_when_the_last_write_is_followed_by_the_end(running: Server, place: Place) -> None:
    """Writes, CLOSE and the end of the channel in one breath: all replies come, then the exit status."""
    transport = connect(running)
    raw = RawSFTP(ChannelStream(transport)).init()
    handle = raw.open(place.at("file"), WRITE | CREAT)
    data = noise(20 * 32768)
    writes = [
        raw.request(Type.WRITE, string(handle), u64(at), string(data[at : at + 32768]))
        for at in range(0, len(data), 32768)
    ]
    raw.post_all([*writes, raw.request(Type.CLOSE, string(handle))])
    assert isinstance(raw.stream, ChannelStream)
    raw.stream.channel.shutdown_write()
    assert [raw.reply().code for _ in range(21)] == [Code.OK] * 21
    with pytest.raises(EOFError):
        raw.packet()
    assert place.read("file") == data
    transport.close()


def test_openssh_fills_a_pipe_of_many_small_reads(running: Server, place: Place, tmp_path: Path) -> None:
    """-B and -R choose block size and requests in flight; every combination yields the same bytes."""
    data = noise(3 * MIB + 17)
    place.write("file", data)
    sftp = OpenSSH(running)
    for block, flight in ((1000, 256), (32768, 1), (BLOCK, 64)):
        back, options = tmp_path / f"back{block}", ("-B", str(block), "-R", str(flight))
        sftp.batch(b"get " + sftp_quote(place.at("file")) + b" " + sftp_quote(back), options=options)
        assert back.read_bytes() == data
        sftp.batch(b"put " + sftp_quote(back) + b" " + sftp_quote(place.at(back.name)), options=options)
        assert place.read(back.name) == data
