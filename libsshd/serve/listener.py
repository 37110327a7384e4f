"""The listening sockets and their thread: accepts, and hands over to the hub."""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from errno import ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM

from libsshd.errors import SFTPServerError

from . import journal
from .hub import Hub

_SCARCE = {EMFILE, ENFILE, ENOBUFS, ENOMEM}
_BREATH = 0.05
"""Seconds to wait when the system has no descriptor or memory for another connection."""


class Listener:
    """Owns the sockets. `trouble` is called when what is set can be offered to nobody."""

    def __init__(
        self, socks: Sequence[socket.socket], hub: Hub, trouble: Callable[[SFTPServerError], object]
    ) -> None:
        self._socks = {sock.fileno(): sock for sock in socks}
        self._hub = hub
        self._trouble = trouble
        self._lock = threading.Lock()
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="libsshd-listener", daemon=True)
        for sock in socks:
            sock.setblocking(False)

    def start(self) -> None:
        """Raises RuntimeError when the system has no thread left."""
        self._thread.start()

    def stop(self) -> None:
        """Closes the listening sockets; connections go on. A second call does nothing."""
        with self._lock:
            fd, self._stop_write = self._stop_write, -1
        if fd >= 0:
            os.write(fd, b"\0")  # its end would not be seen while another process has a copy
            os.close(fd)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def abandon(self) -> None:
        """In the child of a fork, where the thread is missing: closes its copies."""
        for sock in self._socks.values():
            sock.close()
        for fd in (self._stop_read, self._stop_write):
            if fd >= 0:
                os.close(fd)

    def _run(self) -> None:
        poller = select.poll()
        for fd in self._socks:
            poller.register(fd, select.POLLIN)
        poller.register(self._stop_read, select.POLLIN)
        self._hub.dispatcher.keep_free()
        try:
            while True:
                ready = [fd for fd, _ in poller.poll()]
                if self._stop_read in ready:
                    return
                for fd in ready:
                    self._accept(self._socks[fd])
        finally:
            for sock in self._socks.values():
                sock.close()
            os.close(self._stop_read)

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, address = listening.accept()
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
            self._hub.accept(sock, (address[0], address[1]))
        except (OSError, RuntimeError, MemoryError) as error:
            journal.record(logging.ERROR, "scarce", "connection not served", reason=str(error))
            sock.close()
        except SFTPServerError as error:
            sock.close()
            self._trouble(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next one gets a chance
            sock.close()
            journal.failure("connection not served", error)
