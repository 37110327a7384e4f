"""CPU time and memory of a tree of processes, read from /proc and the kernel's per-process CPU clocks."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2  # the clock of a whole process, dead threads included, in nanoseconds


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, field 3 of proc(5) first. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def parents() -> dict[int, int]:
    """pid -> parent's pid of every process there is."""
    table: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with suppress(OSError):
                table[int(path.name)] = int(stat_fields(int(path.name))[1])
    return table


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, itself excluded."""
    children: dict[int, list[int]] = {}
    for child, parent in parents().items():
        children.setdefault(parent, []).append(child)

    def below(node: int) -> Iterator[int]:
        for child in children.get(node, []):
            yield child
            yield from below(child)

    return list(below(pid))


def own_cpu(pid: int) -> float:
    """Seconds of user and system time of the process itself; 0.0 when it is gone."""
    try:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def reaped_cpu(pid: int) -> float:
    """Seconds of user and system time of all children it has waited for, and of theirs, in steps of 10 ms."""
    try:
        fields = stat_fields(pid)
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) * TICK


def tree_cpu(pid: int) -> float:
    """Seconds spent so far by everything that ever ran below `pid`, which itself is not counted."""
    below = descendants(pid)
    return reaped_cpu(pid) + sum(own_cpu(child) + reaped_cpu(child) for child in below)


def pss_kib(pid: int) -> int:
    """Proportional set size in KiB; 0 when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def tree_pss_kib(pid: int) -> int:
    """PSS in KiB of everything that runs below `pid`, which itself is not counted."""
    return sum(pss_kib(child) for child in descendants(pid))
