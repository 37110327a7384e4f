"""A root with nothing in it, served once by openat2 and once by the walk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libsshd.fs.rooted import RootedFileSystem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture(params=[False, True], ids=["openat2", "walk"])
def fs(root: Path, request: pytest.FixtureRequest) -> Iterator[RootedFileSystem]:
    with RootedFileSystem(str(root), walk=request.param) as file_system:
        yield file_system


@pytest.fixture
def umask() -> Iterator[Callable[[int], None]]:
    before = os.umask(0o022)

    def set_umask(value: int) -> None:
        os.umask(value)

    yield set_umask
    os.umask(before)
