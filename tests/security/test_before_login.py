"""Class 1: no message opens anything to a peer that is not logged in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from libsshd import SFTPServer
from tests.security.conftest import Serve, wait_for_connections
from tests.support.account import KEY
from tests.support.hostile import Peer, auth_request, key_blob, offer, password_request
from tests.support.rawsftp import NO_ATTRIBUTES, string, u32
from tests.support.sshwire import Gone, Message, message

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
INTRUSION = [message(number, FIELDS[number]) for number in (
    Message.CHANNEL_OPEN, Message.CHANNEL_REQUEST, Message.CHANNEL_DATA
)]  # fmt: skip
"""A session channel, SFTP on it, and a file: what somebody does who believes to be in."""


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


def answers_to_intrusion(peer: Peer) -> list[int]:
    """The numbers of all answers until the server ends the connection. Raises TimeoutError when it does not."""
    numbers: list[int] = []
    with suppress(Gone):
        peer.send(*INTRUSION)
        while True:
            numbers.append(peer.receive()[0])
    return numbers


@pytest.mark.parametrize("state", STATES)
def test_no_message_number_opens_anything_before_login(serve: Serve, root: Path, state: str) -> None:
    server = serve(max_auth_attempts=0)
    for number in range(1, 256):
        with STATES[state](Peer(server.local_port)) as peer:
            numbers, alive = answers_to(peer, message(number, FIELDS[Message(number)] if known(number) else b""))
            if alive:
                numbers += answers_to_intrusion(peer)
        assert not PRIVILEGES.intersection(numbers), f"{number} is answered by {numbers}"
    assert list(root.iterdir()) == []
    wait_for_connections(server, 0)


def known(number: int) -> bool:
    return number in FIELDS


@pytest.mark.parametrize("state", STATES)
def test_a_channel_with_a_file_at_once_is_not_served_before_login(serve: Serve, root: Path, state: str) -> None:
    server = serve()
    with STATES[state](Peer(server.local_port)) as peer:
        with suppress(Gone):
            peer.send(*INTRUSION)
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
