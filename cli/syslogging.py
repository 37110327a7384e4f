"""The log of `libsshd sftp-server`: lines like those of OpenSSH's, for syslog or standard error."""

import logging
import sys
import syslog

from libsshd_cli.escaping import escape

_IDENT = "sftp-server"
_VERBOSE = 15
_LEVELS = {
    "QUIET": logging.CRITICAL + 10,
    "FATAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "INFO": logging.INFO,
    "VERBOSE": _VERBOSE,
}
"""Levels of Python's logging by OpenSSH's names; those that are missing are all logging.DEBUG."""
_PRIORITIES = {
    logging.CRITICAL: syslog.LOG_CRIT,
    logging.ERROR: syslog.LOG_ERR,
    logging.WARNING: syslog.LOG_WARNING,
    logging.INFO: syslog.LOG_INFO,
}
_FORMS = {
    "opened": "session opened for local user {user} from [{peer}]",
    "closed": "session closed for local user {user} from [{peer}]",
    "open": 'open "{path}" flags {flags}',
    "close": 'close "{path}" bytes read {read} written {written}',
    "aborted": 'forced close "{path}" bytes read {read} written {written}',
}
"""How events look whose lines other programs read; all others are their message and fields."""


def configure(level: str, facility: str, *, to_stderr: bool) -> None:
    """Send the records of libsshd from the level on that OpenSSH calls `level` to standard error, else to syslog."""
    handler = logging.StreamHandler(sys.stderr) if to_stderr else _SyslogHandler(facility)
    handler.setFormatter(_Formatter())
    logger = logging.getLogger("libsshd")
    logger.handlers[:] = [handler]
    logger.setLevel(_LEVELS.get(level, logging.DEBUG))
    logger.propagate = False
    logging.raiseExceptions = False  # a closed stderr must not stop the server


class _SyslogHandler(logging.Handler):
    """Goes through libc, which connects with the first line and does without where no one listens."""

    def __init__(self, facility: str) -> None:
        super().__init__()
        syslog.openlog(_IDENT, syslog.LOG_PID, getattr(syslog, f"LOG_{facility}"))

    def emit(self, record: logging.LogRecord) -> None:
        syslog.syslog(_PRIORITIES.get(record.levelno, syslog.LOG_DEBUG), self.format(record))


class _Formatter(logging.Formatter):
    """One line per record; what a client sent cannot forge one."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(record.__dict__.get("fields", ()))
        form = _FORMS.get(str(fields.pop("event", "")))
        values = {name: _text(value) for name, value in fields.items()}
        if form is not None:
            line = form.format_map(values)
        else:
            line = " ".join([escape(record.getMessage()), *(f'{name} "{value}"' for name, value in values.items())])
        return line + (f" ({escape(repr(record.exc_info[1]))})" if record.exc_info else "")


def _text(value: object) -> str:
    return escape(value if isinstance(value, str | bytes) else str(value)).replace('"', '\\"')
