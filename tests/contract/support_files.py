"""A server of a test's own, its clients, and notes of the events it fires."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import paramiko
from cryptography.hazmat.primitives import serialization

from libsshd import HostKey, SFTPServer
from libsshd.events import BeforeAndAfter, Error, Event
from tests.support.account import KEY, PASSWORD, USER, let_in
from tests.support.command import attempt
from tests.support.rawsftp import DEADLINE, ChannelStream, RawSFTP, Reply, Type

HOST_KEY = HostKey.generate()
_E = TypeVar("_E", bound=Event)


class Site:
    """Serves `root`, or nothing but what handlers make up; a context that ends server and clients.

    `errors` are the code and the text of every Error event.
    """

    def __init__(self, directory: Path, *, rooted: bool = True, **settings: Any) -> None:
        self.home = directory / "client"
        self.root = directory / "root"
        for needed in (self.home, self.root):
            needed.mkdir()
        wanted: dict[str, Any] = {"local_host": "127.0.0.1", "local_port": 0, "failure_delay": 0.0}
        wanted["root_directory"] = str(self.root) if rooted else ""
        self.server = SFTPServer(host_keys=[HOST_KEY], **(wanted | settings))
        self.server.on_ssh_user_auth_request = let_in
        self.server.on_error = self._note_error
        self.errors: list[tuple[int, str]] = []
        self._stack = ExitStack()

    def _note_error(self, e: Error) -> None:
        self.errors.append((e.error_code, e.description))

    def __enter__(self) -> Self:
        self._stack.enter_context(self.server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def login(self) -> paramiko.Transport:
        """One more connection; the test may close it."""
        transport = paramiko.Transport(("127.0.0.1", self.server.local_port))
        self._stack.callback(transport.close)
        transport.start_client(timeout=DEADLINE)
        transport.auth_password(USER, PASSWORD)
        return transport

    def raw(self, transport: paramiko.Transport | None = None) -> RawSFTP:
        """An SFTP channel on that connection, or on one of its own."""
        return RawSFTP(ChannelStream(transport or self.login())).init()

    def sftp(self, transport: paramiko.Transport | None = None) -> paramiko.SFTPClient:
        """Paramiko's own client, likewise."""
        client = paramiko.SFTPClient.from_transport(transport or self.login())
        assert client is not None
        client.get_channel().settimeout(DEADLINE)  # type: ignore[union-attr]
        return client

    def openssh(self, *commands: str, fails: bool = False) -> list[str]:
        """The lines that OpenSSH's sftp prints for a batch of commands, errors last; it must succeed, or not."""
        key = self.home / "key"
        if not key.exists():
            form = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            key.touch(0o600)
            key.write_bytes(KEY.private_bytes(*form))
        options = {
            "User": USER, "Port": self.server.local_port, "IdentityFile": key, "IdentitiesOnly": "yes",
            "IdentityAgent": "none", "UserKnownHostsFile": "/dev/null", "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "no", "LogLevel": "ERROR",
        }  # fmt: skip
        argv = ["sftp", "-F", "none", *(f"-o{name}={value}" for name, value in options.items())]
        done = attempt(
            [*argv, "-b", "-", "127.0.0.1"], home=self.home, stdin="\n".join(commands).encode(), cwd=self.home
        )
        printed = (done.stdout + done.stderr).decode()
        assert (done.returncode != 0) == fails, printed
        return [line.rstrip() for line in printed.splitlines() if not line.startswith("sftp> ")]

    def write(self, name: str, data: bytes = b"content", mode: int = 0o644) -> Path:
        """Puts a file on the disk."""
        path = self.root / name
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def tree(self) -> dict[str, tuple[int, bytes]]:
        """What is on the disk: mode and content of every name."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            info = path.lstat()
            data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.root))] = (info.st_mode, data)
        return found


class Diary:
    """Attached to a server, notes the parameters of every event of some kinds, as they are when it fires."""

    def __init__(self, server: SFTPServer, *kinds: type[Event]) -> None:
        self.entries: list[tuple[str, dict[str, Any]]] = []
        for kind in kinds:
            server.hook(kind).add(self._note)

    def _note(self, event: Event) -> None:
        name = type(event).__name__
        if isinstance(event, BeforeAndAfter):
            name += " before" if event.before_exec else " after"
        self.entries.append((name, {name: getattr(event, name) for name in event.parameters()}))

    @property
    def names(self) -> list[str]:
        """ "FileOpen before" and the like, in the order in which they fired."""
        return [name for name, _ in self.entries]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The parameters of all entries of a name."""
        return [parameters for entry, parameters in self.entries if entry == name]

    def one(self, name: str) -> dict[str, Any]:
        """As `of`, where there must be exactly one."""
        (found,) = self.of(name)
        return found


def status(reply: Reply) -> tuple[int, str]:
    """Code and text of a STATUS."""
    cursor = reply.cursor(Type.STATUS)
    code, text, _language = cursor.u32(), cursor.string(), cursor.string()
    cursor.end()
    return code, text.decode()
