"""Fixtures of the whole suite: keys, running servers, connections to them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import paramiko
import pytest

from tests.support.connection import connect
from tests.support.place import Place
from tests.support.rawsftp import ChannelStream, RawSFTP
from tests.support.server import Keys, Server, start

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "large: moves gigabytes; leave it out with -m 'not large'")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Key pairs, made once."""
    return Keys(tmp_path_factory.mktemp("keys"))


def _begin(stack: ExitStack, factory: pytest.TempPathFactory, keys: Keys, *options: str, **more: Any) -> Server:
    started = start(factory.mktemp("server"), keys, *options, **more)
    stack.callback(started.stop)
    return started


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Callable[..., Server]]:
    """Starts servers of the test's own: `server("--read-only", root=...)`.  They must end cleanly."""
    with ExitStack() as stack:
        yield partial(_begin, stack, tmp_path_factory, keys)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Server]:
    """The server that the tests of a module share."""
    started = start(tmp_path_factory.mktemp("running"), keys)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Callable[..., Server]]:
    """Like `server`, for fixtures that live as long as a module."""
    with ExitStack() as stack:
        yield partial(_begin, stack, tmp_path_factory, keys)


@pytest.fixture
def place(running: Server) -> Place:
    """An empty directory inside the root of the shared server."""
    path = running.root / f"place{next(_numbers)}"
    path.mkdir()
    return Place(path, b"/" + path.name.encode())


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
