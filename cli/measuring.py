"""What `libsshd bench` does: measures, each several times, and their medians."""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from ssh2.exceptions import SSH2Error

from libsshd.constants import OpenFlags
from libsshd.testing.client import Channel, Sftp
from libsshd.wire.buffer import Malformed
from libsshd_cli import CommandError
from libsshd_cli.checking import named, scratch_of
from libsshd_cli.escaping import one_line
from libsshd_cli.output import write_lines
from libsshd_cli.remote import Remote
from libsshd_cli.report import rendered

_NEW = int(OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.TRUNC)
_BLOCK = 1 << 18
_SMALL = 1024
_LOOKS = 200
_MIB = 1 << 20


class Bench:
    """A client in a scratch directory."""

    def __init__(
        self, remote: Remote, connection: Any, sftp: Sftp, scratch: bytes, options: argparse.Namespace
    ) -> None:
        self.remote = remote
        self.session = connection.session
        self.sftp = sftp
        self.scratch = scratch
        self.options = options
        self.data = os.urandom(_BLOCK)

    def path(self, name: str) -> str:
        return os.fsdecode(self.scratch) + "/" + name


def _logins(b: Bench) -> float:
    for _ in range(b.options.logins):
        b.remote.connect().close()
    return float(b.options.logins)


def _put(b: Bench) -> float:
    import ssh2.sftp

    flags = ssh2.sftp.LIBSSH2_FXF_WRITE | ssh2.sftp.LIBSSH2_FXF_CREAT | ssh2.sftp.LIBSSH2_FXF_TRUNC
    left = b.options.size
    with b.session.sftp_init().open(b.path("large"), flags, 0o644) as file:
        while left > 0:
            file.write(b.data[:left])
            left -= _BLOCK
    return float(b.options.size) / _MIB


def _get(b: Bench) -> float:
    import ssh2.sftp

    received = 0
    with b.session.sftp_init().open(b.path("large"), ssh2.sftp.LIBSSH2_FXF_READ, 0) as file:
        while (part := file.read(_BLOCK))[0] > 0:
            received += part[0]
    if received != b.options.size:
        raise CommandError(f"of {b.options.size} bytes came {received} back")
    return received / _MIB


def _small_up(b: Bench) -> float:
    for number in range(b.options.files):
        b.sftp.put(os.fsencode(b.path(f"small{number}")), b.data[:_SMALL], _NEW)
    return float(b.options.files)


def _small_down(b: Bench) -> float:
    for number in range(b.options.files):
        b.sftp.get(os.fsencode(b.path(f"small{number}")), int(OpenFlags.READ))
    return float(b.options.files)


def _listing(b: Bench) -> float:
    return float(len(b.sftp.entries(b.scratch)))


def _looks(b: Bench) -> float:
    for _ in range(_LOOKS):
        b.sftp.stat(b.scratch)
    return float(_LOOKS)


class Measure(NamedTuple):
    """What is measured, and of what there is so much in a second."""

    name: str
    unit: str
    run: Callable[[Bench], float]


MEASURES = (
    Measure("login", "logins", _logins),
    Measure("put", "MiB", _put),
    Measure("get", "MiB", _get),
    Measure("put-small", "files", _small_up),
    Measure("get-small", "files", _small_down),
    Measure("list", "names", _listing),
    Measure("stat", "requests", _looks),
)


class Result(NamedTuple):
    """Of all runs: units per second, and seconds of this process on the processor beside those that passed."""

    measure: Measure
    rates: list[float]
    seconds: list[float]
    cpu: list[float]


def bench(options: argparse.Namespace) -> int:
    """Measure what there is; CommandError says why that is not possible."""
    if min(options.size, options.files, options.logins, options.repeat) < 1:
        raise CommandError("sizes and numbers are 1 or more")
    remote = Remote(options)
    connection = remote.connect()
    try:
        sftp = Sftp(Channel(connection.session))
        with scratch_of(sftp, options.directory) as (_, scratch), _steps(len(MEASURES)) as step:
            b = Bench(remote, connection, sftp, scratch, options)
            results = [step(measure.name, partial(_measured, measure, b)) for measure in MEASURES]
    except (OSError, EOFError, Malformed, SSH2Error) as error:
        raise CommandError(f"the server gave up: {named(error)}") from None
    finally:
        connection.close()
    _show(connection.version_line, results, as_json=options.json)
    return 0


@contextmanager
def _steps(count: int) -> Iterator[Callable[[str, Callable[[], Result]], Result]]:
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("bench", total=count)

        def step(name: str, act: Callable[[], Result]) -> Result:
            progress.update(task, description=name)
            result = act()
            progress.advance(task)
            return result

        yield step


def _measured(measure: Measure, b: Bench) -> Result:
    result = Result(measure, [], [], [])
    for _ in range(b.options.repeat):
        began, cpu = time.monotonic(), time.process_time()
        count = measure.run(b)
        passed = time.monotonic() - began
        result.rates.append(count / passed)
        result.seconds.append(passed)
        result.cpu.append(time.process_time() - cpu)
    return result


def _show(server: str, results: list[Result], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "name": result.measure.name,
                "unit": f"{result.measure.unit}/s",
                "median": statistics.median(result.rates),
                "least": min(result.rates),
                "most": max(result.rates),
                "seconds": statistics.median(result.seconds),
                "client_cpu_seconds": statistics.median(result.cpu),
            }
            for result in results
        ]
        write_lines(json.dumps({"server": server, "measures": rows}))
        return
    titles = ("measured", "a second", "median", "least", "most", "seconds", "of the client")
    table = Table(*titles, box=None, pad_edge=False)
    for result in results:
        numbers = (statistics.median(result.rates), min(result.rates), max(result.rates))
        table.add_row(
            result.measure.name,
            result.measure.unit,
            *(f"{number:,.1f}" for number in numbers),
            f"{statistics.median(result.seconds):.3f}",
            f"{statistics.median(result.cpu):.3f}",
        )
    write_lines(f"server: {one_line(server)}", *rendered(table))
