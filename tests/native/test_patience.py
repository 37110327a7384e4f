"""How long a peer may keep a connection waiting, what it may owe meanwhile, and whether it still lives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from errno import ETIMEDOUT
from functools import partial
from pathlib import Path

import pytest

from libsshd._native import Connection, EventKind
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes
from tests.support.hostile import Peer
from tests.support.link import Link, log_in
from tests.support.rawsftp import READ, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import Gone, Message, message

SHORT = 0.3
"""A limit in seconds; what must not end is watched for three of them."""
QUESTION = message(Message.GLOBAL_REQUEST, string(b"keepalive@openssh.com"), b"\1")


def limited(native: Connection) -> None:
    native.set_inactivity_limit(SHORT)


def asking(native: Connection, most: int = 3) -> None:
    native.set_keep_alive(SHORT, most)


def stat_packet() -> bytes:
    body = bytes([Type.STAT]) + u32(1) + string(b"/")
    return u32(len(body)) + body


# --- what is owed before login ---


def say_nothing(_: Peer) -> None: ...


def half_a_line(peer: Peer) -> None:
    peer.send_bytes(b"SSH-2.0-ha")


def no_exchange(peer: Peer) -> None:
    peer.greet()


def half_an_exchange(peer: Peer) -> None:
    peer.greet().send_kexinit()
    peer.await_kexinit()


def no_service(peer: Peer) -> None:
    peer.connect()


def no_login(peer: Peer) -> None:
    peer.connect().service()


@pytest.mark.parametrize("stop", [say_nothing, half_a_line, no_exchange, half_an_exchange, no_service, no_login])
def test_a_login_that_stops_is_over_after_the_limit(stop: Callable[[Peer], None]) -> None:
    with Link(prepare=limited) as link, Peer(link.port) as peer:
        stop(peer)
        link.wait_for(EventKind.STALLED)


def test_an_answer_that_takes_us_longer_than_the_limit_is_no_silence_of_the_client() -> None:
    """While a handler thinks about a login, it is not the client who owes something."""

    def slow(native: Connection, payload: bytes) -> bool:
        if payload[0] == Message.USERAUTH_REQUEST:
            threading.Event().wait(3 * SHORT)
        return False

    with Link(prepare=limited, on_message=slow) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        peer.round_trip()
        assert link.count(EventKind.STALLED) == 0


def test_the_limit_may_be_set_at_any_time_and_taken_back() -> None:
    with Link(prepare=limited) as link, Peer(link.port) as peer:
        peer.connect()
        link.call(lambda native: native.set_inactivity_limit(0))
        with pytest.raises(TimeoutError):
            peer.receive(3 * SHORT)
        link.post(limited)
        link.wait_for(EventKind.STALLED)


# --- what is owed after login ---


@pytest.fixture
def fs(tmp_path: Path) -> RootedFileSystem:
    (tmp_path / "f").write_bytes(bytes(1 << 20))
    return RootedFileSystem(str(tmp_path))


def test_a_quiet_client_that_is_logged_in_owes_nothing(fs: RootedFileSystem) -> None:
    with fs, Link(fs, prepare=limited) as link, Peer(link.port) as peer:
        sftp = RawSFTP(log_in(peer.connect()).sftp()).init()
        with pytest.raises(TimeoutError):
            peer.receive(3 * SHORT)
        assert sftp.stat(b"/").permissions is not None


def test_half_an_ssh_packet_is_owed(fs: RootedFileSystem) -> None:
    with fs, Link(fs, prepare=limited) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        peer.send_bytes(peer.seal(QUESTION)[:-1])
        link.wait_for(EventKind.STALLED)


def test_half_an_sftp_packet_is_owed(fs: RootedFileSystem) -> None:
    with fs, Link(fs, prepare=limited) as link, Peer(link.port) as peer:
        channel = log_in(peer.connect()).sftp()
        RawSFTP(channel).init()
        channel.send(stat_packet()[:-1])
        link.wait_for(EventKind.STALLED)


def test_to_take_replies_is_owed_whatever_else_the_client_sends(fs: RootedFileSystem) -> None:
    with fs, Link(fs, prepare=limited) as link, Peer(link.port) as peer:
        sftp = RawSFTP(log_in(peer.connect()).sftp(window=2000)).init()
        sftp.post(Type.READ, string(sftp.open(b"/f", READ)), u64(0), u32(5000))
        end = time.monotonic() + 20
        with pytest.raises(Gone):  # noqa: PT012 -- at some time
            while time.monotonic() < end:
                peer.send(message(Message.IGNORE, string(b"")))
                threading.Event().wait(SHORT / 10)
        assert link.count(EventKind.STALLED) == 1


def test_bytes_that_keep_coming_move_the_limit_on(fs: RootedFileSystem) -> None:
    with fs, Link(fs, prepare=limited) as link, Peer(link.port) as peer:
        channel = log_in(peer.connect()).sftp()
        sftp = RawSFTP(channel).init()
        for byte in stat_packet():
            channel.send(bytes([byte]))
            threading.Event().wait(SHORT / 5)
        assert sftp.reply().attributes.permissions is not None
        assert link.count(EventKind.STALLED) == 0


# --- keep-alive ---


def test_a_client_that_answers_is_asked_again_and_again() -> None:
    with Link(prepare=asking) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        for _ in range(5):
            assert peer.receive() == QUESTION
            peer.send(message(Message.REQUEST_FAILURE))
        peer.round_trip()
        assert link.count(EventKind.GONE) == 0


def test_anything_that_arrives_clears_what_was_unanswered() -> None:
    with Link(prepare=partial(asking, most=1)) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        for _ in range(3):
            assert peer.receive() == QUESTION
            peer.send(message(Message.IGNORE, string(b"")))
        assert link.count(EventKind.GONE) == 0


def test_after_so_many_questions_without_an_answer_the_client_is_gone() -> None:
    with Link(prepare=partial(asking, most=2)) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        assert [peer.receive(), peer.receive()] == [QUESTION] * 2
        with pytest.raises(Gone):
            peer.receive()
        link.join()
        assert link.error == ETIMEDOUT


def test_without_a_most_a_silent_client_is_asked_for_ever() -> None:
    with Link(prepare=partial(asking, most=0)) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        assert [peer.receive() for _ in range(4)] == [QUESTION] * 4
        peer.round_trip()
        assert link.count(EventKind.GONE) == 0


def test_traffic_puts_the_question_off() -> None:
    with Link(prepare=asking) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        end = time.monotonic() + 3 * SHORT
        while time.monotonic() < end:
            peer.round_trip()  # any other message would fail here
        assert peer.receive() == QUESTION


def test_nobody_is_asked_before_login_or_in_an_exchange() -> None:
    with Link(prepare=asking) as link, Peer(link.port) as peer:
        peer.connect()
        with pytest.raises(TimeoutError):
            peer.receive(3 * SHORT)
        log_in(peer)
        peer.send_kexinit()
        peer.await_kexinit()
        with pytest.raises(TimeoutError):
            peer.receive(3 * SHORT)
        peer.finish_exchange()
        assert peer.receive() == QUESTION


def test_a_slow_handler_is_no_silence_of_a_client() -> None:
    """The answers came while the handler ran: they count before anybody is given up."""

    def slow(native: Connection, payload: bytes) -> bool:
        if payload[0] == Message.GLOBAL_REQUEST:
            threading.Event().wait(4 * SHORT)
        return False

    with Link(prepare=partial(asking, most=1), on_message=slow) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        assert peer.receive() == QUESTION
        peer.send(message(Message.GLOBAL_REQUEST, string(b"x"), b"\1"), message(Message.REQUEST_FAILURE))
        peer.expect(Message.REQUEST_FAILURE)
        assert peer.receive() == QUESTION
        peer.send(message(Message.REQUEST_FAILURE))
        assert peer.receive() == QUESTION
        assert link.count(EventKind.GONE) == 0


# --- our own time ---


class Courteous(RootedFileSystem):
    """Answers an LSTAT only when the client has had the answer to the one before."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.answered = threading.Semaphore(1)
        self.in_time: list[bool] = []

    def lstat(self, path: bytes) -> Attributes:
        self.in_time.append(self.answered.acquire(timeout=20.0))
        return super().lstat(path)


def test_what_is_owed_leaves_after_the_read_time_though_more_waits(tmp_path: Path) -> None:
    with (
        Courteous(str(tmp_path)) as fs,
        Link(fs, prepare=lambda native: native.set_read_time(1e-9)) as link,
        Peer(link.port) as peer,
    ):
        sftp = RawSFTP(log_in(peer.connect()).sftp()).init()
        sftp.post_all([sftp.request(Type.LSTAT, string(b"/")) for _ in range(20)])
        for _ in range(20):
            sftp.reply()
            fs.answered.release()
    assert all(fs.in_time)
