"""What a client may ask for that moves no file: such requests cost it nothing and the server an answer."""

import time

PER_SECOND = 0.1
"""Of the whole, that comes back. Clients that mean well stay a hundred times below it."""

ASK = 1
"""A global request, a channel, a request on a channel."""

EXCHANGE = 5
"""New keys, when hardly a byte has been moved with the old ones."""

HARDLY = 1 << 16
"""Bytes in both directions."""


class Allowance:
    """Belongs to its connection's thread. `most` is what may be asked for at once; 0: no limit."""

    __slots__ = ("_left", "_most", "_since")

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = float(most)
        self._since = time.monotonic()

    def spend(self, cost: int) -> bool:
        """Whether there was that much left."""
        if self._most == 0:
            return True
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._since) * PER_SECOND * self._most)
        self._since = now
        if self._left < cost:
            return False
        self._left -= cost
        return True
