"""The pytest plugin: `sftpserver`, `sftpserver_factory`, and the fixtures that say how they begin.

Rule: nothing of the server is loaded before a test asks for one; every run of pytest loads this module.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from libsshd.testing.harness import Server

Factory = Callable[..., "Server"]
_SERVERS = pytest.StashKey[list["Server"]]()


def _make(**options: Any) -> "Server":
    from libsshd.testing.harness import Server  # noqa: PLC0415 - see the rule

    return Server(**options)


class _Pool:
    """Servers that tests share one after the other, by the options they were started with."""

    def __init__(self) -> None:
        self._servers: list[tuple[dict[str, Any], Server]] = []

    def server(self, options: dict[str, Any]) -> "Server":
        for known, server in self._servers:
            if known == options and server.server.listening:
                return server
        server = _make(**options)
        self._servers.append((options, server))
        return server

    def stop(self) -> None:
        for _, server in self._servers:
            server.stop()


@pytest.fixture(scope="session")
def _sftpserver_pool() -> Iterator[_Pool]:
    pool = _Pool()
    yield pool
    pool.stop()


@pytest.fixture
def sftpserver_options() -> Mapping[str, Any]:
    """Options of `sftpserver` beside its files, as of libsshd.testing.server; to be overridden, in any scope."""
    return {}


@pytest.fixture
def sftpserver_files() -> Mapping[str, bytes | str]:
    """Files that `sftpserver` begins with, by their paths; to be overridden."""
    return {}


@pytest.fixture
def sftpserver(
    request: pytest.FixtureRequest, _sftpserver_pool: _Pool, sftpserver_options: Mapping[str, Any],
    sftpserver_files: Mapping[str, bytes | str],
) -> Iterator["Server"]:  # fmt: skip
    """An SFTP server with a tree, a log, faults and a network of its own; all of them as new for each test."""
    server = _sftpserver_pool.server(dict(sftpserver_options))
    for path, content in sftpserver_files.items():
        server.fs[path] = content
    _attend(request, server)
    yield server
    _finish(server.drop_connections, server.check, server.reset)


@pytest.fixture
def sftpserver_factory(request: pytest.FixtureRequest) -> Iterator[Factory]:
    """Starts further servers, with the options of libsshd.testing.server: `sftpserver_factory(files={...})`."""
    started: list[Server] = []

    def start(files: Mapping[str, bytes | str] | None = None, **options: Any) -> "Server":
        server = _make(files=files, **options)
        started.append(server)
        _attend(request, server)
        return server

    yield start
    _finish(*(step for server in started for step in (server.stop, server.check)))


def _attend(request: pytest.FixtureRequest, server: "Server") -> None:
    request.node.stash.setdefault(_SERVERS, []).append(server)


def _finish(*steps: Callable[[], object]) -> None:
    """All steps, in order, whichever fails: what goes wrong behind a test's last line is an error of the test."""
    with ExitStack() as stack:
        for step in reversed(steps):
            stack.callback(step)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """What a handler or the server raised fails the test that caused it."""
    yield
    for server in item.stash.get(_SERVERS, []):
        server.check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what its servers were asked for."""
    report = yield
    if call.when == "call" and call.excinfo is not None:
        for server in item.stash.get(_SERVERS, []):
            if len(server.log):
                report.sections.append((f"SFTP conversation with {server.url}", str(server.log)))
    return report
