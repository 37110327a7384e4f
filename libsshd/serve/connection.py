"""One connection and its thread: from the accepted socket to the last byte."""

import copy
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from errno import EBUSY, EIO, ENOBUFS, ENOMEM, EPIPE, EPROTO, ETIMEDOUT
from typing import TYPE_CHECKING, Any

from libsshd._native import Bind, ConnectionInfo, EventKind
from libsshd._native import Connection as NativeConnection
from libsshd.admission import Outcome, Place
from libsshd.constants import ChannelOpenFailure, DisconnectReason
from libsshd.dispatch import HandlerTimeout, Withdrawn
from libsshd.errors import ErrorCode, SFTPServerError, code_for_errno
from libsshd.events import Connected, ConnectionRequest, Disconnected, Hook, SSHUserAuthRequest
from libsshd.fs.base import FileSystem, ServedFileSystem, normalise
from libsshd.fs.handled import HandledFileSystem
from libsshd.fs.homes import user_root
from libsshd.hostkeys import find, open_store
from libsshd.settings import CERTIFICATE_SETTINGS, SETTINGS, Settings
from libsshd.wire import ssh
from libsshd.wire.buffer import Malformed

from . import allowance, sockets
from .handlers import Handlers
from .interception import HangUp
from .journal import PACKETS, Journal
from .login import Login, LoginError
from .naming import sends_drafted_symlinks
from .session import ProtocolError, Session, SessionContext, stock_replies

if TYPE_CHECKING:
    from .hub import Hub, Offer

_USUAL_VERSIONS = SETTINGS["ssh_version_pattern"].default
_CHANNEL_PACKET_LEAST = 64
"""A client that takes smaller packets would make every byte cost a packet."""
_MALFORMED_EXIT = 11
_GLANCE = 0.02
"""Seconds after which a pause looks whether anybody still waits for its end."""
_PATIENCE = 60.0
"""Seconds to wait for a handler that runs in do_events() when no timeout is set."""
_TOO_LATE = "The server did not answer in time"

Command = Callable[["Connection"], None]


class _Over(Exception):  # noqa: N818 - it is no error
    """Ends the loop; with a reason, after telling the client. `errno` is what Disconnected tells, 0 for all well."""

    def __init__(self, reason: int | None = None, text: str = "", errno: int = 0) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.errno = errno


