"""What clients asked for and what they got: typed records, in order, to be selected, counted and waited for."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from libsshd.constants import Packet, Status
from libsshd.testing.exchange import DISCONNECT, REQUESTS, Exchange
from libsshd.testing.rule import matches, occasion_name
from libsshd.testing.transcript import transcript
from libsshd.wire.buffer import Malformed, Reader
from libsshd.wire.messages import Write
from libsshd.wire.replies import DataReply, NameReply, Reply, StatusReply, decode_reply, split_packets

_KEPT = 100_000
"""Records; with more, the oldest make room."""
_PREVIEW = 64
"""Bytes of a content that a record keeps."""
_NAMES = 8
"""Entries of a listing that a record keeps."""
_STATUSES = {int(status): status for status in Status}


@dataclass(frozen=True, slots=True)
class Record:
    """One request and its reply, or one step of a connection: CONNECT, LOGIN, DISCONNECT."""

    number: int
    """Counted from 1."""
    time: float
    """Seconds since the log began."""
    connection: int
    """Counted from 1."""
    name: str
    """Of the request: "OPEN", "POSIX-RENAME"."""
    channel: int = 0
    user: str = ""
    path: str | None = None
    """What it is about, of a handle the path that it was opened by."""
    new_path: str | None = None
    handle: str | None = None
    offset: int | None = None
    length: int | None = None
    """Bytes that a READ asks for, or a WRITE carries."""
    bytes: int = 0
    """Of contents that it moved: what a READ got, what a WRITE that went well carried."""
    request: Any = None
    """The request as it was decoded, a message of libsshd.wire.messages; of a content only the beginning."""
    status: Status | None = None
    """Of the reply; OK for every reply that is no STATUS, None where there is none."""
    message: str = ""
    """The text of the reply's STATUS."""
    reply: Reply | None = None
    """The reply as it was decoded, of a content and of many names only the beginning; None where there is none, or it
    is no right packet.
    """
    entries: int = 0
    """How many names the reply has."""
    seconds: float = 0.0
    """Between the request and its reply."""
    faults: tuple[str, ...] = ()
    """Names of the faults that it met."""
    lost: bool = False
    """Whether a fault ended its channel or connection."""
    details: tuple[tuple[str, str], ...] = ()
    """Of a step: the method and outcome of a login."""


