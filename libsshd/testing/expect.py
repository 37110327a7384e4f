"""Assertions about what a client did. Each waits a little for what the client's last packets bring."""

import os
from collections.abc import Callable
from typing import Any

from libsshd.constants import OpenFlags, Status
from libsshd.testing.log import Log, Record, Selection

_WITHIN = 5.0
_SHOWN = 40
_CHANGING = (
    "WRITE", "SETSTAT", "FSETSTAT", "LSETSTAT", "REMOVE", "MKDIR", "RMDIR", "RENAME", "SYMLINK", "HARDLINK",
    "COPY-DATA", "COPY-FILE", "MAKE-TEMP-FOLDER",
)  # fmt: skip


class Expect:
    """`within` is how many seconds a method waits at most; then it raises AssertionError, with the conversation."""

    def __init__(self, log: Log, read: Callable[[str], bytes]) -> None:
        """`read` gives the content of a file, or raises OSError."""
        self._log = log
        self._read = read
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
        """All that the file has was read, or so many bytes as `content`."""
        size = len(content if content is not None else self._content(path) or b"")
        absolute = _absolute(path)

        def read() -> bool:
            parts = self._log.of("READ", status=Status.OK, where=lambda record: record.path == absolute)
            return _covered([(record.offset or 0, record.bytes) for record in parts]) >= size

        self._demand(read, f"{path} was not read to its end at {size}", path)

    def nothing_changed(self) -> None:
        """No request that changes something went well, and nothing was opened to be written."""
        found = self._log.of(*_CHANGING, status=Status.OK) or self._log.of("OPEN", status=Status.OK, where=_writes)
        if found:
            self._fail(f"{found.first.name} changed {found.first.path}")

    def _was_closed(self, path: str) -> bool:
        opened = self._log.of("OPEN", status=Status.OK, where=lambda record: record.path == path and _writes(record))
        if any(self._closing(record) is not None for record in opened):
            return True
        renamed = self._log.of("RENAME", status=Status.OK, where=lambda record: record.new_path == path)
        return any(record.path not in (None, path) and self._was_closed(str(record.path)) for record in renamed)

    def _closing(self, opened: Record, status: Status | None = Status.OK) -> Record | None:
        """The CLOSE of what an OPEN or OPENDIR opened."""
        handle = _handle(opened)
        found = self._log.of(
            "CLOSE",
            connection=opened.connection,
            status=status,
            where=lambda record: record.channel == opened.channel and record.handle == handle,
        )
        return found[0] if found else None

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
        opened = self._log.of("OPEN", "OPENDIR", status=Status.OK)
        return [record.path or "" for record in opened if self._closing(record, None) is None]

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

    def _fail(self, sentence: str, path: str | None = None) -> None:
        records = self._log.all if path is None else self._log.of(path=_absolute(path))
        about = "The conversation" if path is None else f"The conversation about {path}"
        raise AssertionError(f"{sentence}\n{about}:\n{records}")


def _absolute(path: str) -> str:
    return os.path.normpath("/" + path.lstrip("/"))


def _writes(record: Record) -> bool:
    flags: int = getattr(record.request, "flags", 0)
    return bool(flags & OpenFlags.WRITE)


def _handle(opened: Record) -> str:
    handle: bytes = getattr(opened.reply, "handle", b"")
    return handle.decode("utf-8", "surrogateescape")


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
