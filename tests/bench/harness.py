"""What the harness of tests costs: starts, resets, and what stays behind. `./dev bench --harness`.

The first start is measured in processes of their own that have loaded nothing, the others in this one.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from libsshd import testing
from libsshd.constants import OpenFlags
from libsshd.testing.client import Channel, Connection, Sftp

RUNS = 101
FIRST_RUNS = 11
FIXTURES = 1000
_FIRST = """
import time
began = time.perf_counter()
from libsshd import testing
server = testing.server()
print(time.perf_counter() - began)
server.stop()
"""


def first_starts() -> list[float]:
    """With what pytest has loaded by itself."""
    program = f"import pytest\n{_FIRST}"
    return [float(subprocess.check_output([sys.executable, "-c", program])) for _ in range(FIRST_RUNS)]


@contextmanager
def client(server: testing.Server) -> Iterator[None]:
    """One that has read a file. Its channel lives as long: libssh2 waits for the server when it lets go of one."""
    with closing(Connection(server.host, server.port, 20.0)) as connection:
        connection.session.userauth_password(server.user, server.password)
        sftp = Sftp(Channel(connection.session))
        assert sftp.get(b"/f", int(OpenFlags.READ)) == b"x"
        yield


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def starts() -> list[float]:
    found = []
    for _ in range(RUNS):
        began = time.perf_counter()
        server = testing.server()
        found.append(time.perf_counter() - began)
        server.stop()
    return found


def resets(*, with_client: bool) -> list[float]:
    found = []
    with testing.server({"f": b"x"} | {f"d/{number}": b"x" * 1000 for number in range(20)}) as server:
        for _ in range(RUNS):
            server.fs["new"] = b"x"
            if with_client:
                with client(server):
                    found.append(timed(server.reset))
            else:
                found.append(timed(server.reset))
    return found


def leaks() -> tuple[int, int]:
    """Descriptors and threads more than before, after many servers of which each had a client."""

    def count() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    def use() -> None:
        with testing.server({"f": b"x"}) as server, client(server):
            pass

    use()
    before = count()
    for _ in range(FIXTURES):
        use()
    after = count()
    return after[0] - before[0], after[1] - before[1]


def line(what: str, seconds: list[float]) -> str:
    figures = (statistics.median(seconds), min(seconds), max(seconds))
    return f"{what:<44} {'  '.join(f'{1000 * figure:7.2f}' for figure in figures)}  ms ({len(seconds)} runs)"


def measure() -> None:
    print(f"{'':<44} {'median':>7}  {'least':>7}  {'most':>7}")
    print(line("first start in a process, loading included", first_starts()))
    print(line("every other start", starts()))
    print(line("reset between two tests", resets(with_client=False)))
    print(line("reset with a client that is still there", resets(with_client=True)))
    descriptors, threads = leaks()
    print(f"after {FIXTURES} servers with a client each: descriptors {descriptors:+}, threads {threads:+}")
