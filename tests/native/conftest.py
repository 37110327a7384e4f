"""Files, roots and limits for the tests of the C core; no test may leave a descriptor open."""

import gc
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from libsshd.fs.rooted import RootedFileSystem

from .engine import Files, FileSizeLimit

settings.register_profile(
    "native", database=None, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = descriptors()
    yield
    if not descriptors() <= before:
        gc.collect()
    assert descriptors() <= before


def descriptors() -> set[tuple[str, str]]:
    """Number and target of every open descriptor."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:  # the descriptor of listdir itself
            continue
    return found


@pytest.fixture
def files() -> Iterator[Files]:
    with Files() as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def fs(root: Path, no_descriptor_is_left_open: None) -> Iterator[RootedFileSystem]:
    with RootedFileSystem(str(root)) as made:
        yield made


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


class Peak:
    """The resident memory of this process at its highest, from `start` on; not told under a sanitizer."""

    def start(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _status("VmRSS")

    def growth(self) -> int:
        """In bytes; 0 when the sanitizer's own memory would be measured."""
        if "asan" in os.environ.get("LD_PRELOAD", ""):
            return 0
        return _status("VmHWM") - self._before


@pytest.fixture
def peak() -> Peak:
    return Peak()


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise LookupError(field)
