"""The C core alone, step by step and without threads: bytes in, events and replies out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from libsshd._native import EventKind, HandleAccess, Pipe, Sftp
from libsshd.wire import messages as m
from tests.support.stdio import Scratch
from tests.wire.client_encoding import encode, frame, string, u32, u64

READ_WRITE = HandleAccess.READ | HandleAccess.WRITE
DATA_MAX = 261_120
PACKET_MAX = 262_144

OK_TEMPLATE = (
    b"\x00\x00\x00\x13"  # length
    b"\x65"  # SSH_FXP_STATUS
    b"\x00\x00\x00\x00"  # id, to be filled in
    b"\x00\x00\x00\x00"  # SSH_FX_OK
    b"\x00\x00\x00\x02ok"  # error message
    b"\x00\x00\x00\x00"  # language tag
)
EOF_TEMPLATE = (
    b"\x00\x00\x00\x14"  # length
    b"\x65"  # SSH_FXP_STATUS
    b"\x00\x00\x00\x00"  # id, to be filled in
    b"\x00\x00\x00\x01"  # SSH_FX_EOF
    b"\x00\x00\x00\x03end"  # error message
    b"\x00\x00\x00\x00"  # language tag
)


def ok(request_id: int) -> bytes:
    return OK_TEMPLATE[:5] + u32(request_id) + OK_TEMPLATE[9:]


def eof(request_id: int) -> bytes:
    return EOF_TEMPLATE[:5] + u32(request_id) + EOF_TEMPLATE[9:]


def data(request_id: int, content: bytes) -> bytes:
    return frame(b"\x67" + u32(request_id) + string(content))


def read(request_id: int, handle: bytes, offset: int, length: int) -> bytes:
    return frame(encode(m.Read(request_id, handle, offset, length)))


def write(request_id: int, handle: bytes, offset: int, content: bytes) -> bytes:
    return frame(encode(m.Write(request_id, handle, offset, content)))


def head(kind: int, request_id: int, handle: bytes, offset: int) -> bytes:
    """What READ and WRITE begin with."""
    return bytes((kind,)) + u32(request_id) + string(handle) + u64(offset)


@dataclass(frozen=True)
class Event:
    """What `Pipe.next` came back with; fields that its kind does not have are empty."""

    kind: EventKind
    data: bytes = b""
    length: int = 0
    error: int = 0
    request_id: int = 0
    operation: str = ""


def packet(content: bytes) -> Event:
    """The event that hands a packet to Python."""
    return Event(EventKind.PACKET, content, len(content))


END = Event(EventKind.EOF)


def event_of(pipe: Pipe, kind: EventKind) -> Event:
    if kind == EventKind.FAILED:
        return Event(kind, pipe.data, pipe.length, pipe.error, pipe.request_id, pipe.operation)
    return Event(kind, pipe.data if kind == EventKind.PACKET else b"", pipe.length)


@dataclass(frozen=True)
class Outcome:
    """All events up to EOF or BAD_FRAME, the last one included, and all bytes that were sent."""

    events: list[Event]
    replies: bytes


def run_pipe(pipe: Pipe, answer: Callable[[Event], bytes] = lambda _: b"") -> list[Event]:
    """Steps until the end; what `answer` makes of an event is queued as its reply."""
    events: list[Event] = []
    reply = b""
    while not events or events[-1].kind not in (EventKind.EOF, EventKind.BAD_FRAME):
        events.append(event_of(pipe, pipe.next(reply)))
        reply = answer(events[-1])
    pipe.flush()
    return events


class Files:
    """Files of a test's own under handles of its own: what `setup` of a run adds to the core."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.added: list[tuple[bytes, int, HandleAccess]] = []

    def add(self, handle: bytes, content: bytes = b"", access: HandleAccess = READ_WRITE) -> Scratch:
        scratch = self._stack.enter_context(Scratch(content))
        self.added.append((handle, scratch.fd, access))
        return scratch

    def add_descriptor(self, handle: bytes, path: str, flags: int, access: HandleAccess) -> int:
        fd = os.open(path, flags)
        self._stack.callback(os.close, fd)
        self.added.append((handle, fd, access))
        return fd

    def register(self, sftp: Sftp) -> None:
        for handle, fd, access in self.added:
            sftp.handle_add(handle, fd, access)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def exchange(
    files: Files,
    requests: bytes,
    *,
    prepare: Callable[[Sftp], object] = lambda _: None,
    answer: Callable[[Event], bytes] = lambda _: b"",
) -> Outcome:
    """Serves requests that are all there from the start."""
    with Scratch(requests) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        prepare(pipe.sftp)
        events = run_pipe(pipe, answer)
        return Outcome(events, output.content())


def exchange_chunks(files: Files, chunks: Sequence[bytes]) -> Outcome:
    """Serves requests of which every chunk arrives by a read(2) of its own; about 100 kB at most."""
    with chunked_input(chunks) as source, Scratch() as output:
        pipe = Pipe(source.fileno(), output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        events = run_pipe(pipe)
        return Outcome(events, output.content())


def chunked_input(chunks: Sequence[bytes]) -> socket.socket:
    """A socket that keeps the borders between messages; the caller closes it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        theirs.setblocking(False)
        for chunk in chunks:
            if chunk:
                theirs.send(chunk)
    return ours
