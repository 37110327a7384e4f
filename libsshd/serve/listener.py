"""The listening socket and its thread: accepts, admits, and starts connections."""

import itertools
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from errno import ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM

from libsshd._native import Bind
from libsshd.admission import Admission
from libsshd.events import Hook, SSHUserAuthRequest
from libsshd.fs.base import FileSystem
from libsshd.settings import Settings

from . import journal
from .connection import Connection, Services

_SCARCE = {EMFILE, ENFILE, ENOBUFS, ENOMEM}
_END_TIMEOUT = 10.0
"""Seconds for all connections together to end once they were told to."""
_BREATH = 0.05
"""Seconds to wait when the system has no descriptor or memory for another connection."""


class Listener:
    """Owns the socket and all connections that came through it."""

    def __init__(
        self, sock: socket.socket, bind: Bind, settings: Settings, fs: FileSystem,
        user_auth_request: Hook[SSHUserAuthRequest],
    ) -> None:  # fmt: skip
        self._sock = sock
        self._settings = settings
        admission = Admission(settings.max_connections, settings.max_startups)
        self._services = Services(bind, settings, fs, admission, user_auth_request, self._ended)
        self._connections: dict[int, Connection] = {}
        self._changed = threading.Condition()
        self._ids = itertools.count(1)
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="libsshd-listener", daemon=True)
        sock.setblocking(False)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Closes the listening socket; connections go on. A second call does nothing."""
        with self._changed:
            fd, self._stop_write = self._stop_write, -1
        if fd >= 0:
            os.close(fd)  # the end of the pipe is what the thread sees
        self._thread.join()

    @property
    def connections(self) -> list[Connection]:
        with self._changed:
            return list(self._connections.values())

    @property
    def serves_caller(self) -> bool:
        """Whether the caller runs on the thread of one of the connections."""
        return any(connection.is_current for connection in self.connections)

    def drain(self, timeout: float, hurry: Callable[[], bool]) -> bool:
        """Lets running transfers end for up to `timeout` seconds, or until `hurry()`, then disconnects.

        False when a connection did not end: its thread hangs in a system call.
        """
        due = time.monotonic() + timeout
        for connection in self.connections:
            connection.drain()
        with self._changed:
            while self._connections and time.monotonic() < due and not hurry():
                self._changed.wait(0.1)
        hurried = timeout > 0 and hurry()
        for connection in self.connections:
            connection.evict() if hurried else connection.disconnect("The server is shutting down")
        due = time.monotonic() + _END_TIMEOUT
        ended = [connection.join(max(0.0, due - time.monotonic())) for connection in self.connections]
        return all(ended)

    # --- the thread ---

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        poller.register(self._stop_read, select.POLLIN)
        try:
            while not any(fd == self._stop_read for fd, _ in poller.poll()):
                self._accept()
        finally:
            self._sock.close()
            os.close(self._stop_read)

    def _accept(self) -> None:
        try:
            sock, address = self._sock.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in _SCARCE:
                journal.record(logging.ERROR, "scarce", "connection not accepted", reason=os.strerror(error.errno))
                time.sleep(_BREATH)
            elif error.errno != ECONNABORTED:
                journal.record(logging.WARNING, "accept-failed", "connection not accepted", reason=str(error))
            return
        try:
            self._admit(sock, f"{address[0]}:{address[1]}")
        except (OSError, RuntimeError, MemoryError) as error:
            journal.record(logging.ERROR, "scarce", "connection not served", reason=str(error))
            sock.close()

    def _admit(self, sock: socket.socket, peer: str) -> None:
        self._tune(sock)
        connection = Connection(self._services, sock, peer, next(self._ids))
        if not self._services.admission.enter(connection):
            journal.record(logging.INFO, "turned-away", "too many connections", peer=peer)
            sock.close()
            return
        with self._changed:
            self._connections[connection.id] = connection
        try:
            connection.start()
        except RuntimeError:
            self._services.admission.leave(connection)
            self._ended(connection)
            raise

    def _tune(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # who vanishes without a word must not stay
        if self._settings.in_buffer_size:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._settings.in_buffer_size)
        if self._settings.out_buffer_size:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._settings.out_buffer_size)

    def _ended(self, connection: Connection) -> None:
        with self._changed:
            self._connections.pop(connection.id, None)
            self._changed.notify_all()
