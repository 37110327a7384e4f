"""The thread that carries one connection over the network that a test wants."""

import fcntl
import os
import random
import select
import socket
import struct
import termios
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

FROM_CLIENT, TO_CLIENT, BOTH = "from client", "to client", "both"
How = Literal["reset", "close", "silence"]

_UNDERWAY_MOST = 1024 * 1024
"""Bytes of one direction that wait here: whoever sends more has to wait."""
_CHUNK = 64 * 1024
_CHUNKS_PER_SECOND = 20
"""Of a narrow band: its bytes come in steps of so many a second."""
_DELIVERY = 2.0
"""Seconds in which what was sent before a loss has to arrive."""
_ABORT = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Conditions:
    """Of one direction, read whenever bytes pass. Seconds, and bytes per second."""

    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float | None = None

    @property
    def matter(self) -> bool:
        return bool(self.latency or self.jitter or self.bandwidth)


@dataclass(slots=True, frozen=True)
class Loss:
    """After so many bytes of a direction, or of both together."""

    after: int
    direction: str
    how: How


class _Way:
    """One direction: what has been read and is on its way."""

    def __init__(self, name: str, source: socket.socket, target: socket.socket, conditions: Conditions) -> None:
        self.name = name
        self.source = source
        self.target = target
        self.conditions = conditions
        self.moved = 0
        self.is_silent = False
        self.is_done = False
        self._queue: deque[tuple[float, bytes]] = deque()  # b"" is the end
        self._underway = 0
        self.has_ended = False
        self._busy_until = self._last_due = 0.0

    @property
    def reads(self) -> bool:
        return not (self.has_ended or self.is_silent) and self._underway < _UNDERWAY_MOST

    @property
    def due(self) -> float | None:
        """When the next bytes arrive, None for never."""
        return self._queue[0][0] if self._queue and not self.is_silent else None

    def receive(self, dice: random.Random) -> None:
        """Takes what the source has, and sends it on its way. Raises OSError."""
        bandwidth = self.conditions.bandwidth
        size = _CHUNK if bandwidth is None else max(1, min(_CHUNK, int(bandwidth / _CHUNKS_PER_SECOND)))
        try:
            data = self.source.recv(size)
        except BlockingIOError:
            return
        start = max(time.monotonic(), self._busy_until)
        self._busy_until = start + (len(data) / bandwidth if bandwidth else 0.0)
        due = self._busy_until + self.conditions.latency + dice.random() * self.conditions.jitter
        self._last_due = max(due, self._last_due)  # or bytes would overtake others
        self._queue.append((self._last_due, data))
        self._underway += len(data)
        self.has_ended = not data

    def deliver(self, most: int) -> None:
        """Hands over what has arrived, at most so many bytes, as far as the target takes it. Raises OSError."""
        while self._queue and self._queue[0][0] <= time.monotonic():
            due, data = self._queue.popleft()
            if not data:
                self.target.shutdown(socket.SHUT_WR)
                self.is_done = True
                return
            try:
                count = self.target.send(data[:most]) if most else 0
            except BlockingIOError:
                count = 0
            self.moved += count
            most -= count
            self._underway -= count
            if count < len(data):
                self._queue.appendleft((due, data[count:]))
                return


