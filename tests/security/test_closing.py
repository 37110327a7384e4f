"""Point 20: when a channel or a connection ends, nothing that is owed to the client is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from libsshd import SFTPServer
from tests.security.conftest import Serve, connections, stat_packet, usable, wait_for_connections
from tests.support.hostile import Peer
from tests.support.rawsftp import CREAT, READ, WRITE, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import Gone, Message, message


def test_replies_owed_and_exit_status_0_come_before_the_close_when_the_client_sends_eof(
    guest: Peer, root: Path
) -> None:
    (root / "f").write_bytes(bytes(100_000))
    channel = guest.sftp(window=2_000)  # for VERSION and a part of what comes then
    sftp = RawSFTP(channel).init()
    handle = sftp.open(b"/f")
    numbers = [sftp.post(Type.READ, string(handle), u64(0), u32(100_000)) for _ in range(5)]
    guest.send(channel.message(Message.CHANNEL_EOF))
    channel.adjust(1 << 20)
    assert [(reply.id, len(reply.data)) for reply in (sftp.reply() for _ in numbers)] == [
        (number, 100_000) for number in numbers
    ]
    guest.pump(lambda: channel.closed, "CLOSE")
    assert channel.exit_status == 0
    assert channel.eof
    usable(guest)


def test_eof_inside_a_packet_ends_with_another_status(guest: Peer) -> None:
    channel = guest.sftp()
    RawSFTP(channel).init().literal(stat_packet(1)[:-1])
    guest.send(channel.message(Message.CHANNEL_EOF))
    guest.pump(lambda: channel.closed, "CLOSE")
    assert channel.exit_status == 1


@pytest.mark.parametrize("how", ["shutdown", "disconnect"])
def test_what_is_owed_arrives_before_the_disconnect_that_says_why(
    server: SFTPServer, guest: Peer, root: Path, how: str
) -> None:
    (root / "f").write_bytes(bytes(range(256)) * 400)
    channel = guest.sftp(window=5000)
    sftp = RawSFTP(channel).init()
    handle = sftp.open(b"/f")
    numbers = [sftp.post(Type.READ, string(handle), u64(0), u32(102_400)) for _ in range(1)]
    guest.pump(lambda: channel.window_in == 0, "the window is used up")
    connection = connections(server)[0]
    if how == "disconnect":
        connection.disconnect("The owner wants it so")
    else:
        server.stop_listening()
        connection.disconnect("The server is shutting down")
    channel.adjust(1 << 20)
    assert [(sftp.reply().id) for _ in numbers] == numbers
    gone = guest.end()
    assert gone.reason == 11, "BY_APPLICATION"
    assert gone.text == (b"The owner wants it so" if how == "disconnect" else b"The server is shutting down")


def test_shutdown_tells_every_peer_the_reason(serve: Serve) -> None:
    server = serve()
    with Peer(server.local_port) as silent, Peer(server.local_port) as guest:
        guest.login().open_channel()
        silent.connect()
        server.shutdown()
        assert (guest.end().text, silent.end().text) == (b"The server is shutting down",) * 2


def test_the_reason_reaches_a_peer_that_sends_all_the_time(server: SFTPServer, guest: Peer) -> None:
    channel = guest.sftp()
    sftp = RawSFTP(channel).init()
    connections(server)[0].disconnect("Enough")
    try:
        while True:
            sftp.literal(stat_packet(1) * 100)
            channel.data = b""
    except Gone as gone:
        end = gone if gone.reason else guest.end()
    assert end.reason == 11


def test_a_disconnect_of_the_client_ends_everything_quietly(
    server: SFTPServer, guest: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    sftp = RawSFTP(guest.sftp()).init()
    sftp.open(b"/f", WRITE | CREAT | READ)
    guest.send(message(Message.DISCONNECT, u32(11), string(b"bye"), string(b"")))
    wait_for_connections(server, 0)
    assert guest.end_of_stream()


def test_who_shares_no_algorithm_with_us_gets_our_offer_and_the_reason(peer: Peer) -> None:
    """The client's lists come right behind its version, so that both are read before anything of ours is sent."""
    kexinit = message(Message.KEXINIT, bytes(16), *map(string, [b"none"] * 10), b"\0", bytes(4))
    peer.send_bytes(peer.version + b"\r\n" + peer.seal(kexinit))
    assert peer.receive_line().startswith(b"SSH-2.0-libsshd")
    peer.expect(Message.KEXINIT)
    gone = peer.end()
    assert gone.reason == 3  # KEY_EXCHANGE_FAILED
    assert b"no algorithm in common" in gone.text
