"""A network between client and server that is slow, or breaks: in this process, without any privilege.

While something is set, each connection that comes is carried by a relay: a thread between the client's socket and a
pair of sockets whose other end the server has. Nothing is between them while nothing is set.
"""

import itertools
import random
import socket
import threading
from dataclasses import dataclass, replace
from typing import Literal

from libsshd.testing.relay import BOTH, FROM_CLIENT, TO_CLIENT, Conditions, How, Loss, Relay

Towards = Literal["both", "client", "server"]
Direction = Literal["both", "from client", "to client"]


@dataclass(slots=True, frozen=True)
class _Plan:
    """A loss that is to come; `connection` None is every one."""

    loss: Loss
    connection: int | None


class Network:
    """Perfect at first. What is set holds for connections that come from then on, and at once for those that a relay
    carries already. Connections are numbered from 1, in the order in which they were accepted.
    """

    def __init__(self) -> None:
        self._ways = {FROM_CLIENT: Conditions(), TO_CLIENT: Conditions()}
        self._own: dict[int, dict[str, Conditions]] = {}
        """Conditions of connections that have their own, by number."""
        self._plans: list[_Plan] = []
        self._relays: set[Relay] = set()
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._dice = random.Random(0)  # noqa: S311 - to be repeated, not to be secret
        self.live = False
        """Whether connections are carried by a relay although nothing is set: then something may be set later."""

    # --- conditions ---

    @property
    def latency(self) -> float:
        """Seconds that bytes are on their way, in either direction; that towards the client where they differ."""
        return self._ways[TO_CLIENT].latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self.set(latency=seconds)

    @property
    def jitter(self) -> float:
        """Seconds that they may be on their way in addition, evenly distributed; bytes never overtake others."""
        return self._ways[TO_CLIENT].jitter

    @jitter.setter
    def jitter(self, seconds: float) -> None:
        self.set(jitter=seconds)

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second in each direction, None for no limit."""
        return self._ways[TO_CLIENT].bandwidth

    @bandwidth.setter
    def bandwidth(self, rate: float | None) -> None:
        self._check(rate is None or rate > 0, "a bandwidth is more than 0 bytes per second")
        for conditions in self._ways.values():
            conditions.bandwidth = rate

    def set(
        self, *, latency: float | None = None, jitter: float | None = None, bandwidth: float | None = None,
        towards: Towards = "both", connection: int | None = None,
    ) -> None:  # fmt: skip
        """Changes what is given, in both directions or one, for all connections or one, which from then on goes by
        its own alone. Raises ValueError.
        """
        self._check(towards in ("both", "client", "server"), 'towards is "both", "client" or "server"')
        self._check((latency or 0) >= 0 and (jitter or 0) >= 0, "latency and jitter are 0 seconds or more")
        self._check(bandwidth is None or bandwidth > 0, "a bandwidth is more than 0 bytes per second")
        ways = {"client": [TO_CLIENT], "server": [FROM_CLIENT]}.get(towards, [FROM_CLIENT, TO_CLIENT])
        conditions_of = self._ways if connection is None else self._own_of(connection)
        for way in ways:
            conditions = conditions_of[way]
            conditions.latency = conditions.latency if latency is None else latency
            conditions.jitter = conditions.jitter if jitter is None else jitter
            conditions.bandwidth = conditions.bandwidth if bandwidth is None else bandwidth

    def _own_of(self, connection: int) -> dict[str, Conditions]:
        """They begin as those of all."""
        with self._lock:
            if connection not in self._own:
                self._own[connection] = {name: replace(conditions) for name, conditions in self._ways.items()}
                for relay in self._relays:
                    if relay.number == connection:
                        relay.govern(self._own[connection])
            return self._own[connection]

    def lose(
        self, after: int = 0, direction: Direction = "both", how: How = "reset", connection: int | None = None
    ) -> None:
        """Has connections end, or one, once exactly so many bytes have passed: of SSH as it is on the wire, the first
        line among them. Those in either direction count, or both together.

        `how` is "reset", "close" for an orderly end, or "silence": nothing passes any more in that direction, and the
        connection stays open. Raises ValueError.
        """
        self._check(after >= 0, "bytes are counted from 0")
        self._check(direction in (BOTH, FROM_CLIENT, TO_CLIENT), f"{direction!r} is no direction")
        self._check(how in ("reset", "close", "silence"), f"{how!r} is no way to lose a connection")
        plan = _Plan(Loss(after, direction, how), connection)
        with self._lock:
            self._plans = [*self._plans, plan]
            relays = list(self._relays)
        for relay in relays:
            if connection in (None, relay.number):
                relay.plan(plan.loss)

    def half_open(self, after: int = 0, direction: Direction = "to client", connection: int | None = None) -> None:
        """`lose` by silence: by default the server hears the client and does not reach it any more."""
        self.lose(after, direction, "silence", connection)

    def clear(self) -> None:
        """A perfect network, and connections are counted anew. What is lost already stays so."""
        for conditions in self._ways.values():
            conditions.latency, conditions.jitter, conditions.bandwidth = 0.0, 0.0, None
        with self._lock:
            self._plans = []
            self._own = {}
            self._numbers = itertools.count(1)
            self._dice = random.Random(0)  # noqa: S311
            relays = list(self._relays)
        for relay in relays:
            relay.unplan()
            relay.govern(self._ways)

    # --- connections ---

    def carry(self, sock: socket.socket) -> socket.socket:
        """The socket to serve in place of one that was accepted, which is that itself while nothing is set. Raises
        OSError, RuntimeError when the system has no socket or thread left.
        """
        with self._lock:
            number = next(self._numbers)
            losses = [plan.loss for plan in self._plans if plan.connection in (None, number)]
            ways = self._own.get(number, self._ways)
            dice = random.Random(self._dice.random())  # noqa: S311
        if not (self.live or losses or any(conditions.matter for conditions in ways.values())):
            return sock
        inner, served = socket.socketpair()
        relay = Relay(number, sock, inner, ways, losses, dice)
        try:
            relay.start()
        except RuntimeError:
            inner.close()
            served.close()
            raise
        with self._lock:
            self._relays = {relay, *(other for other in self._relays if other.is_alive)}
        return served

    def stop(self) -> None:
        """Ends every relay, and what it carries. Returns when they have ended."""
        with self._lock:
            relays, self._relays = self._relays, set()
        for relay in relays:
            relay.stop()
        for relay in relays:
            relay.join()

    @staticmethod
    def _check(right: bool, sentence: str) -> None:
        if not right:
            raise ValueError(sentence)
