"""A server for tests, in this process: its tree, its log, its faults, its network, all at hand.

`Harness` goes around any SFTPServer; `Server` makes one that suits a test.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from libsshd.errors import SFTPServerError
from libsshd.events import EventHooks, EventSlot
from libsshd.fs.memory import MemoryFileSystem
from libsshd.hostkeys import HostKey
from libsshd.server import SFTPServer
from libsshd.settings import SETTINGS
from libsshd.testing.expect import Expect
from libsshd.testing.identity import Accounts, ClientFiles
from libsshd.testing.log import Log
from libsshd.testing.network import Network
from libsshd.testing.recording import Recorder, Recording
from libsshd.testing.replay import Player
from libsshd.testing.rule import Rules
from libsshd.testing.switchboard import Switchboard

USER, PASSWORD = "tester", "secret"
logging.getLogger("libsshd").addHandler(logging.NullHandler())  # what goes wrong on purpose is no news

_DEFAULTS: Mapping[str, object] = {
    "local_host": "127.0.0.1",
    "local_port": 0,
    "max_connections": 100_000,
    "protocol_version": 6,
    "allow_links": True,
    "server_eol": "LF",
    "unix_style_date_format": True,
    "failure_delay": 0.0,
    "max_idle_requests": 0,
}
"""Nobody is kept out or slowed down, but by what a test asks for."""
_HOOKS = tuple(name for name, slot in vars(EventHooks).items() if isinstance(slot, EventSlot))

Files = Mapping[str, bytes | str]


class Harness:
    """What tests want of a server, around an SFTPServer. To be made before clients come."""

    def __init__(self, server: SFTPServer) -> None:
        self.server = server
        """The component underneath, with its events and settings."""
        self._fs = server.file_system
        self.log = Log()
        """Every request and its reply, in order."""
        self.faults = Rules()
        """What goes wrong, and when."""
        self.network = Network()
        """How the network behaves."""
        self.expect = Expect(self.log, self._content, self._size)
        """Assertions about what a client did."""
        self._player: Player | None = None
        self._board = Switchboard(self.log, self.faults, self.network)
        server.intercept(self._board)

    @property
    def fs(self) -> MemoryFileSystem:
        """The tree that clients see: `server.fs["in/a.csv"]`. Raises ValueError where a directory is served."""
        if not isinstance(self._fs, MemoryFileSystem):
            raise ValueError("there is no tree in memory")  # noqa: TRY004 - it is about the server
        return self._fs

    def _content(self, path: str) -> bytes:
        if isinstance(self._fs, MemoryFileSystem):
            return self._fs[path]
        return self._file(path).read_bytes()

    def _size(self, path: str) -> int:
        if isinstance(self._fs, MemoryFileSystem):
            return self._fs.stat(os.fsencode("/" + path.lstrip("/"))).size or 0
        return self._file(path).stat().st_size

    def _file(self, path: str) -> Path:
        return Path(self.server.root_directory, path.lstrip("/"))

    def record(self, path: str | os.PathLike[str], *, mask_data: bool = False) -> None:
        """Writes what happens from now on into a file, one JSON object a line (docs/testing.md). Raises OSError."""
        self.stop_recording()
        self._board.recorder = Recorder(open(path, "w", encoding="utf-8"), mask_data=mask_data)  # noqa: SIM115

    def stop_recording(self) -> None:
        """The file is complete then."""
        recorder, self._board.recorder = self._board.recorder, None
        if recorder is not None:
            recorder.close()

    def replay(self, path: str | os.PathLike[str]) -> None:
        """Answers as the server of a recording did, from now on. Raises OSError, ValueError."""
        self._player = Player(Recording.load(path))
        self._board.respond = self._player.respond

    def exchange_keys(self) -> None:
        """Has every connection exchange keys anew."""
        for connection in self.server.sftp_connections:
            with suppress(SFTPServerError):  # it has just ended
                self.server.exchange_keys(connection.id)

    def drop_connections(self) -> None:
        """Ends every connection at once and without a word."""
        self.server.drop_connections()

    def forget(self) -> None:
        """Nothing goes wrong any more, the network is perfect, the log is empty. Connections and the tree stay."""
        self.faults.clear()
        self.network.clear()
        self.log.clear()
        self._board.reset()

    @property
    def errors(self) -> list[BaseException]:
        """What handlers, and the server itself, raised that nobody expected."""
        return list(self._board.errors)

    def check(self) -> None:
        """Raises what a handler or the server raised, if anything did; several as an ExceptionGroup. Forgets it.

        In a replay, raises AssertionError for requests that the recording does not have.
        """
        if self._player is not None and self._player.unexpected:
            unexpected, self._player.unexpected = self._player.unexpected, []
            raise AssertionError(f"not in the recording: {', '.join(unexpected)}")
        errors, self._board.errors = self._board.errors, []
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("handlers or the server failed", errors)

    def stop(self) -> None:
        """Ends the server and whatever belongs to it. A second call does nothing."""
        self.faults.clear()
        self.server.stop_listening()
        self.server.drop_connections()
        self.server.shutdown()
        self.network.stop()
        self.stop_recording()


class Server(Harness):
    """Runs from its making to `stop`, or as long as a `with` statement.

    Raises SFTPServerError when it cannot run as asked; OSError, ValueError for a rule or a recording that is wrong.
    """

    def __init__(
        self, files: Files | None = None, *, user: str = USER, password: str = PASSWORD,
        users: Mapping[str, str] | None = None, faults: Iterable[Mapping[str, Any]] = (), quota: int | None = None,
        record: str | os.PathLike[str] | None = None, replay: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> None:  # fmt: skip
        """`files` are what it begins with, by their paths. `users` are further passwords by user. `faults` are rules
        as `Rules.add` takes them. `quota` is in bytes. `record` is a file to write a recording to, `replay` one to
        answer by. `settings` are those of SFTPServer; with `root_directory` that is served, and there is no tree in
        memory.
        """
        self.user = user
        self.password = password
        self._host_key = HostKey.generate()
        self._accounts = Accounts({user: password, **(users or {})})
        self._client_files = ClientFiles()
        fs = None if settings.get("root_directory") else _tree(files or {}, quota)
        super().__init__(SFTPServer(file_system=fs, host_keys=[self._host_key], **{**_DEFAULTS, **settings}))
        self._beginning = None if fs is None else fs.snapshot()
        self._settings = {name: getattr(self.server, name) for name in SETTINGS if name != "local_port"}
        self._quota = quota
        self._rules = list(faults)
        self._replayed = replay
        self._begin()
        if record is not None:
            self.record(record)
        self.server.start_listening()

    def _begin(self) -> None:
        for name in _HOOKS:
            setattr(self.server, name, None)
        self.server.on_ssh_user_auth_request(self._accounts.decide)
        for rule in self._rules:
            self.faults.add(rule)
        if self._replayed is not None:
            self.replay(self._replayed)

    # --- what a client needs ---

    @property
    def host(self) -> str:
        return self.server.local_host

    @property
    def port(self) -> int:
        return self.server.local_port

    @property
    def url(self) -> str:
        """sftp://USER@HOST:PORT, without the password."""
        return self.server.url.replace("sftp://", f"sftp://{self.user}@")

    @property
    def host_key(self) -> HostKey:
        """The key that the server proves itself with."""
        return self._host_key

    @property
    def private_key(self) -> str:
        """What `user` and all others can log in with, in OpenSSH's format."""
        return self._accounts.key.native.private_text

    @property
    def private_key_file(self) -> Path:
        """A file with it, as long as the server runs."""
        return self._client_files.path("id_ed25519", self.private_key)

    @property
    def known_hosts_line(self) -> str:
        """The line by which OpenSSH's clients and others know the server."""
        return f"[{self.host}]:{self.port} {self._host_key.public_line}"

    @property
    def known_hosts_file(self) -> Path:
        """A file with it, as long as the server runs."""
        return self._client_files.path("known_hosts", self.known_hosts_line + "\n")

    def env(self) -> dict[str, str]:
        """All of that for a program: SFTP_HOST, SFTP_PORT, SFTP_URL, SFTP_USER, SFTP_PASSWORD, SFTP_PRIVATE_KEY and
        SFTP_KNOWN_HOSTS, the last two names of files.
        """
        return {
            "SFTP_HOST": self.host,
            "SFTP_PORT": str(self.port),
            "SFTP_URL": self.url,
            "SFTP_USER": self.user,
            "SFTP_PASSWORD": self.password,
            "SFTP_PRIVATE_KEY": str(self.private_key_file),
            "SFTP_KNOWN_HOSTS": str(self.known_hosts_file),
        }

    def openssh(self, program: str = "sftp") -> list[str]:
        """How OpenSSH's `sftp` or `scp` is called: the program and its options, without an address."""
        return [
            program, "-P", str(self.port), "-i", str(self.private_key_file),
            "-F", "none", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=yes",
            "-o", f"UserKnownHostsFile={self.known_hosts_file}", "-o", "GlobalKnownHostsFile=none",
            "-o", f"User={self.user}",
        ]  # fmt: skip

    # --- from test to test ---

    def reset(self) -> None:
        """As it was at its beginning: no connections, the first tree, an empty log, no faults, a perfect network, no
        handlers, the first settings. What went wrong before is forgotten, and a recording ends.
        """
        self.faults.clear()  # nobody stalls any longer
        self.drop_connections()
        self.stop_recording()
        self.forget()
        if self._beginning is not None:
            self.fs.restore(self._beginning)
            self.fs.quota = self._quota
        for name, value in self._settings.items():
            if getattr(self.server, name) is not value:
                setattr(self.server, name, value)
        self._begin()

    def stop(self) -> None:
        super().stop()
        self._client_files.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises what `check` does, unless the body failed by itself: then that has notes of it."""
        self.stop()
        if error is None:
            self.check()
            return
        for other in self._board.errors:
            error.add_note(f"meanwhile the server's side failed: {type(other).__name__}: {other}")


def _tree(files: Files, quota: int | None) -> MemoryFileSystem:
    fs = MemoryFileSystem()
    for path, content in files.items():
        fs[path] = content
    fs.quota = quota
    return fs


def server(files: Files | None = None, **options: Any) -> Server:
    """A server that runs: `with libsshd.testing.server(files={"in/a.csv": b"1,2"}) as s: ...`; options of Server."""
    return Server(files, **options)
