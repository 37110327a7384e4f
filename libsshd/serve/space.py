"""How much room there is on a disk, and where in a file there is data."""

import os
from errno import ENXIO
from typing import TYPE_CHECKING

from libsshd import events as e
from libsshd.constants import Status
from libsshd.errors import StatusError
from libsshd.wire import messages as m
from libsshd.wire.reply import ranges_reply, space_available_reply

from .decision import around, text_of
from .opened import check_readable
from .reading import is_direct

if TYPE_CHECKING:
    from .session import Session

_RANGES_MOST = 128


def space_available(session: "Session", r: m.SpaceAvailable) -> bytes:
    """Source: draft-ietf-secsh-filexfer-extensions-00, section 4."""
    path = session.path(r.path)
    event = e.SpaceQuery(**session.who, path=text_of(path))
    volume = around(session, event, lambda: session.fs.statvfs(path))
    if volume is None:
        raise StatusError(Status.OP_UNSUPPORTED)
    return session.codec.extended_reply(r.request_id, space_available_reply(volume))


def ranges(session: "Session", r: m.Ranges) -> bytes:
    """The ranges that hold data; EOF when there are none. All that is asked, where handlers make it up."""
    file = session.file(r.handle)
    check_readable(file)
    if is_direct(session, file) and not file.text:  # whose position would be moved
        found = _ranges(file.fd, r.offset, min(r.offset + r.length, session.fs.fstat(file.fd).size or 0))
    else:
        found = [(r.offset, r.length)] if r.length else []
    if not found:
        raise StatusError(Status.EOF)
    at_end = len(found) < _RANGES_MOST
    return session.codec.extended_reply(r.request_id, ranges_reply(found, at_end=at_end))


def _ranges(fd: int, start: int, stop: int) -> list[tuple[int, int]]:
    """Offsets and lengths, as many as a reply takes. Raises OSError."""
    found: list[tuple[int, int]] = []
    while start < stop and len(found) < _RANGES_MOST:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), stop)
        except OSError as error:
            if error.errno == ENXIO:  # there is but a hole left
                break
            raise
        if start < end:
            found.append((start, end - start))
        start = end
    return found
