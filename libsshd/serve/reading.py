"""Reading a file for a request that is more than one READ.

Rule: who watches READ sees every byte that leaves the disk, and where READ is denied none does.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from libsshd._native import Watch
from libsshd.constants import AccessMask, OpenFlags, Status
from libsshd.errors import StatusError
from libsshd.wire import messages as m
from libsshd.wire.reply import data_of, handle_of

from .opened import OpenFile, check_readable, read_at

if TYPE_CHECKING:
    from .session import Session

PIECE = 128 * 1024
"""Bytes of one READ: less than it may have."""
_STRIDE = 256 * 1024
"""Bytes read at once where nobody looks: every return to Python waits for its lock."""


@contextmanager
def open_to_read(session: "Session", request_id: int, path: bytes) -> Iterator[bytes]:
    """A handle, as an OPEN and a CLOSE of the client would have it. Raises StatusError, OSError."""
    opening = m.Open(request_id, path, int(OpenFlags.READ), m.Attributes(), int(AccessMask.READ_DATA))
    handle = handle_of(session.part(opening))
    closing = m.Close(request_id, handle)
    try:
        yield handle
    except (OSError, StatusError):
        with suppress(OSError, StatusError):
            session.part(closing)
        raise
    session.part(closing)


def file_to_read(session: "Session", handle: bytes) -> OpenFile:
    """Raises StatusError for what cannot be read."""
    file = session.file(handle)
    check_readable(file)
    if file.fd < 0 and not session.handlers.hooks.on_file_read:
        raise StatusError(Status.OP_UNSUPPORTED)
    return file


def is_direct(session: "Session", file: OpenFile) -> bool:
    """Whether what it reads is what the disk has: nobody looks at it on the way, or keeps it back."""
    return file.fd >= 0 and file.content is None and not session.context.routes.watch & Watch.READ


def piece(session: "Session", request_id: int, handle: bytes, length: int, offset: int) -> bytes:
    """What there is from `offset` on, as much as comes at once; b"" at the end.

    Raises OSError, and StatusError also when nobody waits for it any more.
    """
    session.go_on()
    file = session.file(handle)
    if is_direct(session, file):
        return read_at(file, min(length, _STRIDE), offset)
    try:
        return data_of(session.part(m.Read(request_id, handle, offset, min(length, PIECE))))
    except StatusError as error:
        if error.status != Status.EOF:
            raise
        return b""