class Connection:
    """Everything runs on the connection's own thread, except what stands under "from any thread"."""

    __slots__ = (
        "_allowance", "_began", "_commands", "_context", "_draining", "_exchanged_at", "_exchanges", "_fd",
        "_home_dir", "_hub",
        "_interrupted", "_is_announced", "_limits", "_lock", "_login", "_may_log_in", "_native", "_no_more_sessions",
        "_offer", "_outcome", "_place", "_sessions", "_sock", "_started", "_state", "_thread", "_user",
        "client_version", "facts", "handlers", "id", "is_abandoned", "journal", "local_address", "protocol_version",
        "remote_host", "remote_port", "strict_kex", "uid", "values",
    )  # fmt: skip

    def __init__(
        self, hub: "Hub", offer: "Offer", sock: socket.socket, peer: tuple[str, int], uid: int, place: Place | None
    ) -> None:  # fmt: skip
        self.id = -1
        self.uid = uid
        self.remote_host, self.remote_port = peer
        self.local_address = ""
        self.protocol_version = 3
        self.client_version = ""
        self.strict_kex = False
        self.values = copy.copy(offer.defaults)
        self.facts: dict[str, object] = {"connection": uid, "peer": f"{self.remote_host}:{self.remote_port}"}
        self.journal = Journal(self.facts, hub.dispatcher, hub.hooks, hub.live)
        self.handlers = Handlers(hub.hooks, hub.dispatcher, self, self.values, self._patience)
        self._hub = hub
        self._offer = offer
        self._sock: socket.socket | None = sock
        self._fd = -1
        self._state: dict[Any, Any] | None = None
        self._commands: list[Command] = []
        self._lock = threading.Lock()
        self._native: NativeConnection | None = None
        self._interrupted = threading.Event()
        self._sessions: dict[int, Session] = {}
        self._started: set[int] = set()
        self._context: SessionContext | None = None
        self._no_more_sessions = False
        self._login: Login | None = None  # until somebody is in
        self._user: str | None = None
        self._home_dir = ""
        self._exchanges = 0
        self._exchanged_at = 0  # bytes in both directions
        self._allowance = allowance.Allowance(offer.settings.max_idle_requests)
        self._draining = False
        self._may_log_in = False
        self._is_announced = False
        self.is_abandoned = False
        self._began = time.monotonic()
        self._limits = offer.limits
        self._place = place
        self._outcome: Outcome | None = Outcome.NO_AUTH  # of a start-up
        self._thread = threading.Thread(target=self._run, name=f"libsshd-{uid}", daemon=True)

    # --- from any thread ---

    @property
    def state(self) -> dict[Any, Any]:
        """A place for what the application wants to remember about this connection."""
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def connected(self) -> bool:
        """Whether the connection has not ended yet, and nobody has told it to."""
        return self._thread.is_alive() and not self._interrupted.is_set()

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to end."""
        return self._interrupted.is_set()

    def start(self) -> None:
        """Raises RuntimeError, MemoryError when the system has no thread left."""
        if self._place is not None:
            self._place.taken_by(self)
        try:
            self._thread.start()
        except BaseException:
            self._outcome = None  # that is not the client's fault
            raise

    def give_up_place(self) -> None:
        """It is over, or could not begin."""
        if self._place is not None:
            self._hub.admission.leave(self._place, self._outcome, self._limits)

    def post(self, command: Command) -> None:
        """Has `command` run on the connection's thread, soon; nothing happens when it is over."""
        self._commands.append(command)
        with self._lock:
            if self._native is not None:
                self._native.wake()

    def disconnect(self, text: str = "The server closes the connection") -> None:
        """Ends the connection; does not wait."""
        self._outcome = None
        self.post(lambda connection: connection._end(DisconnectReason.BY_APPLICATION, text))
        self._interrupt()

    def evict(self) -> None:
        """At once and without a word: who has to make room must not keep it while it is told so."""
        self.post(lambda connection: connection._end(None, ""))
        self._interrupt()

    def _interrupt(self) -> None:
        self._interrupted.set()
        self._hub.dispatcher.withdraw(self)

    def drain(self) -> None:
        """Running transfers go on, nothing new is opened, and without any the connection ends."""
        self.post(Connection._drain)

    def exchange_keys(self) -> None:
        """Starts an exchange of keys, unless one runs or nobody is logged in."""
        self.post(Connection._exchange_keys)

    def timeout_changed(self) -> None:
        """`values.timeout` counts from now on."""
        self.post(Connection._limit_silence)

    def join(self, timeout: float | None) -> bool:
        """Waits for the end; whether it came."""
        if not self.is_current:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on the connection's thread."""
        return threading.current_thread() is self._thread

    def abandon(self) -> None:
        """In the child of a fork, where the thread is missing: closes its copy of the socket."""
        self.is_abandoned = True
        if self._native is not None:
            self._native.abandon()
        elif self._fd >= 0:
            os.close(self._fd)
        elif self._sock is not None:
            self._sock.close()

    def check_user_root(self, path: str) -> None:
        """Raises SFTPServerError (2001) when `path` cannot be this client's root, 126 once the connection is over."""
        offer: Offer | None = getattr(self, "_offer", None)
        if offer is None:
            raise SFTPServerError(ErrorCode.UNKNOWN_CONNECTION)
        if offer.fs is None:
            raise SFTPServerError(ErrorCode.INVALID_PATH, "Without RootDirectory there is nothing to take a part of.")
        _user_root(offer.fs, offer.settings, path).close()

    @property
    def user(self) -> str:
        """Who is logged in, "" until then."""
        return self._user or ""

    # --- for who stands in between, on the connection's thread ---

    @property
    def deserted(self) -> bool:
        """Whether the client has left, or the connection was told to end."""
        return self.is_leaving or (self._native.hung_up if self._native is not None else sockets.hung_up(self._sock))

    def pause(self, seconds: float) -> None:
        """Lets time pass. Raises HangUp when the client leaves meanwhile, or the connection is told to end."""
        due = time.monotonic() + seconds
        while not self.deserted and (left := due - time.monotonic()) > 0:
            self._interrupted.wait(min(left, _GLANCE))
        if self.deserted:
            raise HangUp

    def refresh(self) -> None:
        """Goes by the handlers that are attached now. On the connection's thread."""
        context = self._context
        if context is not None:
            context.routes = self._hub.routes(
                context.policy, event_mode=context.event_mode, allow_links=context.settings.allow_links
            )
            for session in self._sessions.values():
                session.watch()

    # --- the thread ---

    def _run(self) -> None:
        error, text = EIO, "The server failed"
        try:
            error, text = self._attend()
        except Exception as failure:  # noqa: BLE001 - nothing above this could report it
            # that memory is short is nothing the client did
            self._outcome = None if isinstance(failure, MemoryError) else Outcome.CRASH
            self.journal.failure("a connection ended unexpectedly", failure)
        finally:
            del self._offer  # it has the root's descriptor
            if self._hub.interceptor is not None:
                self._hub.interceptor.ended(self)
            self._tell_end(error, text)
            self._hub.ended(self)

    def _attend(self) -> tuple[int, str]:
        """The errno and the text that the connection ended with, 0 for all well."""
        sock = self._sock
        assert sock is not None
        bind: Bind | None = None
        end: _Over | None = None
        try:
            if self._may_connect():
                bind = self._introduce(sock)
                bind = self._intercept_beginning(bind)
        except HangUp:
            bind = None
        except HandlerTimeout as failure:
            bind, end = self._offer.bind, self._given_up(failure)
        finally:
            if bind is None:
                sock.close()
        return (0, "") if bind is None else self._serve(bind, sock, end)

    def _intercept_beginning(self, bind: Bind | None) -> Bind | None:
        """Raises HangUp."""
        interceptor = self._hub.interceptor
        key = None if bind is None or interceptor is None else interceptor.begins(self)
        return bind if key is None else self._offer.bind_for(key)

    def _given_up(self, failure: HandlerTimeout) -> _Over:
        """How the connection ends for which no handler had an answer."""
        if isinstance(failure, Withdrawn):
            try:
                self._obey()
            except _Over as over:
                return over
        self._outcome = None
        self.journal.error(ErrorCode.TIMED_OUT, "No handler answered in time; the connection is given up.")
        return _Over(DisconnectReason.BY_APPLICATION, _TOO_LATE, ETIMEDOUT)

    def _may_connect(self) -> bool:
        """ConnectionRequest: the handler has the last word."""
        offer = self._offer
        has_place = self._place is not None
        accept = has_place and offer.allowed.matches(self.remote_host) and not offer.blocked.matches(self.remote_host)
        hook = self._hub.hooks.on_connection_request
        if hook:
            event = ConnectionRequest(address=self.remote_host, port=self.remote_port, accept=accept)
            accept = self.handlers.ask(hook, event) and event.accept
        if not accept:
            self._outcome = None
            self.journal.record(logging.INFO, "turned-away", "not admitted")
        elif not has_place:
            self._place = self._hub.admission.insist(self.remote_host, self._limits)
            self._place.taken_by(self)
        return accept and not self.is_leaving

    def _introduce(self, sock: socket.socket) -> Bind | None:
        """Connected: from now on the connection has a number. What to identify with; None to hang up."""
        try:
            self.local_address = sockets.plain(str(sock.getsockname()[0])) if sock.family != socket.AF_UNIX else ""
            sock.getpeername()
            status, text = 0, "OK"
        except OSError as error:
            status = code_for_errno(error.errno or 0)
            text = f"[{int(status)}] {error.strerror}"
        self.id = self._hub.enlist(self)
        self.journal.connection_id = self.handlers.connection_id = self.id
        event = Connected(connection_id=self.id, status_code=int(status), description=text)
        hook = self._hub.hooks.on_connected
        if status:
            self.handlers.finish(hook, event, lambda _: self._hub.forget(self))
            return None
        self._is_announced = True
        return self._chosen(event) if self.handlers.ask(hook, event, keep=True) else None

    def _chosen(self, event: Connected) -> Bind | None:
        """The host keys: the server's, or the one that the handler named."""
        if not event.cert_store:
            return self._offer.bind
        try:
            store = _certificate("store_type", event.cert_store_type), _certificate("store", event.cert_store)
            certificates = open_store(*store, _certificate("store_password", event.cert_password))
            found = find(certificates, _certificate("subject", event.cert_subject))
            if found is None:
                raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, "No certificate has the subject asked for.")
            return self._offer.bind_for(found.key.native)
        except (SFTPServerError, ValueError) as error:
            text = error.description if isinstance(error, SFTPServerError) else str(error)
            self.journal.error(ErrorCode.HOST_KEY_UNUSABLE, text)
            return None

    def _serve(self, bind: Bind, sock: socket.socket, end: _Over | None) -> tuple[int, str]:
        """Speaks SSH, if only to say why not: `end` is how the connection ends before it has begun."""
        strict = self._offer.settings.use_strict_key_exchange
        self._fd = sock.detach()
        try:
            native = self._native = NativeConnection(bind, self._fd, strict=strict)
        except (OSError, MemoryError) as error:
            self._outcome = None
            self.journal.record(logging.ERROR, "scarce", "connection not served", reason=str(error))
            return getattr(error, "errno", None) or ENOMEM, str(error)
        finally:
            self._sock, self._fd = None, -1
        try:
            if end is None:
                end = self._converse(native)
            if end.reason is not None:
                native.close(end.reason, end.text)
            return end.errno, end.text
        finally:
            self._clean_up(native, end)

    def _converse(self, native: NativeConnection) -> _Over:
        """How it ended."""
        try:
            self._prepare(native)
            error = self._loop(native)
        except _Over as over:
            return over
        except HangUp:
            return _Over()
        except HandlerTimeout as failure:
            return self._given_up(failure)
        except OSError as gone:
            if gone.errno not in (EPIPE, ENOMEM):
                raise
            error = gone.errno
        if error == EPROTO:
            return _Over(DisconnectReason.PROTOCOL_ERROR, native.error_text or "Protocol error", EPROTO)
        return _Over(None, os.strerror(error), error)

    def _clean_up(self, native: NativeConnection, end: _Over | None) -> None:
        """Lets go of what the connection had, on every way out."""
        try:
            for session in self._sessions.values():
                session.close()
            if end is not None:
                self._log_end(native, end)
        finally:
            with self._lock:
                self._native = None
            native.free()
            self._sessions.clear()
            if self._context is not None:
                self._context.give_back_handles()
                self._context = None

    def _tell_end(self, error: int, text: str) -> None:
        """Disconnected, once for each Connected; the number is free behind it."""
        self._interrupted.set()
        if self._is_announced:
            code = ErrorCode.CONNECTION_ABORTED if error == EPROTO else code_for_errno(error) if error else 0
            description = f"[{int(code)}] {text or os.strerror(error)}" if error else "OK"
            event = Disconnected(connection_id=self.id, status_code=int(code), description=description)
            self.handlers.finish(self._hub.hooks.on_disconnected, event, lambda _: self._hub.forget(self))

    def _prepare(self, native: NativeConnection) -> None:
        settings = self._offer.settings
        native.set_deadline(settings.login_timeout or None)
        native.set_keep_alive(settings.ssh_keep_alive_interval, settings.ssh_keep_alive_count_max)
        native.set_idle_limit(settings.idle_timeout)
        native.set_login_limits(
            settings.max_bytes_before_version, settings.max_packet_before_login, settings.max_bytes_before_login
        )
        native.set_rekey_threshold(settings.key_renegotiation_threshold)
        native.set_read_time(settings.max_read_time / 1000)
        self._limit_silence()
        if settings.ssh_version_pattern != _USUAL_VERSIONS or self.journal.tells_status:
            native.announce_banner()  # a turn of Python, which a login that is usual does not have to pay
        self._login = Login(
            native, settings, self.values, self._offer.prompts, self._ask_login, self.id, self._pause, self.journal,
            encoding=self._offer.encoding,
        )  # fmt: skip
        if self._commands:
            native.wake()

    def _patience(self) -> float:
        """How long a handler that runs in do_events() is waited for."""
        return float(self.values.timeout or self._offer.settings.default_timeout or _PATIENCE)

    def _limit_silence(self) -> None:
        native = self._native
        if native is not None:
            first = self._offer.settings.default_connection_timeout if self._exchanges == 0 else 0
            native.set_inactivity_limit(float(first or self.values.timeout))

    def _ask_login(self, event: SSHUserAuthRequest) -> bool:
        hook: Hook[SSHUserAuthRequest] = self._hub.hooks.on_ssh_user_auth_request
        interceptor = self._hub.interceptor
        ask: Callable[[], bool] = lambda: bool(hook) and self.handlers.ask(hook, event)  # noqa: E731
        return ask() if interceptor is None else interceptor.logs_in(self, event, ask)

    def _exchange_keys(self) -> None:
        native = self._native
        if native is not None:
            try:
                native.rekey()
                self.journal.status("Exchange of keys begun by the server")
            except OSError as error:
                if error.errno != EBUSY:
                    raise

    def _loop(self, native: NativeConnection) -> int:
        """Serves until the peer is gone; the errno it went with."""
        packet, gone = int(EventKind.PACKET), int(EventKind.GONE)
        handlers = {int(kind): handler for kind, handler in _HANDLERS.items()}
        sessions, wait = self._sessions, native.next
        reply = b""
        while True:
            kind = wait(reply)
            reply = b""
            if kind == packet:
                channel = native.channel
                try:
                    reply = sessions[channel].answer(native.data)
                    if self._draining:
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
        self._draining = True
        if self._context is not None:
            self._context.draining = True
        for session in self._sessions.values():
            session.watch()
        self._end_when_drained()

    def _end_when_drained(self) -> None:
        if self._draining and (self._context is None or self._context.handles.open == 0):
            raise _Over(DisconnectReason.BY_APPLICATION, "The server is shutting down")

    def _leave_when_drained(self, channel: int, reply: bytes) -> bytes:
        """Queues the reply before it ends the connection: what is owed is sent on closing."""
        self._sessions[channel].reply(reply)
        self._end_when_drained()
        return b""

    # --- events ---

    def _on_message(self, native: NativeConnection) -> None:
        payload = native.data
        if self.journal.tells(PACKETS):
            self.journal.packet(f"SSH message {payload[0]} received", payload, secret=payload[0] in _SECRET)
        try:
            message = ssh.parse(payload)
        except Malformed as error:
            if payload[0] in _SECRET:
                self._attempt(Login.malformed)
                return
            raise _Over(DisconnectReason.PROTOCOL_ERROR, f"Malformed message: {error}", EPROTO) from None
        _MESSAGES[type(message)](self, native, message, payload)

    def _on_banner(self, native: NativeConnection) -> None:
        """Judges the client's identification: as soon as it is known if that was asked for, else with the keys."""
        self.client_version = native.client_version
        self.journal.status(f"The client identifies itself as {self.client_version}")
        if not self._offer.versions.fullmatch(self.client_version):
            self.journal.record(logging.INFO, "turned-away", "version not wanted", client=self.client_version)
            raise _Over(DisconnectReason.PROTOCOL_VERSION_NOT_SUPPORTED, "This version of SSH is not wanted here")

    def _on_keys(self, native: NativeConnection) -> None:
        self._exchanges += 1
        if self._exchanges == 1:
            if not self.client_version:
                self._on_banner(native)
            self.strict_kex = native.strict_kex
            self._limit_silence()
            if self._place is not None:
                self._hub.admission.keys_exchanged(self._place)
        else:
            self._pay_for_keys(native)
        if self.journal.tells_status or self.journal.wants(logging.DEBUG):
            self._tell_keys(native.describe())

    def _pay_for_keys(self, native: NativeConnection) -> None:
        moved = sum(native.traffic)
        if moved - self._exchanged_at < allowance.HARDLY:
            self._spend(allowance.EXCHANGE)
        self._exchanged_at = moved

    def _spend(self, cost: int = allowance.ASK) -> None:
        """Ends a connection that does not stop asking for what moves no file."""
        if not self._allowance.spend(cost):
            self.journal.record(logging.WARNING, "flood", "the client does not stop asking")
            raise _Over(DisconnectReason.BY_APPLICATION, "Too many requests that move no file", EPROTO)

    def _tell_keys(self, info: ConnectionInfo) -> None:
        self.journal.status(
            f"Keys exchanged by {info.kex}; cipher {info.cipher_in}, MAC {info.mac_in or 'of the cipher'}"
        )
        self.journal.record(
            logging.DEBUG, "keys", "key exchange complete", client=info.client_version,
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
        self._obey()

    def _obey(self) -> None:
        while self._commands:
            self._commands.pop(0)(self)

    def _on_deadline(self, _: NativeConnection) -> None:
        self._outcome = Outcome.GRACE_EXCEEDED
        if self._exchanges == 0:
            raise _Over(None, errno=ETIMEDOUT)
        raise _Over(DisconnectReason.BY_APPLICATION, "Nobody logged in within the time allowed", ETIMEDOUT)

    def _on_stalled(self, _: NativeConnection) -> None:
        level = logging.DEBUG if self._exchanges == 0 else logging.WARNING
        self.journal.record(level, "stalled", "the client neither sends nor takes what is due")
        raise _Over(None, errno=ETIMEDOUT)

    def _on_idle(self, _: NativeConnection) -> None:
        self.journal.record(logging.INFO, "idle", "the client asks for nothing")
        raise _Over(DisconnectReason.BY_APPLICATION, "Nothing was asked for within the time allowed", ETIMEDOUT)

    def _abandon(self, native: NativeConnection, channel: int, reason: str) -> None:
        """Ends one channel; the others do not notice."""
        self.journal.record(logging.WARNING, "bad-packet", "SFTP channel ended", reason=reason)
        self.journal.error(ErrorCode.IO_FAILURE, f"SFTP channel ended: {reason}.")
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

    def _userauth_request(self, _: NativeConnection, message: ssh.UserauthRequest, payload: bytes) -> None:
        if not self._may_log_in:
            raise _Over(DisconnectReason.PROTOCOL_ERROR, "The service was not requested", EPROTO)
        if self._attempt(lambda login: login.handle(message, payload)):
            self._logged_in(message.method)

    def _info_response(self, _: NativeConnection, message: ssh.InfoResponse, __: bytes) -> None:
        if self._attempt(lambda login: login.respond(message)):
            self._logged_in(b"keyboard-interactive")

    def _attempt(self, step: Callable[[Login], bool | None]) -> bool:
        if self._login is None:
            raise _Over(DisconnectReason.PROTOCOL_ERROR, "There is nobody to log in any more", EPROTO)
        try:
            done = bool(step(self._login))
            if self._login.has_failed:
                self._outcome = Outcome.AUTH_FAILED
            return done
        except LoginError as error:
            self._outcome = Outcome.AUTH_FAILED
            self.journal.record(
                logging.WARNING, "login-failed", "login given up", reason=str(error), name=self._login.name or None
            )
            self.journal.error(ErrorCode.AUTHENTICATION_FAILED, f"{error}.")
            raise _Over(DisconnectReason.NO_MORE_AUTH_METHODS_AVAILABLE, str(error)) from None

    def _logged_in(self, method: bytes) -> None:
        native = self._native
        assert native is not None
        native.set_deadline(None)
        if self._place is not None:
            self._hub.admission.logged_in(self._place)
        assert self._login is not None
        user = self._login.user or ""
        self._user = self.handlers.user = self.facts["user"] = user
        self._home_dir = self._login.home_dir
        self._login = None
        self.journal.record(
            logging.INFO, "login", "user logged in", method=method, client=self.client_version
        )  # fmt: skip

    # --- the file system ---

    def _session_context(self) -> SessionContext:
        """Made when the first SFTP session begins; what was set for this connection is fixed from then on."""
        if self._context is None:
            offer, values = self._offer, self.values
            home = normalise(os.fsencode(self._home_dir))
            event_mode = offer.fs is None
            self._context = SessionContext(
                settings=offer.settings,
                handlers=self.handlers,
                journal=self.journal,
                policy=offer.policy,
                routes=self._hub.routes(offer.policy, event_mode=event_mode, allow_links=offer.settings.allow_links),
                fs=self._file_system(home),
                event_mode=event_mode,
                home=home,
                confined=home if values.restrict_user_to_home_dir else None,
                drafted_symlinks=sends_drafted_symlinks(
                    self.client_version, offer.settings.server_ssh_version_string
                ),
                translation=offer.translation,
                handle_budget=self._hub.handles,
                draining=self._draining,
            )
        return self._context

    def _file_system(self, home: bytes) -> FileSystem:
        """Raises SFTPServerError (2001) when the user's root or the home that confines him is no directory."""
        root, values = self._offer.fs, self.values
        if root is None:
            return HandledFileSystem()
        if values.user_root_directory:
            root = _user_root(root, self._offer.settings, values.user_root_directory)
        try:
            return root.restricted_to(home) if values.restrict_user_to_home_dir else root
        except OSError as error:
            raise _not_served(self._home_dir, error) from None

    def _global_request(self, native: NativeConnection, message: ssh.GlobalRequest, _: bytes) -> None:
        self._spend()
        if message.name == b"no-more-sessions@openssh.com":
            self._no_more_sessions = True
        if message.want_reply:
            native.send(ssh.build_request_failure())

    def _channel_open(self, native: NativeConnection, message: ssh.ChannelOpen, _: bytes) -> None:
        self._spend()
        refusal = self._refusal(message)
        if refusal is None:
            try:
                native.open_channel(message.sender_channel, message.initial_window, message.maximum_packet)
                return
            except OSError as error:
                if error.errno not in (EBUSY, ENOBUFS, ENOMEM):
                    raise
                refusal = ChannelOpenFailure.RESOURCE_SHORTAGE, "No room for another channel"
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
        self._spend()
        channel = message.recipient_channel
        remote = native.remote_id(channel)
        if remote is None:
            return  # it crossed our CLOSE
        granted = message.name == b"subsystem" and message.argument == b"sftp" and channel not in self._started
        if granted:
            self._started.add(channel)
            granted = self._start_session(native, channel)
        else:
            self.journal.record(
                logging.DEBUG, "refused", "channel request refused", request=message.name
            )  # fmt: skip
        if message.want_reply:
            build = ssh.build_channel_success if granted else ssh.build_channel_failure
            native.send(build(remote))

    def _start_session(self, native: NativeConnection, channel: int) -> bool:
        try:
            context = self._session_context()
        except SFTPServerError as error:
            self.journal.error(error.code, error.description)
            return False
        if self._hub.dispatcher.is_overfull:  # what a channel leaves behind is told of: that must end some time
            self.journal.record(logging.WARNING, "refused", "do_events() is not called")
            return False
        sftp = native.start_sftp(channel, *stock_replies())
        session = Session(context, sftp, native.flush, self._negotiated, lambda: self.deserted)
        if self._hub.interceptor is not None:
            session.intercept(self, self._hub.interceptor)
        self._sessions[channel] = session
        return True

    def _negotiated(self, version: int) -> None:
        self.protocol_version = version
        self.journal.status(f"SFTP version {version} negotiated")

    # --- the end ---

    def _log_end(self, native: NativeConnection, end: _Over) -> None:
        """A peer that never got its keys is a probe; one that spoke SSH and failed is worth a line."""
        received, sent = native.traffic
        if self._user is not None:
            level, event, message = logging.INFO, "logout", "user logged out"
        else:
            spoke = end.errno == EPROTO and native.client_version.startswith("SSH-")
            level, event = (logging.INFO if spoke else logging.DEBUG), "disconnect"
            message = "disconnected before login"
        self.journal.record(
            level,
            event,
            message,
            received=received,
            sent=sent,
            seconds=round(time.monotonic() - self._began, 3),
            reason=(end.text or os.strerror(end.errno)) if end.errno else None,
        )
        if end.errno == EPROTO:
            self.journal.error(ErrorCode.CONNECTION_ABORTED, end.text)


def _certificate(name: str, value: object) -> Any:
    """What a handler left there, if it is of the right kind. Raises SFTPServerError."""
    return CERTIFICATE_SETTINGS[name].accept(value)


def _user_root(root: ServedFileSystem, settings: Settings, path: str) -> ServedFileSystem:
    try:
        return user_root(root, settings.root_directory, path)
    except (OSError, ValueError) as error:
        raise _not_served(path, error) from None


def _not_served(path: str, error: Exception) -> SFTPServerError:
    why = getattr(error, "strerror", None) or error
    return SFTPServerError(ErrorCode.INVALID_PATH, f"{path!r} cannot be served: {why}.")


_SECRET = (50, 61)
"""USERAUTH_REQUEST and USERAUTH_INFO_RESPONSE carry passwords."""

_HANDLERS: dict[EventKind, Callable[[Connection, NativeConnection], None]] = {
    EventKind.MESSAGE: Connection._on_message,
    EventKind.BANNER: Connection._on_banner,
    EventKind.KEYS: Connection._on_keys,
    EventKind.FAILED: Connection._on_failed,
    EventKind.BAD_FRAME: Connection._on_bad_frame,
    EventKind.EOF: Connection._on_eof,
    EventKind.CLOSED: Connection._on_closed,
    EventKind.WAKE: Connection._on_wake,
    EventKind.DEADLINE: Connection._on_deadline,
    EventKind.STALLED: Connection._on_stalled,
    EventKind.IDLE: Connection._on_idle,
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
