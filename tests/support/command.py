"""Other people's programs, run with a deadline."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

DEADLINE = 60.0  # seconds; nothing here is meant to come near it

Argument = str | bytes | Path


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which a client finds no settings, agent or locale of the person who runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", **(extra or {})}


def attempt(
    argv: Sequence[Argument],
    *,
    home: Path,
    stdin: bytes = b"",
    extra: Mapping[str, str] | None = None,
    timeout: float = DEADLINE,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end, whatever the exit status."""
    return subprocess.run(
        argv, input=stdin, capture_output=True, env=environment(home, extra), timeout=timeout, cwd=cwd, check=False
    )


def run(argv: Sequence[Argument], **options: object) -> bytes:
    """Run, demand exit status 0, return what was written to stdout."""
    done = attempt(argv, **options)  # type: ignore[arg-type]
    assert done.returncode == 0, f"{argv!r} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]!r}"
    return done.stdout


def wait_until(condition: Callable[[], bool], what: str, deadline: float = 20.0) -> None:
    """Poll until the condition holds; fail with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"after {deadline:g} s still not: {what}")
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes], timeout: float = 10.0) -> None:
    """Kill a program that may still run and release its pipes."""
    process.kill()
    process.wait(timeout)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
