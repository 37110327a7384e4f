"""SFTPServer: the component that programs embed."""

import atexit
import copy
import os
import re
import socket
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from errno import ENOBUFS
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar

from libsshd._native import Algorithms, Bind, library_versions
from libsshd.admission import ClientList, Limits, PenaltyRules
from libsshd.certificates import AlternateCertificates, CertificateStore
from libsshd.configuration import CONFIG
from libsshd.connections import ItemArray, SFTPConnection, SFTPConnections
from libsshd.dispatch import Dispatcher
from libsshd.errors import ErrorCode, SFTPServerError, code_for_errno
from libsshd.events import Error, EventHooks
from libsshd.fs.base import ServedFileSystem
from libsshd.fs.rooted import RootedFileSystem
from libsshd.hostkeys import HostKey
from libsshd.naming import pythonic
from libsshd.prompts import KeyboardInteractivePrompt, KeyboardInteractivePrompts
from libsshd.serve import sockets
from libsshd.serve.connection import Connection
from libsshd.serve.hub import FAREWELL, Hub, Offer, join
from libsshd.serve.interception import Interceptor
from libsshd.serve.listener import Listener
from libsshd.serve.policy import policy_of
from libsshd.serve.sweeper import Sweeper
from libsshd.settings import (
    ALGORITHMS,
    SETTINGS,
    ConnectionSettings,
    Setting,
    Settings,
    parse_reference,
    usable_algorithms,
)
from libsshd.version import __version__
from libsshd.wire.codepage import Translation, codec_name

_PREFIX = "SSH-2.0-"
_UTF_8 = 65001
_MEMBERS = ("host_keys", "file_system")
"""Members that are no settings and that connections begin with."""
_PATIENCE = 0.1
"""Seconds after which serve_forever() looks whether it is over."""
_EXIT_TIMEOUT = 5.0
"""Seconds for connections to end when the interpreter does."""
_ARRAYS = {
    "sftp_connection_": "sftp_connections",
    "keyboard_interactive_prompt_": "keyboard_interactive_prompts",
    "alt_ssh_cert_": "alt_ssh_certs",
}
"""Documented arrays, by what their names begin with, and the collections they are the columns of."""
_SERVERS: "weakref.WeakSet[SFTPServer]" = weakref.WeakSet()


