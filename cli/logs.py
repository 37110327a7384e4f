"""Log records as lines: for people as `time level message key=value ...`, for programs as JSON.

What a client sent (file names above all) must never look like a line or a value of ours, so it is
escaped (escaping.py), in both forms.
"""

import datetime as dt
import json
import logging
from typing import IO

from libsshd_cli.escaping import escape, readable

_QUOTED_BECAUSE_OF = frozenset(' "=')


def configure(level: str, form: str, stream: IO[str]) -> None:
    """Send the records of libsshd from `level` on to `stream`, in place of what was configured before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form))
    logger = logging.getLogger("libsshd")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False
    logging.raiseExceptions = False  # a closed stderr must not stop the server


def formatter(form: str) -> logging.Formatter:
    """Return the formatter called `form`: text or json."""
    return JSONFormatter() if form == "json" else TextFormatter()


class TextFormatter(logging.Formatter):
    """One line per record; a traceback follows in indented lines, which no record begins with."""

    def format(self, record: logging.LogRecord) -> str:
        words = [timestamp(record.created), record.levelname.lower(), escape(record.getMessage())]
        words += [f"{escape(name)}={_value_text(value)}" for name, value in _fields(record).items()]
        return " ".join(words) + "".join(f"\n    {escape(line)}" for line in _traceback_lines(record))


class JSONFormatter(logging.Formatter):
    """One JSON object per line; the fields of a record stand beside time, level and message."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        if record.exc_info:
            fields = {**fields, "traceback": "\n".join(_traceback_lines(record))}
        return as_json(record.created, record.levelname, record.getMessage(), fields)


def as_json(moment: float, level: str, message: str, fields: dict[str, object]) -> str:
    """Return one JSON object without line breaks; `moment` is in seconds since 1970."""
    entry: dict[str, object] = {"time": timestamp(moment), "level": level.lower()}
    entry["message"] = readable(message)
    for name, value in fields.items():
        entry.setdefault(readable(name), _json_value(value))
    return json.dumps(entry, allow_nan=False)


def timestamp(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as ISO 8601 in UTC with milliseconds."""
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = record.__dict__.get("fields")
    return fields if isinstance(fields, dict) else {}


def _value_text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    text = escape(value if isinstance(value, str | bytes) else str(value))
    if text not in ("", "-") and _QUOTED_BECAUSE_OF.isdisjoint(text):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _json_value(value: object) -> object:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return readable(value if isinstance(value, str | bytes) else str(value))


def _traceback_lines(record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    return logging.Formatter().formatException(record.exc_info).splitlines()
