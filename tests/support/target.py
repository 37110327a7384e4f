"""A server in a process of its own whose memory can be measured: `python -m tests.support.target SETTINGS`.

SETTINGS is a JSON object. The port is the first line of stdout; each line of stdin names what is done to all
connections, and is answered by a line.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from libsshd import HostKey, SFTPServer
from libsshd.serve.connection import Connection
from tests.support.account import let_in
from tests.support.command import end
from tests.support.server import first_line


def rekey(connection: Connection) -> None:
    """A command for `Connection.post`: starts a key exchange."""
    assert connection._native is not None
    connection._native.rekey()


def main() -> None:
    server = SFTPServer(host_keys=[HostKey.generate()], **json.loads(sys.argv[1]))
    server.on_ssh_user_auth_request = let_in
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

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.root = directory / "root"
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

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        end(self.process)


if __name__ == "__main__":
    main()
