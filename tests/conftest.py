"""Fixtures of the whole suite: keys, running servers, connections to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import paramiko
import pytest

from tests.support.place import Place
from tests.support.rawsftp import DEADLINE, ChannelStream, RawSFTP
from tests.support.server import Keys, Server, start

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Key pairs, made once."""
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def server(tmp_path: Path, keys: Keys) -> Iterator[Callable[..., Server]]:
    """Starts servers of the test's own: `server("--read-only", root=...)`.  They must end cleanly."""
    with ExitStack() as stack:

        def begin(*options: str, root: Path | None = None) -> Server:
            directory = tmp_path / f"server{next(_numbers)}"
            directory.mkdir()
            started = start(directory, keys, *options, root=root)
            stack.callback(started.stop)
            return started

        yield begin


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Server]:
    """The server that the tests of a module share."""
    started = start(tmp_path_factory.mktemp("running"), keys)
    yield started
    started.stop()


@pytest.fixture
def place(running: Server) -> Place:
    """An empty directory inside the root of the shared server."""
    path = running.root / f"place{next(_numbers)}"
    path.mkdir()
    return Place(path, b"/" + path.name.encode())


def connect(server: Server) -> paramiko.Transport:
    """A paramiko connection, logged in by key, whose host key was checked."""
    transport = paramiko.Transport((server.host, server.port))
    try:
        transport.start_client(timeout=DEADLINE)
        known = paramiko.HostKeys(str(server.known_hosts))
        assert known.check(f"[{server.host}]:{server.port}", transport.get_remote_server_key())
        transport.auth_publickey(server.user, paramiko.Ed25519Key.from_private_key_file(str(server.private_key)))
    except BaseException:
        transport.close()
        raise
    return transport


@pytest.fixture(scope="module")
def transport(running: Server) -> Iterator[paramiko.Transport]:
    """The one connection that the raw tests of a module share; each takes a channel of its own."""
    opened = connect(running)
    yield opened
    opened.close()


@pytest.fixture
def raw(transport: paramiko.Transport) -> Iterator[RawSFTP]:
    """A fresh SFTP channel after INIT."""
    opened = RawSFTP(ChannelStream(transport)).init()
    yield opened
    opened.close()
