"""A connection of the core seen from both ends: its events, the order of its steps, and what it says of itself."""

from __future__ import annotations

import socket
from errno import EPROTO
from pathlib import Path

import pytest

from libsshd._native import Bind, Connection, EventKind, Key
from libsshd.fs.rooted import RootedFileSystem
from tests.support.command import attempt
from tests.support.hostile import VERSION, Peer, auth_request
from tests.support.link import Link, algorithms, log_in, openssh_options
from tests.support.rawsftp import RawSFTP, Type, string, u32, u64
from tests.support.sshwire import HOST, Gone, Message, message


def test_the_banner_is_announced_before_the_exchange_and_once() -> None:
    with Link() as link, Peer(link.port) as peer:
        peer.greet()
        link.wait_for(EventKind.BANNER)
        assert link.call(Connection.describe).client_version == VERSION.decode()
        assert link.count(EventKind.KEYS) == 0
        log_in(peer.exchange()).exchange()
        link.wait_for(EventKind.KEYS, 2)
        assert link.count(EventKind.BANNER) == 1


def test_whoever_is_ended_at_the_banner_has_not_exchanged_keys() -> None:
    def turn_away(native: Connection) -> None:
        native.close(2, "Not with this client")

    with Link() as link, Peer(link.port) as peer:
        peer.greet()
        link.wait_for(EventKind.BANNER)
        link.post(turn_away)
        with pytest.raises(Gone) as gone:
            peer.exchange()
        assert gone.value.text == b"Not with this client"
        assert link.count(EventKind.KEYS) == 0


# --- exchanges of keys ---


def numbers(link: Link) -> list[int]:
    """What the KEYS events said."""
    return [length for kind, length in link.events if kind == EventKind.KEYS]


def test_every_exchange_is_announced_with_its_number_whoever_began_it() -> None:
    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect()).exchange().round_trip()
        link.post(Connection.rekey)
        peer.exchange()
        peer.exchange().round_trip()
        assert numbers(link) == [1, 2, 3, 4]


def ask(peer: Peer, count: int) -> None:
    """Questions of 512 bytes, answers of 36."""
    peer.send(*[message(Message.GLOBAL_REQUEST, string(b"x" * 480), b"\1")] * count)
    for _ in range(count):
        peer.expect(Message.REQUEST_FAILURE)


def test_bytes_in_both_directions_count_for_the_threshold() -> None:
    with Link(prepare=lambda native: native.set_rekey_threshold(40_000)) as link, Peer(link.port) as peer:
        log_in(peer.connect())
        ask(peer, 60)
        assert numbers(link) == [1], "some 33,000 bytes"
        peer.send(message(Message.IGNORE, string(bytes(7000))))
        peer.await_kexinit()
        peer.send_kexinit()
        peer.finish_exchange().round_trip()
        assert numbers(link) == [1, 2]
        ask(peer, 60)
        assert numbers(link) == [1, 2], "it counts anew"


# --- turns ---


@pytest.mark.parametrize("seconds", [0, 0.001, 10])
def test_whatever_time_a_connection_has_to_read_everything_is_answered(
    fs: RootedFileSystem, root: Path, seconds: float
) -> None:
    (root / "f").write_bytes(bytes(range(256)) * 100)
    with Link(fs, prepare=lambda native: native.set_read_time(seconds)) as link, Peer(link.port) as peer:
        sftp = RawSFTP(log_in(peer.connect()).sftp()).init()
        handle = sftp.open(b"/f")
        numbers = [sftp.post(Type.READ, string(handle), u64(0), u32(25_600)) for _ in range(100)]
        for number in numbers:
            reply = sftp.reply()
            assert (reply.id, len(reply.data)) == (number, 25_600)


# --- answers to prompts ---

ANSWERS = message(Message.USERAUTH_INFO_RESPONSE, u32(1), string(b"blue"))


def test_answers_to_prompts_reach_python_asked_for_or_not() -> None:
    """A client that answers what nobody asked is one whose attempt has failed, not one that broke the protocol."""
    seen: list[bytes] = []

    def collect(_: Connection, payload: bytes) -> bool:
        seen.append(payload)
        return False

    with Link(on_message=collect) as link, Peer(link.port) as peer:
        peer.connect().service()
        for _ in range(3):
            assert peer.attempt(ANSWERS) == Message.USERAUTH_FAILURE
        assert seen[1:] == [ANSWERS] * 3
        assert peer.attempt(auth_request(b"alice", b"none")) == Message.USERAUTH_SUCCESS


def test_answers_to_prompts_after_login_end_the_connection() -> None:
    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect()).send(ANSWERS)
        link.join()
        assert link.error == EPROTO


# --- turned away ---


def turn_away(native: Connection) -> None:
    native.close(11, "Come back tomorrow")


def test_a_client_may_be_turned_away_before_anything_was_read() -> None:
    with Link(prepare=turn_away) as link, Peer(link.port) as peer:
        assert peer.receive_line() == b"SSH-2.0-libsshd_test\r\n"
        with pytest.raises(Gone) as gone:
            peer.receive()
        assert (gone.value.reason, gone.value.text) == (11, b"Come back tomorrow")
        peer.close()


def test_openssh_prints_why_it_is_turned_away(tmp_path: Path) -> None:
    with Link(prepare=turn_away) as link:
        done = attempt(["sftp", *openssh_options(link.port), HOST], home=tmp_path)
    assert b"11: Come back tomorrow" in done.stderr
    assert done.returncode == 255


def test_any_stream_socket_will_do() -> None:
    ours, theirs = socket.socketpair()
    theirs.shutdown(socket.SHUT_WR)  # nobody waits for its farewell
    native = Connection(Bind([Key.generate("ssh-ed25519")], algorithms()), ours.detach())
    native.close(11, "Come back tomorrow")
    native.free()
    with theirs:
        assert theirs.recv(1000).startswith(b"SSH-2.0-libsshd_test\r\n")


def test_a_descriptor_that_cannot_be_used_says_so() -> None:
    with pytest.raises(OSError, match="could not be set up: Bad file descriptor"):
        Connection(Bind([Key.generate("ssh-ed25519")], algorithms()), 999_999)


# --- the client's farewell ---


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (u32(11) + string(b"bye") + string(b""), (11, "bye")),
        (u32(2) + string("größer".encode()) + string(b"de"), (2, "größer")),
        (u32(3) + string(b"\xff\0\x1b") + string(b""), (3, "\\xff\0\x1b")),
        (u32(11) + string(b"x" * 10_000), (11, "x" * 255)),
        (u32(2**32 - 1) + string(b""), (2**32 - 1, "")),
        (u32(11) + u32(100) + b"cut", (11, "")),
        (b"\0\0", (0, "")),
        (b"", (0, "")),
    ],
)
def test_the_reason_the_client_gives_is_kept(fields: bytes, expected: tuple[int, str]) -> None:
    with Link() as link, Peer(link.port) as peer:
        log_in(peer.connect()).send(message(Message.DISCONNECT, fields))
        link.join()
        assert (link.farewell, link.error) == (expected, 0)


def test_a_client_that_hangs_up_gives_no_reason() -> None:
    with Link() as link, Peer(link.port) as peer:
        peer.connect().close()
        link.join()
        assert link.farewell == (0, "")
