"""`libsshd run` as a process of its own, and the keys that open it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

PASSWORD = "Open-Sesame.7"
KEY_TYPES = {  # name: arguments of ssh-keygen
    "ed25519": ["-t", "ed25519"],
    "ecdsa256": ["-t", "ecdsa", "-b", "256"],
    "ecdsa384": ["-t", "ecdsa", "-b", "384"],
    "ecdsa521": ["-t", "ecdsa", "-b", "521"],
    "rsa": ["-t", "rsa", "-b", "2048"],
}
HOST_KEY_TYPES = ("ed25519", "ecdsa256", "rsa")


def make_key(file: Path, arguments: list[str]) -> Path:
    """Make a key pair without a passphrase; return the private half."""
    subprocess.run(
        ["ssh-keygen", "-q", "-N", "", "-C", file.name, "-f", file, *arguments],
        check=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return file


class Keys:
    """One user key of each type, all of them authorised, and one host key of each type."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user = {name: make_key(directory / name, how) for name, how in KEY_TYPES.items()}
        self.host = {name: make_key(directory / f"host_{name}", KEY_TYPES[name]) for name in HOST_KEY_TYPES}
        self.authorized = directory / "authorized_keys"
        self.authorized.write_text("".join(self.public(key) for key in self.user.values()))
        self.authorized.chmod(0o600)

    @staticmethod
    def public(private: Path) -> str:
        """The line of the .pub file, with its newline."""
        return private.with_name(private.name + ".pub").read_text()


@dataclass
class Server:
    """A running server.  `root` is the local directory that clients see as "/"."""

    process: subprocess.Popen[bytes]
    directory: Path
    root: Path
    keys: Keys
    host: str
    port: int
    user: str
    password: str = PASSWORD

    @property
    def private_key(self) -> Path:
        return self.keys.user["ed25519"]

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def home(self) -> Path:
        """An empty home directory for the clients."""
        return self.directory / "home"

    def log(self) -> str:
        """What the server wrote to stderr so far."""
        return (self.directory / "stderr").read_text(errors="backslashreplace")

    def descriptors(self) -> int:
        """Open descriptors of the server process."""
        return sum(1 for _ in self._look_into("fd").iterdir())

    def memory(self) -> int:
        """Proportional set size of the server process in bytes."""
        rollup = self._look_into("smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024

    def _look_into(self, name: str) -> Path:
        if os.geteuid() != 0:
            pytest.skip("the command hides from its own user, only root can look into it")
        return Path(f"/proc/{self.process.pid}", name)

    def peak(self) -> int:
        """The most bytes that were ever resident."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024

    def stop(self) -> None:
        """SIGTERM; the server must leave with status 0, no traceback, and nothing more on stdout."""
        assert self.process.stdout is not None
        try:
            self.process.send_signal(signal.SIGTERM)
            status = self.process.wait(45)
        finally:
            self.process.kill()
            self.process.wait(10)
        with self.process.stdout as stdout:
            rest = stdout.read()
        assert status == 0, f"exit status {status}\n{self.log()}"
        assert rest == b"", "only the address belongs on stdout"
        for alarm in ("Traceback", "AddressSanitizer", "runtime error:"):
            assert alarm not in self.log(), self.log()


def first_line(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """The first line of stdout, or what there was of it when the process ended or the deadline passed."""
    assert process.stdout is not None
    line = b""
    end = time.monotonic() + deadline
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))
        byte = process.stdout.read(1) if ready else b""
        if not byte:
            break
        line += byte
    return line


def start(
    directory: Path,
    keys: Keys,
    *options: str,
    root: Path | None = None,
    user: str = "alice",
    host_keys: tuple[str, ...] = ("ed25519",),
) -> Server:
    """Start a server on a free port of 127.0.0.1 and wait until clients can connect.

    `directory` takes its stderr and known_hosts, and the root unless one is given; `options` go to the command.
    """
    chosen = [keys.host[name] for name in host_keys]
    root = root or directory / "root"
    for needed in (root, directory / "home", directory / "state"):
        needed.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "libsshd_cli", "run", "--root", str(root), "--host", "127.0.0.1", "--port", "0"]
    argv += ["--user", user, "--password", PASSWORD, "--authorized-keys", str(keys.authorized)]
    for key in chosen:
        argv += ["--host-key", str(key)]
    argv += ["--log-level", "info", "--log-format", "json", "--drain-timeout", "10", *options]
    with open(directory / "stderr", "wb") as stderr:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, bufsize=0)
    line = first_line(process, 30.0)
    url = urlsplit(line.decode().strip())
    if url.scheme != "sftp" or not url.port or not url.hostname or not url.username:
        process.kill()
        process.communicate(timeout=10)
        pytest.fail(f"no address on stdout but {line!r}; stderr: {(directory / 'stderr').read_text()}")
    known = "".join(f"[{url.hostname}]:{url.port} {Keys.public(key)}" for key in chosen)
    (directory / "known_hosts").write_text(known)
    return Server(process, directory, root, keys, url.hostname, url.port, url.username)
