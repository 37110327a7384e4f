"""Class 9: what is held before login is not held for long, and nobody else waits for it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from libsshd.serve.connection import Connection
from tests.conftest import Rounds
from tests.security.conftest import Serve, connections, usable, wait_for_connections
from tests.support.command import wait_until
from tests.support.flood import Flooding
from tests.support.hostile import Peer, password_request
from tests.support.rawsftp import NO_ATTRIBUTES, READ, Code, Cursor, RawSFTP, Type, string, u32, u64
from tests.support.server import Server
from tests.support.sshwire import HOST, Gone, Message, message

DEADLINE_OF_LOGIN = 5.0
UNKNOWN = message(200)
"""Has no meaning: a server that goes on says so."""


def version_only(port: int) -> Peer:
    return Peer(port).greet()


def half_a_version(port: int) -> Peer:
    peer = Peer(port)
    peer.send_bytes(b"SSH-2.0-half")
    return peer


def keys_only(port: int) -> Peer:
    return Peer(port).connect()


def half_a_packet(port: int) -> Peer:
    peer = Peer(port).connect().service()
    peer.send_bytes(peer.seal(password_request(b"alice", b"Open-Sesame.7"))[:-1])
    return peer


def test_fifty_peers_that_fall_silent_are_gone_after_the_login_timeout(serve: Serve) -> None:
    server = serve(login_timeout=1.5)
    kinds = [Peer, version_only, half_a_version, keys_only, half_a_packet]
    with ExitStack() as stack:
        peers = [stack.enter_context(kinds[number % len(kinds)](server.local_port)) for number in range(50)]
        wait_for_connections(server, 0, deadline=15.0)
        for peer in peers:
            assert peer.end_of_stream()


def test_a_peer_that_keeps_talking_does_not_move_the_login_deadline(serve: Serve) -> None:
    server = serve(login_timeout=1.0, max_auth_attempts=0)
    with Peer(server.local_port) as peer:
        peer.connect().service()
        began = time.monotonic()
        with pytest.raises(Gone):  # noqa: PT012
            while time.monotonic() < began + 15:
                peer.send(message(Message.SERVICE_REQUEST, string(b"ssh-userauth")), UNKNOWN)
                peer.expect(Message.SERVICE_ACCEPT)
                peer.expect(Message.UNIMPLEMENTED)


def test_a_slow_failure_does_not_move_the_login_deadline(serve: Serve) -> None:
    server = serve(login_timeout=1.0, failure_delay=0.4, max_auth_attempts=0)
    with Peer(server.local_port) as peer:
        peer.connect().service()
        with pytest.raises(Gone) as gone:  # noqa: PT012
            for _ in range(60):
                peer.send(password_request(b"alice", b"wrong"))
                peer.answer()
    assert gone.value.text == b"Nobody logged in within the time allowed"


def test_a_login_ends_the_deadline(serve: Serve) -> None:
    server = serve(login_timeout=0.7)
    with Peer(server.local_port) as peer, Peer(server.local_port) as silent:
        peer.login()
        assert silent.end_of_stream(), "the deadline of the other has passed"
        peer.open_channel()


@pytest.mark.parametrize("what", ["threading.Thread.start", "libsshd.serve.hub.Connection"])
@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
def test_who_cannot_be_served_has_no_place_and_no_penalty(
    serve: Serve, what: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    server = serve(max_connections=2, max_startups=2, penalty_no_auth=60.0)
    with monkeypatch.context() as patch:
        patch.setattr(what, fail)
        for _ in range(4):
            with Peer(server.local_port) as peer:
                assert peer.end_of_stream()
    wait_for_connections(server, 0)
    with Peer(server.local_port) as guest:
        guest.login().open_channel()


@pytest.mark.parametrize(("error", "is_fault"), [(MemoryError, False), (ValueError, True)])
def test_a_client_has_no_penalty_because_memory_was_short(
    serve: Serve, error: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *,
    is_fault: bool,
) -> None:  # fmt: skip
    def fail(*_: object) -> None:
        raise error

    server = serve(penalty_crash=60.0)
    with monkeypatch.context() as patch:
        patch.setattr(Connection, "_prepare", fail)
        with Peer(server.local_port) as peer:
            assert peer.end_of_stream()
    wait_for_connections(server, 0)
    caplog.clear()  # that it failed is in the log, as it should be
    with Peer(server.local_port) as guest:
        assert guest.end_of_stream() if is_fault else guest.login()


def test_the_oldest_unfinished_exchange_makes_room(serve: Serve) -> None:
    server = serve(max_startups=4)
    with ExitStack() as stack:
        silent = []
        for number in range(4):
            silent.append(stack.enter_context(Peer(server.local_port)))
            wait_for_connections(server, number + 1)
        with Peer(server.local_port) as guest:
            guest.login().open_channel()
            assert silent[0].end_of_stream()
        for peer in silent[1:]:
            peer.connect().service()  # the others still have their places


def test_peers_that_exchanged_keys_are_not_pushed_out(serve: Serve) -> None:
    server = serve(max_startups=2)
    with keys_only(server.local_port) as first, keys_only(server.local_port) as second:
        first.service(), second.service()
        with Peer(server.local_port) as late:
            assert late.end_of_stream()
        assert first.attempt(password_request(b"alice", b"Open-Sesame.7")) == Message.USERAUTH_SUCCESS
        with Peer(server.local_port) as guest:
            guest.login()


def test_beyond_max_connections_peers_are_turned_away_until_one_leaves(serve: Serve) -> None:
    server = serve(max_connections=2)
    with Peer(server.local_port) as first, Peer(server.local_port) as second:
        first.login(), second.login()
        with Peer(server.local_port) as third:
            assert third.end_of_stream()
        second.close()
        wait_for_connections(server, 1)
        with Peer(server.local_port) as third:
            third.login()


def test_a_storm_of_connections_that_say_nothing_leaves_room_for_a_login(serve: Serve) -> None:
    server = serve(max_startups=10, login_timeout=5.0)
    with ExitStack() as stack:
        for _ in range(150):
            sock = stack.enter_context(socket.create_connection((HOST, server.local_port), timeout=20))
            sock.send(b"S")
        with Peer(server.local_port) as guest:
            guest.login().open_channel()
        wait_until(lambda: len(connections(server)) <= 12, "the storm is over")


# --- what comes before login is little ---


def quiet(peer: Peer, seconds: float = 0.3) -> bool:
    """Whether the server neither says anything nor hangs up for so long."""
    return not select.select([peer.sock], [], [], seconds)[0]


def test_a_version_that_does_not_end_is_cut_off(serve: Serve) -> None:
    server = serve(max_bytes_before_version=64)
    with Peer(server.local_port) as peer:
        peer.receive_line()
        peer.send_bytes(b"SSH-2.0-" + b"x" * 56)
        assert quiet(peer)
        peer.send_bytes(b"x")
        assert peer.end_of_stream()


def test_a_packet_before_login_may_not_be_large(serve: Serve) -> None:
    server = serve(max_packet_before_login=40_000)
    with Peer(server.local_port) as peer:
        peer.greet().send_kexinit()
        peer.await_kexinit()
        peer.send_bytes(u32(60_000) + bytes([4]) + bytes(39_000))
        assert quiet(peer)
        peer.send_bytes(bytes(1_100))
        assert peer.end_of_stream()


def test_who_only_talks_is_cut_off_after_so_many_bytes(serve: Serve) -> None:
    server = serve(max_bytes_before_login=100_000)
    with Peer(server.local_port) as peer:
        peer.connect().service()
        talk = [message(Message.IGNORE, string(bytes(1000)))] * 50
        peer.send(*talk, UNKNOWN)
        peer.expect(Message.UNIMPLEMENTED)
        with suppress(Gone):
            peer.send(*talk)
        assert peer.end_of_stream()


def test_the_limits_before_login_are_none_after_it(serve: Serve) -> None:
    server = serve(max_bytes_before_login=50_000, max_packet_before_login=40_000)
    with Peer(server.local_port) as peer:
        peer.login().flood(message(Message.IGNORE, string(bytes(60_000))), 500_000)
        usable(peer)


# --- who asks for nothing ---


def test_a_session_without_requests_ends_though_it_is_kept_alive(serve: Serve) -> None:
    server = serve(idle_timeout=0.8)
    with Peer(server.local_port) as peer, Peer(server.local_port) as busy:
        peer.login().sftp()
        asking = RawSFTP(busy.login().sftp()).init()
        began = time.monotonic()
        with pytest.raises(Gone) as gone:  # noqa: PT012
            while time.monotonic() < began + 15:
                asking.stat(b"/")
                peer.round_trip()
                quiet(peer, 0.1)
        assert gone.value.text == b"Nothing was asked for within the time allowed"
        asking.stat(b"/")


def test_a_login_that_opens_no_channel_is_idle(serve: Serve) -> None:
    server = serve(idle_timeout=0.4)
    with Peer(server.local_port) as peer:
        assert peer.login().end().text == b"Nothing was asked for within the time allowed"


def test_a_transfer_that_the_client_does_not_take_is_stalled(serve: Serve, root: Path) -> None:
    (root / "file").write_bytes(bytes(300_000))
    server = serve(default_timeout=1, idle_timeout=0.2)
    with Peer(server.local_port) as peer:
        sftp = RawSFTP(peer.login().sftp(window=40_000)).init()
        handle = sftp.open(b"/file", READ)
        sftp.post(Type.READ, string(handle), u64(0), u32(255 * 1024))
        began = time.monotonic()
        peer.end()
        assert 0.9 <= time.monotonic() - began < 10, "not idle, for it owes us to take what it asked for"


# --- what all have together ---


def channels(peer: Peer) -> int:
    """How many more it may open."""
    opened = 0
    while True:
        number = len(peer.channels) + opened
        peer.send(message(Message.CHANNEL_OPEN, string(b"session"), u32(number), u32(1 << 20), u32(1 << 15)))
        answer = Cursor(peer.receive())
        if answer.take(1)[0] != Message.CHANNEL_OPEN_CONFIRMATION:
            assert (answer.u32(), answer.u32()) == (number, 4), "RESOURCE_SHORTAGE"
            return opened
        opened += 1


def test_all_channels_together_promise_no_more_bytes_than_are_allowed(serve: Serve) -> None:
    server = serve(max_bytes_in_flight=4 * 384 * 1024)
    with Peer(server.local_port) as first, Peer(server.local_port) as second:
        assert channels(first.login()) == 4
        assert channels(second.login()) == 0
        first.close()
        wait_until(lambda: server._hub.budget.used == 0, "all of it is back")
        assert channels(second) == 4


def test_all_connections_together_open_no_more_handles_than_are_allowed(serve: Serve, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    server = serve(max_handles=20)
    with Peer(server.local_port) as first, Peer(server.local_port) as second:
        one, other = (RawSFTP(peer.login().sftp()).init() for peer in (first, second))
        for _ in range(16):
            one.open(b"/file", READ)
        for _ in range(4):
            other.open(b"/file", READ)
        for sftp in (one, other):
            assert sftp.ask(Type.OPEN, string(b"/file"), u32(READ), NO_ATTRIBUTES).code == Code.FAILURE
        first.close()
        wait_for_connections(server, 1)
        for _ in range(14):  # and two are left for somebody who has fewer
            other.open(b"/file", READ)


def opened(sftp: RawSFTP) -> bytes | None:
    """A handle, if there is one left."""
    reply = sftp.ask(Type.OPEN, string(b"/file"), u32(READ), NO_ATTRIBUTES)
    return reply.handle if reply.type == Type.HANDLE else None


def test_who_has_closed_its_files_leaves_the_handles_to_others(serve: Serve, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    server = serve(max_handles=20)
    with ExitStack() as stack:
        clients = [RawSFTP(stack.enter_context(Peer(server.local_port)).login().sftp()).init() for _ in range(5)]
        for sftp in clients:
            kept: list[bytes] = []
            until = time.monotonic() + 20
            while len(kept) < 18 and time.monotonic() < until:
                kept += filter(None, [opened(sftp)])
            assert len(kept) == 18
            assert not opened(sftp)
            for handle in kept:
                sftp.shut(handle)
    wait_for_connections(server, 0)
    assert server._hub.handles._taken == 0, "all of it is back"


def test_who_has_many_handles_leaves_some_to_those_who_have_few(serve: Serve, root: Path) -> None:
    (root / "file").write_bytes(b"x")
    server = serve(max_handles=64)
    with Peer(server.local_port) as first, Peer(server.local_port) as second:
        greedy, modest = (RawSFTP(peer.login().sftp()).init() for peer in (first, second))
        assert sum(opened(greedy) is not None for _ in range(64)) == 56
        assert all(opened(modest) for _ in range(8))
        assert not opened(modest)


# --- `libsshd run` and strangers ---


def greeted_from(server: Server, stack: ExitStack, address: str) -> bool:
    """Whether the server introduces itself, or hangs up. The connection stays open with the stack."""
    sock = stack.enter_context(
        socket.create_connection((server.host, server.port), timeout=20, source_address=(address, 0))
    )
    try:
        return sock.recv(8) == b"SSH-2.0-"
    except ConnectionError:
        return False


@pytest.mark.parametrize(("options", "most"), [((), 25), (("--set", "ExemptClients="), 20)])
def test_twenty_connections_from_one_address_may_wait_for_a_login_and_more_from_this_machine(
    module_server: Callable[..., Server], options: tuple[str, ...], most: int
) -> None:
    target = module_server(*options)
    with ExitStack() as stack:
        greeted = [greeted_from(target, stack, "127.0.0.9") for _ in range(25)]
        assert greeted == [True] * most + [False] * (25 - most)
        assert greeted_from(target, stack, "127.0.0.8")


def test_who_fails_to_log_in_four_times_is_turned_away_for_a_while(module_server: Callable[..., Server]) -> None:
    target = module_server("--set", "ExemptClients=127.0.0.8")
    with ExitStack() as stack:
        for _ in range(4):
            with Peer(target.port) as peer:
                peer.connect().service()
                assert peer.attempt(password_request(b"alice", b"guess")) == Message.USERAUTH_FAILURE
        wait_until(lambda: not greeted_from(target, stack, "127.0.0.1"), "the fourth has its penalty, too", 5.0)
        assert greeted_from(target, stack, "127.0.0.8")
    assert '"message": "penalty"' in target.log()


# --- a flood ---


def seconds_of_a_login(server: Server) -> float:
    began = time.monotonic()
    with Peer(server.port) as guest:
        guest.login().open_channel()
    return time.monotonic() - began


@pytest.mark.rounds
def test_who_logs_in_does_not_wait_while_thousands_hold_on_and_come_back(
    module_server: Callable[..., Server], rounds: Rounds
) -> None:
    """5,000 silent and 1,000 dripping peers with --rounds all. Loopback counts as any other source."""
    silent, logins = rounds(500, 5000), rounds(200, 1000)
    sources = dripping = silent // 5
    target = module_server("--set", "ExemptClients=", "--set", f"LoginTimeout={DEADLINE_OF_LOGIN}")
    before = target.descriptors()
    with Flooding(target.port, silent, dripping, sources, 1000.0) as flood:
        took = sorted(seconds_of_a_login(target) for _ in range(logins))
        flooded = flood.stop()
        began = time.monotonic()
        wait_until(lambda: target.descriptors() <= before, "everybody is gone", 30.0)
        gone_after = time.monotonic() - began
    memory = target.peak()
    median, p99 = took[logins // 2], took[-1 - logins // 100]
    print(
        f"{silent} silent and {dripping} dripping peers from {sources} addresses came {flooded['connects']} "
        f"times; {logins} logins took {median:.3f} s, at p99 {p99:.3f} s, at most {took[-1]:.3f} s; "
        f"{memory >> 20} MiB at most; the last was gone after {gone_after:.2f} s of {DEADLINE_OF_LOGIN:.0f}"
    )
    assert flooded["connects"] > 3 * (silent + dripping), "it was a flood"
    assert p99 <= 2.0
    assert memory <= 300 << 20
    assert gone_after <= DEADLINE_OF_LOGIN + 1.0
