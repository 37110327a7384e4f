"""CPU time is complete: nothing a server's processes have spent may be missing."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .process import descendants, own_cpu, reaped_cpu, tree_cpu
from .server import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK = 0.02  # seconds; two steps of what /proc counts in
BURN = "import time\nwhile time.process_time() < 0.2: pass\n"
STUBBORN = """\
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
os.write(1, b"up\\n")
signal.pause()
"""
LISTENER = f"""\
import os, subprocess, sys
def connection():
    if os.fork():
        os._exit(0)
    subprocess.run([sys.executable, "-c", {BURN!r}])
    os._exit(0)
child = os.fork()
if child == 0:
    connection()
os.waitpid(child, 0)
print("up", flush=True)
sys.stdin.read()
"""


def wait_until_alone(warden: int) -> None:
    """Until only the listener is left below the warden."""
    deadline = time.monotonic() + 30
    while len(descendants(warden)) > 1:
        assert time.monotonic() < deadline, "the orphan does not end"
        time.sleep(0.01)


@contextmanager
def warded(program: str, ready: int) -> Iterator[subprocess.Popen[bytes]]:
    """A warden over `python -c program`, once `ready` processes have said that they are up."""
    command = [sys.executable, "-m", "tests.bench.warden", sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as warden:
        try:
            assert warden.stdout is not None
            assert [warden.stdout.readline() for _ in range(ready)] == [b"up\n"] * ready
            yield warden
        finally:
            warden.terminate()


def test_an_orphan_of_a_dead_connection_is_counted() -> None:
    with warded(LISTENER, 1) as warden:
        wait_until_alone(warden.pid)
        assert reaped_cpu(warden.pid) >= 0.2 - TICK
        assert tree_cpu(warden.pid) >= reaped_cpu(warden.pid)


def test_a_warden_that_ends_leaves_no_process_behind() -> None:
    with warded(STUBBORN, 2) as warden:
        below = descendants(warden.pid)
        assert len(below) == 2
        warden.terminate()
        warden.terminate()  # as when the benchmark dies while it stops its servers
        warden.wait(30)
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]


def test_the_clock_of_a_process_is_its_user_and_system_time() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN + "input()"], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while own_cpu(process.pid) < 0.2:
            assert time.monotonic() < deadline, "the process does not spend time"
            time.sleep(0.01)
        process.communicate(b"\n")
    assert own_cpu(process.pid) == 0.0
