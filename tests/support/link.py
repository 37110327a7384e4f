"""One connection of the C core on a thread of its own, served just far enough: who asks is let in, SFTP works."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from libsshd._native import Algorithms, Bind, Connection, ConnectionInfo, EventKind, Key
from libsshd.fs.base import FileSystem
from libsshd.serve.session import Session, context_without_server, stock_replies
from libsshd.settings import Settings
from libsshd.wire import ssh
from tests.support.command import wait_until
from tests.support.hostile import Peer, auth_request
from tests.support.sshwire import DEADLINE, HOST, Message

T = TypeVar("T")
_DEFAULTS = Settings()
_LAST = {EventKind.GONE, EventKind.STALLED, EventKind.DEADLINE}


def algorithms(**changes: str) -> Algorithms:
    """Those of the default settings, but for `changes`."""
    lists = {
        "version": "libsshd_test",
        "kex": _DEFAULTS.ssh_key_exchange_algorithms,
        "ciphers": _DEFAULTS.ssh_encryption_algorithms,
        "macs": _DEFAULTS.ssh_mac_algorithms,
        "host_keys": _DEFAULTS.ssh_public_key_algorithms,
        "public_keys": _DEFAULTS.ssh_pub_key_auth_sig_algorithms,
    }
    return Algorithms(**(lists | changes))


def openssh_options(port: int) -> list[str]:
    """Options of ssh and sftp for a client of a Link."""
    settings = {
        "User": "alice",
        "Port": str(port),
        "IdentityFile": "none",
        "IdentityAgent": "none",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "no",
        "LogLevel": "ERROR",
        "ConnectTimeout": "20",
    }
    return ["-F", "none", *(f"-o{name}={value}" for name, value in settings.items())]


def asyncssh_options() -> dict[str, Any]:
    """Arguments of asyncssh.connect for a client of a Link."""
    return {"username": "alice", "known_hosts": None, "config": None, "agent_path": None, "client_keys": None}


def log_in(peer: Peer) -> Peer:
    """After the first exchange: everybody is let in."""
    assert peer.service().attempt(auth_request(b"alice", b"none")) == Message.USERAUTH_SUCCESS
    return peer


class Link:
    """Accepts one client. Leaving the `with` block ends it, and raises here what was raised on the thread.

    `prepare` is called with the connection before it is served. `on_message` sees every message first, and answers
    those for which it returns true.
    """

    def __init__(
        self,
        fs: FileSystem | None = None,
        *,
        keys: Iterable[Key] = (),
        strict: int = 1,
        prepare: Callable[[Connection], None] | None = None,
        on_message: Callable[[Connection, bytes], bool] | None = None,
        lists: Mapping[str, str] | None = None,
    ) -> None:
        self.events: list[tuple[EventKind, int]] = []
        self.error: int | None = None  # the errno it ended with
        self.error_text = ""
        self.info: ConnectionInfo | None = None  # at the end
        self.farewell = (0, "")  # of the client
        self._bind = Bind(list(keys) or [Key.generate("ssh-ed25519")], algorithms(**(lists or {})))
        self._context = context_without_server(Settings(), fs) if fs else None
        self._sessions: dict[int, Session] = {}
        self._strict = strict
        self._prepare, self._on_message = prepare, on_message
        self._commands: list[Callable[[Connection], None]] = []
        self._lock = threading.Lock()
        self._native: Connection | None = None
        self._failure: BaseException | None = None
        self._over = False
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(DEADLINE)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    # --- for the test ---

    def post(self, command: Callable[[Connection], None]) -> None:
        """Runs it on the thread."""
        self._commands.append(command)
        with self._lock:
            if self._native:
                self._native.wake()

    def call(self, question: Callable[[Connection], T]) -> T:
        """Runs it on the thread; what it returned."""
        answers: queue.Queue[T] = queue.Queue()
        self.post(lambda native: answers.put(question(native)))
        return answers.get(timeout=DEADLINE)

    def count(self, kind: EventKind) -> int:
        return [event[0] for event in self.events].count(kind)

    def wait_for(self, kind: EventKind, count: int = 1, deadline: float = DEADLINE) -> None:
        wait_until(lambda: self.count(kind) >= count, f"{count} times {kind.name}", deadline)

    def join(self) -> None:
        """Waits for the end, which the client must have brought about."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the connection does not end"
        if self._failure is not None:
            raise self._failure

    # --- the thread ---

    def _run(self) -> None:
        try:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return  # nobody came
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            native = Connection(self._bind, sock.detach(), strict=self._strict)
            native.announce_banner()
            with self._lock:
                self._native = native
            try:
                self._serve(native)
            finally:
                self.error_text, self.info = native.error_text, native.describe()
                self.farewell = native.peer_reason, native.peer_text
                with self._lock:
                    self._native = None
                for session in self._sessions.values():
                    session.close()
                native.free()
        except BaseException as error:  # noqa: BLE001 -- raised again by `join`
            self._failure = error

    def _serve(self, native: Connection) -> None:
        if self._prepare:
            self._prepare(native)
        self.post(lambda _: None)
        reply = b""
        while not self._over:
            kind = EventKind(native.next(reply))
            self.events.append((kind, native.length))
            reply = b""
            if kind == EventKind.GONE:
                self.error = native.error
            if kind in _LAST:
                return
            if kind == EventKind.PACKET:
                reply = self._sessions[native.channel].answer(native.data)
            else:
                self._handle(native, kind)

    def _handle(self, native: Connection, kind: EventKind) -> None:
        if kind == EventKind.WAKE:
            while self._commands:
                self._commands.pop(0)(native)
        elif kind == EventKind.EOF:
            session = self._sessions.pop(native.channel, None)
            if session:
                session.close()
            native.finish_channel(native.channel, 0)
        elif kind == EventKind.MESSAGE:
            payload = native.data
            if not (self._on_message and self._on_message(native, payload)):
                self._answer(native, ssh.parse(payload))

    def _answer(self, native: Connection, message: object) -> None:
        match message:
            case ssh.ServiceRequest(service=service):
                native.send(ssh.build_service_accept(service))
            case ssh.ChannelOpen():
                native.open_channel(message.sender_channel, message.initial_window, message.maximum_packet)
            case ssh.ChannelRequest():
                self._answer_request(native, message)
            case ssh.GlobalRequest():
                if message.want_reply:
                    native.send(ssh.build_request_failure())
            case ssh.InfoResponse():
                native.send(ssh.build_userauth_failure([b"password"], partial_success=False))
            case _:  # any request to log in
                native.authenticated()

    def _answer_request(self, native: Connection, message: ssh.ChannelRequest) -> None:
        granted = message.name == b"subsystem" and self._context is not None
        if granted and self._context:
            sftp = native.start_sftp(message.recipient_channel, *stock_replies())
            self._sessions[message.recipient_channel] = Session(self._context, sftp, native.flush)
        remote = native.remote_id(message.recipient_channel)
        if message.want_reply and remote is not None:
            native.send((ssh.build_channel_success if granted else ssh.build_channel_failure)(remote))

    # --- the end ---

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self.post(lambda _: None)
        with suppress(OSError):  # wakes accept()
            self._listener.shutdown(socket.SHUT_RDWR)
        try:
            self.join()
        finally:
            self._listener.close()
