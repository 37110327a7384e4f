"""What one request costs the server itself: no SSH, no client, no waiting. `python -m tests.bench.requests`.

A whole conversation is served from one file into another; the CPU time of the process is divided by its requests. The
share of the kernel is what the system counts as such; the rest is C and Python.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from libsshd._native import EventKind
from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.stdio import make_pipe
from libsshd.settings import Settings
from tests.support.rawsftp import Type, string, u32, u64
from tests.support.stdio import Scratch, make_session

RUNS = 7
REQUESTS = 20_000
ENTRIES = 20_000
FILE = b"/directory/file-000001"


def packet(kind: int, number: int, *fields: bytes) -> bytes:
    return string(bytes((kind,)) + u32(number) + b"".join(fields))


@dataclass(frozen=True)
class Layout:
    """What differs between versions in the packets below: attributes of OPEN and SETSTAT, flags of STAT."""

    reading: bytes
    mode: bytes
    wanted: bytes = b""


LAYOUTS = {
    3: Layout(reading=u32(1) + u32(0), mode=u32(4) + u32(0o644)),
    6: Layout(reading=u32(0x81) + u32(2) + u32(0) + b"\x01", mode=u32(4) + b"\x01" + u32(0o644), wanted=u32(0x1FD)),
}


@dataclass(frozen=True)
class Row:
    """`make` has the n-th request (counted from 0), `before` what must be done first; `unit` what is counted."""

    name: str
    make: Callable[[Layout, int], bytes]
    before: Callable[[Layout], bytes] = lambda _: b""
    count: int = REQUESTS
    per: int = REQUESTS


def open_file(layout: Layout) -> bytes:
    return packet(Type.OPEN, 0, string(FILE), layout.reading)


def open_and_close(layout: Layout, n: int) -> bytes:
    return open_file(layout) + packet(Type.CLOSE, n, string(b"%d" % (n + 1)))


ROWS = (
    Row("OPEN and CLOSE", open_and_close),
    Row("READ 4 KiB", lambda _, n: packet(Type.READ, n, string(b"1"), u64(0), u32(4096)), open_file),
    Row("STAT", lambda layout, n: packet(Type.STAT, n, string(FILE), layout.wanted)),
    Row("STAT, nothing there", lambda layout, n: packet(Type.STAT, n, string(FILE + b"x"), layout.wanted)),
    Row("FSTAT", lambda layout, n: packet(Type.FSTAT, n, string(b"1"), layout.wanted), open_file),
    Row("SETSTAT mode", lambda layout, n: packet(Type.SETSTAT, n, string(FILE), layout.mode)),
    Row("REALPATH", lambda _, n: packet(Type.REALPATH, n, string(FILE))),
    Row(
        "READDIR, per entry",
        lambda _, n: packet(Type.READDIR, n, string(b"1")),
        lambda _: packet(Type.OPENDIR, 0, string(b"/directory")),
        count=ENTRIES // 100,
        per=ENTRIES,
    ),
)


def serve(root: Path, requests: bytes) -> tuple[float, float]:
    """CPU seconds in all, and of these in the kernel."""
    with Scratch(requests) as source, Scratch() as output, RootedFileSystem(str(root)) as fs:
        pipe = make_pipe(source.fd, output.fd)
        session = make_session(pipe, fs, Settings(protocol_version=6))
        before, reply = resource.getrusage(resource.RUSAGE_SELF), b""
        while pipe.next(reply) != EventKind.EOF:
            reply = session.answer(pipe.data)
        after = resource.getrusage(resource.RUSAGE_SELF)
        session.close()
    system = after.ru_stime - before.ru_stime
    return system + after.ru_utime - before.ru_utime, system


def measure(root: Path, version: int, row: Row) -> str:
    layout = LAYOUTS[version]
    requests = b"".join(row.make(layout, n) for n in range(row.count))
    conversation = string(bytes((Type.INIT,)) + u32(version)) + row.before(layout) + requests
    runs = [serve(root, conversation) for _ in range(RUNS)]
    total, system = (statistics.median(values) / row.per * 1e6 for values in zip(*runs, strict=True))
    least, most = (choose(run[0] for run in runs) / row.per * 1e6 for choose in (min, max))
    return f"| {row.name} | {version} | {total:.1f} ({least:.1f}-{most:.1f}) | {system:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.bench.requests", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="a tmpfs (/dev/shm)")
    logging.getLogger("libsshd").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory(dir=parser.parse_args().directory) as name:
        root = Path(name)
        (root / "directory").mkdir()
        for number in range(ENTRIES):
            (root / f"directory/file-{number:06}").touch()
        os.truncate(root / os.fsdecode(FILE[1:]), 4096)
        print(f"| Request | Version | CPU µs, median of {RUNS} (spread) | of it in the kernel |")
        print("|---|---|---|---|")
        for row in ROWS:
            for version in LAYOUTS:
                print(measure(root, version, row))


if __name__ == "__main__":
    main()
