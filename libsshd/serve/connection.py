"""One connection and its thread: from the accepted socket to the last byte."""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from errno import EBUSY, EPROTO

from libsshd._native import Bind, EventKind
from libsshd._native import Connection as NativeConnection
from libsshd.admission import Admission
from libsshd.constants import ChannelOpenFailure, DisconnectReason
from libsshd.events import Hook, SSHUserAuthRequest
from libsshd.fs.base import FileSystem, normalise
from libsshd.settings import Settings
from libsshd.wire import ssh
from libsshd.wire.buffer import Malformed

from . import journal
from .login import Login, LoginError
from .session import ProtocolError, Session, SessionContext, sends_drafted_symlinks, stock_replies

_CHANNEL_PACKET_LEAST = 64
"""A client that takes smaller packets would make every byte cost a packet."""
_MALFORMED_EXIT = 11

Command = Callable[["Connection"], None]


@dataclass(slots=True, frozen=True)
class Services:
    """What all connections of a server share."""

    bind: Bind
    settings: Settings
    fs: FileSystem
    admission: Admission
    user_auth_request: Hook[SSHUserAuthRequest]
    ended: Callable[["Connection"], None]


class _Over(Exception):  # noqa: N818 - it is no error
    """Ends the loop; with a reason, after telling the client."""

    def __init__(self, reason: int | None = None, text: str = "") -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


