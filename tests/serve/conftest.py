"""A directory, and sessions in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from tests.support.rawsftp import RawSFTP
from tests.support.stdio import StdioServer

from .asking import Asked, rooted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    (path / "file").write_bytes(b"0123456789")
    return path


@pytest.fixture
def sftp(root: Path) -> Iterator[Asked]:
    with rooted(root) as asked:
        yield asked


@pytest.fixture
def other(root: Path) -> Iterator[Asked]:
    """Another client."""
    with rooted(root) as asked:
        yield asked


@pytest.fixture
def server(root: Path) -> Iterator[StdioServer]:
    with RootedFileSystem(str(root)) as fs, StdioServer(fs) as started:
        started.client.init()
        yield started


@pytest.fixture
def raw(server: StdioServer) -> RawSFTP:
    return server.client


@pytest.fixture(params=["atomic", "atomic-keep"])
def mode(request: pytest.FixtureRequest) -> str:
    """What is true of both."""
    return str(request.param)


@pytest.fixture(params=["kernel", "walk"])
def uploads(root: Path, mode: str, request: pytest.FixtureRequest) -> Iterator[StdioServer]:
    settings = Settings(upload_mode=mode, allow_links=True)
    with RootedFileSystem(str(root), walk=request.param == "walk") as fs, StdioServer(fs, settings) as server:
        server.client.init()
        yield server


@pytest.fixture
def client(uploads: StdioServer) -> RawSFTP:
    return uploads.client
