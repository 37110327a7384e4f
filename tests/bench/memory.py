"""Memory of held sessions: PSS of all the server's processes with and without them."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from .server import REPOSITORY, Server
from .workspace import BenchError, Workspace

if TYPE_CHECKING:
    from types import TracebackType

    from .row import MemoryRow

IDLE_TIME = 8.0  # seconds between the last byte and the measurement
ANSWER_DEADLINE = 600.0  # seconds


class Holder:
    """The process that holds sessions (see tests/bench/holder.py)."""

    def __init__(self, server: Server, place: Workspace) -> None:
        self._command = [sys.executable, "-m", "tests.bench.holder", str(server.address.port)]
        self._command += [server.address.user, str(place.user_key)]
        self._log = place.path / "holder.log"

    def __enter__(self) -> Holder:
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
        """Have one line carried out. Raises BenchError when that fails or takes too long."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_DEADLINE)
        if not ready or self._process.stdout.readline() != b"done\n":
            raise BenchError(f"holding sessions failed at {line!r}: {self._log.read_text()[-400:].strip()}")


def session_kib(row: MemoryRow, server: Server, place: Workspace, sessions: int) -> float:
    """KiB of PSS that one session adds to a fresh server: (m(sessions) - m(0)) / sessions.

    One session comes and goes before m(0), so what a server loads once for all is in both; what it
    keeps after a transfer is charged to the sessions.
    """
    moved = place.big(row.moved_mib).name if row.moved_mib else ""
    with Holder(server, place) as holder:
        holder.order("open 1")
        holder.order("close")
        server.await_quiet()
        before = server.pss_kib()
        holder.order(f"open {sessions}")
        if moved:
            holder.order(f"move {moved}")
        time.sleep(IDLE_TIME)
        after = server.pss_kib()
        holder.order("close")
    return (after - before) / sessions
