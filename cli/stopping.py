"""SIGINT and SIGTERM: the first lets the server finish, the second ends it at once."""

import contextlib
import logging
import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

from libsshd import SFTPServer

_LOGGER = logging.getLogger("libsshd.command")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Counts the signals that ask to stop; the handler does nothing else.

    The main thread, which must be the one that enters, sleeps in `wait`; the interpreter ends that by one
    byte per signal (signal.set_wakeup_fd).
    """

    def __init__(self) -> None:
        self.count = 0
        self._reader, self._writer = socket.socketpair()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._previous_wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_wakeup)
        self._reader.close()
        self._writer.close()

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1

    def wake(self) -> None:
        """End the present or the next `wait`; may be called from any thread."""
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes just as well
            self._writer.send(b"\0")

    def wait(self) -> None:
        """Sleep until a signal or `wake`; several of them may end one wait."""
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        poller.poll()
        self._reader.recv(4096)


def serve_until_stopped(server: SFTPServer, signals: StopSignals, drain_timeout: float) -> None:
    """Return when the server has ended after a signal; clients get `drain_timeout` seconds to finish."""
    while signals.count == 0:
        signals.wait()
    fields = {"event": "stopping", "seconds": drain_timeout}
    _LOGGER.info("finishing what clients have begun; another signal stops at once", extra={"fields": fields})
    with ThreadPoolExecutor(1, "libsshd-drain") as helper:
        drained = helper.submit(server.shutdown, drain_timeout)
        drained.add_done_callback(lambda _: signals.wake())
        while not drained.done() and signals.count < 2:
            signals.wait()
        if not drained.done():
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)  # should even this take time, a third signal kills
            server.shutdown(0)
    drained.result()
    _LOGGER.info("stopped", extra={"fields": {"event": "stopped"}})
