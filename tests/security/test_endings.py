"""Points 1, 6, 8 and 9: a connection ends when it has to, whatever its client does, and leaves nothing behind."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from libsshd import SFTPServer, SSHUserAuthRequest
from tests.security.conftest import Serve, connections, wait_for_connections
from tests.support.command import wait_until
from tests.support.hostile import Peer, password_request
from tests.support.rawsftp import CREAT, READ, WRITE, Code, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import Gone, Message, message
from tests.support.target import rekey

SMALL = {"out_buffer_size": 16_384, "in_buffer_size": 65_536, "max_idle_requests": 0}  # floods until nothing moves
FLOOD = 64 << 20
PROMPT = 4.8
"""Seconds: two to send what is owed, one until the client has read it, and a busy machine."""


def elapsed(began: float) -> float:
    return time.monotonic() - began


def hard_of_hearing(server: SFTPServer) -> Peer:
    """A client whose system takes little that it does not read."""
    return Peer(server.local_port, receive_buffer=4096)


def choke_before_login(peer: Peer) -> None:
    """Sends what wants an answer until the server takes no more, and reads nothing."""
    assert not peer.connect().flood(message(210), FLOOD)


def choke_by_requests(peer: Peer) -> None:
    assert not peer.login().flood(message(Message.GLOBAL_REQUEST, string(b"x"), b"\1"), FLOOD)


def choke_by_reads(peer: Peer) -> None:
    """The window is open, and READs are more than the server can send."""
    sftp = RawSFTP(peer.login().sftp(window=0xFFFFFFFF)).init()
    handle = sftp.open(b"/f")
    sftp.post_all([sftp.request(Type.READ, string(handle), u64(0), u32(261_120)) for _ in range(200)])
    assert select.select([peer.sock], [], [], 20.0)[0], "the first reply is on its way"


def choke_by_a_window(peer: Peer) -> None:
    sftp = RawSFTP(peer.login().sftp(window=2000)).init()
    handle = sftp.open(b"/f")
    sftp.post_all([sftp.request(Type.READ, string(handle), u64(0), u32(261_120)) for _ in range(20)])
    assert select.select([peer.sock], [], [], 20.0)[0], "the first reply is on its way"


CHOKES = [choke_by_requests, choke_by_reads, choke_by_a_window]


@pytest.fixture
def small(root: Path) -> None:
    (root / "f").write_bytes(bytes(1 << 20))


@pytest.mark.usefixtures("small")
def test_disconnect_ends_a_client_that_never_reads(serve: Serve) -> None:
    server = serve(**SMALL)
    with hard_of_hearing(server) as peer:
        choke_by_reads(peer)
        began = time.monotonic()
        connections(server)[0].disconnect()
        wait_for_connections(server, 0)
        assert elapsed(began) < PROMPT


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("choke", CHOKES)
def test_the_stall_limit_ends_a_client_that_never_reads(serve: Serve, choke: Callable[[Peer], None]) -> None:
    server = serve(default_timeout=1, **SMALL)
    with Peer(server.local_port) as idle, hard_of_hearing(server) as peer:
        sftp = RawSFTP(idle.login().sftp()).init()
        with suppress(Gone):  # while it still sent
            choke(peer)
        wait_for_connections(server, 1, deadline=PROMPT)
        sftp.stat(b"/")  # whom nothing is owed may be idle


def test_the_login_deadline_ends_a_client_that_never_reads(serve: Serve) -> None:
    server = serve(login_timeout=1.0, **SMALL)
    with hard_of_hearing(server) as peer:
        with suppress(Gone):  # while it still sent
            choke_before_login(peer)
        wait_for_connections(server, 0, deadline=PROMPT)


@pytest.mark.usefixtures("small")
def test_shutdown_does_not_wait_for_clients_that_never_read(serve: Serve) -> None:
    server = serve(**SMALL)
    with ExitStack() as stack:
        for choke in [choke_before_login, *CHOKES]:
            choke(stack.enter_context(hard_of_hearing(server)))
        began = time.monotonic()
        server.shutdown()
        assert elapsed(began) < PROMPT


def test_disconnect_ends_a_client_that_does_not_answer_an_exchange(serve: Serve) -> None:
    server = serve()
    with Peer(server.local_port) as peer:
        peer.login()
        connections(server)[0].post(rekey)
        peer.await_kexinit()
        began = time.monotonic()
        connections(server)[0].disconnect("Time is over")
        assert peer.end().text == b"Time is over"
        assert elapsed(began) < PROMPT


def test_disconnect_ends_the_delay_after_a_failure(serve: Serve) -> None:
    server = serve(failure_delay=3600.0)
    with Peer(server.local_port) as peer:
        peer.connect().service().send(password_request(b"alice", b"wrong"))
        connections(server)[0].disconnect("Enough")
        assert peer.end().text == b"Enough"


@pytest.mark.usefixtures("small")
def test_disconnect_from_another_thread_in_mid_transfer_leaves_the_rest_alone(server: SFTPServer) -> None:
    with Peer(server.local_port) as other:
        bystander = RawSFTP(other.login().sftp()).init()
        for turn in range(30):
            with Peer(server.local_port) as peer:
                sftp = RawSFTP(peer.login().sftp()).init()
                handle = sftp.open(b"/f")
                for _ in range(20):
                    sftp.post(Type.READ, string(handle), u64(0), u32(100_000))
                for _ in range(turn % 10):
                    sftp.reply()
                victim = max(connections(server), key=lambda connection: connection.id)
                threads = [threading.Thread(target=victim.disconnect) for _ in range(3)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert peer.end().reason == 11
            bystander.stat(b"/")
        wait_for_connections(server, 1)


# --- point 8: a reply does not wait behind a slow request ---


def test_the_reply_of_a_write_does_not_wait_for_the_fsync_behind_it(
    server: SFTPServer, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    fsync = os.fsync

    def slow(fd: int) -> None:
        assert written.wait(30.0), "the reply of the WRITE waits for this"
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slow)
    sftp = RawSFTP(peer.login().sftp()).init()
    handle = sftp.open(b"/f", WRITE | CREAT)
    write = sftp.request(Type.WRITE, string(handle), u64(0), string(b"data"))
    sync = sftp.request(Type.EXTENDED, string(b"fsync@openssh.com"), string(handle))
    sftp.post_all([write, sync])
    first = sftp.reply(timeout=15.0)
    written.set()
    assert (first.code, sftp.reply().code) == (Code.OK, Code.OK)


# --- descriptors, threads, files ---


def vanish(peer: Peer) -> None:
    """Nothing is said at all."""


def vanish_after_greeting(peer: Peer) -> None:
    peer.greet()


def vanish_in_the_exchange(peer: Peer) -> None:
    peer.greet().send_kexinit()


def vanish_before_the_answer_to_a_password(peer: Peer) -> None:
    peer.connect().service().send(password_request(b"alice", b"wrong"))


def vanish_before_success(peer: Peer) -> None:
    peer.connect().service().send(password_request(b"alice", b"Open-Sesame.7"))


def vanish_with_open_handles(peer: Peer) -> None:
    sftp = RawSFTP(peer.login().sftp()).init()
    for number in range(5):
        sftp.open(b"/h%d" % number, READ | WRITE | CREAT)
        sftp.ask(Type.OPENDIR, string(b"/"))


def vanish_in_a_download(peer: Peer) -> None:
    sftp = RawSFTP(peer.login().sftp()).init()
    handle = sftp.open(b"/f")
    for _ in range(20):
        sftp.post(Type.READ, string(handle), u64(0), u32(200_000))
    sftp.reply()


def vanish_in_an_upload(peer: Peer) -> None:
    sftp = RawSFTP(peer.login().sftp()).init()
    handle = sftp.open(b"/up", WRITE | CREAT)
    sftp.post_all([sftp.request(Type.WRITE, string(handle), u64(0), string(bytes(30_000)))] * 5)
    peer.send_bytes(peer.seal(peer.channels[0].message(Message.CHANNEL_DATA, string(bytes(30_000))))[:1000])


def break_the_protocol(peer: Peer) -> None:
    RawSFTP(peer.login().sftp()).init().open(b"/h", READ | WRITE | CREAT)
    peer.send(message(Message.CHANNEL_DATA, u32(9), string(b"x")))


def break_the_encryption(peer: Peer) -> None:
    RawSFTP(peer.login().sftp()).init().open(b"/h", READ | WRITE | CREAT)
    sealed = bytearray(peer.seal(message(Message.IGNORE, string(b"x"))))
    sealed[-1] ^= 1
    peer.send_bytes(bytes(sealed))


def leave_in_an_exchange(peer: Peer) -> None:
    RawSFTP(peer.login().sftp()).init().open(b"/h", READ | WRITE | CREAT)
    peer.send_kexinit()
    peer.await_kexinit()


ABUSES = [vanish, vanish_after_greeting, vanish_in_the_exchange, vanish_before_the_answer_to_a_password,
          vanish_before_success, vanish_with_open_handles, vanish_in_a_download, vanish_in_an_upload,
          break_the_protocol, break_the_encryption, leave_in_an_exchange]  # fmt: skip


@pytest.mark.parametrize("accept", [False, True])
def test_a_peer_that_leaves_while_a_handler_decides_is_no_error(serve: Serve, accept: bool) -> None:
    asked, gone = threading.Event(), threading.Event()

    def decide_late(event: SSHUserAuthRequest) -> None:
        asked.set()
        event.accept = gone.wait(20.0) and accept

    server = serve()
    server.on_ssh_user_auth_request = decide_late
    for _ in range(3):
        asked.clear()
        gone.clear()
        with Peer(server.local_port) as peer:
            peer.connect().service().send(password_request(b"alice", b"x"), message(210))
            assert asked.wait(20.0)
            peer.reset()
        gone.set()
        wait_for_connections(server, 0)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("abuse", ABUSES)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_abuse_leaves_no_descriptor_no_thread_and_no_traceback(
    server: SFTPServer, abuse: Callable[[Peer], None], reset: bool
) -> None:
    before = (descriptors(), threading.active_count())
    for _ in range(10):
        with Peer(server.local_port) as peer:
            abuse(peer)
            if reset:
                peer.reset()
    wait_for_connections(server, 0)
    wait_until(lambda: (descriptors(), threading.active_count()) == before, f"{before} descriptors and threads")


def test_damaged_packets_of_every_kind_end_the_connection(server: SFTPServer) -> None:
    """One flipped bit in length, body or tag: nothing is accepted."""
    for position in (0, 1, 3, 4, 5, 20, -17, -16, -1):
        with Peer(server.local_port) as peer:
            sftp = RawSFTP(peer.login().sftp()).init()
            body = bytes([Type.MKDIR]) + u32(1) + string(b"/d") + u32(0)
            data = peer.channels[0].message(Message.CHANNEL_DATA, string(u32(len(body)) + body))
            sealed = bytearray(peer.seal(data))
            sealed[position] ^= 1
            peer.send_bytes(bytes(sealed) + bytes(300_000))
            peer.end()
            assert sftp.buffer == b""
    wait_for_connections(server, 0)
    with Peer(server.local_port) as peer:
        assert RawSFTP(peer.login().sftp()).init().ask(Type.STAT, string(b"/d")).code == Code.NO_SUCH_FILE
