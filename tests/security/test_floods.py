"""Class 7 and back-pressure: whatever a client sends without reading, the memory of the server stays flat."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.conftest import Rounds
from tests.security.conftest import usable
from tests.support.command import wait_until
from tests.support.hostile import Channel, Peer, auth_request
from tests.support.rawsftp import CREAT, READ, WRITE, Code, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import Gone, Message, message
from tests.support.target import Target

MIB = 1 << 20
FLOOD = 12 * MIB
GROWTH = 3 * MIB
"""What one connection may take: its windows, its queue of replies and its buffers are some 2 MiB at most."""
ENDLESS = 0xFFFFFFFF
FILE = bytes(range(256)) * (4 * 1024)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with small socket buffers, so that a client that does not read is felt at once."""
    made = Target(
        tmp_path_factory.mktemp("target"), out_buffer_size=16_384, in_buffer_size=65_536, max_auth_attempts=0,
        failure_delay=0.0,
    )  # fmt: skip
    (made.root / "f").write_bytes(FILE)
    for number in range(300):
        (made.root / f"{number:0200}").touch()
    for _ in range(2):  # what is allocated once is there before anything is measured
        with Peer(made.port) as peer:
            sftp = RawSFTP(peer.login().sftp()).init()
            sftp.read(sftp.open(b"/f"), 0, 200_000)
    yield made
    made.stop()


