"""Requests whose event has a handler: the same operations with the event before and after them (decision.py).

Without a root directory there is nothing in between: the handlers are the file system.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from errno import EEXIST, EINVAL
from typing import TYPE_CHECKING

from libsshd import events as e
from libsshd.constants import FileType, Status
from libsshd.errors import StatusError
from libsshd.fs.base import Directory, normalise
from libsshd.wire import messages as m
from libsshd.wire.reply import statvfs_reply

from . import locks, naming, opening
from . import operations as plain
from .decision import after, around, attempt, bytes_of, decide, done, mistake, override, text_of
from .opened import OpenDirectory, OpenFile, check_readable, check_writable, read_bytes, sync, write_bytes
from .parameters import attributes_from, parameters_of

if TYPE_CHECKING:
    from .session import Session

Look = Callable[[], m.Attributes]

_HANDLE_RULES = "is in use, empty or longer than 256 bytes"


# --- files ---


def open_file(session: "Session", r: m.Open) -> bytes:
    path = session.path(r.path)
    opening.check(session, r)
    session.reserve_handle()
    flags, access = opening.granted(r)
    told = opening.told_path(session, path)
    event = e.FileOpen(
        **session.who,
        path=text_of(told),
        desired_access=access,
        flags=flags,
        handle=session.next_handle().decode(),
        **parameters_of(r.attributes, session.codec.names_principals, FileType.REGULAR),
    )
    file = around(
        session,
        event,
        lambda: opening.open_path(session, path, r, lambda file: _lock_whole(session, file, r, event)),
        OpenFile.close,
    )
    if file is None:  # it went wrong, but a handler says otherwise
        file = opening.file_of(told, r, -1)
    try:
        handle = session.add(file, bytes_of(event.handle))
    except OSError as error:
        if error.errno not in (EEXIST, EINVAL):
            raise
        raise mistake(session, event, f"left the handle {event.handle!r:.300}, which {_HANDLE_RULES}") from None
    opening.journal(session, path, r.flags)
    return session.codec.handle(r.request_id, handle)


def _lock_whole(session: "Session", file: OpenFile, r: m.Open, opened: e.FileOpen) -> None:
    event = e.FileLock(
        **session.who,
        path=opened.path,
        handle=opened.handle,
        file_offset=0,
        length=0,
        block_mask=r.modes & locks.BLOCKS,
    )
    around(session, event, lambda: opening.lock(file, r))


def close(session: "Session", r: m.Close) -> bytes:
    opened = session.opened(r.handle)
    event = e.FileClose(**session.who, path=text_of(opened.path), handle=text_of(r.handle))
    _, failure = attempt(lambda: session.close_handle(r.handle))
    after(session, event, None, failure)
    return done(session, r.request_id)


def read(session: "Session", r: m.Read) -> bytes:
    file = session.file(r.handle)
    if file.fd < 0:  # the handlers' own: they would have to remember what it was opened for
        check_readable(file)
    length = min(r.length, plain.DATA_MAX)
    event = e.FileRead(**session.who, handle=text_of(r.handle), file_offset=r.offset, length=length)
    data, failure = attempt(lambda: _fetch(file, length, r.offset))
    session.handlers.offer(data or b"")
    after(session, event, data, failure)
    data = session.handlers.file_data
    if len(data) > length:
        raise mistake(session, event, f"left {len(data)} bytes where at most {length} were asked for")
    if file.fd < 0:
        file.bytes_read += len(data)
    return session.codec.data(r.request_id, data) if data else session.codec.status(r.request_id, Status.EOF)


def _fetch(file: OpenFile, length: int, offset: int) -> bytes:
    if file.fd < 0:
        return b""
    data = read_bytes(file, length, offset)
    if not data:
        raise StatusError(Status.EOF)
    return data


def write(session: "Session", r: m.Write) -> bytes:
    file = session.file(r.handle)
    if file.fd < 0:
        check_writable(file)
    session.handlers.offer(r.data)
    event = e.FileWrite(**session.who, handle=text_of(r.handle), file_offset=r.offset)
    around(session, event, lambda: _store(file, session.handlers.file_data, r.offset))
    return done(session, r.request_id)


def _store(file: OpenFile, data: bytes, offset: int) -> None:
    if file.fd < 0:
        file.bytes_written += len(data)
    else:
        write_bytes(file, data, offset)


def fsync(session: "Session", r: m.Fsync) -> bytes:
    file = session.file(r.handle)
    event = e.FileSync(**session.who, path=text_of(file.path), handle=text_of(r.handle))
    around(session, event, lambda: None if file.fd < 0 else sync(file))
    return done(session, r.request_id)


def remove(session: "Session", r: m.Remove) -> bytes:
    path = session.path(r.path)
    around(session, e.FileRemove(**session.who, path=text_of(path)), lambda: session.fs.remove(path))
    return done(session, r.request_id)


def rename(session: "Session", r: m.Rename) -> bytes:
    old, new = session.path(r.old_path), session.path(r.new_path)
    overwrite = naming.overwrites(r.flags)
    event = e.FileRename(**session.who, path=text_of(old), new_path=text_of(new), flags=r.flags)
    around(session, event, lambda: session.fs.rename(old, new, overwrite=overwrite))
    return done(session, r.request_id)


def block(session: "Session", r: m.Block) -> bytes:
    file = plain.lockable(session, r.handle)
    event = e.FileLock(
        **session.who,
        path=text_of(file.path),
        handle=text_of(r.handle),
        file_offset=r.offset,
        length=r.length,
        block_mask=r.mask,
    )
    around(session, event, lambda: plain.lock_range(file, r))
    return done(session, r.request_id)


def unblock(session: "Session", r: m.Unblock) -> bytes:
    file = plain.lockable(session, r.handle)
    event = e.FileUnlock(
        **session.who, path=text_of(file.path), handle=text_of(r.handle), file_offset=r.offset, length=r.length
    )
    around(session, event, lambda: plain.unlock_range(file, r))
    return done(session, r.request_id)


# --- attributes ---


def stat(session: "Session", r: m.Stat) -> bytes:
    path = session.path(r.path)
    return _attributes(session, r, path, lambda: session.fs.stat(path))


def lstat(session: "Session", r: m.Lstat) -> bytes:
    path = session.path(r.path)
    return _attributes(session, r, path, lambda: session.fs.lstat(path))


def fstat(session: "Session", r: m.Fstat) -> bytes:
    opened = session.opened(r.handle)
    return _attributes(session, r, opened.path, lambda: session.fs_of(opened).fstat(opened.fileno()))


def _attributes(
    session: "Session", r: m.Stat | m.Lstat | m.Fstat, path: bytes, act: Callable[[], m.Attributes]
) -> bytes:
    told = told_attributes(session, path, r.flags, lambda: plain.described(path, r.flags, act()))
    return session.codec.attrs(r.request_id, told, r.flags)


def told_attributes(session: "Session", path: bytes, flags: int, act: Callable[[], m.Attributes]) -> m.Attributes:
    """What GetAttributes leaves of what `act` finds. Raises StatusError, OSError."""
    named = session.codec.names_principals
    found, failure = attempt(act)
    event = e.GetAttributes(
        **session.who, path=text_of(path), flags=flags, **parameters_of(found or m.Attributes(), named)
    )
    after(session, event, found, failure)
    try:
        return attributes_from(event, named, found)
    except ValueError as error:
        raise mistake(session, event, f"left what cannot be sent: {error}") from None


def setstat(session: "Session", r: m.Setstat) -> bytes:
    path = session.path(r.path)
    look: Look = lambda: session.fs.stat(path)  # noqa: E731
    return _set_attributes(session, r, path, look, lambda: session.fs.setstat(path, r.attributes))


def lsetstat(session: "Session", r: m.Lsetstat) -> bytes:
    path = session.path(r.path)
    look: Look = lambda: session.fs.lstat(path)  # noqa: E731
    return _set_attributes(session, r, path, look, lambda: session.fs.lsetstat(path, r.attributes))


def fsetstat(session: "Session", r: m.Fsetstat) -> bytes:
    opened = session.opened(r.handle)
    look: Look = lambda: session.fs_of(opened).fstat(opened.fileno())  # noqa: E731
    return _set_attributes(session, r, opened.path, look, lambda: plain.set_attributes(session, opened, r.attributes))


def _set_attributes(
    session: "Session", r: m.Setstat | m.Lsetstat | m.Fsetstat, path: bytes, look: Look, act: Callable[[], None]
) -> bytes:
    session.check_attributes(r.attributes)
    parameters = parameters_of(_as_resized(r.attributes, look), session.codec.names_principals)
    around(session, e.SetAttributes(**session.who, path=text_of(path), **parameters), act)
    return done(session, r.request_id)


def _as_resized(a: m.Attributes, look: Look) -> m.Attributes:
    """With the size that an allocation below it cuts a file to: who denies sizes denies that."""
    if a.size is not None or a.allocation_size is None:
        return a
    found, _ = attempt(look)
    cuts = found is not None and found.size is not None and a.allocation_size < found.size
    return replace(a, size=a.allocation_size) if cuts else a


def statvfs(session: "Session", r: m.Statvfs) -> bytes:
    path = session.path(r.path)
    return _space(session, r.request_id, path, lambda: session.fs.statvfs(path))


def fstatvfs(session: "Session", r: m.Fstatvfs) -> bytes:
    opened = session.opened(r.handle)
    return _space(session, r.request_id, opened.path, lambda: session.fs_of(opened).fstatvfs(opened.fileno()))


def _space(session: "Session", request_id: int, path: bytes, act: Callable[[], os.statvfs_result]) -> bytes:
    volume = around(session, e.SpaceQuery(**session.who, path=text_of(path)), act)
    if volume is None:
        raise StatusError(Status.OP_UNSUPPORTED)
    return session.codec.extended_reply(request_id, statvfs_reply(volume))


# --- directories ---


class NamedDirectory:
    """The directory that a handler of DirList named; its entries are looked up as they are sent.

    With a root their attributes come from the disk, without one from GetAttributes.
    """

    def __init__(self, session: "Session", path: bytes, names: list[bytes], opened: Directory | None) -> None:
        self._session = session
        self._path = path
        self._names = names[::-1]
        self._opened = opened

    def read(self, limit: int) -> list[m.Entry]:
        """At most `limit` further entries, [] at the end."""
        entries: list[m.Entry] = []
        while self._names and len(entries) < limit:
            name = self._names.pop()
            attributes = self._look_up(name)
            if attributes is not None:
                entries.append(m.Entry(name, self._session.long_name(name, attributes), attributes))
        return entries

    def _look_up(self, name: bytes) -> m.Attributes | None:
        session, path = self._session, normalise(name, self._path)
        if not session.event_mode:
            return attempt(lambda: session.fs.lstat(path))[0] or m.Attributes()
        if not session.handlers.hooks.on_get_attributes:
            return m.Attributes()
        try:
            return told_attributes(session, path, 0, m.Attributes)
        except StatusError:
            return None

    def fileno(self) -> int:
        return -1 if self._opened is None else self._opened.fileno()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


def opendir(session: "Session", r: m.Opendir) -> bytes:
    path = session.path(r.path)
    session.reserve_handle()
    event = e.DirList(**session.who, path=text_of(path))
    found = around(session, event, lambda: plain.open_directory(session, path), lambda directory: directory.close())
    names = session.handlers.file_list
    if names is not None or found is None:
        found = NamedDirectory(session, path, names or [], found)
    return session.codec.handle(r.request_id, session.add(OpenDirectory(path, found, []), session.next_handle()))


def mkdir(session: "Session", r: m.Mkdir) -> bytes:
    path = session.path(r.path)
    parameters = parameters_of(r.attributes, session.codec.names_principals, FileType.DIRECTORY)
    event = e.DirCreate(**session.who, path=text_of(path), **parameters)
    around(session, event, lambda: plain.make_directory(session, path, r.attributes))
    return done(session, r.request_id)


def rmdir(session: "Session", r: m.Rmdir) -> bytes:
    path = session.path(r.path)
    around(session, e.DirRemove(**session.who, path=text_of(path)), lambda: session.fs.rmdir(path))
    return done(session, r.request_id)


# --- names and links ---


def realpath(session: "Session", r: m.Realpath) -> bytes:
    path, failure = attempt(lambda: naming.resolve(session, r))
    if isinstance(failure, PermissionError):
        raise failure  # outside the home: no event
    event = e.ResolvePath(
        **session.who, original_path=text_of(r.path), control_flags=int(r.control), real_path=text_of(path or b"")
    )
    after(session, event, path, failure)
    real = bytes_of(event.real_path)
    found = naming.attributes_of(session, r.control, lambda: _found_attributes(session, real))
    return session.codec.name(r.request_id, [m.Entry(real, real, found)])


def _found_attributes(session: "Session", path: bytes) -> m.Attributes:
    """Those of a STAT, which a handler may see, change or deny."""
    if session.event_mode and not session.handlers.hooks.on_get_attributes:
        raise StatusError(Status.OP_UNSUPPORTED)
    return told_attributes(session, path, 0, lambda: session.fs.stat(normalise(path)))


def readlink(session: "Session", r: m.Readlink) -> bytes:
    path = session.path(r.path)
    target, failure = attempt(lambda: session.fs.readlink(path))
    event = e.LinkRead(**session.who, path=text_of(path), target=text_of(target or b""))
    after(session, event, target, failure)
    target = bytes_of(event.target)
    return session.codec.name(r.request_id, [m.Entry(target, target, m.Attributes())])


def symlink(session: "Session", r: m.Symlink) -> bytes:
    target, link = naming.symlink_order(session, r)
    path = session.path(link)
    event = e.LinkCreate(**session.who, path=text_of(path), target=text_of(target), symbolic=True)
    around(session, event, lambda: session.fs.symlink(target, path))
    return done(session, r.request_id)


def hardlink(session: "Session", r: m.Hardlink) -> bytes:
    old, new = session.path(r.old_path), session.path(r.new_path)
    event = e.LinkCreate(**session.who, path=text_of(new), target=text_of(old), symbolic=False)
    around(session, event, lambda: session.fs.link(old, new))
    return done(session, r.request_id)


def extended(session: "Session", r: m.Extended) -> bytes:
    """An extension that no table knows."""
    event = e.Extended(**session.who, name=text_of(r.name), data=r.data, status_code=int(Status.OP_UNSUPPORTED))
    decide(session, event)
    if event.status_code:
        raise override(event.status_code)
    if event.reply is None:
        return done(session, r.request_id)
    return session.codec.extended_reply(r.request_id, event.reply)
