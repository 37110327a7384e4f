"""What a connection that is over, not yet begun, or cut off in the middle still answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from errno import EBUSY, ECONNRESET, EINTR, EINVAL, ENOMEM, EPERM, EPIPE
from pathlib import Path

import pytest

from libsshd._native import Bind, Connection, EventKind, Key
from libsshd.fs.rooted import RootedFileSystem
from tests.fs.outcome import code_of
from tests.native import faulty
from tests.native.engine import EOF_TEMPLATE, OK_TEMPLATE
from tests.support.command import wait_until
from tests.support.hostile import Peer, auth_request
from tests.support.link import Link, algorithms, log_in
from tests.support.rawsftp import RawSFTP, Type, string, u32, u64
from tests.support.sshwire import Gone, Message, message

IGNORED = message(Message.IGNORE, bytes(32 * 1024))
TELLTALE = "this must never be read by anybody else"
KEPT_BACK = 1000
"""Messages that may wait for a key exchange to end."""


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection of which nothing has been read or sent, and its peer's end."""
    ours, theirs = socket.socketpair()
    with theirs:
        native = Connection(Bind([Key.generate("ssh-ed25519")], algorithms()), ours.detach())
        yield native, theirs
        native.free()


def fill(sock: socket.socket) -> None:
    """Until it takes no more."""
    sock.setblocking(False)
    try:
        while sock.send(bytes(64 * 1024)):
            pass
    except BlockingIOError:
        pass
    try:
        while sock.send(b"\0"):
            pass
    except BlockingIOError:
        pass


# --- over ---


def test_nothing_can_be_asked_of_a_connection_that_is_over(pair: tuple[Connection, socket.socket]) -> None:
    native, theirs = pair
    hung_up = [native.hung_up]
    theirs.close()
    hung_up.append(native.hung_up)
    assert EventKind(native.next()) == EventKind.GONE
    assert [*hung_up, native.hung_up] == [False, True, True]
    assert code_of(native.send, IGNORED) == EPIPE
    assert code_of(native.authenticated) == EPIPE
    assert code_of(native.rekey) == EBUSY
    native.close(11, "nobody hears it")
    assert EventKind(native.next()) == EventKind.GONE


def test_a_peer_that_reset_its_connection_is_noticed_while_sending() -> None:
    """The message behind the one that failed is refused."""

    def send_on(native: Connection) -> None:
        wait_until(lambda: native.hung_up, "the reset")
        wait_until(lambda: refuses(native), "the refusal")
        native.close(11, "nobody hears it")

    def refuses(native: Connection) -> bool:
        try:
            native.send(IGNORED)
            native.flush()
        except BrokenPipeError:
            return True
        return False

    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.post(send_on)
        peer.reset()
        link.join()


# --- not yet begun ---


def test_only_so_many_messages_wait_for_the_first_exchange(pair: tuple[Connection, socket.socket]) -> None:
    native = pair[0]
    for _ in range(KEPT_BACK):
        native.send(message(Message.IGNORE))
    assert code_of(native.send, message(Message.IGNORE)) == EPIPE


def test_there_are_no_channels_before_the_login(pair: tuple[Connection, socket.socket]) -> None:
    native = pair[0]
    assert code_of(native.open_channel, 0, 1 << 20, 1 << 15) == EPERM
    assert native.remote_id(0) is None
    assert code_of(native.start_sftp, 0, OK_TEMPLATE, EOF_TEMPLATE) == EINVAL


# --- channels that are not there ---


def test_a_channel_that_is_not_there_is_refused_and_there_are_only_ten() -> None:
    def ask(native: Connection) -> None:
        numbers = [native.open_channel(number, 1 << 20, 1 << 15) for number in range(10)]
        assert numbers == list(range(10))
        assert code_of(native.open_channel, 10, 1 << 20, 1 << 15) == EBUSY
        assert code_of(native.start_sftp, 10, OK_TEMPLATE, EOF_TEMPLATE) == EINVAL
        native.start_sftp(0, OK_TEMPLATE, EOF_TEMPLATE)
        assert code_of(native.start_sftp, 0, OK_TEMPLATE, EOF_TEMPLATE) == EINVAL
        native.finish_channel(1, None)
        assert code_of(native.start_sftp, 1, OK_TEMPLATE, EOF_TEMPLATE) == EINVAL
        native.finish_channel(10, 0)
        assert native.remote_id(10) is None
        assert native.remote_id(9) == 9

    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.call(ask)


# --- the end of one whose peer does not read ---


def test_a_farewell_waits_for_room_and_then_arrives() -> None:
    """More than the sockets hold is owed when it ends; all of it comes before the reason."""

    def end(native: Connection) -> None:
        owe(native)
        native.close(11, "that was all")

    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.post(end)
        wait_until(lambda: bool(link.count(EventKind.WAKE)), "the end to begin")
        gone = peer.end()
    assert (gone.reason, gone.text) == (11, b"that was all")


