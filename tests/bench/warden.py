"""Runs a server and adopts every orphan below it: `python -m tests.bench.warden COMMAND...`.

A connection's sshd may exit before it has reaped its own children. Their CPU time would be credited to init;
with a subreaper above the listener it ends in the warden's own cutime, so the sum over the tree is complete.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from .process import descendants

if TYPE_CHECKING:
    from types import FrameType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE = 2.0  # seconds between SIGTERM and SIGKILL


def adopt_orphans() -> None:
    """Become the reaper of all descendants, and be told when the benchmark dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_CHILD_SUBREAPER, 1), (PR_SET_PDEATHSIG, int(signal.SIGTERM))):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def reap_until(pid: int) -> int:
    """Reap every child as it dies; returns the exit status of `pid` once that one is gone."""
    while True:
        gone, status = os.wait()
        if gone == pid:
            return os.waitstatus_to_exitcode(status)


def reap_all(deadline: float) -> bool:
    """Reap until no child is left (True) or `deadline` (time.monotonic) has passed (False)."""
    while True:
        try:
            gone, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        if gone == 0:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)


def signal_all(number: signal.Signals) -> None:
    for pid in descendants(os.getpid()):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def stop_all() -> None:
    """SIGTERM for the whole tree, SIGKILL for what is left of it after GRACE seconds."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut this short
    signal_all(signal.SIGTERM)
    while not reap_all(time.monotonic() + GRACE):
        signal_all(signal.SIGKILL)


def leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(command: list[str]) -> int:
    parent = os.getppid()
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    if os.getppid() != parent:
        return 1
    try:
        return reap_until(os.posix_spawnp(command[0], command, os.environ, setsigdef=[signal.SIGINT]))
    finally:
        stop_all()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
