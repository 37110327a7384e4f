"""Running the harnesses: over what is kept, over what is new."""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .build import HERE, ROOT, VARIANTS, program

WORK = ROOT / "build" / "fuzz"
MEMORY = Path("/dev/shm")
INPUT_MOST = 2048  # bytes of one input


def corpus(target: str) -> Path:
    """What is kept in the repository: an input a line, in base64."""
    return HERE / "corpus" / f"{target}.txt"


@contextmanager
def kept(target: str) -> Iterator[Path]:
    """A directory with a file for each input of the corpus."""
    with tempfile.TemporaryDirectory(prefix="libsshd-corpus-") as directory:
        for number, line in enumerate(corpus(target).read_text().split()):
            Path(directory, f"{number:04}").write_bytes(base64.b64decode(line))
        yield Path(directory)


def keep(target: str, directory: Path) -> None:
    """Makes what is in the directory the corpus."""
    lines = sorted(base64.b64encode(file.read_bytes()).decode() for file in directory.iterdir())
    corpus(target).write_text("".join(f"{line}\n" for line in lines if line))


def found(target: str) -> Path:
    """The corpus that long runs have grown here."""
    directory = WORK / "corpus" / target
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def replay(
    target: str, files: Sequence[Path], variant: str = "replay", tool: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Runs the target once over each of the files, under a tool if one is named."""
    with _environment() as environment:
        command = [*tool, str(program(target, VARIANTS[variant], WORK / variant)), *map(str, files)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def fuzz(target: str, *options: str) -> int:
    """Runs libFuzzer on the target; its return code. What it finds is kept under build/fuzz/."""
    crashes = WORK / "crashes" / target
    crashes.mkdir(parents=True, exist_ok=True)
    command = [
        str(program(target, VARIANTS["fuzzer"], WORK / "fuzzer")),
        f"-max_len={INPUT_MOST}",
        f"-artifact_prefix={crashes}/",
        *options,
    ]
    with _environment() as environment:
        return subprocess.run(command, env=environment, check=False).returncode


@contextmanager
def _environment() -> Iterator[dict[str, str]]:
    """With a directory for the trees of the targets, in memory where that can be had."""
    place = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="libsshd-fuzz-", dir=place) as directory:
        inherited = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        yield {**inherited, "FUZZ_DIRECTORY": directory, "UBSAN_OPTIONS": "print_stacktrace=1"}
