"""Key exchanges while files move, begun by the server: not a byte is lost, whoever the client is."""

from __future__ import annotations

import asyncio
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import asyncssh
import paramiko
import pytest

from libsshd._native import Connection, EventKind
from libsshd.fs.rooted import RootedFileSystem
from tests.support.client import sftp_quote
from tests.support.command import run
from tests.support.link import Link, asyncssh_options, openssh_options
from tests.support.place import MIB, noise, sha256
from tests.support.sshwire import HOST

DEADLINE = 120.0
SIZE = 200 * MIB
OFTEN = 8 * MIB


class Client(ABC):
    """Uploads a file to /file and downloads it again, over one connection."""

    name: ClassVar[str]

    def __init__(self, port: int, home: Path) -> None:
        self.port = port
        self.home = home

    @abstractmethod
    def there_and_back(self, source: Path, back: Path) -> None: ...


class OpenSSH(Client):
    name = "sftp"

    def there_and_back(self, source: Path, back: Path) -> None:
        batch = b"put " + sftp_quote(source) + b" /file\nget /file " + sftp_quote(back) + b"\n"
        run(["sftp", *openssh_options(self.port), "-b", "-", HOST], home=self.home, stdin=batch, timeout=DEADLINE)


class Paramiko(Client):
    name = "paramiko"

    def there_and_back(self, source: Path, back: Path) -> None:
        sock = socket.create_connection((HOST, self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # it may fall back to one request at a time
        with paramiko.Transport(sock) as transport:
            transport.start_client(timeout=DEADLINE)
            transport.auth_none("alice")
            with transport.open_sftp_client() as sftp:
                sftp.put(str(source), "/file")
                sftp.get("/file", str(back))


class AsyncSSH(Client):
    name = "asyncssh"

    def there_and_back(self, source: Path, back: Path) -> None:
        asyncio.run(asyncio.wait_for(self._session(source, back), DEADLINE))

    async def _session(self, source: Path, back: Path) -> None:
        connecting = asyncssh.connect(HOST, self.port, **asyncssh_options())
        async with connecting as connection, connection.start_sftp_client() as sftp:
            await sftp.put(source, "/file")
            await sftp.get("/file", back)


CLIENTS: list[type[Client]] = [OpenSSH, Paramiko, AsyncSSH]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "file"
    with open(path, "wb") as stream:
        stream.writelines(noise(MIB, number) for number in range(SIZE // MIB))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@contextmanager
def ordered_again_and_again(link: Link) -> Iterator[None]:
    """Another exchange is ordered as soon as one is over, by a command as an application would."""
    over = threading.Event()

    def order() -> None:
        seen = 0
        while not over.wait(0.1):
            count = link.count(EventKind.KEYS)
            if count > seen:
                seen = count
                link.post(rekey)

    def rekey(native: Connection) -> None:
        with suppress(OSError):  # before login
            native.rekey()

    orderer = threading.Thread(target=order)
    orderer.start()
    try:
        yield
    finally:
        over.set()
        orderer.join()


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.name)
def test_a_threshold_crossed_many_times_loses_nothing(
    kind: type[Client], source: Path, root: Path, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    with (
        RootedFileSystem(str(root)) as fs,
        Link(fs, prepare=lambda native: native.set_rekey_threshold(OFTEN)) as link,
    ):
        kind(link.port, tmp_path).there_and_back(source, back)
        link.join()
    assert link.count(EventKind.KEYS) > 2 * SIZE // OFTEN * 2 // 3
    assert sha256(root / "file") == sha256(back) == sha256(source)


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.name)
def test_exchanges_ordered_by_commands_lose_nothing(
    kind: type[Client], source: Path, root: Path, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    with RootedFileSystem(str(root)) as fs, Link(fs) as link:
        with ordered_again_and_again(link):
            kind(link.port, tmp_path).there_and_back(source, back)
        link.join()
    assert link.count(EventKind.KEYS) > 10
    assert sha256(root / "file") == sha256(back) == sha256(source)
