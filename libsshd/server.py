"""SFTPServer: the component that programs embed."""

import socket
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import fields
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL
from types import TracebackType
from typing import Any

from libsshd._native import Algorithms, Bind
from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.events import EventSlot, SSHUserAuthRequest
from libsshd.fs.rooted import RootedFileSystem
from libsshd.hostkeys import HostKey
from libsshd.serve.listener import Listener
from libsshd.settings import Settings

_SOCKET_CODES = {EACCES: 10013, EADDRINUSE: 10048, EADDRNOTAVAIL: 10049}
_OTHER_SOCKET_ERROR = 10022
_PREFIX = "SSH-2.0-"


class SFTPServer:
    """Serves `root_directory` over SFTP, one thread per connection.

    Every setting of `libsshd.settings.Settings` is a keyword here and an attribute; it counts for what starts
    after it was set. Handlers are attached through the `on_...` members.

    Raises:
        TypeError: a keyword that is no setting.
    """

    on_ssh_user_auth_request = EventSlot[SSHUserAuthRequest]()

    def __init__(self, *, host_keys: Sequence[HostKey] = (), **settings: Any) -> None:
        self.__dict__["_settings"] = Settings(**settings)
        self.__dict__["host_keys"] = list(host_keys)
        self._listener: Listener | None = None
        self._fs: RootedFileSystem | None = None
        self._hurry = threading.Event()
        self._stopping = threading.Lock()

    # --- settings ---

    def __getattr__(self, name: str) -> Any:
        if name in _SETTINGS:
            return getattr(self.__dict__["_settings"], name)
        raise AttributeError(f"SFTPServer has no member {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _SETTINGS:
            object.__setattr__(self, name, value)
            return
        if self.listening and name in _LOCKED:
            raise SFTPServerError(_LOCKED[name])
        setattr(self.__dict__["_settings"], name, value)

    # --- life cycle ---

    @property
    def listening(self) -> bool:
        return self.__dict__.get("_listener") is not None

    def start_listening(self) -> None:
        """Binds the address and starts to accept.

        Raises:
            SFTPServerError: 104 when it listens already, 1301 without a usable host key, 2001 when the root is
                no directory, 100xx when the address cannot be had.
        """
        if self.listening:
            raise SFTPServerError(ErrorCode.ALREADY_LISTENING)
        settings: Settings = self.__dict__["_settings"]
        bind = _bind(self.host_keys, settings)
        fs = _root(settings)
        try:
            sock = _listen(settings)
        except SFTPServerError:
            fs.close()
            raise
        settings.local_port = sock.getsockname()[1]
        self._hurry.clear()
        listener = Listener(sock, bind, settings, fs, self.on_ssh_user_auth_request)
        try:
            listener.start()
        except RuntimeError as error:
            sock.close()
            fs.close()
            raise SFTPServerError(_OTHER_SOCKET_ERROR, f"Cannot start to listen: {error}.") from None
        self._fs, self._listener = fs, listener

    def stop_listening(self) -> None:
        """Closes the listening socket; connections carry on."""
        if self._listener is not None:
            self._listener.stop()

    def shutdown(self, drain_timeout: float = 0.0) -> None:
        """Stops listening and ends every connection.

        With a `drain_timeout` (seconds), files that are open may be finished so long, and nothing new is opened.
        A second call, from any thread, ends the wait of the first at once. From a handler it returns at once and
        the rest happens on a thread of its own: nobody waits for its own connection.
        """
        if drain_timeout <= 0:
            self._hurry.set()
        listener = self._listener
        if listener is not None and listener.serves_caller:
            threading.Thread(target=self._stop, args=(drain_timeout,), name="libsshd-shutdown").start()
        else:
            self._stop(drain_timeout)

    def _stop(self, drain_timeout: float) -> None:
        with self._stopping:
            listener = self._listener
            if listener is None:
                return
            ended = False
            try:
                listener.stop()
                ended = listener.drain(drain_timeout, self._hurry.is_set)
            finally:
                self._listener = None
                fs, self._fs = self._fs, None
            if fs is not None and ended:  # a thread that hangs may still use it
                fs.close()

    def serve_forever(self) -> None:
        """Starts listening unless it does, and returns once somebody has called `shutdown()`."""
        if not self.listening:
            self.start_listening()
        while self.listening:
            time.sleep(0.1)

    def __enter__(self) -> "SFTPServer":
        self.start_listening()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    @property
    def url(self) -> str:
        """Where clients find it: sftp://HOST:PORT."""
        settings: Settings = self.__dict__["_settings"]
        host = settings.local_host or "localhost"
        return f"sftp://{f'[{host}]' if ':' in host else host}:{settings.local_port}"


_SETTINGS = frozenset(field.name for field in fields(Settings))
_LOCKED = {
    "local_port": ErrorCode.LOCAL_PORT_LOCKED,
    "local_host": ErrorCode.LOCAL_HOST_LOCKED,
    "max_connections": ErrorCode.MAX_CONNECTIONS_LOCKED,
}


def _bind(keys: Iterable[HostKey], settings: Settings) -> Bind:
    usable = [key.native for key in keys]
    if not usable:
        raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE)
    algorithms = Algorithms(
        version=settings.server_ssh_version_string.removeprefix(_PREFIX),
        kex=settings.ssh_key_exchange_algorithms,
        ciphers=settings.ssh_encryption_algorithms,
        macs=settings.ssh_mac_algorithms,
        host_keys=settings.ssh_public_key_algorithms,
        public_keys=settings.ssh_pub_key_auth_sig_algorithms,
    )
    try:
        return Bind(usable, algorithms)
    except ValueError as error:
        raise SFTPServerError(ErrorCode.HOST_KEY_UNUSABLE, str(error)) from None


def _root(settings: Settings) -> RootedFileSystem:
    if not settings.root_directory:
        raise SFTPServerError(ErrorCode.INVALID_PATH, "Set root_directory to the directory to serve.")
    try:
        return RootedFileSystem(settings.root_directory, read_only=settings.read_only)
    except OSError as error:
        raise SFTPServerError(
            ErrorCode.INVALID_PATH, f"{settings.root_directory} cannot be served: {error.strerror}."
        ) from None


def _listen(settings: Settings) -> socket.socket:
    where = f"{settings.local_host or '*'}:{settings.local_port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.local_host or None, settings.local_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _socket_error(where, error) from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(settings.connection_backlog)
    except OSError as error:
        sock.close()
        raise _socket_error(where, error) from None
    return sock


def _socket_error(where: str, error: OSError) -> SFTPServerError:
    code = _SOCKET_CODES.get(error.errno or 0, _OTHER_SOCKET_ERROR)
    return SFTPServerError(code, f"Cannot listen on {where}: {error.strerror or error}.")
