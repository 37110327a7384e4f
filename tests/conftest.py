"""Fixtures of the whole suite: keys, running servers, connections to them."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import paramiko
import pytest

from tests.support import seccomp
from tests.support.connection import connect
from tests.support.place import Place
from tests.support.rawsftp import ChannelStream, RawSFTP
from tests.support.server import Keys, Server, start

pytest_plugins = ["pytester", "tests.support.scarcity"]

_numbers = itertools.count(1)


Rounds = Callable[[int, int], int]
"""How often a proof by repetition is repeated: `rounds(few, all)`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds",
        default="few",
        metavar="few|all|N",
        help="how often proofs by repetition are repeated: a short run, all that the proof asks for, or a number",
    )
    parser.addoption(
        "--walk",
        action="store_true",
        help="run everything, servers in processes of their own too, as on a kernel without openat2",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--walk"):
        if not seccomp.SUPPORTED:
            raise pytest.UsageError("--walk takes openat2 away by a filter, which names the calls of x86-64")
        seccomp.deny(seccomp.OPENAT2, errno.ENOSYS)
    config.addinivalue_line("markers", "large: moves gigabytes; leave it out with -m 'not large'")
    config.addinivalue_line("markers", "rounds: proves by repetition; --rounds says how often")


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> Rounds:
    """How often to repeat: `rounds(30, 1000)` is 30 in a short run and 1000 with --rounds all."""
    wanted: str = pytestconfig.getoption("--rounds")
    if wanted in ("few", "all"):
        return lambda few, every: few if wanted == "few" else every
    return lambda few, every: int(wanted)


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