@dataclass(kw_only=True, eq=False, repr=False)
class SFTPServer(EventHooks, Settings):
    """Serves `root_directory` over SFTP, one thread per connection; without a root, handlers are the file system.

    Every setting of `libsshd.settings.Settings` is a keyword here and an attribute. Handlers are attached through the
    `on_...` members. Every documented member has its name in PEP 8 form; the documented spelling means the same.

    `host_keys` are keys offered beside those of `ssh_cert` and `alt_ssh_certs`. A `file_system`, such as a tree in
    memory, is served in place of a directory.

    Raises:
        TypeError: a keyword that is no setting.
        SFTPServerError: a value that a setting cannot have (10022).
    """

    host_keys: list[HostKey] = field(default_factory=list)
    file_system: ServedFileSystem | None = None
    """What is served in place of a directory; RootDirectory is empty then."""

    _clients: ClassVar[Mapping[str, ClientList]] = {}  # replaced, never changed

    def __post_init__(self) -> None:
        self.host_keys = list(self.host_keys)
        self._certificate = CertificateStore(self._outdated)
        self._alternates = AlternateCertificates(self._outdated)
        self._prompts = KeyboardInteractivePrompts(self._outdated)
        self._connection_defaults = ConnectionSettings()
        self._dispatcher = Dispatcher(self, lambda: not self.process_idle_events)
        self._begin()
        _SERVERS.add(self)

    def _begin(self) -> None:
        """What a fork leaves unusable in the child."""
        self._hub = Hub(self, self, self._dispatcher, self._current_offer)
        self._connections = SFTPConnections(lambda: self._hub)
        self._listener: Listener | None = None
        self._sweeper: Sweeper | None = None
        self._bound: list[socket.socket] = []
        self._offer: tuple[object, Offer] | None = None
        self._offer_lock = threading.Lock()
        self._edition = object()
        self._life = threading.Lock()
        self._hurry = threading.Event()
        self._shut = threading.Event()

    # --- members by either spelling ---

    if not TYPE_CHECKING:  # to a type checker, a name that is misspelt does not exist

        def __getattr__(self, name: str) -> Any:
            plain = pythonic(name)
            if plain != name:
                return getattr(self, self._member(plain))
            for prefix, collection in _ARRAYS.items():
                attribute = plain.removeprefix(prefix)
                if attribute != plain and hasattr(_ITEMS[collection], attribute):
                    return ItemArray(getattr(self, collection), attribute)
            raise AttributeError(f"SFTPServer has no member {name!r}")

        def __setattr__(self, name: str, value: object) -> None:
            name = self._member(pythonic(name))
            setting = SETTINGS.get(name)
            if setting is None:
                if name[0] != "_" and not hasattr(type(self), name) and name not in _MEMBERS:
                    raise AttributeError(f"SFTPServer has no member {name!r}")
                object.__setattr__(self, name, value)
                if name in _MEMBERS:
                    self._outdated()
                return
            if setting.locked is not None and self.listening:
                raise SFTPServerError(setting.locked)
            value = setting.accept(value)
            if name in ("allowed_clients", "blocked_clients", "exempt_clients"):
                self._client_list(value)  # refuses what is none
            object.__setattr__(self, name, value)
            if name == "use_iocp" and value:
                object.__setattr__(self, "use_windows_messages", False)
            elif name == "log_level":
                self.handlers_changed()  # what is logged is watched
            elif name == "process_idle_events" and "_dispatcher" in self.__dict__:
                self._dispatcher.mode_changed()
            self._outdated()

        @staticmethod
        def _member(plain: str) -> str:
            """Events are documented without the prefix they have here."""
            event = "on_" + plain.removeprefix("on_")
            return event if hasattr(EventHooks, event) else plain

    def _outdated(self) -> None:
        """Connections that begin from now on get a new offer."""
        self.__dict__["_edition"] = object()

    # --- properties that are no plain settings ---

    @property
    def listening(self) -> bool:
        """Whether clients can connect; True starts and False stops to listen."""
        return self.__dict__.get("_listener") is not None

    @listening.setter
    def listening(self, value: bool) -> None:
        if value and not self.listening:
            self.start_listening()
        elif not value:
            self.stop_listening()

    @property
    def sftp_connections(self) -> SFTPConnections:
        """The connections by ConnectionId."""
        return self._connections

    @property
    def sftp_connection_count(self) -> int:
        """One more than the highest ConnectionId in use."""
        return len(self._connections)

    @property
    def keyboard_interactive_prompts(self) -> KeyboardInteractivePrompts:
        """What every client is asked in keyboard-interactive, unless its connection has prompts of its own."""
        return self._prompts

    @property
    def keyboard_interactive_prompt_count(self) -> int:
        """How many prompts there are; may be set."""
        return len(self._prompts)

    @keyboard_interactive_prompt_count.setter
    def keyboard_interactive_prompt_count(self, count: int) -> None:
        self._prompts.resize(count)

    @property
    def ssh_cert(self) -> HostKey | None:
        """The host key that the SSHCert... members describe; may be set directly."""
        return self._certificate.key

    @ssh_cert.setter
    def ssh_cert(self, key: HostKey | None) -> None:
        self._certificate.key = key

    @property
    def ssh_cert_store_type(self) -> int:
        """Form of `ssh_cert_store`: a number of CertStoreType."""
        return self._certificate.store_type

    @ssh_cert_store_type.setter
    def ssh_cert_store_type(self, store_type: int) -> None:
        self._certificate.store_type = store_type

    @property
    def ssh_cert_store(self) -> bytes:
        """File name or content of the store, as its type says; text may be assigned too."""
        return self._certificate.store

    @ssh_cert_store.setter
    def ssh_cert_store(self, store: bytes | str) -> None:
        self._certificate.store = store

    @property
    def ssh_cert_store_password(self) -> str:
        """What opens an encrypted store."""
        return self._certificate.store_password

    @ssh_cert_store_password.setter
    def ssh_cert_store_password(self, password: str) -> None:
        self._certificate.store_password = password

    @property
    def ssh_cert_subject(self) -> str:
        """Set last, loads the key; "" when nothing was found."""
        return self._certificate.subject

    @ssh_cert_subject.setter
    def ssh_cert_subject(self, subject: str) -> None:
        self._certificate.subject = subject

    @property
    def ssh_cert_encoded(self) -> bytes:
        """The certificate of the key; set, its key is looked up in the store."""
        return self._certificate.encoded

    @ssh_cert_encoded.setter
    def ssh_cert_encoded(self, encoded: bytes | str) -> None:
        self._certificate.encoded = encoded

    @property
    def alt_ssh_certs(self) -> AlternateCertificates:
        """Further host keys, so that clients find a type they know."""
        return self._alternates

    @property
    def alt_ssh_cert_count(self) -> int:
        """How many alternates there are; may be set."""
        return len(self._alternates)

    @alt_ssh_cert_count.setter
    def alt_ssh_cert_count(self, count: int) -> None:
        self._alternates.resize(count)

    @property
    def url(self) -> str:
        """Where clients find it: sftp://HOST:PORT."""
        host = self.local_host or "localhost"
        return f"sftp://{f'[{host}]' if ':' in host else host}:{self.local_port}"

    # --- life cycle ---

    def bind(self) -> None:
        """Binds the address without accepting anybody, which start_listening() does: for programs that give up the
        privilege to bind it in between.

        Raises:
            SFTPServerError: as start_listening().
        """
        with self._life:
            self._bind_address()

    def start_listening(self) -> None:
        """Binds the address, unless bind() did, and starts to accept.

        Raises:
            SFTPServerError: 104 when it listens already, 1301 without a usable host key, 2001 when the root is
                no directory, 100xx or 110xx when the address cannot be had.
        """
        with self._life:
            self._bind_address()
            listener = Listener(self._bound, self._hub, self._trouble)
            try:
                listener.start()
            except RuntimeError as error:
                self._unbind()
                raise SFTPServerError(ErrorCode.NO_BUFFER_SPACE, f"Cannot start to listen: {error}.") from None
            self._bound = []  # they are the listener's
            self._shut = threading.Event()
            self._listener = listener
            self._sweep(self._current_offer())

    def _sweep(self, offer: Offer) -> None:
        if isinstance(offer.fs, RootedFileSystem) and offer.settings.sweep and not offer.settings.read_only:
            sweeper = Sweeper(offer.fs)
            with suppress(RuntimeError):  # no thread left: clients need them more
                sweeper.start()
                self._sweeper = sweeper

    def _bind_address(self) -> None:
        if self.listening:
            raise SFTPServerError(ErrorCode.ALREADY_LISTENING)
        self._outdated()
        try:
            self._current_offer()
        except SFTPServerError:
            self._unbind()
            raise
        if not self._bound:
            self._bound = sockets.listen(
                self.local_host,
                self.local_port,
                backlog=self.connection_backlog,
                use_ipv6=self.use_ipv6,
                exclusive=self.bind_exclusively,
            )
            self.__dict__["local_port"] = self._bound[0].getsockname()[1]

    def _unbind(self) -> None:
        bound, self._bound = self._bound, []
        for sock in bound:
            sock.close()

    def stop_listening(self) -> None:
        """Closes the listening socket; connections carry on."""
        with self._life:
            self._unbind()
            listener, self._listener = self._listener, None
            if listener is not None:
                listener.stop()
            sweeper, self._sweeper = self._sweeper, None
            if sweeper is not None:
                sweeper.stop()

    def shutdown(self, drain_timeout: float = 0.0) -> None:
        """Stops listening and ends every connection.

        With a `drain_timeout` (seconds), files that are open may be finished so long, and nothing new is opened; with
        ProcessIdleEvents=False somebody has to call do_events() meanwhile. A call without, from any thread, ends the
        wait of those before it at once. From a handler it returns while connections still end: nobody waits for its
        own.
        """
        if drain_timeout <= 0:
            hurry, self._hurry = self._hurry, threading.Event()
            hurry.set()
        self.stop_listening()
        leaving = self._hub.connections
        for connection in leaving:  # here, and not on a thread that begins later: no other request is served
            connection.drain()
        if self._hub.serves_caller:
            finish = partial(self._finish, leaving, drain_timeout, self._hurry, self._shut)
            threading.Thread(target=finish, name="libsshd-shutdown", daemon=True).start()
        else:
            self._finish(leaving, drain_timeout, self._hurry, self._shut)

    def _finish(
        self, leaving: list[Connection], drain_timeout: float, hurry: threading.Event, shut: threading.Event
    ) -> None:
        try:
            self._hub.drain(leaving, drain_timeout, hurry.is_set)
        finally:
            shut.set()
        if not self.listening:
            self._offer = None  # the root's descriptor is closed with the last connection that has it

    def serve_forever(self) -> None:
        """Starts listening unless it does, and returns once somebody has called `shutdown()`.

        With ProcessIdleEvents=False it calls do_events() meanwhile.
        """
        if not self.listening:
            self.start_listening()
        while not self._shut.is_set():
            if self.process_idle_events:
                self._shut.wait(_PATIENCE)
            else:
                self._dispatcher.do_events(_PATIENCE)
        self._dispatcher.do_events(0)  # how the last connections ended

    def serve_socket(self, sock: socket.socket) -> None:
        """Serves a connected socket that was accepted elsewhere; it belongs to the server from now on.

        Raises:
            SFTPServerError: 1301, 2001 or 10022 as start_listening(), 100xx when the socket cannot be served.
        """
        try:
            peer = sock.getpeername() if sock.family != socket.AF_UNIX else ("", 0)
            sock = socket.socket(fileno=sock.detach())  # whoever accepted it may close the object he has
            self._hub.accept(sock, (str(peer[0]), int(peer[1])))
        except SFTPServerError:
            sock.close()
            raise
        except (OSError, RuntimeError, MemoryError) as error:
            sock.close()
            code = code_for_errno(getattr(error, "errno", None) or ENOBUFS)
            raise SFTPServerError(code, f"The socket cannot be served: {error}.") from None

    def intercept(self, interceptor: Interceptor | None) -> None:
        """Has `interceptor` stand between the server and the clients that come from now on; None for nobody."""
        self._hub.interceptor = interceptor
        self._dispatcher.failed = (lambda _: None) if interceptor is None else interceptor.failed

    def do_events(self) -> None:
        """Runs the handlers of everything pending (ProcessIdleEvents=False); waits SelectWaitMillis if nothing is."""
        self._dispatcher.do_events(self.select_wait_millis / 1000)

    def disconnect(self, connection_id: int) -> None:
        """Ends one connection, without waiting for its end. Raises SFTPServerError (126)."""
        self._hub.find(connection_id).disconnect()

    def drop_connections(self) -> None:
        """Ends every connection at once and without a word to the client; returns when they have ended."""
        leaving = self._hub.connections
        for connection in leaving:
            connection.evict()
        if not self._hub.serves_caller:
            join(leaving, _EXIT_TIMEOUT)

    def exchange_keys(self, connection_id: int) -> None:
        """Has a connection exchange keys anew; SSHStatus tells how it goes. Raises SFTPServerError (126)."""
        self._hub.find(connection_id).exchange_keys()

    def set_file_list(self, connection_id: int, names: str) -> None:
        """Inside DirList: the names in the directory, separated by CRLF. Raises SFTPServerError (126, 10022)."""
        self._hub.find(connection_id).handlers.set_file_list(names)

    def reset(self) -> None:
        """Shuts down and gives every property, setting and host key its default; handlers stay attached."""
        self.shutdown()
        for name, setting in SETTINGS.items():
            self.__dict__[name] = setting.default
        self._dispatcher.mode_changed()
        self._certificate = CertificateStore(self._outdated)
        self._alternates.resize(0)
        self._prompts.resize(0)
        self._connection_defaults = ConnectionSettings()
        self.host_keys = []
        self.file_system = None

    def __enter__(self) -> "SFTPServer":
        self.start_listening()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    # --- Config() ---

    def config(self, text: str) -> str:
        """Reads `NAME` or `NAME[index]` and returns its value; writes `NAME=VALUE` and returns "".

        Names match without regard to case; booleans are True, False, 1, 0, Yes and No.

        Raises:
            SFTPServerError: 10022 for an unknown name or a bad value, 126 for a connection that is not there.
        """
        name, writes, value = text.partition("=")
        reference = parse_reference(name)
        entry = CONFIG.get(reference.name)
        if entry is None:
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"There is no setting {name.strip()!r}.")
        owner = entry.owner(self, reference.number)
        if not writes:
            return Setting.format(getattr(owner, entry.attribute))
        if entry.setting is None:
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"{entry.name} can only be read.")
        parsed = entry.setting.parse(value)
        setattr(owner, entry.attribute, parsed)
        self._outdated()
        return ""

    @property
    def build_info(self) -> str:
        """Name and version of this build and of what it stands on."""
        versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
        return f"libsshd {__version__} ({versions})"

    @property
    def license_info(self) -> str:
        """Five lines about the licence."""
        lines = {
            "Product": "libsshd",
            "Product Key": "none",
            "License Source": "open source",
            "License Type": _LICENSE,
            "Last Valid Build": "any",
        }
        return "\n".join(f"{label}: {value}" for label, value in lines.items())

    # --- what connections begin with ---

    def handlers_changed(self) -> None:
        """Called after a handler was attached or taken away."""
        hub = self.__dict__.get("_hub")
        if hub is not None:
            hub.handlers_changed()

    def _trouble(self, error: SFTPServerError) -> None:
        """What was set while listening cannot be served: clients are turned away until it can."""
        event = Error(connection_id=-1, error_code=error.code, description=error.description)
        self._dispatcher.tell(self.on_error, event)

    def _current_offer(self) -> Offer:
        """Raises SFTPServerError when what is set cannot be served."""
        made = self._offer
        if made is None or made[0] is not self._edition:
            with self._offer_lock:
                edition = self._edition  # what changes from here on asks for another one
                made = self._offer
                if made is None or made[0] is not edition:
                    made = self._offer = (edition, self._make_offer())
        return made[1]

    def _make_offer(self) -> Offer:
        settings = Settings(**{name: getattr(self, name) for name in SETTINGS})
        defaults = copy.copy(self._connection_defaults)
        defaults.timeout = settings.default_timeout
        self._hub.budget.limit(settings.max_bytes_in_flight)
        self._hub.handles.limit(settings.max_handles)
        algorithms = _algorithms(settings)
        encoding = codec_name(settings.code_page)
        return Offer(
            settings=settings,
            defaults=defaults,
            prompts=self._prompts.values,
            algorithms=algorithms,
            bind=self._bind(algorithms),
            fs=self._served(settings),
            allowed=self._client_list(settings.allowed_clients),
            blocked=self._client_list(settings.blocked_clients),
            versions=_patterns(settings.ssh_version_pattern),
            encoding=encoding,
            translation=None if settings.code_page == _UTF_8 else Translation(settings.code_page),
            policy=policy_of(settings),
            limits=_limits(settings, self._client_list(settings.exempt_clients)),
        )

    def _served(self, settings: Settings) -> ServedFileSystem | None:
        if settings.root_directory and self.file_system is not None:
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, "There is a file_system and a RootDirectory: take one.")
        return _root(settings) if settings.root_directory else self.file_system

    def _client_list(self, text: str) -> ClientList:
        """Kept as long as the text is the same, for it remembers names. Raises SFTPServerError (10022)."""
        found = self._clients.get(text)
        if found is None:
            try:
                found = ClientList(text)
            except ValueError as error:
                raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"The list of clients is wrong: {error}.") from None
            self.__dict__["_clients"] = {**dict(list(self._clients.items())[-5:]), text: found}
        return found

    def _bind(self, algorithms: Algorithms) -> Bind:
        stores = [self._certificate, *self._alternates]
        keys = [*(store.key for store in stores if store.key is not None), *self.host_keys]
        if not keys:
            raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, self._certificate.why_not)
        for number, store in enumerate(self._alternates):
            if store.key is None:
                text = f"Alternate host key {number} is not loaded: {store.why_not}"
                raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, text)
        if not any(_signs(key, algorithms) for key in keys):
            text = f"No host key is of a kind that SSHPublicKeyAlgorithms names: {algorithms.host_keys}."
            raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, text)
        try:
            return Bind([key.native for key in keys], algorithms, self._hub.budget)
        except ValueError as error:
            raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, str(error)) from None

    def _abandon(self) -> None:
        """In the child of a fork: there are no sessions and nothing listens; the parent's carry on."""
        self._hub.abandon()
        if self._listener is not None:
            self._listener.abandon()
        self._unbind()
        self._dispatcher.begin()
        self._begin()


