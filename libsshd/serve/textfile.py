"""Files that are open as text (draft-13, section 8.1.1.3).

READ and WRITE ignore their offset and go on where the last one ended, which the descriptor's own position keeps.
Nothing is converted: clients are told the line end.
"""

import os
from collections.abc import Callable
from errno import EIO

_CHUNK = 1 << 18


def read(fd: int, length: int) -> bytes:
    """b"" at the end of the file. Raises OSError."""
    return os.read(fd, length)


def write(fd: int, data: memoryview) -> int:
    """How many bytes were written, at least one. Raises OSError."""
    count = os.write(fd, data)
    if not count:
        raise OSError(EIO, os.strerror(EIO))
    return count


def seek(fd: int, line: int, newline: bytes, go_on: Callable[[], None]) -> bool:
    """Goes on at the beginning of a line, counted from 0; False, and stays, if the file has fewer.

    Raises OSError, and what `go_on` raises to end the search.
    """
    start = _line_start(fd, line, newline, go_on)
    if start is not None:
        os.lseek(fd, start, os.SEEK_SET)
    return start is not None


def _line_start(fd: int, line: int, newline: bytes, go_on: Callable[[], None]) -> int | None:
    offset, rest = 0, b""
    while line and (chunk := os.pread(fd, _CHUNK, offset + len(rest))):
        text = rest + chunk
        count = text.count(newline)
        if count >= line:
            return offset + _behind(text, newline, line)
        go_on()
        line -= count
        rest = newline[:-1] if len(newline) > 1 and text.endswith(newline[:-1]) else b""
        offset += len(text) - len(rest)
    return None if line else 0


def _behind(text: bytes, newline: bytes, count: int) -> int:
    """The position behind the newline of this number, counted from 1."""
    position = 0
    for _ in range(count):
        position = text.index(newline, position) + len(newline)
    return position
