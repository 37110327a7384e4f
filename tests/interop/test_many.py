"""Many sessions, many channels, and wishes that are refused without harm."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncssh
import paramiko
import pytest

from tests.support.command import wait_until
from tests.support.connection import asyncssh_connection, connect
from tests.support.place import MIB, Place, noise
from tests.support.rawsftp import CREAT, READ, WRITE, ChannelStream, Code, RawSFTP, Type, string, u32, u64
from tests.support.server import Server

DEADLINE = 120.0


def test_64_sessions_at_once(running: Server, place: Place) -> None:
    """All are logged in before the first transfers anything."""

    async def one(number: int, together: asyncio.Barrier) -> None:
        data = noise(100_000 + number, number)
        async with asyncssh_connection(running) as connection, connection.start_sftp_client() as sftp:
            await together.wait()
            async with sftp.open(place.text(f"file{number}"), "wb") as file:
                await file.write(data)
            async with sftp.open(place.text(f"file{number}"), "rb") as file:
                assert await file.read() == data
            await together.wait()
            assert len(await sftp.listdir(place.text(""))) == 64 + 2

    async def whole() -> None:
        async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as group:
            together = asyncio.Barrier(64)
            for number in range(64):
                group.create_task(one(number, together))

    asyncio.run(whole())
    assert all(place.read(f"file{n}") == noise(100_000 + n, n) for n in range(64))


def test_ten_channels_on_one_connection_and_no_more(running: Server, place: Place) -> None:
    """Ten is what OpenSSH allows; the eleventh is refused, the ten go on, and a closed one makes room."""
    transport = connect(running)
    channels = [RawSFTP(ChannelStream(transport)).init() for _ in range(10)]
    with pytest.raises(paramiko.ChannelException):
        transport.open_session(timeout=20)
    handles = [channel.open(place.at(f"file{n}"), READ | WRITE | CREAT) for n, channel in enumerate(channels)]
    for number, (channel, handle) in enumerate(zip(channels, handles, strict=True)):
        assert channel.write(handle, 0, b"channel %d" % number) == Code.OK
    for number, (channel, handle) in enumerate(zip(channels, handles, strict=True)):
        assert channel.read(handle, 0, 100).data == b"channel %d" % number
    assert isinstance(channels[0].stream, ChannelStream)
    ending = channels[0].stream.channel
    ending.shutdown_write()
    assert ending.status_event.wait(20)
    channels[0].close()
    again = RawSFTP(ChannelStream(transport)).init()
    assert again.read(again.open(place.at("file0")), 0, 100).data == b"channel 0"
    transport.close()


def test_eight_sessions_on_one_connection_transfer_at_once(running: Server, place: Place, tmp_path: Path) -> None:
    data = [noise(2 * MIB + number, number) for number in range(8)]
    for number, content in enumerate(data):
        (tmp_path / f"source{number}").write_bytes(content)

    async def one(connection: asyncssh.SSHClientConnection, number: int) -> None:
        async with connection.start_sftp_client() as sftp:
            await sftp.put(tmp_path / f"source{number}", place.text(f"file{number}"))
            await sftp.get(place.text(f"file{number}"), tmp_path / f"back{number}")

    async def whole() -> None:
        async with asyncio.timeout(DEADLINE), asyncssh_connection(running) as connection:
            await asyncio.gather(*(one(connection, number) for number in range(8)))

    asyncio.run(whole())
    for number, content in enumerate(data):
        assert place.read(f"file{number}") == (tmp_path / f"back{number}").read_bytes() == content


def test_two_channels_transfer_in_opposite_directions(running: Server, place: Place, tmp_path: Path) -> None:
    down, up = noise(16 * MIB, 1), noise(16 * MIB, 2)
    place.write("down", down)
    (tmp_path / "up").write_bytes(up)

    async def whole() -> None:
        async with (
            asyncio.timeout(DEADLINE),
            asyncssh_connection(running) as connection,
            connection.start_sftp_client() as one,
            connection.start_sftp_client() as two,
        ):
            await asyncio.gather(
                one.get(place.text("down"), tmp_path / "down"), two.put(tmp_path / "up", place.text("up"))
            )

    asyncio.run(whole())
    assert (tmp_path / "down").read_bytes() == down
    assert place.read("up") == up


def test_a_channel_nobody_reads_does_not_hold_up_another(running: Server, place: Place) -> None:
    """Channel A has a closed window and much to send; B works; then A gets all that it is owed."""
    transport = connect(running)
    data = noise(261_120)
    path = place.write("file", data)
    stuck = RawSFTP(ChannelStream(transport, window=32_768)).init()
    handle = stuck.open(path)
    stuck.post_all([stuck.request(Type.READ, string(handle), u64(0), u32(261_120)) for _ in range(40)])
    other = RawSFTP(ChannelStream(transport)).init()
    opened = other.open(path)
    for _ in range(20):
        assert other.read(opened, 0, 261_120).data == data
    assert [stuck.reply().data == data for _ in range(40)] == [True] * 40
    transport.close()


def test_a_channel_closed_with_unread_data_does_not_hold_up_another(running: Server, place: Place) -> None:
    transport = connect(running)
    path = place.write("file", noise(261_120))
    stuck = RawSFTP(ChannelStream(transport, window=32_768)).init()
    handle = stuck.open(path)
    stuck.post_all([stuck.request(Type.READ, string(handle), u64(0), u32(261_120)) for _ in range(40)])
    stuck.close()
    other = RawSFTP(ChannelStream(transport)).init()
    assert other.read(other.open(path), 0, 100).data == noise(261_120)[:100]
    transport.close()


WISHES: dict[str, Callable[[paramiko.Channel], object]] = {
    "exec": lambda channel: channel.exec_command("id"),
    "exec of the old scp": lambda channel: channel.exec_command("scp -f /file"),
    "shell": lambda channel: channel.invoke_shell(),
    "unknown subsystem": lambda channel: channel.invoke_subsystem("nonsense"),
    "subsystem without a name": lambda channel: channel.invoke_subsystem(""),
    "pty": lambda channel: channel.get_pty(),
    "x11": lambda channel: channel.request_x11(handler=lambda *_: None),
}


@pytest.mark.parametrize("wish", WISHES)
def test_a_refused_wish_leaves_the_connection_usable(wish: str, running: Server) -> None:
    transport = connect(running)
    before = RawSFTP(ChannelStream(transport)).init()
    for _ in range(12):  # more often than channels are allowed at once: a refused one must not linger
        channel = transport.open_session(timeout=20)
        channel.settimeout(20)
        with pytest.raises(paramiko.SSHException):
            WISHES[wish](channel)
        channel.close()
    assert before.stat(b"/").permissions is not None
    after = RawSFTP(ChannelStream(transport)).init()
    assert after.stat(b"/").permissions is not None
    transport.close()


def test_sftp_after_a_refused_exec_on_another_channel_that_stays_open(running: Server) -> None:
    """rclone tries exec first and keeps going."""
    transport = connect(running)
    refused = transport.open_session(timeout=20)
    with pytest.raises(paramiko.SSHException):
        refused.exec_command("md5sum")
    raw = RawSFTP(ChannelStream(transport)).init()
    assert raw.stat(b"/").permissions is not None
    transport.close()


@pytest.mark.parametrize("kind", ["direct-tcpip", "nonsense"])
def test_other_channels_are_refused(kind: str, running: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        transport = connect(running)
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel(kind, target.getsockname(), ("127.0.0.1", 1), timeout=20)
        raw = RawSFTP(ChannelStream(transport)).init()
        assert raw.stat(b"/").permissions is not None
        transport.close()
        target.settimeout(0)
        with pytest.raises(BlockingIOError):
            target.accept()


def test_remote_forwarding_is_refused(running: Server) -> None:
    transport = connect(running)
    with pytest.raises(paramiko.SSHException, match="denied"):
        transport.request_port_forward("127.0.0.1", 0)
    raw = RawSFTP(ChannelStream(transport)).init()
    assert raw.stat(b"/").permissions is not None
    transport.close()


def test_environment_variables_are_ignored(running: Server) -> None:
    transport = connect(running)
    channel = transport.open_session(timeout=20)
    channel.set_environment_variable("LANG", "C")
    channel.settimeout(20)
    channel.invoke_subsystem("sftp")
    transport.close()


def test_silent_and_talkative_strangers_do_not_disturb(running: Server) -> None:
    """Peers that say nothing, half a banner, or nonsense, while a client logs in."""
    peers = []
    for words in (b"", b"SSH-2.0-half", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 2000, b"SSH-1.5-old\r\n"):
        peer = socket.create_connection((running.host, running.port), timeout=20)
        peer.sendall(words)
        peers.append(peer)
    with connect(running) as transport, transport.open_sftp_client() as sftp:
        assert sftp.normalize(".") == "/"
    for peer in peers:
        peer.close()


def test_logins_of_many_threads(running: Server) -> None:
    failures: list[BaseException] = []

    def one() -> None:
        try:
            for _ in range(4):
                with connect(running) as transport, transport.open_sftp_client() as sftp:
                    assert sftp.normalize(".") == "/"
        except BaseException as failure:  # noqa: BLE001 - it is raised again below
            failures.append(failure)

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert failures == []


def test_idle_sessions_end_when_the_server_ends(server: Callable[..., Server]) -> None:
    """SIGTERM with clients that do nothing: they are told, and the exit status is 0 (the fixture looks)."""
    running = server("--drain-timeout", "1")
    transports = [connect(running) for _ in range(5)]
    raws = [RawSFTP(ChannelStream(transport)).init() for transport in transports]
    for raw in raws:
        assert raw.stat(b"/").permissions is not None
    running.process.terminate()
    for transport in transports:
        transport.join(20)
        assert not transport.is_active()
    assert running.process.wait(20) == 0


# --- a system that has no more to give ---


@contextmanager
def limited(server: Server, what: int, most: int) -> Iterator[None]:
    """The server's process gets no more than `most` of a resource."""
    before = resource.prlimit(server.process.pid, what)
    resource.prlimit(server.process.pid, what, (most, before[1]))
    yield
    resource.prlimit(server.process.pid, what, before)