_LICENSE = "MIT AND LGPL-2.1-or-later"

_ITEMS: dict[str, type] = {
    "sftp_connections": SFTPConnection,
    "keyboard_interactive_prompts": KeyboardInteractivePrompt,
    "alt_ssh_certs": CertificateStore,
}


def _algorithms(settings: Settings) -> Algorithms:
    lists = {kind: usable_algorithms(kind, getattr(settings, name)) for name, kind in ALGORITHMS.items()}
    return Algorithms(version=settings.server_ssh_version_string.removeprefix(_PREFIX), **lists)


def _limits(settings: Settings, exempt: ClientList) -> Limits:
    return Limits(
        max_connections=settings.max_connections,
        max_startups=settings.max_startups,
        startups_begin=settings.max_startups_begin,
        startups_rate=settings.max_startups_rate,
        startups_per_source=settings.max_startups_per_source,
        ipv4_bits=settings.source_bits_ipv4,
        ipv6_bits=settings.source_bits_ipv6,
        penalties=PenaltyRules(
            crash=settings.penalty_crash,
            auth_failed=settings.penalty_auth_failed,
            no_auth=settings.penalty_no_auth,
            grace_exceeded=settings.penalty_grace_exceeded,
            least=settings.penalty_least,
            most=settings.penalty_most,
            sources=settings.penalty_sources,
        ),
        exempt=exempt,
    )


