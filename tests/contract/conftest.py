"""Servers of the component inside the test's own process, and clients that log in to them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paramiko
import pytest

from libsshd import HostKey, SFTPServer
from tests.support.account import PASSWORD, USER, let_in
from tests.support.sshwire import DEADLINE, HOST

Serve = Callable[..., SFTPServer]
Connect = Callable[..., paramiko.Transport]


@pytest.fixture(scope="session")
def ed25519() -> HostKey:
    return HostKey.generate("ed25519")


@pytest.fixture(scope="session")
def rsa() -> HostKey:
    return HostKey.generate("rsa")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of every server of a test."""
    made = tmp_path / "root"
    made.mkdir()
    return made


@pytest.fixture
def serve(root: Path, ed25519: HostKey) -> Iterator[Serve]:
    """Starts servers on free ports of 127.0.0.1 that let alice in: `serve(max_connections=1)`."""
    with ExitStack() as stack:

        def begin(**settings: Any) -> SFTPServer:
            usual: dict[str, Any] = {"local_host": HOST, "local_port": 0, "root_directory": str(root)}
            usual |= {"host_keys": [ed25519], "failure_delay": 0.0}
            server = SFTPServer(**(usual | settings))
            server.on_ssh_user_auth_request = let_in
            stack.enter_context(server)
            return server

        yield begin


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Paramiko clients, logged in: `connect(server, source="127.0.0.2")`.

    `prepare` is called with the transport before it says anything; `options` go to paramiko.Transport.
    """
    with ExitStack() as stack:

        def begin(
            server: SFTPServer,
            *,
            host: str = HOST,
            source: str = "",
            prepare: Callable[[paramiko.Transport], object] = lambda _: None,
            **options: Any,
        ) -> paramiko.Transport:
            origin = (source, 0) if source else None
            sock = socket.create_connection((host, server.local_port), timeout=DEADLINE, source_address=origin)
            stack.callback(sock.close)
            transport = paramiko.Transport(sock, **options)
            stack.callback(transport.close)
            prepare(transport)
            transport.start_client(timeout=DEADLINE)
            transport.auth_password(USER, PASSWORD)
            return transport

        yield begin


def sftp_of(transport: paramiko.Transport) -> paramiko.SFTPClient:
    opened = transport.open_sftp_client()
    assert opened is not None
    return opened
