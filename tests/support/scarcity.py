"""Fixtures that run out of room: for files of this process, or on a disk."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

FileSizeLimit: TypeAlias = Callable[[int], AbstractContextManager[None]]
"""What the fixture `limit_file_size` gives: a limit for the length of a `with`."""


@pytest.fixture
def limit_file_size() -> FileSizeLimit:
    """`with limit_file_size(SIZE)`: no file of this process can grow beyond; writes fail with EFBIG.

    Not longer than a `with`: what pytest prints may go to a file as well.
    """
    return _file_size_limit


@contextmanager
def _file_size_limit(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 64 KiB."""
    path = tmp_path / "volume"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield path
    subprocess.run(["umount", str(path)], check=True)