def address_space(server: Server) -> int:
    """Bytes."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[0]) * resource.getpagesize()


def is_turned_away(sock: socket.socket) -> bool:
    """Whether the server ends a new connection before it says anything."""
    try:
        return sock.recv(100) == b""
    except ConnectionError:
        return True


def test_without_memory_for_a_thread_a_connection_is_refused_and_the_server_lives(
    server: Callable[..., Server],
) -> None:
    started = server()
    with ExitStack() as stack, limited(started, resource.RLIMIT_AS, address_space(started) + MIB):
        for _ in range(10):  # a stack takes eight mebibytes, but those of threads that have ended are used again
            peer = stack.enter_context(socket.create_connection((started.host, started.port), timeout=20))
            if is_turned_away(peer):
                break
    records = [json.loads(line) for line in started.log().splitlines()]
    (scarce,) = [record for record in records if record.get("event") == "scarce"]
    assert (scarce["level"], scarce["message"]) == ("error", "connection not served")
    assert scarce["reason"] == "can't start new thread"
    RawSFTP(ChannelStream(connect(started))).init().stat(b"/")


def test_without_descriptors_connections_wait_until_there_are_some_and_the_server_lives(
    server: Callable[..., Server],
) -> None:
    started = server()
    with limited(started, resource.RLIMIT_NOFILE, started.descriptors()):
        waiting = socket.create_connection((started.host, started.port), timeout=20)
        wait_until(lambda: '"scarce"' in started.log(), "the server says so")
    with waiting:
        assert waiting.recv(4) == b"SSH-"
    RawSFTP(ChannelStream(connect(started))).init().stat(b"/")