def test_a_reply_that_waits_for_a_window_comes_before_the_farewell(root: Path, fs: RootedFileSystem) -> None:
    (root / "f").write_bytes(bytes(range(256)) * 100)
    with Link(fs) as link, Peer(link.port) as peer:
        channel = log_in(peer.connect()).sftp(window=2000)
        sftp = RawSFTP(channel).init()
        number = sftp.post(Type.READ, string(sftp.open(b"/f")), u64(0), u32(25_600))
        peer.pump(lambda: channel.window_in == 0, "what the window takes")
        link.post(lambda native: native.close(11, "that was all"))
        channel.adjust(1 << 20)
        reply = sftp.reply()
        assert (reply.id, reply.data) == (number, bytes(range(256)) * 100)
        assert peer.end().text == b"that was all"


# --- a peer that does not read ---


def owe(native: Connection) -> None:
    """More than the sockets take."""
    for _ in range(400):
        native.send(IGNORED)


def test_nothing_is_read_of_a_peer_until_it_takes_what_it_is_owed() -> None:
    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.call(owe)
        peer.send(message(Message.GLOBAL_REQUEST, string(b"none@example.com"), b"\1"))
        peer.expect(Message.REQUEST_FAILURE)
        peer.round_trip()


def test_a_peer_that_is_owed_and_resets_its_connection_is_gone() -> None:
    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.call(owe)
        peer.reset()
        link.join()


def test_a_peer_that_takes_nothing_is_left_after_seconds() -> None:
    ours, theirs = socket.socketpair()
    kept = socket.socket(fileno=os.dup(ours.fileno()))
    with theirs, kept:
        fill(kept)
        native = Connection(Bind([Key.generate("ssh-ed25519")], algorithms()), ours.detach())
        native.close(11, "nobody reads it")
        native.free()
        kept.shutdown(socket.SHUT_RDWR)
        theirs.settimeout(5)
        while data := theirs.recv(1 << 20):
            assert not data.strip(b"\0"), "what did not fit was not sent"


@faulty.needed
@pytest.mark.parametrize("nth", [1, 2])
def test_a_wait_that_fails_is_the_end_of_waiting(nth: int) -> None:
    """While what is owed leaves, or while the farewell does."""
    ours, theirs = socket.socketpair()
    kept = socket.socket(fileno=os.dup(ours.fileno()))
    with theirs, kept:
        fill(kept)
        native = Connection(Bind([Key.generate("ssh-ed25519")], algorithms()), ours.detach())
        with faulty.failing("ppoll", ENOMEM, nth):
            native.close(11, "nobody reads it")
        native.free()


@faulty.needed
@pytest.mark.parametrize(("call", "error"), [("recv", EINTR), ("recv", ECONNRESET), ("ppoll", ENOMEM)])
def test_whatever_happens_while_a_farewell_lingers_is_the_end(
    pair: tuple[Connection, socket.socket], call: str, error: int
) -> None:
    native, theirs = pair
    theirs.send(b"too late")
    theirs.shutdown(socket.SHUT_WR)
    with faulty.failing(call, error):
        native.close(11, "read this")
    assert theirs.recv(100).startswith(b"SSH-2.0-libsshd_test\r\n")


@faulty.needed
def test_a_signal_does_not_end_the_wait_for_room() -> None:
    ours, theirs = socket.socketpair()
    kept = socket.socket(fileno=os.dup(ours.fileno()))
    with theirs, kept:
        native = Connection(Bind([Key.generate("ssh-ed25519")], algorithms()), ours.detach())
        native.flush()
        fill(kept)
        with faulty.failing("ppoll", EINTR):
            native.close(11, "nobody reads it")
        native.free()


def test_a_peer_that_leaves_while_something_is_owed_ends_the_wait() -> None:
    ours, theirs = socket.socketpair()
    kept = socket.socket(fileno=os.dup(ours.fileno()))
    with theirs, kept:
        fill(kept)
        native = Connection(Bind([Key.generate("ssh-ed25519")], algorithms()), ours.detach())
        theirs.shutdown(socket.SHUT_WR)
        native.close(11, "nobody reads it")
        assert EventKind(native.next()) == EventKind.GONE
        native.free()


@faulty.needed
@pytest.mark.parametrize("nth", range(1, 6))
def test_a_farewell_without_memory_is_left_out_and_never_in_the_clear(nth: int) -> None:
    def end(native: Connection) -> None:
        faulty.arm("memory", nth, ENOMEM)
        native.close(11, TELLTALE)
        faulty.disarm()

    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect())
        link.post(end)
        heard = b""
        while more := peer.sock.recv(1 << 16):
            heard += more
        assert TELLTALE.encode() not in heard
        peer.close()
        link.join()


@faulty.needed
@pytest.mark.parametrize("nth", range(1, 6))
def test_a_login_without_memory_is_none(nth: int) -> None:
    """The message of success cannot be made or sealed: nobody is logged in, or the connection is over."""

    def let_in(native: Connection, payload: bytes) -> bool:
        if payload[0] != Message.USERAUTH_REQUEST:
            return False
        faulty.arm("memory", nth, ENOMEM)
        with suppress(BrokenPipeError):
            native.authenticated()
        faulty.disarm()
        return True

    with Link(on_message=let_in) as link, Peer(link.port) as peer:
        peer.connect().service()
        peer.send(auth_request(b"alice", b"none"))
        peer.sock.shutdown(socket.SHUT_WR)
        with suppress(Gone):
            assert peer.receive()[0] == Message.USERAUTH_SUCCESS
        link.join()
