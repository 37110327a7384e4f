"""Class 3: what was changed on the way is never accepted, with any cipher and MAC, on by default or not.

A connection is brought to its end of login once. For each byte that is changed the process forks, so that the same
packet can be tried in thousands of ways; the copy gets the changed packet over a socket of its own.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from libsshd._native import Bind, Connection, EventKind, Key, supported_algorithms
from libsshd.wire import ssh
from tests.conftest import Rounds
from tests.support.hostile import Peer, auth_request
from tests.support.link import algorithms
from tests.support.rawsftp import string
from tests.support.sshcipher import has_own_mac
from tests.support.sshwire import HOST, Message, message

PACKETS = 200
WAIT = 0.02
"""Seconds that a copy waits for the rest of a packet whose length was changed: its deadline."""
ENDED = {EventKind.GONE, EventKind.DEADLINE}
FLIPS = (0x01, 0x80, 0xFF)

_SUPPORTED = supported_algorithms()
PAIRS = [
    (cipher, mac)
    for cipher in _SUPPORTED["ciphers"]
    for mac in (_SUPPORTED["macs"] if not has_own_mac(cipher) else _SUPPORTED["macs"][:1])
]


class Session:
    """Both ends of a connection that is logged in; the server's is served by whoever calls `next`."""

    def __init__(self, cipher: str, mac: str) -> None:
        lists = {"ciphers": f"{cipher},aes128-gcm@openssh.com", "macs": f"{mac},hmac-sha2-256"}
        bind = Bind([Key.generate("ssh-ed25519")], algorithms(**lists))
        with socket.create_server((HOST, 0)) as listener:
            self.peer = Peer(listener.getsockname()[1])
            self.fd = listener.accept()[0].detach()
        self.peer.cipher, self.peer.mac = cipher, mac
        self.native = Connection(bind, self.fd)
        served = threading.Thread(target=self._let_in)
        served.start()
        try:
            assert self.peer.connect().service().attempt(auth_request(b"alice", b"none")) == Message.USERAUTH_SUCCESS
        finally:
            served.join()

    def _let_in(self) -> None:
        while (kind := EventKind(self.native.next())) != EventKind.GONE:
            if kind == EventKind.MESSAGE and self.native.data[0] == Message.SERVICE_REQUEST:
                self.native.send(ssh.build_service_accept(b"ssh-userauth"))
            elif kind == EventKind.MESSAGE:
                self.native.authenticated()
                self.native.flush()
                return

    def close(self) -> None:
        self.peer.close()
        self.native.free()


@contextmanager
def session(cipher: str, mac: str) -> Iterator[Session]:
    opened = Session(cipher, mac)
    try:
        yield opened
    finally:
        opened.close()


def in_a_copy(try_it: Callable[[], bool]) -> bool:
    """What it says in a copy of this process."""
    child = os.fork()
    if child == 0:
        verdict = False
        try:
            verdict = try_it()
        finally:
            os._exit(0 if verdict else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def is_refused(opened: Session, packets: bytes, *, good: int = 0) -> bool:
    """Whether the server, after so many good ones, ends the connection or waits for more until its deadline.

    In a copy.
    """
    ours, theirs = socket.socketpair()
    os.dup2(ours.fileno(), opened.fd)
    theirs.sendall(packets)
    opened.native.set_deadline(WAIT)
    taken = [EventKind(opened.native.next()) for _ in range(good + 1)]
    return taken[:-1] == [EventKind.MESSAGE] * good and taken[-1] in ENDED


def request(text: bytes) -> bytes:
    """What the server hands to Python as soon as it is taken."""
    return message(Message.GLOBAL_REQUEST, string(b"x@example.com"), b"\0", text)


def changed(packet: bytes, number: int, step: int) -> Iterator[bytes]:
    """The packet with one byte changed: each `step`-th, beginning with another one in every packet."""
    for position in range(number % step, len(packet), step):
        flip = FLIPS[(position + number) % len(FLIPS)]
        yield packet[:position] + bytes([packet[position] ^ flip]) + packet[position + 1 :]


@pytest.mark.rounds
@pytest.mark.parametrize(("cipher", "mac"), PAIRS)
def test_a_changed_packet_is_never_accepted(rounds: Rounds, cipher: str, mac: str) -> None:
    packets = rounds(2, PACKETS)
    step = 1 if packets == PACKETS else 11
    with session(cipher, mac) as opened:
        for number in range(packets):
            payload = request(bytes(number % 29))
            packet = opened.peer.seal(payload)
            for bad in changed(packet, number, step):
                assert in_a_copy(lambda bad=bad: is_refused(opened, bad)), (number, bad)  # type: ignore[misc]
            opened.peer.send_bytes(packet)
            assert EventKind(opened.native.next()) == EventKind.MESSAGE, "as it was sent it is taken"
            assert opened.native.data == payload


SOME = PAIRS[:: max(1, len(PAIRS) // 8)]


@pytest.mark.parametrize(("cipher", "mac"), SOME)
def test_a_packet_that_comes_twice_is_refused_the_second_time(cipher: str, mac: str) -> None:
    with session(cipher, mac) as opened:
        packet = opened.peer.seal(request(b"x"))
        assert in_a_copy(lambda: is_refused(opened, packet + packet, good=1))


@pytest.mark.parametrize(("cipher", "mac"), SOME)
def test_packets_in_another_order_are_refused(cipher: str, mac: str) -> None:
    with session(cipher, mac) as opened:
        first, second = (opened.peer.seal(request(text)) for text in (b"1", b"2"))
        assert in_a_copy(lambda: is_refused(opened, second + first))
        assert not in_a_copy(lambda: is_refused(opened, first + second)), "as they were sent they are taken"
