"""Runs rows against servers, interleaved, and collects a Result."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .client import Client, UnsupportedError
from .memory import session_kib
from .result import OURS, REFERENCE, Result, Sample
from .row import MEMORY_ROWS, ROWS, Amount, MemoryRow, Row
from .server import LAUNCHERS, VERSIONS, Server, UnavailableError
from .workspace import BenchError, Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

SLOW = tuple(name for name in LAUNCHERS if name not in (OURS, REFERENCE))


@dataclass(frozen=True)
class Plan:
    """What to measure. Sizes in MiB; the `peer_` ones are for asyncssh and paramiko."""

    rows: tuple[str, ...]
    servers: tuple[str, ...]
    runs: int
    peer_runs: int
    memory_runs: int
    size: int
    peer_size: int
    files: int
    entries: int
    logins: int
    sessions: int
    moved_sessions: int
    kex: str
    directory: Path

    def rounds(self, server: str) -> int:
        return min(self.runs, self.peer_runs) if server in SLOW else self.runs

    def amount(self, server: str) -> Amount:
        mib = min(self.size, self.peer_size) if server in SLOW else self.size
        return Amount(mib, self.files, self.entries, self.logins)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return {
        "machine": f"{os.cpu_count()} x {model}, Linux {platform.release()}",
        "python": platform.python_version(),
    }


class Run:
    """One run of the benchmark; `result` fills while it goes on."""

    def __init__(self, plan: Plan, place: Workspace) -> None:
        self._plan = plan
        self._place = place
        self.result = Result(
            machine=machine(),
            options={key: value for key, value in vars(plan).items() if isinstance(value, int | str)},
        )

    def all(self) -> None:
        """Measure everything that was asked for; a failure costs its server the row, not the run."""
        self._place.warm(2 * self._plan.size)
        servers = self._available()
        for row in ROWS:
            if row.name in self._plan.rows:
                self._timed(row, servers)
        for memory_row in MEMORY_ROWS:
            if memory_row.name in self._plan.rows:
                self._memory(memory_row, servers)

    def _available(self) -> list[str]:
        found = []
        for name in self._plan.servers:
            try:
                self.result.versions[name] = VERSIONS[name]()
                with Server(name, self._place):
                    found.append(name)
            except (BenchError, OSError, ImportError, subprocess.SubprocessError) as error:
                self._failed(name, error)
        return found

    def _failed(self, what: str, error: Exception) -> None:
        self.result.failures.append(f"{what}: {error}")
        say(f"{what}: {error}")

    def _timed(self, row: Row, names: Sequence[str]) -> None:
        client = Client(self._place, row.cipher, self._plan.kex)
        with ExitStack() as stack:
            servers: list[Server] = []
            for name in names:
                try:
                    server = stack.enter_context(Server(name, self._place, watched=row.watched))
                    agreed = client.negotiate(server.address)
                except UnsupportedError as error:
                    self.result.notes.append(f"{row.name}: {name} {error}")
                    continue
                except BenchError as error:
                    self._failed(f"{row.name} {name}", error)
                    continue
                self.result.negotiated[f"{row.name} {name}"] = agreed
                servers.append(server)
            for number in range(self._plan.runs):
                due = [server for server in servers if number < self._plan.rounds(server.name)]
                for server in due:
                    if not self._sample(row, server, client, number):
                        servers.remove(server)

    def _sample(self, row: Row, server: Server, client: Client, number: int) -> bool:
        """Measure once; what arrived is verified the first time. False when the server failed."""
        amount = self._plan.amount(server.name)
        jobs = row.work.jobs(self._place, amount)
        rehearsal = row.work.rehearsal(self._place, amount) if number == 0 else []
        try:
            if rehearsal:
                client.run(server.address, rehearsal, row.work.at_once)
                row.work.check(self._place, amount, rehearsal)
            before = server.cpu()
            wall = client.run(server.address, jobs, row.work.at_once)
            cpu = server.cpu() - before
            if number == 0 and not rehearsal:
                row.work.check(self._place, amount, jobs)
        except (BenchError, OSError) as error:
            self._failed(f"{row.name} {server.name}", BenchError(f"{error} {server.last_words()}".strip()))
            return False
        finally:
            row.work.clean(self._place, jobs)
        scale = self._plan.size / amount.mib if row.large else 1.0
        self.result.samples.append(Sample(row.name, server.name, number, {"wall": wall, "cpu": cpu}, scale))
        say(f"{row.name} {number + 1} {server.name}: wall {wall:.3f} s, server CPU {cpu:.3f} s")
        return True

    def _memory(self, row: MemoryRow, names: Sequence[str]) -> None:
        sessions = self._plan.moved_sessions if row.moved_mib else self._plan.sessions
        for number in range(min(self._plan.memory_runs, self._plan.runs)):
            for name in names:
                if number and name in SLOW:
                    continue
                try:
                    with Server(name, self._place) as server:
                        kib = session_kib(row, server, self._place, sessions)
                except (UnavailableError, BenchError, OSError) as error:
                    self._failed(f"{row.name} {name}", error)
                    continue
                self.result.samples.append(Sample(row.name, name, number, {"pss": kib}))
                say(f"{row.name} {number + 1} {name}: {kib:.1f} KiB per session")