class Connection:
    """Everything runs on the connection's own thread, except `disconnect`, `drain`, `evict` and `join`."""

    def __init__(self, services: Services, sock: socket.socket, peer: str, connection_id: int) -> None:
        self.id = connection_id
        self.busy = False
        self._services = services
        self._sock: socket.socket | None = sock
        self._facts: dict[str, object] = {"connection": connection_id, "peer": peer}
        self._commands: deque[Command] = deque()
        self._lock = threading.Lock()
        self._native: NativeConnection | None = None
        self._interrupted = threading.Event()
        self._sessions: dict[int, Session] = {}
        self._started: set[int] = set()
        self._no_more_sessions = False
        self._keys_exchanged = False
        self._may_log_in = False
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"libsshd-{connection_id}", daemon=True)

    # --- from any thread ---

    def start(self) -> None:
        """Raises RuntimeError when the system has no thread left."""
        self._thread.start()

    def post(self, command: Command) -> None:
        """Has `command` run on the connection's thread, soon; nothing happens when it is over."""
        self._commands.append(command)
        with self._lock:
            if self._native is not None:
                self._native.wake()

    def disconnect(self, text: str = "The server closes the connection") -> None:
        """Ends the connection; does not wait."""
        self._interrupted.set()
        self.post(lambda connection: connection._end(DisconnectReason.BY_APPLICATION, text))

    def evict(self) -> None:
        """At once and without a word: who has to make room must not keep it while it is told so."""
        self._interrupted.set()
        self.post(lambda connection: connection._end(None, ""))

    def drain(self) -> None:
        """Running transfers go on, nothing new is opened, and without any the connection ends."""
        self.post(Connection._drain)

    def join(self, timeout: float | None) -> bool:
        """Waits for the end; whether it came."""
        if not self.is_current:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on the connection's thread."""
        return threading.current_thread() is self._thread

    # --- the thread ---

    def _run(self) -> None:
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 - nothing above this could report it
            journal.failure("a connection ended unexpectedly", error, self._facts)
        finally:
            self._services.admission.leave(self)
            self._services.ended(self)

    def _serve(self) -> None:
        sock, self._sock = self._sock, None
        assert sock is not None
        native = NativeConnection(self._services.bind, sock.detach())
        with self._lock:
            self._native = native
        error = None
        try:
            self._prepare(native)
            error = self._loop(native)
            if error == EPROTO:
                native.close(DisconnectReason.PROTOCOL_ERROR, "Protocol error")
        except _Over as over:
            if over.reason is not None:
                native.close(over.reason, over.text)
        except BrokenPipeError as gone:
            error = gone.errno
        finally:
            try:
                for session in self._sessions.values():
                    session.close()
                self._log_end(native, error)
            finally:
                with self._lock:
                    self._native = None
                native.free()

    def _prepare(self, native: NativeConnection) -> None:
        settings = self._services.settings
        native.set_deadline(settings.login_timeout or None)
        native.set_stall_limit(settings.stall_timeout)
        self._login = Login(
            native, settings, self._services.user_auth_request, self.id, self._pause, self._facts
        )  # fmt: skip
        self._context = SessionContext(settings, self._services.fs, facts=self._facts)
        if self._commands:
            native.wake()

    def _loop(self, native: NativeConnection) -> int:
        """Serves until the peer is gone; the errno it went with."""
        packet, gone = int(EventKind.PACKET), int(EventKind.GONE)
        handlers = {int(kind): handler for kind, handler in _HANDLERS.items()}
        sessions, context, wait = self._sessions, self._context, native.next
        reply = b""
        while True:
            kind = wait(reply)
            reply = b""
            if kind == packet:
                channel = native.channel
                try:
                    reply = sessions[channel].answer(native.data)
                    if context.draining:
                        reply = self._leave_when_drained(channel, reply)
                except ProtocolError as error:
                    self._abandon(native, channel, str(error))
            elif kind == gone:
                return native.error
            else:
                handlers[kind](self, native)

    def _pause(self, seconds: float) -> None:
        """Lets time pass; a disconnect ends it."""
        if seconds > 0:
            self._interrupted.wait(seconds)

    def _end(self, reason: int | None, text: str) -> None:
        raise _Over(reason, text)

    def _drain(self) -> None:
        self._context.draining = True
        for session in self._sessions.values():
            session.drain()
        self._end_when_drained()

    def _end_when_drained(self) -> None:
        if self._context.draining and self._context.handles.open == 0:
            raise _Over(DisconnectReason.BY_APPLICATION, "The server is shutting down")

    def _leave_when_drained(self, channel: int, reply: bytes) -> bytes:
        """Queues the reply before it ends the connection: what is owed is sent on closing."""
        self._sessions[channel].reply(reply)
        self._end_when_drained()
        return b""

    # --- events ---

    def _on_message(self, native: NativeConnection) -> None:
        payload = native.data
        try:
            message = ssh.parse(payload)
        except Malformed as error:
            if self._login.user is None and payload[:1] == b"\x32":
                self._attempt(self._login.malformed)
                return
            raise _Over(DisconnectReason.PROTOCOL_ERROR, f"Malformed message: {error}") from None
        _MESSAGES[type(message)](self, native, message, payload)

    def _on_keys(self, native: NativeConnection) -> None:
        self._keys_exchanged = True
        self._services.admission.keys_exchanged(self)
        info = native.describe()
        journal.record(
            logging.DEBUG, "keys", "key exchange complete", self._facts, client=info.client_version,
            kex=info.kex, cipher=info.cipher_in, mac=info.mac_in,
        )  # fmt: skip

    def _on_failed(self, native: NativeConnection) -> None:
        session = self._sessions[native.channel]
        session.reply(session.failed_in_core(native.request_id, native.operation, native.data, native.error))

    def _on_bad_frame(self, native: NativeConnection) -> None:
        self._abandon(native, native.channel, f"a packet cannot have {native.length} bytes")

    def _on_eof(self, native: NativeConnection) -> None:
        channel, left_over = native.channel, native.length
        session = self._sessions.pop(channel, None)
        if session is None:
            self._started.add(channel)  # too late for a subsystem
            native.finish_channel(channel, None)
            return
        session.close()
        native.finish_channel(channel, 1 if left_over else 0)
        self._end_when_drained()

    def _on_closed(self, native: NativeConnection) -> None:
        self._started.discard(native.channel)
        self._sessions.pop(native.channel, None)

    def _on_wake(self, _: NativeConnection) -> None:
        while self._commands:
            self._commands.popleft()(self)

    def _on_deadline(self, _: NativeConnection) -> None:
        if not self._keys_exchanged:
            raise _Over(None)
        raise _Over(DisconnectReason.BY_APPLICATION, "Nobody logged in within the time allowed")

    def _on_stalled(self, _: NativeConnection) -> None:
        journal.record(logging.WARNING, "stalled", "the client takes no replies", self._facts)
        raise _Over(None)

    def _abandon(self, native: NativeConnection, channel: int, reason: str) -> None:
        """Ends one channel; the others do not notice."""
        journal.record(logging.WARNING, "bad-packet", "SFTP channel ended", self._facts, reason=reason)
        session = self._sessions.pop(channel, None)
        if session is not None:
            session.close()
        native.finish_channel(channel, _MALFORMED_EXIT)

    # --- SSH messages ---

    def _service_request(self, native: NativeConnection, message: ssh.ServiceRequest, _: bytes) -> None:
        if message.service != b"ssh-userauth":
            raise _Over(DisconnectReason.SERVICE_NOT_AVAILABLE, "No such service")
        self._may_log_in = True
        native.send(ssh.build_service_accept(message.service))

    def _userauth_request(self, native: NativeConnection, message: ssh.UserauthRequest, payload: bytes) -> None:
        if not self._may_log_in:
            raise _Over(DisconnectReason.PROTOCOL_ERROR, "The service was not requested")
        if not self._attempt(lambda: self._login.handle(message, payload)):
            return
        native.set_deadline(None)
        self._services.admission.logged_in(self)
        self._facts["user"] = self._login.user
        client = native.describe().client_version
        self._context.home = normalise(os.fsencode(self._login.home_dir))
        self._context.drafted_symlinks = sends_drafted_symlinks(
            client, self._services.settings.server_ssh_version_string
        )
        journal.record(
            logging.INFO, "login", "user logged in", self._facts, method=message.method,
            client=client,
        )  # fmt: skip

    def _attempt(self, step: Callable[[], bool | None]) -> bool:
        try:
            return bool(step())
        except LoginError as error:
            journal.record(logging.WARNING, "login-failed", "login given up", self._facts, reason=str(error))
            raise _Over(DisconnectReason.NO_MORE_AUTH_METHODS_AVAILABLE, str(error)) from None

    def _info_response(self, _: NativeConnection, __: ssh.InfoResponse, ___: bytes) -> None:
        self._attempt(self._login.malformed)  # nobody asked

    def _global_request(self, native: NativeConnection, message: ssh.GlobalRequest, _: bytes) -> None:
        if message.name == b"no-more-sessions@openssh.com":
            self._no_more_sessions = True
        if message.want_reply:
            native.send(ssh.build_request_failure())

    def _channel_open(self, native: NativeConnection, message: ssh.ChannelOpen, _: bytes) -> None:
        refusal = self._refusal(message)
        if refusal is None:
            try:
                native.open_channel(message.sender_channel, message.initial_window, message.maximum_packet)
                return
            except OSError as error:
                if error.errno != EBUSY:
                    raise
                refusal = ChannelOpenFailure.RESOURCE_SHORTAGE, "Too many channels"
        native.send(ssh.build_channel_open_failure(message.sender_channel, *refusal))

    def _refusal(self, message: ssh.ChannelOpen) -> tuple[ChannelOpenFailure, str] | None:
        if message.channel_type in (b"direct-tcpip", b"forwarded-tcpip", b"direct-streamlocal@openssh.com"):
            return ChannelOpenFailure.ADMINISTRATIVELY_PROHIBITED, "Forwarding is not allowed"
        if message.channel_type != b"session":
            return ChannelOpenFailure.UNKNOWN_CHANNEL_TYPE, "Only session channels are known"
        if self._no_more_sessions:
            return ChannelOpenFailure.ADMINISTRATIVELY_PROHIBITED, "No more sessions were asked for"
        if message.maximum_packet < _CHANNEL_PACKET_LEAST:
            return ChannelOpenFailure.RESOURCE_SHORTAGE, "The maximum packet size is too small"
        return None

    def _channel_request(self, native: NativeConnection, message: ssh.ChannelRequest, _: bytes) -> None:
        channel = message.recipient_channel
        remote = native.remote_id(channel)
        if remote is None:
            return  # it crossed our CLOSE
        granted = message.name == b"subsystem" and message.argument == b"sftp" and channel not in self._started
        if granted:
            self._started.add(channel)
            sftp = native.start_sftp(channel, *stock_replies())
            self._sessions[channel] = Session(self._context, sftp, native.flush)
        else:
            journal.record(
                logging.DEBUG, "refused", "channel request refused", self._facts, request=message.name
            )  # fmt: skip
        if message.want_reply:
            build = ssh.build_channel_success if granted else ssh.build_channel_failure
            native.send(build(remote))

    # --- the end ---

    def _log_end(self, native: NativeConnection, error: int | None) -> None:
        """A peer that never got its keys is a probe; one that spoke SSH and failed is worth a line."""
        info = native.describe()
        if self._login.user is not None:
            level, event, message = logging.INFO, "logout", "user logged out"
        else:
            spoke = error == EPROTO and info.client_version.startswith("SSH-")
            level, event = (logging.INFO if spoke else logging.DEBUG), "disconnect"
            message = "disconnected before login"
        reason = native.error_text if error == EPROTO else os.strerror(error) if error else None
        journal.record(
            level,
            event,
            message,
            self._facts,
            received=info.bytes_in,
            sent=info.bytes_out,
            seconds=round(time.monotonic() - self._began, 3),
            reason=reason or None,
        )


_HANDLERS: dict[EventKind, Callable[[Connection, NativeConnection], None]] = {
    EventKind.MESSAGE: Connection._on_message,
    EventKind.KEYS: Connection._on_keys,
    EventKind.FAILED: Connection._on_failed,
    EventKind.BAD_FRAME: Connection._on_bad_frame,
    EventKind.EOF: Connection._on_eof,
    EventKind.CLOSED: Connection._on_closed,
    EventKind.WAKE: Connection._on_wake,
    EventKind.DEADLINE: Connection._on_deadline,
    EventKind.STALLED: Connection._on_stalled,
}

_MESSAGES: dict[type, Callable[..., None]] = {
    ssh.ServiceRequest: Connection._service_request,
    ssh.UserauthRequest: Connection._userauth_request,
    ssh.NoneRequest: Connection._userauth_request,
    ssh.PasswordRequest: Connection._userauth_request,
    ssh.PublicKeyRequest: Connection._userauth_request,
    ssh.KeyboardInteractiveRequest: Connection._userauth_request,
    ssh.InfoResponse: Connection._info_response,
    ssh.GlobalRequest: Connection._global_request,
    ssh.ChannelOpen: Connection._channel_open,
    ssh.ChannelRequest: Connection._channel_request,
}
