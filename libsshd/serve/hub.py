"""All connections of a server, however they came in: their numbers, their limits, their common end."""

import contextlib
import heapq
import itertools
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from libsshd._native import Algorithms, Bind, Budget, Key
from libsshd.admission import Admission, ClientList, Limits, Refusal
from libsshd.dispatch import Dispatcher
from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.events import EventHooks
from libsshd.fs.base import ServedFileSystem
from libsshd.settings import ConnectionSettings, Prompt, Settings
from libsshd.wire.codepage import Translation

from . import sockets
from .budget import HandleBudget
from .connection import Connection
from .interception import Interceptor
from .journal import Journal
from .policy import Policy
from .routes import Routes

FAREWELL = "The server is shutting down"
_END_TIMEOUT = 10.0
"""Seconds for all connections together to end once they were told to."""
_LINES_SECONDS, _LINES_MOST = 10.0, 10
"""So many lines of the log in that time tell of clients that were turned away."""
_UIDS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Offer:
    """What connections begin with as long as no setting changes; `fs` is None where handlers are the file system."""

    settings: Settings
    defaults: ConnectionSettings
    prompts: tuple[Prompt, ...]
    algorithms: Algorithms
    bind: Bind
    fs: ServedFileSystem | None
    allowed: ClientList
    blocked: ClientList
    versions: re.Pattern[str]
    encoding: str
    translation: Translation | None
    policy: Policy
    limits: Limits

    def bind_for(self, key: Key) -> Bind:
        """As `bind`, with this host key alone. Raises ValueError."""
        return Bind([key], self.algorithms, self.bind.budget)


class TurnedAway:
    """Who was turned away: a flood of clients must not become one of lines in the log."""

    def __init__(self) -> None:
        self._until = 0.0
        self._lines = 0
        self._untold = 0

    def tells(self, now: float) -> int | None:
        """None for one who is only counted, else how many were since the last line."""
        if now >= self._until:
            self._until, self._lines = now + _LINES_SECONDS, _LINES_MOST
        if not self._lines:
            self._untold += 1
            return None
        self._lines -= 1
        untold, self._untold = self._untold, 0
        return untold


