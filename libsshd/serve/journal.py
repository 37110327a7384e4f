"""The server's log: one record per thing worth knowing, with its facts as fields.

A record's message is a short sentence; `record.fields` holds "event" and the facts, ready for a formatter.
"""

import logging
from collections.abc import Mapping

_LOGGER = logging.getLogger("libsshd")
_LONGEST = 1024
_NOTHING: Mapping[str, object] = {}


def _cut(value: object) -> object:
    """What a stranger sends must not fill the log."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return value[:_LONGEST] + "..."
    if isinstance(value, bytes) and len(value) > _LONGEST:
        return value[:_LONGEST] + b"..."
    return value


def enabled(level: int) -> bool:
    """Whether records of that level go anywhere."""
    return _LOGGER.isEnabledFor(level)


def record(level: int, event: str, message: str, facts: Mapping[str, object] = _NOTHING, /, **fields: object) -> None:
    """Logs `message` with the facts of its connection; fields that are None are left out."""
    if enabled(level):
        known = {name: _cut(value) for name, value in fields.items() if value is not None}
        _LOGGER.log(level, message, extra={"fields": {"event": event, **facts, **known}})


def failure(message: str, error: Exception, facts: Mapping[str, object] = _NOTHING, /) -> None:
    """Logs an exception nobody expected, with its traceback."""
    _LOGGER.error(message, exc_info=error, extra={"fields": {"event": "internal-error", **facts}})
