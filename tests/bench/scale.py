"""`./dev bench --scale`: many sessions at once, many one after the other; what is held, and what is left behind."""

from __future__ import annotations

import json
import resource
import select
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .footprint import Footprint, footprint
from .report import table
from .run import say
from .server import REPOSITORY, Server, launch_libsshd
from .workspace import BenchError, Workspace

if TYPE_CHECKING:
    from types import TracebackType

CLIENTS = 2  # processes
MOST_MEMORY = 100.0  # KiB of a session, in the process
MOST_GROWTH = 4096  # KiB that may come on top after the first hundredth of the cycles
PARTS = 10
"""How often it is looked at what the cycles have left behind, after the first hundredth of them."""
ORDER_DEADLINE = 7200.0  # seconds
DESCRIPTORS = 2
"""Of a session without an open file: its socket, and what wakes it."""
SPARE = 10  # descriptors that are not given to sessions
QUIET_DEADLINE = 300.0  # seconds until nothing of so many sessions is done any more
IDLE_TIME = 8.0  # seconds between the last byte and the measurement


@dataclass(frozen=True)
class Scale:
    """How much of it: sessions held for `minutes`, and cycles of login, STAT and leaving."""

    sessions: int
    minutes: int
    cycles: int


class Client:
    """A process of tests/bench/crowd.py. Orders are given to all clients before the first one is waited for."""

    def __init__(self, server: Server, place: Workspace, number: int) -> None:
        address = server.address
        self._command = [sys.executable, "-m", "tests.bench.crowd", str(address.port), address.user]
        self._command += [str(place.user_key)]
        self._log = place.path / f"crowd-{number}.log"

    def __enter__(self) -> Client:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=REPOSITORY,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def order(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def answer(self) -> float:
        """Seconds of the slowest step of what was ordered. Raises BenchError when it failed."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], ORDER_DEADLINE)
        line = self._process.stdout.readline() if ready else b""
        told = json.loads(line) if line else {"failed": self._log.read_text()[-400:].strip()}
        if "failed" in told:
            raise BenchError(f"a client failed: {told['failed']}")
        return float(told["slowest"])


class Crowd:
    """All clients together, and the server they are at."""

    def __init__(self, server: Server, place: Workspace, stack: ExitStack) -> None:
        self._server = server
        self._clients = [stack.enter_context(Client(server, place, number)) for number in range(CLIENTS)]
        self._next = 0

    def order(self, line: str) -> float:
        """The same order for each; seconds of the slowest step. Raises BenchError."""
        return self._obeyed([line] * CLIENTS)

    def share(self, what: str, count: int) -> float:
        """Each gets its part of `count`, and addresses nobody had before."""
        lines = []
        for number in range(CLIENTS):
            part = count // CLIENTS + (number < count % CLIENTS)
            lines.append(f"{what} {self._next} {part}")
            self._next += part
        return self._obeyed(lines)

    def _obeyed(self, lines: list[str]) -> float:
        for client, line in zip(self._clients, lines, strict=True):
            client.order(line)
        try:
            return max(client.answer() for client in self._clients)
        except BenchError as error:
            raise BenchError(f"{error}; the server's log ends: {self._server.last_words()}") from None

    @property
    def limit(self) -> int:
        """Descriptors that the server may have."""
        return resource.prlimit(self._server.pid, resource.RLIMIT_NOFILE)[0]

    def look(self) -> Footprint:
        """What the server holds once it is quiet."""
        self._server.await_quiet(QUIET_DEADLINE)
        now = footprint(self._server.pid)
        say(f"scale: {now}")
        return now


def room(wanted: int, limit: int, empty: Footprint) -> tuple[int, list[str]]:
    """How many sessions a limit of descriptors has room for, and what there is to say when those are fewer."""
    most = (limit - empty.descriptors - SPARE) // DESCRIPTORS
    if wanted <= most:
        return wanted, []
    return most, [
        f"{most} sessions instead of {wanted}: the system grants {limit} descriptors, {DESCRIPTORS} for each"
    ]


def hold(scale: Scale, crowd: Crowd) -> tuple[str, bool]:
    """Holds the sessions; the table, and whether nothing was missed."""
    crowd.share("open", CLIENTS)
    crowd.order("close")
    empty = crowd.look()
    sessions, fewer = room(scale.sessions, crowd.limit, empty)
    began = time.monotonic()
    crowd.share("open", sessions)
    opened = time.monotonic() - began
    say(f"scale: {sessions} sessions opened in {opened:.0f} s")
    time.sleep(IDLE_TIME)
    rows = [("none", empty), ("opened", crowd.look())]
    slowest = crowd.order(f"stat {60 * scale.minutes}")
    rows.append((f"after {scale.minutes} min", crowd.look()))
    crowd.order("close")
    rows.append(("left", crowd.look()))
    each = (rows[2][1].memory - empty.memory) / sessions
    kernel = (rows[2][1].kernel - empty.kernel) / sessions
    lines = [
        *fewer,
        footprints("sessions", rows),
        f"a session: {each:.1f} KiB in the process (at most {MOST_MEMORY:.0f}), {kernel:.1f} KiB in the kernel",
        f"slowest STAT of a session: {slowest * 1000:.0f} ms; dropped: 0 of {sessions}",
    ]
    left = rows[3][1]
    clean = left.threads <= empty.threads and left.descriptors <= empty.descriptors
    return "\n".join(lines), each <= MOST_MEMORY and clean


def wear(scale: Scale, crowd: Crowd) -> tuple[str, bool]:
    """The cycles; the table, and whether everything stayed as it was after the first hundredth."""
    first = max(CLIENTS, scale.cycles // 100)
    steps = [first] + [(scale.cycles - first) // PARTS] * PARTS
    steps[-1] += scale.cycles - sum(steps)
    rows: list[tuple[str, Footprint]] = []
    done, busy, slowest = 0, 0.0, 0.0
    for step in steps:
        began = time.monotonic()
        slowest = max(slowest, crowd.share("cycle", step))
        busy += time.monotonic() - began
        done += step
        rows.append((str(done), crowd.look()))
        say(f"scale: {done} cycles")
    start, end = rows[0][1], rows[-1][1]
    lines = [
        footprints("cycles", rows),
        f"growth after the first hundredth: {end.memory - start.memory} KiB (at most {MOST_GROWTH})",
        f"descriptors {end.descriptors - start.descriptors:+}, threads {end.threads - start.threads:+}",
        f"{scale.cycles / busy:.0f} cycles a second, the slowest {slowest * 1000:.0f} ms",
    ]
    flat = end.memory - start.memory <= MOST_GROWTH and end.descriptors <= start.descriptors
    return "\n".join(lines), flat and end.threads <= start.threads


def footprints(what: str, rows: list[tuple[str, Footprint]]) -> str:
    header = [what, "", "PSS KiB", "descriptors", "threads", "mappings", "page tables KiB", "TCP buffers KiB"]
    cells = [
        [name, "", *map(str, (f.memory, f.descriptors, f.threads, f.mappings, f.page_tables, f.sockets))]
        for name, f in rows
    ]
    return table(header, cells)


def measure(scale: Scale, place: Workspace) -> bool:
    """Prints both tables; whether all was reached. Raises BenchError when a client was dropped."""
    launch = partial(launch_libsshd, connections=scale.sessions + 100)
    reached = True
    command = f"./dev bench --scale --sessions {scale.sessions} --minutes {scale.minutes} --cycles {scale.cycles}"
    print(command)
    for part in [*[hold] * (scale.sessions > 0), *[wear] * (scale.cycles > 0)]:
        with Server("libsshd", place, launch=launch) as server, ExitStack() as stack:
            text, met = part(scale, Crowd(server, place, stack))
            print("", text, *server.warnings()[:10], "pass" if met else "MISS", sep="\n", flush=True)
            reached = reached and met
    return reached
