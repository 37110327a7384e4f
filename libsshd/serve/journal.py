"""What the server has to tell: records for Python's logging, and the Log, SSHStatus and Error events.

A record's message is a short sentence; `record.fields` holds "event" and the facts, ready for a formatter.
"""

import logging
from collections.abc import Mapping
from typing import Any

from libsshd.dispatch import Dispatcher
from libsshd.events import Error, EventHooks, Log, SSHStatus
from libsshd.settings import Settings

_LOGGER = logging.getLogger("libsshd")
_LONGEST = 1024
_NOTHING: Mapping[str, object] = {}

INFO, PACKETS, BYTES = 1, 2, 3
"""Levels of the Log event."""


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


class Journal:
    """The journal of one connection. `facts` begin every record; `connection_id` is -1 until there is one.

    `live` are the server's settings as they are now: how much is told may change at any time.
    """

    __slots__ = ("_dispatcher", "_errors", "_live", "_log", "_statuses", "connection_id", "facts")

    def __init__(
        self, facts: dict[str, object], dispatcher: Dispatcher, hooks: EventHooks, live: Settings,
        connection_id: int = -1,
    ) -> None:  # fmt: skip
        self.facts = facts
        self.connection_id = connection_id
        self._dispatcher = dispatcher
        self._log, self._statuses, self._errors = hooks.on_log, hooks.on_ssh_status, hooks.on_error
        self._live = live

    def tells(self, level: int) -> bool:
        """Whether messages of a level of Log go to a handler."""
        return bool(self._log) and level <= self._live.log_level

    def wants(self, level: int) -> bool:
        """Whether records of a level of Python's logging go anywhere, to a handler of Log too."""
        return enabled(level) or self.tells(_log_level(level))

    @property
    def tells_status(self) -> bool:
        """Whether `status` goes anywhere."""
        return bool(self._statuses) or self.tells(INFO)

    def record(self, level: int, event: str, message: str, /, **fields: object) -> None:
        """One thing worth knowing."""
        record(level, event, message, self.facts, **fields)
        if self.tells(_log_level(level)):
            details = ", ".join(f"{name} {_text(value)}" for name, value in fields.items() if value is not None)
            self.log(_log_level(level), f"{message}: {details}" if details else message)

    def failure(self, message: str, error: Exception) -> None:
        """An exception nobody expected."""
        failure(message, error, self.facts)
        self._dispatcher.failed(error)
        self.log(INFO, f"{message}: {type(error).__name__}")

    def log(self, level: int, message: str) -> None:
        """Fires Log."""
        if self.tells(level):
            event = Log(connection_id=self.connection_id, log_level=level, message=message)
            self._dispatcher.tell(self._log, event)

    def status(self, message: str) -> None:
        """Fires SSHStatus, and Log as information."""
        if self._statuses:
            event = SSHStatus(connection_id=self.connection_id, message=message)
            self._dispatcher.tell(self._statuses, event)
        self.log(INFO, message)

    def error(self, code: int, description: str) -> None:
        """Fires Error, and Log as information."""
        if self._errors:
            event = Error(connection_id=self.connection_id, error_code=int(code), description=description)
            self._dispatcher.tell(self._errors, event)
        self.log(INFO, f"[{int(code)}] {description}")

    def packet(self, what: str, data: bytes, secret: bool = False) -> None:
        """A packet at LogLevel 2, its bytes at 3; those of a secret one only if secrets are not masked."""
        if not self.tells(PACKETS):
            return
        self.log(PACKETS, f"{what}, {len(data)} bytes")
        if self.tells(BYTES):
            hidden = secret and self._live.mask_sensitive
            self.log(BYTES, f"{what}: {'(masked)' if hidden else _hex(data)}")


def _log_level(level: int) -> int:
    return INFO if level >= logging.INFO else PACKETS


def _text(value: Any) -> str:
    value = _cut(value)
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")  # one message is one line


def _hex(data: bytes) -> str:
    cut = data[:_LONGEST]
    return cut.hex(" ") + (" ..." if len(data) > len(cut) else "")
