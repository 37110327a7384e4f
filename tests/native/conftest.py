"""Files, roots and limits for the tests of the C core; no test may leave a descriptor open."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from libsshd.fs.rooted import RootedFileSystem

from .engine import Files

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
