"""The thread that looks, once, for what a killed server left in its root."""

import logging
import os
import threading
import time

from libsshd.fs.rooted import RootedFileSystem
from libsshd.fs.sweep import Swept

from . import journal

_MOST = 10_000_000
"""Entries of directories: minutes, on a disk of usual speed."""
_HASTY = 0.2
"""Seconds in which it does not spare anybody: a small tree is through by then."""
_IDLENESS = 9
"""How much longer than it works it then waits: clients are to have nine tenths of what it would take from them."""


class Sweeper:
    """Works on `fs` in the background until it is through or told to stop."""

    def __init__(self, fs: RootedFileSystem) -> None:
        self._fs = fs
        self._stop = threading.Event()
        self._resumed = self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="libsshd-sweeper", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError when the system has no thread left."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            swept = self._fs.sweep(_MOST, self._go_on)
        except OSError as error:
            journal.record(
                logging.WARNING, "sweep", "temporary files not looked for", reason=os.strerror(error.errno or 0)
            )
            return
        finally:
            del self._fs  # it has the root's descriptor
        self._tell(swept)

    def _go_on(self, _: Swept) -> bool:
        now = time.monotonic()
        if now - self._began < _HASTY:
            return not self._stop.is_set()
        stopped = self._stop.wait((now - self._resumed) * _IDLENESS)
        self._resumed = time.monotonic()
        return not stopped

    def _tell(self, swept: Swept) -> None:
        if not swept.complete and not self._stop.is_set():
            journal.record(logging.WARNING, "sweep", "the tree is too large to be searched for temporary files",
                           removed=swept.removed, entries=swept.entries)  # fmt: skip
            return
        level = logging.INFO if swept.removed else logging.DEBUG
        journal.record(level, "sweep", "temporary files removed that a killed server left", removed=swept.removed,
                       entries=swept.entries, seconds=round(time.monotonic() - self._began, 3))  # fmt: skip
