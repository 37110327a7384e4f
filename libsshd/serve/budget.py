"""What all connections of a server have together."""

import threading
import time

from libsshd._native import HandleCounts

PORTION = 8
"""Handles a connection takes at once, so that opening a file seldom asks for more."""
_SPARED = 8
"""One of so many parts is left for connections that have less than a portion: who opens much must not stop others."""
_IDLENESS = 20
"""How much longer than one look for handles that are not open it takes to the next, however many connections."""


class HandleBudget:
    """Handles that may be open at once. From any thread.

    A connection keeps what it took, to open as many again without asking, until others need it or it ends.
    """

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._taken = 0
        self._holders: set[HandleCounts] = set()
        self._next_look = 0.0

    def limit(self, most: int) -> None:
        """From now on; nobody has to give back."""
        with self._lock:
            self._most = most

    def begin(self, holder: HandleCounts, most: int) -> None:
        """A first portion for a connection that may have `most`, as long as there is plenty."""
        portion = min(most, PORTION)
        with self._lock:
            self._holders.add(holder)
            if self._taken + portion <= self._most // 2:
                holder.most += portion
                self._taken += portion

    def take(self, holder: HandleCounts, most: int) -> bool:
        """Lets a connection have more, up to `most`; False when there are none."""
        with self._lock:
            wanted = min(most - holder.most, PORTION)
            most_of_all = self._most - (self._most // _SPARED if holder.open >= PORTION else 0)
            if wanted > most_of_all - self._taken:
                self._take_back()
            granted = max(0, min(wanted, most_of_all - self._taken))
            holder.most += granted
            self._taken += granted
            self._holders.add(holder)
        return granted > 0

    def _take_back(self) -> None:
        """Who opens a file at this very moment may have one more than it is left."""
        began = time.monotonic()
        if began < self._next_look:
            return
        for holder in self._holders:
            spare = max(0, holder.most - holder.open)
            holder.most -= spare
            self._taken -= spare
        now = time.monotonic()
        self._next_look = now + (now - began) * _IDLENESS

    def give_back(self, holder: HandleCounts) -> None:
        """The connection is over."""
        with self._lock:
            self._holders.discard(holder)
            self._taken -= holder.most
