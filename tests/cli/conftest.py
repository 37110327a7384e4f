"""The command as people run it: a process of its own, with a home of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.command import DEADLINE, end
from tests.support.server import first_line

PROGRAM = (sys.executable, "-m", "libsshd_cli")


class Running:
    """A `libsshd run` whose clients can connect; `url` is its first line."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log
        self.url = first_line(process, DEADLINE).decode().removesuffix("\n")
        assert self.url.startswith("sftp://"), self.log()
        self.port = int(self.url.rpartition(":")[2])

    def log(self) -> str:
        """What is on standard error so far."""
        return self._log.read_text(encoding="utf-8")

    def greeting(self, title: str) -> str:
        """The value beside a title of the greeting."""
        lines = [line for line in self.log().splitlines() if line.startswith(f"{title:<10}  ")]
        assert len(lines) == 1, self.log()
        return lines[0][12:]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit status; nothing more is on stdout, no traceback in the log."""
        assert self.process.stdout is not None
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE)
        assert self.process.stdout.read() == b""
        assert "Traceback" not in self.log(), self.log()
        return status


class Command:
    """Runs the command with `home` as home directory, current directory and state."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "PYTHONWARNINGS": "error",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def run(self, *arguments: str | bytes | Path, **extra: str) -> "subprocess.CompletedProcess[str]":
        """Run to the end."""
        return subprocess.run(
            [*PROGRAM, *arguments],
            cwd=self.home,
            env=self.environment | extra,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    def begin(self, arguments: Sequence[str | Path]) -> "tuple[subprocess.Popen[bytes], Path]":
        """Start in the background; return the process and the file that takes its standard error."""
        log = self.home / f"stderr{len(self.started)}"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [*PROGRAM, *arguments],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                bufsize=0,
                stderr=stderr,
            )
        self.started.append(process)
        return process, log

    def serve(self, *options: str | Path) -> Running:
        """Start `libsshd run` on a free port."""
        return Running(*self.begin(["run", "--port", "0", *options]))


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    home = tmp_path / "home"
    home.mkdir()
    made = Command(home)
    yield made
    for process in made.started:
        end(process)
