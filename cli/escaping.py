"""Text of strangers in one line: whatever is not printable is escaped, so that it cannot look like anything else."""

from typing import Any


def readable(value: str | bytes) -> str:
    """Return text in which octets that are not UTF-8 stand as \\xNN, so that it can be encoded again."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    try:
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return value.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """Return `text` with line breaks, controls and direction marks escaped, for a terminal."""
    return "".join(c if c.isprintable() else _escaped(c) for c in readable(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def escape(value: str | bytes) -> str:
    """Return `value` in one line from which it can be read back: backslashes are doubled, too.

    Octets that are not UTF-8 come out as \\xNN, characters as \\n, \\xNN, \\uNNNN or \\UNNNNNNNN.
    """
    backslash: Any = (b"\\", b"\\\\") if isinstance(value, bytes) else ("\\", "\\\\")
    return one_line(readable(value.replace(*backslash)))
