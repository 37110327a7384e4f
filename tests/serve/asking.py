"""A session that is asked by messages, as the codec of the latest version decodes them; no bytes are involved."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from libsshd.constants import OpenFlags, OpenModes, Status
from libsshd.events import Event
from libsshd.fs.base import FileSystem
from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.routes import Routes
from libsshd.serve.session import Session
from libsshd.serve.stdio import make_pipe
from libsshd.settings import Settings
from libsshd.wire import messages as m
from libsshd.wire.v3 import V3
from tests.support.rawsftp import Code, Reply, Type
from tests.support.stdio import Scratch, make_session

R, W, APPEND, CREAT, TRUNC, EXCL, TEXT = map(
    int,
    (
        OpenFlags.READ, OpenFlags.WRITE, OpenFlags.APPEND, OpenFlags.CREAT, OpenFlags.TRUNC, OpenFlags.EXCL,
        OpenFlags.TEXT,
    ),
)  # fmt: skip
SHARED = int(OpenModes.BLOCK_WRITE | OpenModes.BLOCK_ADVISORY)
EXCLUSIVE = SHARED | int(OpenModes.BLOCK_READ)


class Latest(V3):
    """Knows every status, and answers in version 3's bytes."""

    last_status: ClassVar[int] = Status.NO_MATCHING_BYTE_RANGE_LOCK
    sets_initial_attributes: ClassVar[bool] = True
    ignores_extended: ClassVar[bool] = False
    names_principals: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.request: Any = None
        self.told = m.Attributes()

    def decode(self, _: bytes) -> Any:
        return self.request

    def encode_attributes(self, attributes: m.Attributes, *rest: Any) -> bytes:
        self.told = attributes
        return super().encode_attributes(attributes)


class Asked:
    """A session of its own over `fs`."""

    def __init__(self, fs: FileSystem, settings: Settings | None = None, *, event_mode: bool = False) -> None:
        self._scratch = Scratch()
        self._pipe = make_pipe(self._scratch.fd, self._scratch.fd)
        self.session = make_session(self._pipe, fs, settings)
        self.codec = Latest()
        self.session._step = Session._serve
        self.session.context.event_mode = event_mode
        self.session.codec = self.codec

    def on(self, event: type[Event], handler: Callable[[Any], object]) -> None:
        """Attaches a handler."""
        context = self.session.context
        context.handlers.hooks.hook(event).add(handler)
        context.routes = Routes(
            context.handlers.hooks, context.policy, event_mode=context.event_mode, allow_links=True
        )

    def ask(self, request: Any) -> Reply:
        self.codec.request = request
        packet = self.session.answer(b"\x00")
        return Reply(packet[4], int.from_bytes(packet[5:9], "big"), packet[9:])

    def code(self, request: Any) -> Status:
        return Status(self.ask(request).code)

    def open(self, path: bytes, flags: int, modes: int = 0, access: int = 0, **attributes: Any) -> Reply:
        return self.ask(m.Open(1, path, flags, m.Attributes(**attributes), access, modes))

    def handle(self, path: bytes, flags: int, modes: int = 0, **attributes: Any) -> bytes:
        return self.open(path, flags, modes, **attributes).handle

    def status(self, path: bytes, flags: int, modes: int = 0, access: int = 0, **attributes: Any) -> Status:
        """How an OPEN that must fail ends."""
        return Status(self.open(path, flags, modes, access, **attributes).code)

    def close(self, handle: bytes) -> Status:
        return self.code(m.Close(1, handle))

    def read(self, handle: bytes, length: int, offset: int = 0) -> bytes | Status:
        reply = self.ask(m.Read(1, handle, offset, length))
        return reply.data if reply.type == Type.DATA else Status(reply.code)

    def write(self, handle: bytes, data: bytes, offset: int = 0) -> Status:
        return self.code(m.Write(1, handle, offset, data))

    def attributes(self, request: Any) -> m.Attributes:
        """Those that an ATTRS or NAME reply was made of."""
        reply = self.ask(request)
        assert reply.type in (Type.ATTRS, Type.NAME), Code(reply.code)
        return self.codec.told

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()
        self._scratch.__exit__(kind, error, trace)


def rooted(root: Path, **settings: Any) -> Asked:
    return Asked(RootedFileSystem(os.fsencode(root)), Settings(**({"allow_links": True} | settings)))