class Meter:
    """How much a process has grown since now."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._memory, self._peak = target.memory(), target.peak()

    def growth(self) -> int:
        return max(self._target.memory() - self._memory, self._target.peak() - self._peak)


def packet(type: int, *fields: bytes) -> bytes:
    body = bytes([type]) + b"".join(fields)
    return u32(len(body)) + body


def guest(target: Target, *, window: int = ENDLESS) -> tuple[Peer, RawSFTP]:
    """Logged in with a small receive buffer and one SFTP channel."""
    peer = Peer(target.port, receive_buffer=4096).login()
    sftp = RawSFTP(peer.sftp(window=window)).init()
    sftp.stat(b"/")
    return peer, sftp


def end_of(target: Target, peer: Peer) -> None:
    """The server has noticed that the peer left, and is well."""
    peer.close()
    assert target.alive()
    with Peer(target.port) as other:
        RawSFTP(other.login().sftp()).init().stat(b"/")
    assert not target.crash()


# --- messages that libssh or the connection answer ---

ANSWERED = {
    "pings": message(192, string(bytes(1000))),
    "unknown messages": message(210),
    "services": message(Message.SERVICE_REQUEST, string(b"ssh-userauth")),
}
BUDGETED = {
    "global requests": message(Message.GLOBAL_REQUEST, string(b"keepalive@openssh.com"), b"\1"),
    "global requests without an answer": message(Message.GLOBAL_REQUEST, string(bytes(3000)), b"\0"),
    "channel keep-alives": message(Message.CHANNEL_REQUEST, u32(0), string(b"keepalive@openssh.com"), b"\1"),
    "channel requests without an answer": message(Message.CHANNEL_REQUEST, u32(0), string(b"env"), b"\0"),
    "refused channels": message(
        Message.CHANNEL_OPEN, string(b"direct-tcpip"), u32(1), u32(1), u32(64), string(b"h"), u32(1)
    ),
}
"""What costs a client nothing, and what a client that means well does not send without end."""


@pytest.mark.parametrize("kind", BUDGETED)
def test_a_client_that_does_not_stop_asking_for_nothing_is_sent_away(target: Target, kind: str) -> None:
    peer, _ = guest(target)
    meter = Meter(target)
    with suppress(Gone):
        peer.flood(BUDGETED[kind], FLOOD)
    peer.sock.setblocking(True)
    assert peer.end_of_stream()
    assert meter.growth() <= GROWTH
    end_of(target, peer)


def test_a_client_that_exchanges_keys_for_nothing_is_sent_away(target: Target) -> None:
    with Peer(target.port) as peer:
        RawSFTP(peer.login().sftp()).init()
        meter = Meter(target)
        with pytest.raises(Gone) as gone:  # noqa: PT012 -- which of them is the last depends on their speed
            for _ in range(5000):
                peer.exchange()
        assert gone.value.text == b"Too many requests that move no file"
        assert meter.growth() <= GROWTH
    end_of(target, peer)


def test_a_client_that_asks_now_and_then_is_not_sent_away(target: Target) -> None:
    with Peer(target.port) as peer:
        peer.login()
        for _ in range(300):
            peer.round_trip()
            peer.open_channel().close() if len(peer.channels) < 10 else None
        usable(peer)


@pytest.mark.parametrize("kind", ANSWERED)
def test_a_flood_of_messages_that_want_an_answer_stops_when_nobody_reads(target: Target, kind: str) -> None:
    peer, _ = guest(target)
    meter = Meter(target)
    assert not peer.flood(ANSWERED[kind], FLOOD), "the server stops reading"
    assert meter.growth() <= GROWTH
    end_of(target, peer)


@pytest.mark.parametrize("kind", ANSWERED)
def test_a_flood_before_login_stops_when_nobody_reads(target: Target, kind: str) -> None:
    peer = Peer(target.port, receive_buffer=4096).connect().service()
    meter = Meter(target)
    assert not peer.flood(ANSWERED[kind], FLOOD), "the server stops reading"
    assert meter.growth() <= GROWTH
    end_of(target, peer)


def test_a_flood_of_requests_to_log_in_is_cut(target: Target) -> None:
    peer = Peer(target.port, receive_buffer=4096).connect().service()
    meter = Meter(target)
    with suppress(Gone):
        peer.flood(auth_request(b"alice", b"none"), FLOOD)
    assert peer.end_of_stream()
    assert meter.growth() <= GROWTH
    end_of(target, peer)


SILENT = {
    "IGNORE": message(Message.IGNORE, string(bytes(30_000))),
    "DEBUG": message(Message.DEBUG, b"\0", string(bytes(30_000)), string(b"")),
    "UNIMPLEMENTED": message(Message.UNIMPLEMENTED, u32(1)),
    "EXT_INFO": message(Message.EXT_INFO, u32(1), string(b"x" * 1000), string(bytes(20_000))),
    "answers to nothing": message(Message.REQUEST_SUCCESS, bytes(20_000)),
    "windows": message(Message.CHANNEL_WINDOW_ADJUST, u32(0), u32(0)),
    "empty data": message(Message.CHANNEL_DATA, u32(0), string(b"")),
}


@pytest.mark.parametrize("kind", SILENT)
def test_a_flood_of_messages_without_an_answer_is_swallowed(target: Target, kind: str) -> None:
    peer, sftp = guest(target, window=1 << 20)
    meter = Meter(target)
    size = FLOOD if len(SILENT[kind]) > 1000 else MIB
    assert peer.flood(SILENT[kind], size, patience=20.0)
    sftp.stat(b"/")
    assert meter.growth() <= GROWTH
    end_of(target, peer)


FLOODS = ANSWERED | SILENT | BUDGETED


@pytest.mark.rounds
@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_that_goes_on_takes_no_more_memory(target: Target, rounds: Rounds, kind: str) -> None:
    """Whoever is sent away comes back; what is answered is read, or the server would stop reading."""
    meter = Meter(target)
    end = time.monotonic() + rounds(0, 60)
    while True:
        with suppress(Gone, ConnectionError), Peer(target.port) as peer:
            RawSFTP(peer.login().sftp()).init()
            flood_until(end, peer, FLOODS[kind])
        if time.monotonic() >= end:
            break
    assert meter.growth() <= GROWTH
    end_of(target, peer)


def flood_until(end: float, peer: Peer, payload: bytes) -> None:
    """Sends a mebibyte and reads what came of it, over and over. Raises Gone when the server ends it."""
    while True:
        peer.flood(payload, MIB, patience=0.1)
        read_what_came(peer)
        if time.monotonic() >= end:
            return


def read_what_came(peer: Peer) -> None:
    while select.select([peer.sock], [], [], 0)[0]:
        if not peer.sock.recv(MIB):
            raise Gone


# --- requests whose replies nobody takes ---


def read_requests(sftp: RawSFTP) -> bytes:
    return packet(Type.READ, u32(1), string(sftp.open(b"/f")), u64(0), u32(255 * 1024))


def stat_requests(_: RawSFTP) -> bytes:
    return packet(Type.STAT, u32(1), string(b"/"))


def realpath_requests(_: RawSFTP) -> bytes:
    return packet(Type.REALPATH, u32(1), string(b"/x" * 60_000))


def write_requests(sftp: RawSFTP) -> bytes:
    return packet(Type.WRITE, u32(1), string(sftp.open(b"/w", WRITE | CREAT)), u64(0), string(b"x"))


def directory_requests(_: RawSFTP) -> bytes:
    return packet(Type.OPENDIR, u32(1), string(b"/")) + packet(Type.READDIR, u32(1), string(b"1"))


def extended_requests(_: RawSFTP) -> bytes:
    return packet(Type.EXTENDED, u32(1), string(b"limits@openssh.com"))


def unknown_requests(_: RawSFTP) -> bytes:
    return packet(99, u32(1))


REQUESTS = [read_requests, stat_requests, realpath_requests, write_requests, directory_requests, extended_requests,
            unknown_requests]  # fmt: skip


def data_until_the_window_ends(channel: Channel, data: bytes) -> int:
    """Sends `data` over and over, as much as the server's window allows, and does not read meanwhile; its bytes."""
    before = channel.window_out
    block = data * max(1, 32_000 // len(data))
    while channel.window_out > 0:
        size = min(channel.window_out, len(block), 32_768)
        channel.window_out -= size
        if channel.peer.flood(channel.message(Message.CHANNEL_DATA, string(block[:size])), 1) is False:
            break
    return before - channel.window_out


@pytest.mark.parametrize("window", [ENDLESS, 300])
@pytest.mark.parametrize("requests", REQUESTS)
def test_replies_that_nobody_takes_do_not_pile_up(
    target: Target, requests: Callable[[RawSFTP], bytes], window: int
) -> None:
    peer, sftp = guest(target, window=max(window, 3000))
    request = requests(sftp)
    channel = peer.channels[0]
    meter = Meter(target)
    data_until_the_window_ends(channel, request)
    wait_until_quiet(target)
    assert meter.growth() <= GROWTH
    end_of(target, peer)


@pytest.mark.rounds
def test_reads_of_four_gibibytes_that_nobody_takes_do_not_pile_up(target: Target, rounds: Rounds) -> None:
    """In the window of the server there is room to ask for nearly that much; several clients do."""
    with ExitStack() as stack:
        meter = Meter(target)
        clients, asked = rounds(2, 8), 0
        for _ in range(clients):
            peer, sftp = guest(target, window=3000)
            stack.callback(peer.close)
            request = read_requests(sftp)
            asked += data_until_the_window_ends(peer.channels[0], request) // len(request) * 255 * 1024
        assert asked >= 4 << 30
        wait_until_quiet(target)
        assert meter.growth() <= clients * GROWTH
    end_of(target, peer)


def wait_until_quiet(target: Target) -> None:
    """Until the server no longer uses its processor: it has done all it will do."""
    last = [-1.0]

    def still() -> bool:
        fields = Path(f"/proc/{target.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        now = float(fields[11]) + float(fields[12])
        same, last[0] = now == last[0], now
        return same

    wait_until(lambda: still() and still(), "the server is quiet")


def test_ten_channels_that_nobody_reads_take_ten_times_as_much_and_no_more(target: Target) -> None:
    peer, _ = guest(target)
    meter = Meter(target)
    for _ in range(9):
        sftp = RawSFTP(peer.sftp(window=3000)).init()
        channel = sftp.stream
        assert isinstance(channel, Channel)
        request = read_requests(sftp)
        for _ in range(200):
            channel.window_out -= len(request) if channel.window_out > len(request) else 0
            peer.send(channel.message(Message.CHANNEL_DATA, string(request)))
    wait_until_quiet(target)
    assert meter.growth() <= 9 * MIB
    end_of(target, peer)


def test_handles_have_a_limit_per_channel_and_per_connection(target: Target) -> None:
    with Peer(target.port) as peer:
        peer.login()
        opened = 0
        meter = Meter(target)
        for _ in range(5):
            sftp = RawSFTP(peer.sftp()).init()
            of_channel = 0
            while sftp.ask(Type.OPENDIR, string(b"/")).type == Type.HANDLE:
                of_channel += 1
            assert of_channel <= 256
            opened += of_channel
        assert opened == 1024
        assert meter.growth() <= 6 * MIB
    end_of(target, peer)


# --- point 4: an exchange of keys that the peer does not answer ---


def test_reads_during_an_unanswered_exchange_are_not_served(target: Target) -> None:
    peer, sftp = guest(target)
    request = read_requests(sftp)
    channel = peer.channels[0]
    meter = Meter(target)
    target.order("rekey")
    peer.await_kexinit()
    sent = 0
    while channel.window_out > len(request):
        channel.window_out -= len(request)
        peer.send(channel.message(Message.CHANNEL_DATA, string(request)))
        sent += 1
    wait_until_quiet(target)
    assert meter.growth() <= GROWTH
    assert channel.data == b""
    peer.send_kexinit()
    peer.finish_exchange()
    for _ in range(3):
        reply = sftp.reply()
        assert reply.data == FILE[: len(reply.data)]
    end_of(target, peer)


@pytest.mark.parametrize("kind", [*ANSWERED])
def test_messages_during_an_unanswered_exchange_do_not_pile_up(target: Target, kind: str) -> None:
    peer, _ = guest(target)
    target.order("rekey")
    peer.await_kexinit()
    meter = Meter(target)
    with suppress(Gone):
        peer.flood(ANSWERED[kind], FLOOD)
    assert meter.growth() <= GROWTH
    end_of(target, peer)


def test_exchanges_one_after_the_other_leave_nothing_behind(target: Target) -> None:
    with Peer(target.port) as peer:
        sftp = RawSFTP(peer.login().sftp()).init()
        for _ in range(20):
            peer.exchange()
        meter = Meter(target)
        for _ in range(100):
            peer.exchange()
        sftp.stat(b"/")
        assert meter.growth() <= GROWTH
    end_of(target, peer)


def test_an_exchange_from_either_side_in_mid_transfer_loses_nothing(target: Target) -> None:
    with Peer(target.port) as peer:
        sftp = RawSFTP(peer.login().sftp()).init()
        handle = sftp.open(b"/f")
        for turn in range(6):
            numbers = [sftp.post(Type.READ, string(handle), u64(n * 30_000), u32(30_000)) for n in range(30)]
            if turn % 2:
                target.order("rekey")
                peer.await_kexinit()
                peer.send_kexinit()
                peer.finish_exchange()
            else:
                peer.exchange()
            for n, number in enumerate(numbers):
                reply = sftp.reply()
                assert (reply.id, reply.data) == (number, FILE[n * 30_000 : (n + 1) * 30_000])
    end_of(target, peer)


# --- point 7: what a transfer made large is given back ---


def test_buffers_are_given_back_after_idleness_and_everything_still_works(target: Target) -> None:
    peers = [Peer(target.port).login() for _ in range(10)]
    channels = [RawSFTP(peer.sftp()).init() for peer in peers]
    wait_until_quiet(target)
    before = target.memory()
    handles = [sftp.open(b"/f", READ) for sftp in channels]
    for _ in range(4):
        for sftp, handle in zip(channels, handles, strict=True):
            for n in range(4):
                sftp.post(Type.READ, string(handle), u64(n * 250_000), u32(250_000))
            for _ in range(4):
                sftp.reply()
    assert target.memory() - before > 4 * MIB, "the transfers took memory"
    stat = string(packet(Type.STAT, u32(7), string(b"/")))
    cut = peers[0].seal(peers[0].channels[0].message(Message.CHANNEL_DATA, stat))
    peers[0].send_bytes(cut[:40])
    wait_until(lambda: target.memory() - before <= 2 * MIB, "the memory is given back", 20.0)
    peers[0].send_bytes(cut[40:])
    assert channels[0].reply().id == 7
    for peer, sftp, handle in zip(peers, channels, handles, strict=True):
        assert sftp.read(handle, 1000, 200_000).data == FILE[1000:201_000]
        peer.exchange()
        assert sftp.shut(handle) == Code.OK
        peer.close()
    end_of(target, peers[0])
