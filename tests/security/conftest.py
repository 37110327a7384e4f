"""Servers under attack inside the process of the tests, and their clients."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from libsshd import HostKey, SFTPServer
from libsshd.serve.connection import Connection
from tests.support.account import let_in
from tests.support.command import wait_until
from tests.support.hostile import Peer
from tests.support.rawsftp import RawSFTP, Type, string, u32

Serve = Callable[..., SFTPServer]


@pytest.fixture(scope="session")
def host_key() -> HostKey:
    return HostKey.generate()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """What the server of a test shows."""
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def serve(root: Path, host_key: HostKey, caplog: pytest.LogCaptureFixture) -> Iterator[Serve]:
    """Starts a server: `serve(login_timeout=1.0)`. Nothing a client does may end in an exception of ours."""
    with ExitStack() as stack, caplog.at_level(logging.DEBUG, "libsshd"):

        def begin(**settings: Any) -> SFTPServer:
            wanted: dict[str, Any] = {
                "local_host": "127.0.0.1",
                "local_port": 0,
                "root_directory": str(root),
                "failure_delay": 0.0,
                "sweep": False,  # its thread and descriptors come and go
            }
            server = SFTPServer(host_keys=[host_key], **(wanted | settings))
            server.on_ssh_user_auth_request = let_in
            stack.enter_context(server)
            return server

        yield begin
    crashes = [record for record in caplog.get_records("call") if record.exc_info]
    assert not crashes, f"{crashes[0].getMessage()}: {crashes[0].exc_text or crashes[0].exc_info}"


@pytest.fixture
def server(serve: Serve) -> SFTPServer:
    """A server with default settings."""
    return serve()


@pytest.fixture
def peer(server: SFTPServer) -> Iterator[Peer]:
    """A TCP connection to `server` on which nothing has been said."""
    with Peer(server.local_port) as opened:
        yield opened


@pytest.fixture
def guest(peer: Peer) -> Peer:
    """`peer` logged in, without a channel."""
    return peer.login()


def usable(peer: Peer) -> None:
    """The connection still serves."""
    assert RawSFTP(peer.sftp()).init().stat(b"/").permissions is not None


def stat_packet(number: int) -> bytes:
    """A whole packet: STAT of the root."""
    body = bytes([Type.STAT]) + u32(number) + string(b"/")
    return u32(len(body)) + body


def connections(server: SFTPServer) -> list[Connection]:
    """The connections a server has now."""
    return server._hub.connections


def wait_for_connections(server: SFTPServer, count: int, deadline: float = 20.0) -> None:
    wait_until(lambda: len(connections(server)) == count, f"{count} connections", deadline)
