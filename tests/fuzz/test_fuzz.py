"""The fuzz targets over the corpus of the repository, and over a number of new inputs."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.conftest import Rounds

from .build import TARGETS
from .harness import fuzz, kept, replay


@pytest.mark.parametrize("target", TARGETS)
def test_what_has_been_found_before_runs_clean(target: str) -> None:
    with kept(target) as known:
        files = sorted(known.iterdir())
        done = replay(target, files)
    assert (done.returncode, done.stdout) == (0, f"{len(files)} files\n"), done.stderr


def step(op: int, a: int = 0, b: int = 0, c: int = 0, n: int = 0) -> bytes:
    """As session.c has them."""
    return struct.pack("<BBBBI", op, a, b, c, n)


OPEN_FILE = step(2, a=1, b=0x1B, c=4, n=0o644)
REQUESTS = {"read": step(0, a=1, c=9), "write": step(1, a=1, c=40), "open": OPEN_FILE, "close": step(3, a=1)}
SEND = step(7)


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_kindcut_anywhere_is_not_read_beyond_its_end(kind: str, tmp_path: Path) -> None:
    for end in range(5, 70):
        cut = step(5, a=2, n=end)  # behind so many bytes, and the length of the packet says so
        (tmp_path / f"{end}").write_bytes(OPEN_FILE + SEND + REQUESTS[kind] + cut + SEND)
    done = replay("session", sorted(tmp_path.iterdir()))
    assert (done.returncode, done.stdout) == (0, "65 files\n"), done.stderr


@pytest.mark.rounds
@pytest.mark.parametrize("target", TARGETS)
def test_new_inputs_run_clean(target: str, rounds: Rounds, capfd: pytest.CaptureFixture[str]) -> None:
    with kept(target) as known:
        code = fuzz(target, f"-runs={rounds(4_000, 10_000_000)}", str(known))
    assert code == 0, capfd.readouterr().err[-4000:]
