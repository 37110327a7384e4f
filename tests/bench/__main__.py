"""Command line of the benchmark."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .client import KEX
from .plot import draw
from .report import report
from .result import Result
from .row import TITLES
from .run import Plan, Run, say
from .scale import Scale
from .scale import measure as measure_scale
from .server import LAUNCHERS
from .workspace import BenchError, Workspace

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TMPFS = Path("/dev") / "shm"


def names(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """A comma-separated choice among `known`. Raises argparse.ArgumentTypeError for any other name."""
    chosen = tuple(text.split(","))
    for name in chosen:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return chosen


def row_names(text: str) -> tuple[str, ...]:
    return names(text, tuple(TITLES))


def server_names(text: str) -> tuple[str, ...]:
    return names(text, tuple(LAUNCHERS))


def natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("at least 0")
    return number


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def parser() -> argparse.ArgumentParser:
    new = argparse.ArgumentParser("./dev bench", description="libsshd beside OpenSSH, asyncssh and paramiko")
    rows, servers = tuple(TITLES), tuple(LAUNCHERS)
    new.add_argument("--scale", action="store_true", help="many sessions at once, many in a row: see --scale --help")
    new.add_argument("--harness", action="store_true", help="starts and resets of libsshd.testing, and leaks")
    new.add_argument("--only", type=row_names, default=rows, metavar="ROW,...", help=", ".join(rows))
    new.add_argument("--servers", type=server_names, default=servers, metavar="NAME,...", help=", ".join(servers))
    counts = {
        "runs": (7, "rounds per row"),
        "peer-runs": (2, "rounds of asyncssh and paramiko per row"),
        "memory-runs": (3, "rounds of the memory rows (asyncssh and paramiko: one)"),
        "size": (1024, "MiB of the large file"),
        "peer-size": (1024, "MiB of it for asyncssh and paramiko; a smaller one is scaled up, and said so"),
        "files": (2000, "small files per client"),
        "entries": (10000, "entries of the large directory"),
        "logins": (64, "logins"),
        "sessions": (200, "idle sessions"),
        "moved-sessions": (40, "idle sessions that have moved 100 MiB each"),
    }
    for name, (default, text) in counts.items():
        new.add_argument(f"--{name}", type=positive, default=default, metavar="N", help=f"{text} ({default})")
    new.add_argument("--kex", default=KEX, help=f"KexAlgorithms of the client ({KEX})")
    new.add_argument("--directory", type=Path, default=TMPFS, help="a tmpfs (/dev/shm)")
    new.add_argument("--json", type=Path, metavar="FILE", help="save all figures")
    new.add_argument("--load", type=Path, metavar="FILE", help="measure nothing, take saved figures")
    new.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the ratios to OpenSSH")
    new.add_argument("--baseline", type=Path, metavar="FILE", help="mark falls of more than 5 %%")
    return new


def scale_parser() -> argparse.ArgumentParser:
    new = argparse.ArgumentParser("./dev bench --scale", description="What libsshd holds, and what it leaves behind")
    new.add_argument("--scale", action="store_true", required=True, help=argparse.SUPPRESS)
    counts = {
        "sessions": (10_000, "sessions held at once, with a STAT a minute; 0: none"),
        "minutes": (3, "minutes they are held"),
        "cycles": (100_000, "logins with a STAT, one after the other; 0: none"),
    }
    for name, (default, text) in counts.items():
        new.add_argument(f"--{name}", type=natural, default=default, metavar="N", help=f"{text} ({default})")
    new.add_argument("--directory", type=Path, default=TMPFS, help="a tmpfs (/dev/shm)")
    return new


def run_scale(arguments: list[str]) -> int:
    options = scale_parser().parse_args(arguments)
    with Workspace(options.directory) as place:
        return 0 if measure_scale(Scale(options.sessions, options.minutes, options.cycles), place) else 1


def run_harness() -> int:
    from .harness import measure as measure_harness

    measure_harness()
    return 0


def plan_of(options: argparse.Namespace) -> Plan:
    chosen = dict(vars(options))
    for name in ("json", "load", "plot", "baseline", "scale", "harness"):
        chosen.pop(name)
    chosen["rows"] = chosen.pop("only")
    return Plan(**chosen)


def measure(plan: Plan, target: Path | None) -> Result:
    """Run the plan; what was measured before an interruption is saved and returned."""
    with Workspace(plan.directory) as place:
        run = Run(plan, place)
        try:
            run.all()
        except KeyboardInterrupt:
            run.result.failures.append("interrupted")
            say("interrupted")
    if target is not None:
        run.result.save(target)
    return run.result


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """End the run; a second signal must not cut the cleaning up short."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def run_comparison(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    earlier = Result.load(options.baseline) if options.baseline else None
    result = Result.load(options.load) if options.load else measure(plan_of(options), options.json)
    print(report(result, earlier))
    if options.plot:
        options.plot.write_text(draw(result))
    return 1 if result.failures else 0


def main(arguments: list[str]) -> int:
    for number in INTERRUPTS:
        signal.signal(number, interrupt)
    try:
        if "--harness" in arguments:
            return run_harness()
        return (run_scale if "--scale" in arguments else run_comparison)(arguments)
    except BenchError as error:
        say(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
