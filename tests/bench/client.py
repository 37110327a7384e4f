"""OpenSSH's `sftp`, always the same one, with a private configuration."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from .workspace import BenchError, Workspace

if TYPE_CHECKING:
    from pathlib import Path

GCM = "aes128-gcm@openssh.com"
CHACHA = "chacha20-poly1305@openssh.com"
KEX = "curve25519-sha256,curve25519-sha256@libssh.org"  # two names of what every server has
DEADLINE = 900.0  # seconds for one measured piece of work

CONFIG = """\
Host *
  IdentityFile {key}
  IdentitiesOnly yes
  IdentityAgent none
  PreferredAuthentications publickey
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking no
  ControlMaster no
  ControlPath none
  Compression no
  KexAlgorithms {kex}
  AddressFamily inet
  LogLevel ERROR
"""


class UnsupportedError(BenchError):
    """The server has no algorithm in common with the client."""


@dataclass(frozen=True)
class Address:
    user: str
    port: int


@dataclass
class Job:
    """One client: the batch it gets, and what it printed once it has run."""

    batch: str
    output: str = ""


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    output: IO[bytes]
    errors: IO[bytes]
    pidfd: int = field(default=-1)


class Client:
    """Runs `sftp` against a server, in the local directory of the workspace."""

    def __init__(self, place: Workspace, cipher: str = GCM, kex: str = KEX) -> None:
        self._place = place
        self._cipher = cipher
        self._config = place.path / "ssh_config"
        self._config.write_text(CONFIG.format(key=place.user_key, kex=kex))

    def command(self, address: Address, batch: Path, *options: str) -> list[str]:
        program = shutil.which("sftp")
        if program is None:
            raise BenchError("no sftp client: install the package openssh-client")
        return [
            program,
            "-F",
            str(self._config),
            f"-oCiphers={self._cipher}",
            *options,
            *self._target(address, batch),
        ]

    def _target(self, address: Address, batch: Path) -> list[str]:
        return ["-b", str(batch), "-P", str(address.port), f"{address.user}@127.0.0.1"]

    def negotiate(self, address: Address) -> dict[str, str]:
        """Log in once; returns what was agreed on: {"kex": ..., "cipher": ..., "mac": ...}.

        Raises UnsupportedError when the server lacks the cipher, BenchError when the login fails.
        """
        batch = self._batch("negotiate", "pwd\n")
        done = subprocess.run(
            self.command(address, batch, "-v"),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        text = done.stderr.decode(errors="replace")
        if "no matching cipher" in text:
            raise UnsupportedError(f"has no {self._cipher}")
        kex = re.search(r"kex: algorithm: (\S+)", text)
        cipher = re.search(r"kex: server->client cipher: (\S+) MAC: (\S+)", text)
        if done.returncode != 0 or kex is None or cipher is None:
            raise BenchError(f"cannot log in with {self._cipher}: {' / '.join(text.splitlines()[-3:])}")
        return {"kex": kex[1], "cipher": cipher[1], "mac": cipher[2]}

    def run(self, address: Address, jobs: list[Job], at_once: int) -> float:
        """Run every job, at most `at_once` together; returns wall seconds, first start to last end."""
        commands = [self.command(address, self._batch(str(n), job.batch)) for n, job in enumerate(jobs)]
        waiting = list(zip(jobs, commands, strict=True))[::-1]
        running: dict[int, _Running] = {}
        poll = select.poll()
        begin = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    started = self._start(*waiting.pop(), len(waiting))
                    running[started.pidfd] = started
                    poll.register(started.pidfd, select.POLLIN)
                for pidfd, _ in self._await(poll, begin):
                    poll.unregister(pidfd)
                    self._finish(running.pop(pidfd))
            return time.monotonic() - begin
        finally:
            for left in running.values():
                left.process.kill()
                self._finish(left, check=False)

    def _batch(self, name: str, text: str) -> Path:
        path = self._place.path / f"batch-{name}"
        path.write_text(text)
        return path

    def _await(self, poll: select.poll, begin: float) -> list[tuple[int, int]]:
        ready = poll.poll(max(0.0, begin + DEADLINE - time.monotonic()) * 1000)
        if not ready:
            raise BenchError(f"the clients were not done after {DEADLINE:.0f} s")
        return ready

    def _start(self, job: Job, command: list[str], number: int) -> _Running:
        output = (self._place.path / f"output-{number}").open("w+b")
        errors = (self._place.path / f"errors-{number}").open("w+b")
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=self._place.local
        )
        return _Running(job, process, output, errors, os.pidfd_open(process.pid))

    def _finish(self, ended: _Running, check: bool = True) -> None:
        status = ended.process.wait()
        os.close(ended.pidfd)
        ended.output.seek(0)
        ended.errors.seek(0)
        ended.job.output = ended.output.read().decode(errors="replace")
        errors = ended.errors.read().decode(errors="replace").strip()
        ended.output.close()
        ended.errors.close()
        if check and status != 0:
            raise BenchError(f"sftp ended with {status}: {errors[-400:]}")
