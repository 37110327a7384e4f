"""logs.py: a record is one line whatever a client called its files, in both formats."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libsshd_cli import logs
from libsshd_cli.run import LOG_FORMATS

HOSTILE = st.text(st.characters(codec=None)) | st.binary()


def record(message: str = "file closed", **fields: object) -> logging.LogRecord:
    entry = logging.LogRecord("libsshd", logging.INFO, __file__, 1, message, (), None)
    entry.created = 0.0625
    entry.__dict__["fields"] = fields
    return entry


def text(message: str = "file closed", **fields: object) -> str:
    return logs.formatter("text").format(record(message, **fields))


def as_json(message: str = "file closed", **fields: object) -> dict[str, Any]:
    line = logs.formatter("json").format(record(message, **fields))
    assert line.isascii()
    assert "\n" not in line
    entry: dict[str, Any] = json.loads(line)
    return entry


def test_a_text_line_is_time_level_message_and_fields() -> None:
    line = text(event="close", connection=3, path="/a", read=0, seconds=0.0104, ok=True, peer=None)
    assert line == (
        "1970-01-01T00:00:00.062Z info file closed "
        "event=close connection=3 path=/a read=0 seconds=0.010 ok=yes peer=-"
    )


def test_a_json_line_has_the_fields_beside_time_level_and_message() -> None:
    assert as_json(event="close", connection=3, path=b"/a", read=0, seconds=0.5, ok=False, peer=None) == {
        "time": "1970-01-01T00:00:00.062Z",
        "level": "info",
        "message": "file closed",
        "event": "close",
        "connection": 3,
        "path": "/a",
        "read": 0,
        "seconds": 0.5,
        "ok": False,
        "peer": None,
    }


def test_a_field_cannot_replace_time_level_or_message() -> None:
    entry = as_json(time="x", level="x")
    assert (entry["time"], entry["level"]) == ("1970-01-01T00:00:00.062Z", "info")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("", '""'),
        ("-", '"-"'),
        ("a\nb", r"a\nb"),
        ("a\\nb", r"a\\nb"),
        (b"a\nb", r"a\nb"),
        (b"\xff\\", r"\xff\\"),
        ("\udcff", r"\xff"),
        ("\ud800", r"\ud800"),
        ("\x1b[2J", r"\x1b[2J"),
        ("\u202egnp", r"\u202egnp"),
        ("a\u2028b", r"a\u2028b"),
        ("Grüße", "Grüße"),
        ("日本", "日本"),
    ],
)
def test_a_value_is_shown_so_that_it_can_be_read_back(value: str | bytes, shown: str) -> None:
    assert text(path=value).endswith(f" path={shown}")


@given(HOSTILE, HOSTILE)
def test_no_name_forges_a_line_a_field_or_a_control_sequence(value: str | bytes, other: str | bytes) -> None:
    line = text("%r", path=value, size=1, new_path=other)
    assert line.isprintable()
    line.encode("utf-8")
    assert line.count(" path=") == line.count(" size=1 new_path=") == 1 or '"' in line


@given(HOSTILE, st.text(st.characters(codec=None)))
def test_no_name_breaks_a_json_line(value: str | bytes, message: str) -> None:
    entry = as_json(message.replace("%", ""), path=value)
    entry["path"].encode("utf-8")
    assert set(entry) == {"time", "level", "message", "path"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_json_has_no_numbers_that_json_does_not_know(number: float) -> None:
    assert as_json(seconds=number)["seconds"] == str(number)


@pytest.mark.parametrize("form", LOG_FORMATS)
def test_a_traceback_cannot_be_taken_for_records(form: str) -> None:
    try:
        int("first\n1970-01-01T00:00:00.000Z info forged")
    except ValueError as error:
        entry = record("failed")
        entry.exc_info = (type(error), error, error.__traceback__)
    first, *others = logs.formatter(form).format(entry).split("\n")
    assert "failed" in first
    assert all(line.startswith("    ") for line in others)
    assert "forged" in first + "".join(others)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    logger, raising = logging.getLogger("libsshd"), logging.raiseExceptions
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield io.StringIO()
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])
    logging.raiseExceptions = raising


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_records_below_the_level_are_not_shown(level: str, count: int, stream: io.StringIO) -> None:
    logs.configure("debug", "json", io.StringIO())
    logs.configure(level, "text", stream)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("libsshd.serve").log(number, "something")
    assert len(stream.getvalue().splitlines()) == count


def test_a_closed_log_stream_stops_nobody(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text", stream)
    stream.close()
    logging.getLogger("libsshd").info("something")
    assert capsys.readouterr() == ("", "")
