"""Who may connect: how many connections at once, and how many that have not logged in."""

import threading
from typing import Protocol


class Guest(Protocol):
    """A connection, as far as admission knows it."""

    def evict(self) -> None:
        """Ends the connection soon: it has to make room. From any thread, without waiting."""


class Admission:
    """Counts connections; 0 means no limit. All methods may be called from any thread."""

    def __init__(self, max_connections: int, max_startups: int) -> None:
        self._max_connections = max_connections
        self._max_startups = max_startups
        self._lock = threading.Lock()
        self._guests: set[Guest] = set()
        self._exchanging: dict[Guest, None] = {}  # in order of arrival
        self._logging_in: set[Guest] = set()

    def enter(self, guest: Guest) -> bool:
        """Whether there is room; when start-ups are full the oldest unfinished key exchange makes some."""
        evicted = None
        with self._lock:
            if 0 < self._max_connections <= len(self._guests):
                return False
            if 0 < self._max_startups <= len(self._exchanging) + len(self._logging_in):
                if not self._exchanging:
                    return False
                evicted = next(iter(self._exchanging))
                del self._exchanging[evicted]
            self._guests.add(guest)
            self._exchanging[guest] = None
        if evicted is not None:
            evicted.evict()
        return True

    def keys_exchanged(self, guest: Guest) -> None:
        with self._lock:
            if guest in self._exchanging:
                del self._exchanging[guest]
                self._logging_in.add(guest)

    def logged_in(self, guest: Guest) -> None:
        with self._lock:
            self._logging_in.discard(guest)

    def leave(self, guest: Guest) -> None:
        with self._lock:
            self._guests.discard(guest)
            self._exchanging.pop(guest, None)
            self._logging_in.discard(guest)