class Hub:
    """Belongs to one server. All methods may be called from any thread; no lock is held while handlers run."""

    def __init__(
        self, live: Settings, hooks: EventHooks, dispatcher: Dispatcher, offer: Callable[[], Offer]
    ) -> None:  # fmt: skip
        self.live = live
        self.hooks = hooks
        self.dispatcher = dispatcher
        self.admission = Admission()
        self.budget = Budget(live.max_bytes_in_flight)
        self.handles = HandleBudget(live.max_handles)
        self.interceptor: Interceptor | None = None
        self._turned_away = TurnedAway()
        self._offer = offer
        self._changed = threading.Condition()
        self._all: set[Connection] = set()
        self._by_id: dict[int, Connection] = {}
        self._free_ids: list[int] = []
        self._routes: dict[tuple[Policy, bool, bool], Routes] = {}

    # --- beginnings ---

    def accept(self, sock: socket.socket, address: tuple[str, int]) -> bool:
        """Has a connected socket served by a thread of its own; False when it was turned away, and closed.

        Raises:
            SFTPServerError: what is set cannot be offered to anybody (1301, 2001, 10022).
            OSError, RuntimeError, MemoryError: the system has no thread or memory left. The socket is the caller's
                then.
        """
        offer = self._offer()
        peer = sockets.plain(address[0]), address[1]
        place = Refusal.CONNECTIONS if self.dispatcher.is_overfull else self.admission.enter(peer[0], offer.limits)
        if isinstance(place, Refusal) and (place is Refusal.CONNECTIONS or not self.hooks.on_connection_request):
            self._turn_away(sock, peer, "do_events() is not called" if self.dispatcher.is_overfull else place.value)
            return False
        taken = None if isinstance(place, Refusal) else place
        try:
            _tune(sock, offer.settings)
            uid = next(_UIDS)
            if self.interceptor is not None:
                sock = self.interceptor.accepted(uid, sock)
            connection = Connection(self, offer, sock, peer, uid, taken)
        except BaseException:
            if taken is not None:
                self.admission.leave(taken, None, offer.limits)
            raise
        with self._changed:
            self._all.add(connection)
        try:
            connection.start()
        except BaseException:
            self.ended(connection)
            raise
        return True

    def _turn_away(self, sock: socket.socket, peer: tuple[str, int], reason: str) -> None:
        """Costs next to nothing: there may be thousands a second."""
        sock.close()
        told = self._turned_away.tells(time.monotonic())
        if told is not None:
            facts: dict[str, object] = {"peer": f"{peer[0]}:{peer[1]}"}
            journal = Journal(facts, self.dispatcher, self.hooks, self.live)
            journal.record(logging.INFO, "turned-away", reason, others=told or None)

    def enlist(self, connection: Connection) -> int:
        """The lowest number that no connection has."""
        with self._changed:
            number = heapq.heappop(self._free_ids) if self._free_ids else len(self._by_id)
            self._by_id[number] = connection
        return number

    def routes(self, policy: Policy, *, event_mode: bool, allow_links: bool) -> Routes:
        """How requests are answered with the handlers that are attached now."""
        known = self._routes  # replaced when handlers change: what is made of the old ones ends up with the old
        allow_links = allow_links or bool(self.hooks.on_link_create)
        key = policy, event_mode, allow_links
        routes = known.get(key)
        if routes is None:
            routes = known[key] = Routes(self.hooks, policy, event_mode=event_mode, allow_links=allow_links)
        return routes

    def handlers_changed(self) -> None:
        """Every connection goes by the handlers attached now, from its next packet on."""
        self._routes = {}
        for connection in self.connections:
            connection.post(Connection.refresh)

    # --- looking ---

    @property
    def connections(self) -> list[Connection]:
        """Those whose thread has not ended."""
        with self._changed:
            return list(self._all)

    @property
    def count(self) -> int:
        """One more than the highest number in use."""
        with self._changed:
            return max(self._by_id, default=-1) + 1

    @property
    def ids(self) -> list[int]:
        """The numbers in use, ascending."""
        with self._changed:
            return sorted(self._by_id)

    def find(self, connection_id: int) -> Connection:
        """Raises SFTPServerError (126) when there is no such connection."""
        connection = self._by_id.get(connection_id)
        if connection is None:
            raise SFTPServerError(ErrorCode.UNKNOWN_CONNECTION)
        return connection

    # --- ends ---

    def ended(self, connection: Connection) -> None:
        """The thread of a connection is about to end."""
        connection.give_up_place()
        with self._changed:
            self._all.discard(connection)
            self._changed.notify_all()

    def forget(self, connection: Connection) -> None:
        """Disconnected was handled: the number is free."""
        with self._changed:
            if self._by_id.get(connection.id) is connection:
                del self._by_id[connection.id]
                heapq.heappush(self._free_ids, connection.id)
                if not self._by_id:
                    self._free_ids.clear()

    @property
    def serves_caller(self) -> bool:
        """Whether the caller runs on the thread of one of the connections, or inside a handler."""
        return self.dispatcher.in_handler or any(connection.is_current for connection in self.connections)

    def drain(self, leaving: Sequence[Connection], timeout: float, hurry: Callable[[], bool]) -> None:
        """Lets transfers end that were told to for up to `timeout` seconds, or until `hurry()`, then disconnects."""
        due = time.monotonic() + timeout
        with self._changed:
            while not self._all.isdisjoint(leaving) and time.monotonic() < due and not hurry():
                self._changed.wait(0.1)
        hurried = timeout > 0 and hurry()
        for connection in leaving:
            connection.evict() if hurried else connection.disconnect(FAREWELL)
        join(leaving, _END_TIMEOUT)

    def abandon(self) -> None:
        """In the child of a fork: closes its copies of the sockets, without a word to anybody."""
        for connection in list(self._all):
            with contextlib.suppress(OSError):
                connection.abandon()


def _tune(sock: socket.socket, settings: Settings) -> None:
    sockets.tune(
        sock,
        in_buffer=settings.in_buffer_size,
        out_buffer=settings.out_buffer_size,
        no_delay=settings.tcp_no_delay,
        keep_alive_time_ms=settings.keep_alive_time,
        keep_alive_interval_ms=settings.keep_alive_interval,
        keep_alive_retry_count=settings.keep_alive_retry_count,
    )


def join(leaving: Sequence[Connection], timeout: float) -> None:
    """Waits up to `timeout` seconds for connections that were told to end; a thread may hang in a handler."""
    due = time.monotonic() + timeout
    for connection in leaving:
        connection.join(max(0.0, due - time.monotonic()))
