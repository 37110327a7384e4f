"""The servers under measurement, each started below a warden with the same key, root and limits."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import re
import select
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .client import Address
from .process import descendants, tree_cpu, tree_pss_kib
from .workspace import BenchError, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

CONNECTIONS = 1000
STARTUPS = 1000
START_DEADLINE = 20.0  # seconds
QUIET_DEADLINE = 10.0  # seconds
QUIET_WINDOW = 0.05  # seconds without CPU time that count as quiet
REPOSITORY = Path(__file__).resolve().parents[2]

SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {host_key}
AuthorizedKeysFile {authorized_keys}
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
PidFile none
LogLevel ERROR
LoginGraceTime 60
MaxAuthTries 6
MaxStartups {startups}
MaxSessions 10
Compression no
PrintLastLog no
PrintMotd no
Subsystem sftp internal-sftp -d {root}
"""


class UnavailableError(BenchError):
    """This server cannot run here; the sentence says why."""


@dataclass(frozen=True)
class Launch:
    """`command` prints its URL once it is ready, or listens on `port` when it is the silent kind."""

    command: list[str]
    user: str
    port: int = 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def find_libsshd() -> list[str]:
    """The installed command beside this interpreter, or on the PATH."""
    beside = Path(sys.executable).with_name("libsshd")
    found = str(beside) if beside.exists() else shutil.which("libsshd")
    if found is None:
        raise UnavailableError("libsshd is not installed beside this Python: ./dev setup")
    return [found]


def launch_libsshd(place: Workspace, connections: int = CONNECTIONS) -> Launch:
    options = {
        "--root": str(place.root),
        "--host": "127.0.0.1",
        "--port": "0",
        "--user": "bench",
        "--password": os.urandom(12).hex(),
        "--authorized-keys": str(place.authorized_keys),
        "--host-key": str(place.host_key),
        "--max-connections": str(connections),
        "--max-startups": str(STARTUPS),
        "--log-level": "warning",
    }
    return Launch([*find_libsshd(), "run", *(word for pair in options.items() for word in pair)], "bench")


def launch_watched(place: Workspace) -> Launch:
    files = [str(place.root), str(place.host_key), str(place.authorized_keys)]
    return Launch([sys.executable, "-m", "tests.bench.peers.libsshd_watched", *files, "bench"], "bench")


def launch_openssh(place: Workspace) -> Launch:
    program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        raise UnavailableError("no sshd: install the package openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    config = place.path / "sshd_config"
    config.write_text(
        SSHD_CONFIG.format(
            port=port,
            host_key=place.host_key,
            authorized_keys=place.authorized_keys,
            startups=STARTUPS,
            root=place.root,
        )
    )
    return Launch([program, "-D", "-e", "-f", str(config)], pwd.getpwuid(os.geteuid()).pw_name, port)


def launch_python(library: str) -> Callable[[Workspace], Launch]:
    def launch(place: Workspace) -> Launch:
        if importlib.util.find_spec(library) is None:
            raise UnavailableError(f"{library} is not installed for this Python: pip install {library}")
        module = f"tests.bench.peers.{library}_server"
        files = [str(place.root), str(place.host_key), str(place.authorized_keys)]
        return Launch([sys.executable, "-m", module, *files, "bench"], "bench")

    return launch


def version_of_libsshd() -> str:
    command = [*find_libsshd(), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return ", ".join(done.stdout.split("\n")).strip(", ")


def version_of_openssh() -> str:
    done = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True, timeout=30)
    return done.stderr.strip()


def version_of_python_library(library: str) -> Callable[[], str]:
    def version() -> str:
        cryptography = importlib.metadata.version("cryptography")
        return f"{library} {importlib.metadata.version(library)}, cryptography {cryptography}"

    return version


LAUNCHERS: dict[str, Callable[[Workspace], Launch]] = {
    "libsshd": launch_libsshd,
    "openssh": launch_openssh,
    "asyncssh": launch_python("asyncssh"),
    "paramiko": launch_python("paramiko"),
}
VERSIONS: dict[str, Callable[[], str]] = {
    "libsshd": version_of_libsshd,
    "openssh": version_of_openssh,
    "asyncssh": version_of_python_library("asyncssh"),
    "paramiko": version_of_python_library("paramiko"),
}


WATCHED: dict[str, Callable[[Workspace], Launch]] = {"libsshd": launch_watched}
"""How servers start for the rows that watch READ; for the others nothing changes."""


class Server:
    """A running server. Entering waits until it accepts clients; leaving ends every process it has made."""

    def __init__(
        self,
        name: str,
        place: Workspace,
        *,
        watched: bool = False,
        launch: Callable[[Workspace], Launch] | None = None,
    ) -> None:
        self.name = name
        self._launch = launch or (WATCHED if watched else {}).get(name, LAUNCHERS[name])
        self._place = place
        self._log = place.path / f"{name}.log"

    def __enter__(self) -> Server:
        launch = self._launch(self._place)
        with self._log.open("wb") as log:
            self._warden = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.warden", *launch.command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=REPOSITORY,
                start_new_session=True,
            )
        try:
            port = self._await_listening(launch.port) if launch.port else self._await_url()
            self.address = Address(launch.user, port)
            self._resident = len(descendants(self._warden.pid))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def cpu(self) -> float:
        """CPU seconds of all its processes so far, dead ones included; waits until it is quiet."""
        self.await_quiet()
        return tree_cpu(self._warden.pid)

    def pss_kib(self) -> int:
        """PSS of all its processes in KiB."""
        return tree_pss_kib(self._warden.pid)

    @property
    def pid(self) -> int:
        """Its first process, below the warden."""
        return descendants(self._warden.pid)[0]

    def last_words(self) -> str:
        """The end of its log, for a failure's message."""
        return self._log.read_text(errors="replace")[-400:].strip()

    def warnings(self) -> list[str]:
        """The lines of its log that are more than news."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if line.split()[1:2] in (["warning"], ["error"])]

    def _stop(self) -> None:
        self._warden.terminate()
        self._warden.wait()
        if self._warden.stdout is not None:
            self._warden.stdout.close()

    def _await_url(self) -> int:
        assert self._warden.stdout is not None
        ready, _, _ = select.select([self._warden.stdout], [], [], START_DEADLINE)
        line = self._warden.stdout.readline().decode() if ready else ""
        match = re.fullmatch(r"sftp://\S+:(\d+)\s*", line)
        if match is None:
            raise UnavailableError(f"{self.name} printed {line!r}, not its URL; its log ends: {self.last_words()}")
        return int(match[1])

    def _await_listening(self, port: int) -> int:
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline and self._warden.poll() is None:
            if listens(port):
                return port
            time.sleep(0.01)
        raise UnavailableError(f"{self.name} does not listen; its log ends: {self.last_words()}")

    def await_quiet(self, patience: float = QUIET_DEADLINE) -> None:
        """Wait until the processes of past connections are gone and no CPU time is spent any more."""
        deadline = time.monotonic() + patience
        before = -1.0
        while time.monotonic() < deadline:
            now = tree_cpu(self._warden.pid)
            if now - before < QUIET_WINDOW / 50 and len(descendants(self._warden.pid)) <= self._resident:
                return
            before = now
            time.sleep(QUIET_WINDOW)
        raise BenchError(f"{self.name} is still busy {patience:.0f} s after its last client has left")


def listens(port: int) -> bool:
    """Whether a TCP socket listens on 127.0.0.1:port, without connecting to it."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[3] == "0A":
            return True
    return False
