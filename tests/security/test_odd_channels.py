"""Class 8 and point 2: odd traffic on a channel is refused or ignored by rule and never troubles another."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from libsshd import FileAborted, SFTPServer
from tests.security.conftest import stat_packet, usable, wait_for_connections
from tests.support.hostile import Channel, Peer
from tests.support.rawsftp import CREAT, NO_ATTRIBUTES, WRITE, Code, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import Message, message

SFTP_FAILURE_EXIT = 11
INIT = u32(5) + bytes([Type.INIT]) + u32(3)


def test_a_second_subsystem_on_a_channel_is_refused(guest: Peer) -> None:
    channel = guest.sftp()
    assert not channel.ask(b"subsystem", string(b"sftp"))
    RawSFTP(channel).init().stat(b"/")
    assert not channel.ask(b"subsystem", string(b"sftp"))


def test_a_subsystem_on_a_channel_that_is_ending_is_refused(guest: Peer) -> None:
    """The channel has replies that the closed window holds back, so it is still there after EOF."""
    channel = guest.sftp(window=5)
    channel.peer.send(channel.message(Message.CHANNEL_DATA, string(INIT + stat_packet(1))))
    channel.peer.send(channel.message(Message.CHANNEL_EOF))
    guest.pump(lambda: channel.window_in == 0, "the window is used up")
    guest.round_trip()
    assert not channel.ask(b"subsystem", string(b"sftp"))
    channel.adjust(1 << 20)
    guest.pump(lambda: channel.closed, "CLOSE")
    assert channel.exit_status == 0


def test_a_second_init_is_answered_by_a_failure_or_ends_the_channel_only(guest: Peer) -> None:
    sftp, other = RawSFTP(guest.sftp()).init(), RawSFTP(guest.sftp()).init()
    sftp.send(bytes([Type.INIT]) + u32(3))
    try:
        assert sftp.reply().type == Type.STATUS
    except EOFError:
        assert sftp.stream.exit_status == SFTP_FAILURE_EXIT  # type: ignore[attr-defined]
    other.stat(b"/")


@pytest.mark.parametrize("first", [stat_packet(1), u32(1) + b"\1", u32(5) + b"\1" + u32(2), u32(5) + b"\2" + u32(3)])
def test_a_channel_that_does_not_begin_with_init_of_version_3_is_closed(guest: Peer, first: bytes) -> None:
    channel, other = guest.sftp(), RawSFTP(guest.sftp()).init()
    channel.send(first)
    guest.pump(lambda: channel.closed, "CLOSE")
    assert channel.exit_status == SFTP_FAILURE_EXIT
    assert channel.data == b""
    other.stat(b"/")


@pytest.mark.parametrize("length", [0, 256 * 1024 + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_packet_length_out_of_range_ends_the_channel_only(guest: Peer, length: int) -> None:
    sftp, other = RawSFTP(guest.sftp()).init(), RawSFTP(guest.sftp()).init()
    channel = guest.channels[0]
    sftp.literal(u32(length))
    guest.pump(lambda: channel.closed, "CLOSE")
    assert channel.exit_status == SFTP_FAILURE_EXIT
    other.stat(b"/")


def test_stderr_data_is_no_request_and_uses_the_window(guest: Peer, root: Path) -> None:
    channel = guest.sftp()
    sftp = RawSFTP(channel).init()
    create = bytes([Type.MKDIR]) + u32(1) + string(b"/planted") + NO_ATTRIBUTES
    channel.peer.send(channel.message(Message.CHANNEL_EXTENDED_DATA, u32(1), string(u32(len(create)) + create)))
    sftp.stat(b"/")
    assert list(root.iterdir()) == []
    for _ in range(100):  # more than the window holds: it is opened again
        guest.pump(lambda: channel.window_out >= 32_768, "room in the window")
        channel.window_out -= 32_768
        guest.send(channel.message(Message.CHANNEL_EXTENDED_DATA, u32(1), string(bytes(32_768))))
    sftp.stat(b"/")


@pytest.mark.parametrize("number", [Message.CHANNEL_DATA, Message.CHANNEL_EXTENDED_DATA])
def test_a_peer_that_exceeds_the_window_is_cut(guest: Peer, number: Message) -> None:
    channel = guest.open_channel()  # no subsystem: nothing is taken out, so nothing opens the window
    fields = u32(1) if number == Message.CHANNEL_EXTENDED_DATA else b""
    rest = channel.window_out
    while rest:
        size = min(rest, 32_768)
        guest.send(channel.message(Message.CHANNEL_DATA, string(bytes(size))))
        rest -= size
    assert not channel.ask(b"shell"), "the whole window may be used"
    guest.send(channel.message(number, fields, string(b"x")))
    guest.end()


def test_an_upload_larger_than_the_window_arrives_whole(guest: Peer, root: Path) -> None:
    channel = guest.sftp()
    assert channel.window_out < 4 << 20
    sftp = RawSFTP(channel).init()
    handle = sftp.open(b"/up", WRITE | CREAT)
    data = bytes(range(256)) * 128
    for number in range(256):
        sftp.post(Type.WRITE, string(handle), u64(number * len(data)), string(data))
    assert [sftp.reply().code for _ in range(256)] == [Code.OK] * 256
    assert sftp.shut(handle) == Code.OK
    assert (root / "up").read_bytes() == data * 256


def test_a_window_that_overflows_is_cut(guest: Peer) -> None:
    channel = guest.open_channel(window=0xFFFFFFFF)
    guest.send(channel.message(Message.CHANNEL_WINDOW_ADJUST, u32(1)))
    guest.end()


@pytest.mark.parametrize("size", [0, 1, 63])
def test_a_tiny_maximum_packet_is_refused(guest: Peer, size: int) -> None:
    guest.send(message(Message.CHANNEL_OPEN, string(b"session"), u32(0), u32(1 << 20), u32(size)))
    guest.expect(Message.CHANNEL_OPEN_FAILURE)
    usable(guest)


def test_no_packet_is_larger_than_the_peer_allows(guest: Peer, root: Path) -> None:
    (root / "f").write_bytes(bytes(range(256)) * 40)
    channel = guest.sftp(packet=64)
    sftp = RawSFTP(channel).init()
    handle = sftp.open(b"/f")
    assert sftp.read(handle, 0, 10_240).data == bytes(range(256)) * 40
    assert channel.largest <= 64


def after_close(channel: Channel) -> None:
    channel.close()
    channel.peer.send(channel.message(Message.CHANNEL_DATA, string(stat_packet(1))))


def twice_closed(channel: Channel) -> None:
    channel.close()
    channel.close()


def after_eof(channel: Channel) -> None:
    channel.peer.send(channel.message(Message.CHANNEL_EOF))
    channel.peer.send(channel.message(Message.CHANNEL_DATA, string(stat_packet(1))))


def foreign(channel: Channel) -> None:
    channel.peer.send(message(Message.CHANNEL_DATA, u32(0xFFFFFFFF), string(b"x")))


def never_opened(channel: Channel) -> None:
    channel.peer.send(message(Message.CHANNEL_DATA, u32(9), string(b"x")))


def confirmation(channel: Channel) -> None:
    channel.peer.send(channel.message(Message.CHANNEL_OPEN_CONFIRMATION, u32(0), u32(1 << 20), u32(1 << 15)))


def open_failure(channel: Channel) -> None:
    channel.peer.send(channel.message(Message.CHANNEL_OPEN_FAILURE, u32(1), string(b""), string(b"")))


def short_data(channel: Channel) -> None:
    channel.peer.send(channel.message(Message.CHANNEL_DATA, u32(100), b"x"))


def empty_adjust(channel: Channel) -> None:
    channel.peer.send(channel.message(Message.CHANNEL_WINDOW_ADJUST))


def no_number(channel: Channel) -> None:
    channel.peer.send(message(Message.CHANNEL_CLOSE))


def short_request(channel: Channel) -> None:
    channel.peer.send(channel.message(Message.CHANNEL_REQUEST, string(b"subsystem"), b"\1", u32(9)))


def second_login(channel: Channel) -> None:
    channel.peer.send(message(Message.USERAUTH_SUCCESS))


VIOLATIONS = [after_close, twice_closed, after_eof, foreign, never_opened, confirmation, open_failure, short_data,
              empty_adjust, no_number, short_request, second_login]  # fmt: skip


@pytest.mark.parametrize("violate", VIOLATIONS)
def test_a_violation_of_the_channel_rules_ends_the_connection_and_no_other(
    server: SFTPServer, guest: Peer, violate: Callable[[Channel], None]
) -> None:
    RawSFTP(guest.sftp()).init()
    with Peer(server.local_port) as other:
        other.login()
        violate(guest.channels[0])
        guest.end()
        wait_for_connections(server, 1)
        usable(other)


def test_requests_to_a_channel_that_is_closed_are_ignored(guest: Peer) -> None:
    channel = guest.sftp()
    channel.close()
    guest.pump(lambda: channel.closed, "CLOSE")
    channel.post(b"subsystem", string(b"sftp"))
    guest.send(message(Message.CHANNEL_REQUEST, u32(0xFFFFFFFF), string(b"shell"), b"\1"))
    usable(guest)
    assert channel.granted == 1


# --- point 2: one channel does not hold up another ---


def test_a_channel_with_a_closed_window_does_not_stop_the_others(guest: Peer, root: Path) -> None:
    (root / "f").write_bytes(bytes(4 << 20))
    stuck = RawSFTP(guest.sftp(window=2000)).init()
    handle = stuck.open(b"/f")
    for number in range(64):
        stuck.post(Type.READ, string(handle), u64(number * 65_536), u32(65_536))
    works = RawSFTP(guest.sftp()).init()
    other = works.open(b"/f")
    for number in range(64):
        assert works.read(other, number * 65_536, 65_536).data == bytes(65_536)
    guest.channels[0].adjust(8 << 20)
    for _ in range(64):
        assert len(stuck.reply().data) == 65_536


def test_close_with_unread_data_and_no_window_does_not_hold_the_thread(guest: Peer, root: Path) -> None:
    (root / "f").write_bytes(bytes(1 << 20))
    channel = guest.sftp(window=2000)
    stuck = RawSFTP(channel).init()
    handle = stuck.open(b"/f")
    for _ in range(200):
        stuck.post(Type.READ, string(handle), u64(0), u32(65_536))
    channel.close()
    guest.pump(lambda: channel.closed, "CLOSE")
    usable(guest)


def test_a_window_that_never_opens_costs_one_channel_only(guest: Peer) -> None:
    for _ in range(9):
        channel = guest.sftp(window=0)
        channel.send(INIT + b"".join(map(stat_packet, range(100))))
    usable(guest)
    assert all(channel.data == b"" for channel in list(guest.channels.values())[:9])


def test_a_write_before_the_close_of_its_channel_is_carried_out(guest: Peer, root: Path) -> None:
    channel = guest.sftp(window=2000)
    sftp = RawSFTP(channel).init()
    handle = sftp.open(b"/f", WRITE | CREAT)
    data = b"d" * 20_000
    for number in range(10):
        sftp.post(Type.WRITE, string(handle), u64(number * len(data)), string(data))
    channel.close()
    guest.pump(lambda: channel.closed, "CLOSE")
    assert (root / "f").read_bytes() == data * 10


def test_a_message_that_comes_while_a_channel_ends_is_not_lost(server: SFTPServer, peer: Peer, root: Path) -> None:
    (root / "a").write_text("x")

    @server.on_file_aborted
    def slow(_: FileAborted) -> None:
        threading.Event().wait(0.05)  # longer than what is owed may wait: our CLOSE leaves before the next packet

    peer.login()
    channel = peer.sftp()
    RawSFTP(channel).init().open(b"/a")
    channel.close()
    peer.sftp()
    peer.pump(lambda: channel.closed, "the end of the channel")
