"""Classes 1, 4 and 9: what a peer that is not logged in can do, which is nothing, and not for long."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from libsshd import SFTPServer
from tests.security.conftest import Serve, connections, wait_for_connections
from tests.support.account import KEY
from tests.support.command import wait_until
from tests.support.hostile import Peer, auth_request, key_blob, offer, password_request
from tests.support.rawsftp import NO_ATTRIBUTES, string, u32
from tests.support.sshwire import HOST, Gone, Message, message

SENTINEL = message(200)
"""Has no meaning: a server that goes on says so."""

CREATE = b"".join(
    u32(len(packet)) + packet
    for packet in (b"\1" + u32(3), b"\3" + u32(1) + string(b"/planted") + u32(0x1A) + NO_ATTRIBUTES)
)
SUBSYSTEM = u32(0) + string(b"subsystem") + b"\1" + string(b"sftp")
FIELDS = {
    Message.DISCONNECT: u32(11) + string(b"bye") + string(b""),
    Message.IGNORE: string(b"x"),
    Message.UNIMPLEMENTED: u32(0),
    Message.DEBUG: b"\0" + string(b"x") + string(b""),
    Message.SERVICE_REQUEST: string(b"ssh-connection"),
    Message.SERVICE_ACCEPT: string(b"ssh-connection"),
    Message.EXT_INFO: u32(0),
    Message.USERAUTH_REQUEST: auth_request(b"alice", b"none")[1:],
    Message.USERAUTH_FAILURE: string(b"password") + b"\1",
    Message.USERAUTH_PK_OK: string(b"ssh-ed25519") + string(key_blob(KEY)),
    Message.USERAUTH_INFO_RESPONSE: u32(1) + string(b"Open-Sesame.7"),
    Message.GLOBAL_REQUEST: string(b"keepalive@openssh.com") + b"\1",
    Message.CHANNEL_OPEN: string(b"session") + u32(0) + u32(1 << 20) + u32(1 << 15),
    Message.CHANNEL_OPEN_CONFIRMATION: u32(0) * 2 + u32(1 << 20) + u32(1 << 15),
    Message.CHANNEL_OPEN_FAILURE: u32(0) * 2 + string(b"") * 2,
    Message.CHANNEL_WINDOW_ADJUST: u32(0) + u32(1 << 20),
    Message.CHANNEL_DATA: u32(0) + string(CREATE),
    Message.CHANNEL_EXTENDED_DATA: u32(0) + u32(1) + string(CREATE),
    Message.CHANNEL_EOF: u32(0),
    Message.CHANNEL_CLOSE: u32(0),
    Message.CHANNEL_REQUEST: SUBSYSTEM,
    Message.CHANNEL_SUCCESS: u32(0),
    Message.CHANNEL_FAILURE: u32(0),
}
"""Well formed where the number has a meaning; the other numbers are sent bare."""

PRIVILEGES = {
    Message.USERAUTH_SUCCESS,
    Message.REQUEST_SUCCESS,
    Message.REQUEST_FAILURE,
    Message.CHANNEL_OPEN_CONFIRMATION,
    Message.CHANNEL_DATA,
    Message.CHANNEL_SUCCESS,
    Message.CHANNEL_FAILURE,
}
"""Answers that only somebody who is logged in may get."""


def offer_key(peer: Peer) -> Peer:
    assert peer.attempt(offer(b"alice", b"ssh-ed25519", key_blob(KEY))) == Message.USERAUTH_PK_OK
    return peer


def start_exchange(peer: Peer) -> Peer:
    peer.greet().send_kexinit()
    peer.await_kexinit()
    return peer


STATES: dict[str, Callable[[Peer], Peer]] = {
    "before the key exchange": Peer.greet,
    "in the key exchange": start_exchange,
    "before the service": Peer.connect,
    "before authentication": lambda peer: peer.connect().service(),
    "after an offer": lambda peer: offer_key(peer.connect().service()),
}
MOVES_ON = {Message.SERVICE_REQUEST, Message.KEXINIT, Message.USERAUTH_REQUEST, Message.ECDH_INIT}
"""After these the connection is in another state: the next number gets a new one."""


def answers_to(peer: Peer, payload: bytes) -> tuple[list[int], bool]:
    """The numbers of all answers, and whether the server goes on: it names the packet it does not know."""
    numbers: list[int] = []
    try:
        peer.send(payload, SENTINEL)
        last = message(Message.UNIMPLEMENTED, u32(peer.sequence - 1))
        while (answer := peer.receive()) != last:
            numbers.append(answer[0])
    except Gone:
        return numbers, False
    return numbers, True


@pytest.mark.parametrize("state", STATES)
def test_no_message_number_opens_anything_before_login(serve: Serve, root: Path, state: str) -> None:
    server = serve(max_auth_attempts=0)
    peer = None
    for number in range(1, 256):
        peer = peer or STATES[state](Peer(server.local_port))
        numbers, alive = answers_to(peer, message(number, FIELDS.get(Message(number), b"") if known(number) else b""))
        assert not PRIVILEGES.intersection(numbers), f"{number} is answered by {numbers}"
        if not alive or number in MOVES_ON:
            peer.close()
            peer = None
    if peer:
        peer.close()
    assert list(root.iterdir()) == []
    wait_for_connections(server, 0)


def known(number: int) -> bool:
    return number in set(Message)


@pytest.mark.parametrize("state", STATES)
def test_a_channel_with_a_file_at_once_is_not_served_before_login(serve: Serve, root: Path, state: str) -> None:
    server = serve()
    with STATES[state](Peer(server.local_port)) as peer:
        with suppress(Gone):
            for number in (Message.CHANNEL_OPEN, Message.CHANNEL_REQUEST, Message.CHANNEL_DATA):
                peer.send(message(number, FIELDS[number]))
        gone = peer.end()
    assert gone.reason is None or gone.reason in (2, 3)
    assert list(root.iterdir()) == []


def test_a_password_before_the_service_was_asked_for_lets_nobody_in(peer: Peer) -> None:
    peer.connect().send(password_request(b"alice", b"Open-Sesame.7"))
    with suppress(Gone):
        assert peer.answer()[0] != Message.USERAUTH_SUCCESS


@pytest.mark.parametrize("name", [b"", b"ssh-connection", b"ssh-userauth\0", b"x" * 30_000])
def test_no_service_but_userauth_is_given(peer: Peer, name: bytes) -> None:
    peer.connect().send(message(Message.SERVICE_REQUEST, string(name)))
    assert peer.end().reason == 7, "SERVICE_NOT_AVAILABLE"


# --- class 4: injected messages ---

INJECTED = [Message.IGNORE, Message.DEBUG, Message.EXT_INFO, Message.UNIMPLEMENTED]


def injected_first(peer: Peer, payload: bytes) -> None:
    peer.greet().send(payload)
    peer.exchange()


def injected_after_kexinit(peer: Peer, payload: bytes) -> None:
    start_exchange(peer).send(payload)
    peer.finish_exchange()


def injected_before_newkeys(peer: Peer, payload: bytes) -> None:
    peer.greet().exchange(before_newkeys=[payload])


PLACES = [injected_first, injected_after_kexinit, injected_before_newkeys]


@pytest.mark.parametrize("number", INJECTED)
@pytest.mark.parametrize("place", PLACES)
def test_strict_exchange_ends_at_any_message_before_newkeys(
    peer: Peer, place: Callable[[Peer, bytes], None], number: Message
) -> None:
    with pytest.raises(Gone):  # noqa: PT012 -- the server may notice at any of these steps
        place(peer, message(number, FIELDS[number]))
        peer.service()


@pytest.mark.parametrize("place", PLACES)
def test_without_strict_exchange_an_ignore_is_harmless(
    server: SFTPServer, place: Callable[[Peer, bytes], None]
) -> None:
    with Peer(server.local_port, strict=False) as peer:
        place(peer, message(Message.IGNORE, FIELDS[Message.IGNORE]))
        peer.service()


# --- rubbish instead of SSH ---

RUBBISH = {
    "a line without an end": b"x" * 300_000,
    "ssh 1": b"SSH-1.5-old\r\n",
    "http": b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "zeros": bytes(100_000),
    "a long version": b"SSH-2.0-" + b"v" * 5000 + b"\r\n",
    "a packet of 4 GiB": b"SSH-2.0-x\r\n" + u32(0xFFFFFFFF) + bytes(1000),
    "a packet of no bytes": b"SSH-2.0-x\r\n" + u32(0) + bytes(1000),
    "a packet of one byte": b"SSH-2.0-x\r\n" + u32(1) + bytes(1000),
    "only padding": b"SSH-2.0-x\r\n" + u32(12) + b"\xff" + bytes(1000),
    "padding and no payload": b"SSH-2.0-x\r\n" + u32(12) + b"\x0b" + bytes(1000),
}


@pytest.mark.parametrize("kind", RUBBISH)
def test_rubbish_ends_the_connection_at_once(server: SFTPServer, kind: str) -> None:
    with Peer(server.local_port) as peer:
        with suppress(Gone):
            peer.send_bytes(RUBBISH[kind])
        wait_for_connections(server, 0, deadline=10.0)


# --- class 9: holding resources ---


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
                peer.send(message(Message.SERVICE_REQUEST, string(b"ssh-userauth")), SENTINEL)
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
