"""A server in a process of its own whose memory can be measured: `python -m tests.support.target SETTINGS`.

SETTINGS is a JSON object; what stands in its list "config" is given to config(). The port is the first line of
stdout; each line of stdin names what is done to all connections, and is answered by a line.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from libsshd import HostKey, SFTPServer, SSHUserAuthRequest
from libsshd.serve.connection import Connection
from tests.support.account import PASSWORD, USER, let_in
from tests.support.command import end
from tests.support.server import first_line


def rekey(connection: Connection) -> None:
    """A command for `Connection.post`: starts a key exchange."""
    assert connection._native is not None
    connection._native.rekey()


def let_in_by_any_method(event: SSHUserAuthRequest) -> None:
    """As `let_in`, and the password answers a prompt too."""
    let_in(event)
    if event.auth_method.startswith("keyboard-interactive"):
        event.accept = event.user == USER and event.auth_param in ("", PASSWORD)  # "" after all answers


def main() -> None:
    settings = json.loads(sys.argv[1])
    config = settings.pop("config", [])
    server = SFTPServer(host_keys=[HostKey.generate()], **settings)
    for setting in config:
        server.config(setting)
    server.on_ssh_user_auth_request = let_in_by_any_method
    with server:
        print(server.local_port, flush=True)
        for line in sys.stdin:
            for connection in server._hub.connections:
                if line.strip() == "rekey":
                    connection.post(rekey)
                else:
                    connection.disconnect()
            print("done", flush=True)


class Target:
    """The process; its stderr goes to a file."""

    def __init__(self, directory: Path, *, root: Path | None = None, **settings: Any) -> None:
        self.root = root or directory / "root"
        if root is None:
            self.root.mkdir()
        settings = {"root_directory": str(self.root), "local_host": "127.0.0.1", "local_port": 0} | settings
        self._log = directory / "stderr"
        self._seen = 0
        with open(self._log, "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.target", json.dumps(settings)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0,
            )  # fmt: skip
        line = first_line(self.process, 30.0)
        assert line.strip().isdigit(), self.log
        self.port = int(line)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="backslashreplace")

    def crash(self) -> str:
        """The last exception that was logged since this was last asked, "" for none."""
        new = self.log[self._seen :]
        self._seen += len(new)
        return new[new.rindex("Traceback") :][:3000] if "Traceback" in new else ""

    def order(self, what: str) -> None:
        """ "rekey" or "disconnect"; returns when it has been passed on."""
        assert self.process.stdin is not None
        self.process.stdin.write(what.encode() + b"\n")
        assert first_line(self.process, 30.0) == b"done\n", self.log

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def memory(self) -> int:
        """Resident bytes."""
        return self._status("VmRSS") * 1024

    def peak(self) -> int:
        """The most bytes that were ever resident."""
        return self._status("VmHWM") * 1024

    def threads(self) -> int:
        return self._status("Threads")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        end(self.process)


if __name__ == "__main__":
    main()
