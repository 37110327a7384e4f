"""Servers whose events are all noted, and a thread that polls them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from libsshd import HostKey, SFTPServer
from libsshd.events import EVENTS, Event
from tests.support.account import PASSWORD, USER, let_in
from tests.support.command import environment, wait_until
from tests.support.hostile import Peer
from tests.support.rawsftp import RawSFTP
from tests.support.sshwire import DEADLINE, Message

KEY = HostKey.generate()


def make(root: Path | None, **settings: Any) -> SFTPServer:
    """A server for alice, not started; without a root, handlers are the file system."""
    wanted: dict[str, Any] = {"local_host": "127.0.0.1", "local_port": 0, "failure_delay": 0.0}
    server = SFTPServer(host_keys=[KEY], root_directory=str(root or ""), **(wanted | settings))
    server.on_ssh_user_auth_request.add(let_in)
    return server


class Follower(Peer):
    """A client that takes part when the server exchanges keys anew."""

    _follows = True

    def receive(self, timeout: float = DEADLINE) -> bytes:
        payload = super().receive(timeout)
        if payload[0] != Message.KEXINIT or not self.session_id or not self._follows:
            return payload
        self._their_init = payload
        self._follows = False
        self.send_kexinit()
        self.finish_exchange()
        self._follows = True
        return self.receive(timeout)


def session(peer: Peer) -> RawSFTP:
    """Logs in and begins an SFTP session."""
    return RawSFTP(peer.login().sftp()).init()


class Record:
    """The events of a server, or those of some names: what they say, and their threads.

    `together` is how many handlers have run at once.
    """

    def __init__(self, server: SFTPServer, *names: str) -> None:
        self.events: list[Any] = []
        self.threads: set[int] = set()
        self.together = 0
        self._running = 0
        self._lock = threading.Lock()
        for event in EVENTS:
            if not names or event.__name__ in names:
                server.hook(event).add(self)

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._running += 1
            self.together = max(self.together, self._running)
            self.threads.add(threading.get_ident())
            self.events.append(event)
        with self._lock:
            self._running -= 1

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    def of(self, name: str) -> list[Any]:
        """The events of that name."""
        return [event for event in self.events if type(event).__name__ == name]

    def wait_for(self, name: str, count: int = 1) -> Any:
        """The last of so many events of that name."""
        wait_until(lambda: len(self.of(name)) >= count, f"{count} times {name}; there were {self.names}")
        return self.of(name)[count - 1]


@contextmanager
def polling(server: SFTPServer) -> Iterator[int]:
    """A thread that calls do_events() in a loop; its number."""
    over = threading.Event()
    idents: list[int] = []

    def poll() -> None:
        idents.append(threading.get_ident())
        while not over.is_set():
            server.do_events()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        wait_until(lambda: bool(idents), "a thread")
        yield idents[0]
    finally:
        over.set()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def polite(*peers: Peer) -> Iterator[None]:
    """Clients that close when the server does, and keep nobody waiting; what it says to them is lost."""

    def attend(peer: Peer) -> None:
        peer.end_of_stream(20)
        peer.close()

    threads = [threading.Thread(target=attend, args=[peer]) for peer in peers]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def poll_until(server: SFTPServer, condition: Callable[[], bool], what: str) -> None:
    """Polls on this thread."""

    def met() -> bool:
        server.do_events()
        return condition()

    wait_until(met, what)


def gone(server: SFTPServer) -> bool:
    """Whether no connection is left, not even one whose end nobody has heard of."""
    return server.sftp_connection_count == 0 and not server._hub.connections


def sftp(server: SFTPServer, home: Path) -> subprocess.Popen[bytes]:
    """OpenSSH's sftp, which takes commands on stdin; the password comes from a program."""
    program = home / "password"
    program.write_text(f"#!/bin/sh\necho {PASSWORD}\n")
    program.chmod(0o700)
    options = {
        "Port": str(server.local_port),
        "User": USER,
        "PreferredAuthentications": "password",
        "NumberOfPasswordPrompts": "1",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "ConnectTimeout": "20",
        "LogLevel": "INFO",
    }
    argv = ["sftp", "-F", "none", *(f"-o{name}={value}" for name, value in options.items()), "127.0.0.1"]
    ask = {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(argv, env=environment(home, ask), **pipes)  # type: ignore[call-overload,no-any-return]
