"""How many descriptors the process may have: as many as its connections need, or as the system grants."""

import contextlib
import logging
import resource

_LOGGER = logging.getLogger("libsshd.command")

_OWN = 64
"""Descriptors of the process itself: its terminal, log, root and listening sockets, with room to spare."""

_CONNECTED = 2
"""Of a connection: its socket, and what wakes it."""

_EACH = _CONNECTED + 1
"""With one open file."""

_UNLIMITED = resource.RLIM_INFINITY


def raise_limit(connections: int) -> None:
    """Take what the system grants, or as root what `connections` need; one line tells when that is not enough."""
    needed = _OWN + _EACH * connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, max(hard, needed)) if hard != _UNLIMITED else (needed,):
        with contextlib.suppress(OSError, ValueError):  # only root may go beyond the hard limit, and not for ever
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < needed and limit != _UNLIMITED:
        fields = {"event": "descriptors", "limit": limit, "needed": needed, "connections": _allowed(limit)}
        _LOGGER.warning("the descriptor limit is lower than --max-connections needs", extra={"fields": fields})


def for_handles(connections: int) -> int:
    """Return how many files may be open at once without taking the descriptors of connections."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == _UNLIMITED:
        return 1 << 30
    return max(1, limit - _OWN - _CONNECTED * min(connections, _allowed(limit)))


def _allowed(limit: int) -> int:
    """How many connections a limit is enough for."""
    return max(0, (limit - _OWN) // _EACH)