class Relay:
    """Owns both sockets: the client's, and the inner one of a pair."""

    def __init__(
        self, number: int, client: socket.socket, inner: socket.socket, ways: Mapping[str, Conditions],
        losses: Iterable[Loss], dice: random.Random,
    ) -> None:  # fmt: skip
        self.number = number
        self._client = client
        self._inner = inner
        self._ways = (
            _Way(FROM_CLIENT, client, inner, ways[FROM_CLIENT]),
            _Way(TO_CLIENT, inner, client, ways[TO_CLIENT]),
        )
        self._losses = list(losses)
        self._dice = dice
        self._lock = threading.Lock()
        self._is_over = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name=f"libsshd-network-{number}", daemon=True)

    # --- from any thread ---

    def start(self) -> None:
        """Raises RuntimeError."""
        self._client.setblocking(False)
        self._inner.setblocking(False)
        self._thread.start()

    def plan(self, loss: Loss) -> None:
        with self._lock:
            self._losses.append(loss)
        self._poke()

    def govern(self, ways: Mapping[str, Conditions]) -> None:
        """Goes by these conditions from now on."""
        for way in self._ways:
            way.conditions = ways[way.name]

    def unplan(self) -> None:
        with self._lock:
            self._losses.clear()
        self._poke()

    def stop(self) -> None:
        self._is_over = True
        self._poke()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self) -> None:
        self._thread.join()

    def _poke(self) -> None:
        with self._lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    # --- the thread ---

    def _run(self) -> None:
        try:
            while not self._is_over and not all(way.is_done for way in self._ways):
                self._pass_on()
                if not self._is_over:
                    self._wait()
        except OSError:
            pass  # one side is gone, and the other learns it from the end of its socket
        finally:
            self._client.close()
            self._inner.close()
            with self._lock:
                os.close(self._wake)
                self._wake = -1

    def _pass_on(self) -> None:
        for way in self._ways:
            if not way.is_silent and not way.is_done:
                way.deliver(self._room(way))
            self._lose()

    def _passed(self, direction: str) -> int:
        return sum(way.moved for way in self._ways if direction in (BOTH, way.name))

    def _room(self, way: _Way) -> int:
        """How many bytes may pass before the next loss."""
        with self._lock:
            rooms = [
                loss.after - self._passed(loss.direction)
                for loss in self._losses
                if loss.direction in (BOTH, way.name)
            ]
        return max(0, min(rooms, default=_UNDERWAY_MOST))

    def _lose(self) -> None:
        """What is due to be lost by now."""
        with self._lock:
            due = [loss for loss in self._losses if self._passed(loss.direction) >= loss.after]
            self._losses = [loss for loss in self._losses if loss not in due]
        for loss in due:
            if loss.how == "silence":
                for way in self._ways:
                    way.is_silent = way.is_silent or loss.direction in (BOTH, way.name)
            else:
                self._end(loss.how)

    def _end(self, how: How) -> None:
        """Everything that has passed arrives before."""
        self._is_over = True
        if how == "reset":
            self._await_arrival()
            with suppress(OSError):
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)

    def _await_arrival(self) -> None:
        due = time.monotonic() + _DELIVERY
        while time.monotonic() < due:
            unacknowledged = struct.unpack("i", fcntl.ioctl(self._client, termios.TIOCOUTQ, bytes(4)))[0]
            if not unacknowledged:
                return
            time.sleep(0.001)

    def _wait(self) -> None:
        """Until bytes come, can leave, or are due; or somebody pokes."""
        poller, now = select.poll(), time.monotonic()
        events: dict[socket.socket, int] = {}
        timeout: float | None = None
        for way in self._ways:
            if way.is_done or way.is_silent:
                continue
            if way.reads:
                events[way.source] = events.get(way.source, 0) | select.POLLIN
            if way.due is not None and way.due <= now:
                events[way.target] = events.get(way.target, 0) | select.POLLOUT
            elif way.due is not None:
                timeout = min(way.due - now, timeout or way.due - now)
        to_client = self._ways[1]
        if to_client.is_done or to_client.is_silent or not to_client.has_ended:
            events.setdefault(self._inner, 0)  # whose hang-up is always told
        for sock, wanted in events.items():
            poller.register(sock, wanted)
        poller.register(self._wake, select.POLLIN)
        ready = dict(poller.poll(None if timeout is None else timeout * 1000 + 1))
        if self._wake in ready:
            os.eventfd_read(self._wake)
        self._take(ready)

    def _take(self, ready: Mapping[int, int]) -> None:
        for way in self._ways:
            if way.reads and ready.get(way.source.fileno(), 0) & (select.POLLIN | select.POLLHUP | select.POLLERR):
                way.receive(self._dice)
        to_client = self._ways[1]
        if ready.get(self._inner.fileno(), 0) & select.POLLHUP and (to_client.is_done or to_client.is_silent):
            self._is_over = True  # the server has hung up, and everything it said has passed
