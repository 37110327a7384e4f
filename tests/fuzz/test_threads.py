"""The core with many threads under TSan, and everything the harnesses do under valgrind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Rounds

from .build import TARGETS, VARIANTS, program
from .harness import WORK, kept, replay

VALGRIND = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite,indirect"]
needs_valgrind = pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")


def run_threads(variant: str, directory: Path, rounds: int, *tool: str) -> subprocess.CompletedProcess[str]:
    """Four threads that serve over one root, each so many pipes and connections, and two that disturb them."""
    command = [*tool, str(program("threads", VARIANTS[variant], WORK / variant)), str(directory), str(rounds)]
    return subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False)


@pytest.mark.rounds
def test_threads_do_not_race(tmp_path: Path, rounds: Rounds) -> None:
    count = rounds(50, 20_000)
    done = run_threads("tsan", tmp_path, count)
    assert "ThreadSanitizer" not in done.stderr, done.stderr[:8000]
    assert (done.returncode, done.stdout) == (0, f"{count} rounds\n"), done.stderr[-4000:]


@needs_valgrind
@pytest.mark.rounds
def test_threads_are_clean_under_valgrind(tmp_path: Path, rounds: Rounds) -> None:
    """It does not know openat2, so paths are walked."""
    count = rounds(5, 500)
    done = run_threads("plain", tmp_path, count, *VALGRIND)
    assert (done.returncode, done.stdout) == (0, f"{count} rounds\n"), done.stderr[-8000:]


@needs_valgrind
@pytest.mark.rounds
@pytest.mark.parametrize("target", TARGETS)
def test_what_has_been_found_before_is_clean_under_valgrind(target: str, rounds: Rounds) -> None:
    with kept(target) as known:
        files = sorted(known.iterdir())
        some = files[:: max(1, len(files) // rounds(30, len(files)))]
        done = replay(target, some, "plain", VALGRIND)
    assert (done.returncode, done.stdout) == (0, f"{len(some)} files\n"), done.stderr[-8000:]
