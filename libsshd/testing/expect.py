"""Assertions about what a client did. Each waits a little for what the client's last packets bring."""

import os
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from libsshd.constants import OpenFlags, Status
from libsshd.testing.log import Log, Record, Selection
from libsshd.testing.transcript import readable

_Handle: TypeAlias = tuple[int, int, str]
"""Connection, channel, and what it is there."""
_WITHIN = 5.0
_SHOWN = 40
_CHANGING = (
    "WRITE", "SETSTAT", "FSETSTAT", "LSETSTAT", "REMOVE", "MKDIR", "RMDIR", "RENAME", "SYMLINK", "HARDLINK",
    "COPY-DATA", "COPY-FILE", "MAKE-TEMP-FOLDER",
)  # fmt: skip


class Expect:
    """`within` is how many seconds a method waits at most; then it raises AssertionError, with the conversation."""

    def __init__(self, log: Log, read: Callable[[str], bytes], size: Callable[[str], int]) -> None:
        """`read` gives the content of a file, `size` how long that is; both raise OSError."""
        self._log = log
        self._read = read
        self._size = size
        self.within = _WITHIN

    # --- files ---

    def uploaded(self, path: str, content: bytes | str | None = None) -> None:
        """The file was written, or made, and closed without an error since the log began, and has this content; under
        this name, or under one from which it was renamed.
        """
        wanted = content.encode() if isinstance(content, str) else content
        absolute = _absolute(path)
        self._demand(lambda: self._was_closed(absolute), f"{path} was not written and closed without an error", path)
        if wanted is not None:
            self.has(path, wanted)

    def has(self, path: str, content: bytes | str) -> None:
        """The file has this content."""
        wanted = content.encode() if isinstance(content, str) else content
        if not self._log.wait_until(lambda: self._content(path) == wanted, self.within):
            self._fail(_difference(path, self._content(path), wanted), path)

    def downloaded(self, path: str, content: bytes | None = None) -> None:
        """The file was opened, and all that it has was read, or so many bytes as `content`."""
        size = len(content) if content is not None else self._length(path)
        absolute = _absolute(path)

        def read() -> bool:
            found = self._log.of("OPEN", "READ", status=Status.OK, where=lambda record: record.path == absolute)
            return len(found) > 0 and _covered([(record.offset or 0, record.bytes) for record in found]) >= size

        self._demand(read, f"{path} was not read to its end at {size}", path)

    def _length(self, path: str) -> int:
        try:
            return self._size(path)
        except OSError:
            self._fail(f"there is no file {path}", path)

    def nothing_changed(self) -> None:
        """No request that changes something went well, and nothing was opened to be written."""
        found = self._log.of(*_CHANGING, status=Status.OK) or self._log.of("OPEN", status=Status.OK, where=_writes)
        if found:
            self._fail(f"{found.first.name} changed {found.first.path}")

    def _was_closed(self, path: str) -> bool:
        """Follows what was closed, and then perhaps renamed, from the first record to the last."""
        opened: dict[_Handle, set[str]] = {}
        names: set[str] = set()
        for record in self._log.of("OPEN", "CLOSE", "RENAME", status=Status.OK):
            if record.name == "OPEN":
                opened[_opened(record)] = {record.path or ""} if _writes(record) else set()
            elif record.name == "CLOSE":
                names |= opened.pop(_closed(record), set())
            elif record.new_path is not None:
                for known in (names, *opened.values()):
                    if record.path in known:
                        known.add(record.new_path)
        return path in names

    def _content(self, path: str) -> bytes | None:
        try:
            return self._read(path)
        except OSError:
            return None

    # --- requests ---

    def no_open_handles(self) -> None:
        """The client has closed whatever it opened."""
        self._demand(lambda: not self._left_open(), lambda: f"never closed: {', '.join(self._left_open())}")

    def _left_open(self) -> list[str]:
        opened: dict[_Handle, str] = {}
        for record in self._log.of("OPEN", "OPENDIR", "CLOSE"):
            if record.name == "CLOSE":
                opened.pop(_closed(record), None)
            elif record.status == Status.OK:
                opened[_opened(record)] = record.path or ""
        return list(opened.values())

    def order(self, *names: str, **selection: Any) -> None:
        """These requests came in this order, whatever came between them; of those that `Log.of` selects."""
        self._demand(lambda: self._in_order(names, selection), f"{' before '.join(names)}: not so")

    def _in_order(self, names: tuple[str, ...], selection: dict[str, Any]) -> bool:
        records = self._log.of(*names, **selection)
        at = 0
        for record in records:
            if at < len(names) and Selection([record]).of(names[at]):
                at += 1
        return at == len(names)

    def requested(self, name: str, times: int | None = None, **selection: Any) -> None:
        """There was such a request, or there were exactly so many; of those that `Log.of` selects."""

        def right() -> bool:
            found = len(self._log.of(name, **selection))
            return found > 0 if times is None else found == times

        wanted = "at least once" if times is None else f"{times} times"
        self._demand(
            right, lambda: f"{name} was wanted {wanted}, and came {len(self._log.of(name, **selection))} times"
        )

    def not_requested(self, name: str, **selection: Any) -> None:
        """There was no such request; of those that `Log.of` selects."""
        found = self._log.of(name, **selection)
        if found:
            self._fail(f"{name} came {len(found)} times, first for {found.first.path}")

    # --- failing ---

    def _demand(
        self, holds: Callable[[], bool], otherwise: str | Callable[[], str], path: str | None = None
    ) -> None:  # fmt: skip
        if not self._log.wait_until(holds, self.within):
            self._fail(otherwise if isinstance(otherwise, str) else otherwise(), path)

    def _fail(self, sentence: str, path: str | None = None) -> NoReturn:
        records = self._log.all if path is None else self._log.of(path=_absolute(path))
        about = "The conversation" if path is None else f"The conversation about {path}"
        raise AssertionError(f"{readable(sentence)}\n{readable(about)}:\n{records}")


def _absolute(path: str) -> str:
    return os.path.normpath("/" + path.lstrip("/"))


def _writes(record: Record) -> bool:
    flags: int = getattr(record.request, "flags", 0)
    return bool(flags & OpenFlags.WRITE)


def _opened(record: Record) -> _Handle:
    handle: bytes = getattr(record.reply, "handle", b"")
    return record.connection, record.channel, handle.decode("utf-8", "surrogateescape")


def _closed(record: Record) -> _Handle:
    return record.connection, record.channel, record.handle or ""


def _covered(parts: list[tuple[int, int]]) -> int:
    """How far the parts reach without a gap, from the beginning."""
    end = 0
    for offset, length in sorted(parts):
        if offset > end:
            break
        end = max(end, offset + length)
    return end


def _difference(path: str, found: bytes | None, wanted: bytes) -> str:
    if found is None:
        return f"there is no file {path}"
    at = next(
        (at for at, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), min(len(found), len(wanted))
    )
    here, there = found[at : at + _SHOWN], wanted[at : at + _SHOWN]
    return (
        f"{path} has {len(found)} bytes, wanted are {len(wanted)}; from {at} on it has {here!r}, wanted is {there!r}"
    )