def record_of(exchange: Exchange, number: int, seconds: float) -> Record:
    """What the log keeps of an exchange."""
    packets = split_packets(exchange.reply)
    reply = _decoded(exchange, packets[0]) if packets else None
    return Record(
        number=number,
        time=seconds,
        connection=exchange.connection,
        name=exchange.name,
        channel=exchange.channel,
        user=exchange.user,
        path=_text(exchange.path),
        new_path=_text(exchange.new_path),
        handle=_text(exchange.handle),
        offset=exchange.offset,
        length=exchange.length,
        bytes=_moved(exchange, reply),
        request=_shortened(exchange.request),
        status=_status(b"" if exchange.lost else exchange.reply, reply),
        message=reply.text.decode("utf-8", "replace") if isinstance(reply, StatusReply) else "",
        reply=_shortened_reply(reply),
        entries=len(reply.entries) if isinstance(reply, NameReply) else 0,
        seconds=exchange.seconds,
        faults=tuple(exchange.faults),
        lost=exchange.lost,
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


def _decoded(exchange: Exchange, packet: bytes) -> Reply | None:
    with suppress(Malformed):
        return decode_reply(exchange.codec, packet)
    return None


def _shortened(request: Any) -> Any:
    if isinstance(request, Write) and len(request.data) > _PREVIEW:
        return replace(request, data=request.data[:_PREVIEW])
    return request


def _shortened_reply(reply: Reply | None) -> Reply | None:
    if isinstance(reply, DataReply):
        return replace(reply, data=reply.data[:_PREVIEW])
    if isinstance(reply, NameReply) and len(reply.entries) > _NAMES:
        return replace(reply, entries=reply.entries[:_NAMES])
    return reply


def _moved(exchange: Exchange, reply: Reply | None) -> int:
    if isinstance(reply, DataReply):
        return len(reply.data)
    is_well = isinstance(reply, StatusReply) and reply.status == Status.OK
    return len(exchange.request.data) if is_well and isinstance(exchange.request, Write) else 0


def _status(sent: bytes, reply: Reply | None) -> Status | None:
    if isinstance(reply, StatusReply):
        return _STATUSES.get(reply.status, Status.FAILURE)
    if reply is not None:
        return Status.OK
    with suppress(Malformed):  # what cannot be read further may still say what it is
        return None if Reader(sent, 4).u8() not in set(Packet) else Status.OK
    return None


class Selection(Sequence[Record]):
    """Some records, in order."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: Any) -> Any:
        found = self._records[index]
        return Selection(found) if isinstance(index, slice) else found

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @property
    def first(self) -> Record:
        """Raises IndexError when there is none."""
        return self._records[0]

    @property
    def last(self) -> Record:
        """Raises IndexError when there is none."""
        return self._records[-1]

    @property
    def bytes(self) -> int:
        """Of contents that they moved together."""
        return sum(record.bytes for record in self._records)

    @property
    def paths(self) -> list[str]:
        """What they are about, each path once, in order."""
        return list(dict.fromkeys(record.path for record in self._records if record.path is not None))

    @property
    def names(self) -> list[str]:
        """Their requests."""
        return [record.name for record in self._records]

    def of(
        self, *names: str, path: str | None = None, connection: int | None = None, user: str | None = None,
        status: Status | None = None, where: Callable[[Record], object] = lambda _: True,
    ) -> "Selection":  # fmt: skip
        """Those of these requests, or of all; with a path that matches a pattern of the shell, and so on.

        RENAME is POSIX-RENAME, too. Raises ValueError for a request that does not exist.
        """
        wanted = [_Name(name) for name in names]
        return Selection([
            record
            for record in self._records
            if (not wanted or any(name.is_of(record) for name in wanted))
            and (path is None or _has_path(record, path))
            and connection in (None, record.connection)
            and user in (None, record.user)
            and status in (None, record.status)
            and where(record)
        ])  # fmt: skip

    def __str__(self) -> str:
        return transcript(self._records)

    def __repr__(self) -> str:
        return f"<{len(self)} records>"


class _Name:
    def __init__(self, text: str) -> None:
        self._name = text.upper() if text.upper() == DISCONNECT else occasion_name(text)
        self._request = REQUESTS.get(self._name)

    def is_of(self, record: Record) -> bool:
        return record.name == self._name or (self._request is not None and isinstance(record.request, self._request))


def _has_path(record: Record, pattern: str) -> bool:
    return any(path is not None and matches(path, pattern) for path in (record.path, record.new_path))


class Log:
    """All records of a server, the newest 100,000 of them; any thread may ask."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._began = time.monotonic()
        self._records: deque[Record] = deque(maxlen=_KEPT)
        self._made = 0

    # --- what happens ---

    def add(self, exchange: Exchange) -> None:
        """A request has got its reply."""
        with self._changed:
            self._made += 1
            self._records.append(record_of(exchange, self._made, self._seconds))
            self._changed.notify_all()

    def note(
        self, name: str, connection: int, *, user: str = "", faults: tuple[str, ...] = (), **details: str
    ) -> None:  # fmt: skip
        """A step of a connection."""
        with self._changed:
            self._made += 1
            made = Record(
                self._made, self._seconds, connection, name, user=user, faults=faults, details=tuple(details.items())
            )
            self._records.append(made)
            self._changed.notify_all()

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def clear(self) -> None:
        """Forgets everything; the log begins anew."""
        with self._changed:
            self._records.clear()
            self._made = 0
            self._began = time.monotonic()

    # --- what happened ---

    @property
    def all(self) -> Selection:
        """The records as they are now."""
        with self._changed:
            return Selection(list(self._records))

    @property
    def dropped(self) -> int:
        """How many records made room for newer ones."""
        return self._made - len(self._records)

    def of(self, *names: str, **selection: Any) -> Selection:
        """See Selection.of."""
        return self.all.of(*names, **selection)

    @property
    def names(self) -> list[str]:
        """The requests, in order."""
        return self.all.names

    def __iter__(self) -> Iterator[Record]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Record:
        found: Record = self.all[index]
        return found

    def __str__(self) -> str:
        """The conversation, as a person reads it."""
        return str(self.all)

    def wait_until(self, holds: Callable[[], bool], timeout: float) -> bool:
        """Waits until something holds, looked at whenever a record is added; False if it never did."""
        due = time.monotonic() + timeout
        while True:
            made = self._made
            if holds():
                return True
            with self._changed:
                if not self._changed.wait_for(lambda seen=made: self._made != seen, due - time.monotonic()):  # type: ignore[misc]
                    return holds()

    def wait_for(self, *names: str, count: int = 1, timeout: float = 10.0, **selection: Any) -> Selection:
        """What `of` selects, as soon as that are so many records. Raises TimeoutError after `timeout` seconds."""
        if not self.wait_until(lambda: len(self.of(*names, **selection)) >= count, timeout):
            text = f"no {count} records of {', '.join(names) or 'anything'} within {timeout:g} seconds"
            raise TimeoutError(f"{text}\n{self}")
        return self.of(*names, **selection)
