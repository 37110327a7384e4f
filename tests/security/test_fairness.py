"""Slow requests of one client hurt nobody: neither its other channels, nor its own connection, nor the server."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from libsshd import SFTPServer, SSHUserAuthRequest
from libsshd._native import Connection as NativeConnection
from libsshd._native import EventKind
from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.connection import _HANDLERS, Connection
from libsshd.wire.messages import Attributes
from tests.support.command import wait_until
from tests.support.hostile import Peer
from tests.support.rawsftp import CREAT, TRUNC, WRITE, Code, RawSFTP, Type, string
from tests.support.sshwire import Message

from .conftest import Serve


def make_lstat_slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[bytes]:
    """A file system that takes its time for LSTAT; the paths it was asked for."""
    asked: list[bytes] = []
    original = RootedFileSystem.lstat

    def lstat(self: RootedFileSystem, path: bytes) -> Attributes:
        asked.append(path)
        threading.Event().wait(seconds)
        return original(self, path)

    monkeypatch.setattr(RootedFileSystem, "lstat", lstat)
    return asked


def test_a_channel_with_many_slow_requests_does_not_hold_up_another(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = make_lstat_slow(monkeypatch, 0.002)
    peer.login()
    busy, other = RawSFTP(peer.sftp()).init(), RawSFTP(peer.sftp()).init()
    for _ in range(2000):
        busy.post(Type.LSTAT, string(b"/"))
    assert other.stat(b"/").permissions is not None
    assert len(asked) < 1000


def test_a_request_that_takes_longer_than_the_stall_limit_is_answered(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lstat_slow(monkeypatch, 0.5)
    peer = Peer(serve(default_timeout=1).local_port)
    peer.login()
    client = RawSFTP(peer.sftp()).init()
    assert client.ask(Type.LSTAT, string(b"/")).attributes.permissions is not None
    peer.close()


def test_a_subsystem_asked_for_after_eof_during_an_exchange_is_refused(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel is being closed by then, and waits only for the exchange to end."""
    on_eof = Connection._on_eof

    def on_eof_then_rekey(connection: Connection, native: NativeConnection) -> None:
        on_eof(connection, native)
        connection.post(lambda _: native.rekey())

    monkeypatch.setitem(_HANDLERS, EventKind.EOF, on_eof_then_rekey)
    peer = Peer(serve().local_port)
    peer.login()
    channel = peer.open_channel()
    peer.send(channel.message(Message.CHANNEL_EOF))
    peer.await_kexinit()
    channel.post(b"subsystem", string(b"sftp"))
    peer.send_kexinit()
    peer.finish_exchange()
    peer.pump(lambda: channel.closed, "CLOSE")
    assert not channel.granted
    channel.close()
    assert RawSFTP(peer.sftp()).init().stat(b"/").permissions is not None
    peer.close()


def test_read_only_set_while_listening_holds_for_connections_that_begin_then(server: SFTPServer, root: Path) -> None:
    server.read_only = True
    with Peer(server.local_port) as peer:
        peer.login()
        client = RawSFTP(peer.sftp()).init()
        for flags in (WRITE | CREAT | TRUNC, CREAT, WRITE | CREAT):
            reply = client.ask(Type.OPEN, string(b"/new"), flags.to_bytes(4, "big"), bytes(4))
            assert reply.code == Code.PERMISSION_DENIED
    assert list(root.iterdir()) == []


def test_shutdown_from_a_handler_ends_the_server(server: SFTPServer, peer: Peer) -> None:
    returned = threading.Event()

    @server.on_ssh_user_auth_request.add
    def stop(_: SSHUserAuthRequest) -> None:
        server.shutdown()
        returned.set()

    peer.login()
    assert returned.is_set()
    wait_until(lambda: not server.listening, "the end of the server")
