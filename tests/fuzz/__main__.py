"""./dev fuzz: long runs of the fuzz targets, and what is to be done with what they found."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .build import TARGETS
from .harness import WORK, found, fuzz, keep, kept, replay


def main() -> int:
    arguments = parse()
    if arguments.repeat:
        return repeat(arguments.targets[0], arguments.repeat)
    work = merge if arguments.merge else lambda target: search(target, arguments.seconds)
    return max(work(target) for target in arguments.targets)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Fuzz the C core under ASan and UBSan.")
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all of them if none is named"
    )
    parser.add_argument("--seconds", type=int, default=600, help="how long to run each target (600)")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="run TARGET once, over this input")
    parser.add_argument(
        "--merge", action="store_true", help="renew tests/fuzz/corpus from it and from what runs found"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}")
    arguments.targets = arguments.targets or list(TARGETS)
    return arguments


def search(target: str, seconds: int) -> int:
    with kept(target) as known:
        code = fuzz(target, f"-max_total_time={seconds}", "-print_final_stats=1", str(found(target)), str(known))
    if code:
        print(f"{target} is broken. To repeat it: ./dev fuzz {target} --repeat {WORK}/crashes/{target}/FILE")
    return code


def repeat(target: str, file: Path) -> int:
    done = replay(target, [file])
    sys.stdout.write(done.stdout + done.stderr)
    return abs(done.returncode)


def merge(target: str) -> int:
    """The fewest inputs that reach all that the known ones reach."""
    with tempfile.TemporaryDirectory(dir=WORK) as merged, kept(target) as known:
        code = fuzz(target, "-set_cover_merge=1", merged, str(known), str(found(target)))
        if code == 0:
            keep(target, Path(merged))
    return code


if __name__ == "__main__":
    sys.exit(main())