def _signs(key: HostKey, algorithms: Algorithms) -> bool:
    """Whether an algorithm that is offered works with the key; RSA keys sign in more than one way."""
    allowed = algorithms.host_keys.split(",")
    return key.type in allowed or (key.type == "ssh-rsa" and any(name.startswith("rsa-") for name in allowed))


def _root(settings: Settings) -> RootedFileSystem:
    try:
        return RootedFileSystem(settings.root_directory, read_only=settings.read_only)
    except OSError as error:
        raise SFTPServerError(
            ErrorCode.INVALID_PATH, f"{settings.root_directory} cannot be served: {error.strerror}."
        ) from None


def _patterns(text: str) -> re.Pattern[str]:
    """A regular expression for a comma list of patterns with "*"."""
    patterns = (".*".join(map(re.escape, part.strip().split("*"))) for part in text.split(",") if part.strip())
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)", re.DOTALL)


# --- the ends of a process ---


def _abandon_servers() -> None:
    for server in list(_SERVERS):
        server._abandon()


def _shut_down_servers() -> None:
    """Threads must not be in the middle of something when the interpreter goes away; those that hang, it leaves."""
    servers = list(_SERVERS)
    for server in servers:
        server.stop_listening()
    leaving = [connection for server in servers for connection in server._hub.connections]
    for connection in leaving:
        connection.disconnect(FAREWELL)
    join(leaving, _EXIT_TIMEOUT)


os.register_at_fork(after_in_child=_abandon_servers)
atexit.register(_shut_down_servers)
