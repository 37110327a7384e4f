"""The server's log: one record per thing worth knowing, with its facts as fields.

A record's message is a short sentence; `record.fields` holds "event" and the facts, ready for a formatter.
"""

import logging

_LOGGER = logging.getLogger("libsshd")


def record(level: int, event: str, message: str, /, **fields: object) -> None:
    """Logs `message`; fields that are None are left out."""
    if _LOGGER.isEnabledFor(level):
        facts = {name: value for name, value in fields.items() if value is not None}
        _LOGGER.log(level, message, extra={"fields": {"event": event, **facts}})


def failure(message: str, /, **fields: object) -> None:
    """Logs an exception nobody expected, with its traceback."""
    _LOGGER.exception(message, extra={"fields": {"event": "internal-error", **fields}})
