"""Requests whose event has a handler: the same operations with the event before and after them.

Rules:
- Before: a status but 0 denies the request; nothing is done and nothing fires after it.
- After: the status begins as the outcome, and what the handler leaves is final.
- Without a root directory there is nothing in between: the handlers are the file system.
"""

import os
from collections.abc import Callable
from errno import EEXIST, EINVAL
from typing import TYPE_CHECKING, Any, TypeVar

from libsshd import events as e
from libsshd._native import Watch
from libsshd.constants import FileType, RenameFlags, Status
from libsshd.errors import ErrorCode, StatusError, status_for_error
from libsshd.events import EventHooks
from libsshd.fs.base import Directory, normalise
from libsshd.wire import messages as m
from libsshd.wire.extensions import statvfs_reply

from . import operations as plain
from .operations import OPERATIONS, OpenDirectory, OpenFile
from .parameters import attributes_from, parameters_of

if TYPE_CHECKING:
    from .session import Session

_T = TypeVar("_T")
Answer = Callable[["Session", Any], bytes]

_WRONG = "The server's program failed"
_HANDLE_RULES = "is in use, empty or longer than 256 bytes"


def text_of(path: bytes) -> str:
    """A path as handlers see it."""
    return path.decode("utf-8", "surrogateescape")


def bytes_of(path: str) -> bytes:
    """A path or handle that a handler gave."""
    return path.encode("utf-8", "surrogateescape")


# --- around an operation ---


def _override(status: int) -> StatusError:
    """What a handler says; its text, if there is one, goes with every failure of the request."""
    return StatusError(Status(status) if 0 <= status <= Status.NO_MATCHING_BYTE_RANGE_LOCK else Status.FAILURE)


def _attempt(act: Callable[[], _T]) -> tuple[_T | None, OSError | StatusError | None]:
    try:
        return act(), None
    except (OSError, StatusError) as error:
        return None, error


def mistake(session: "Session", event: e.Event, what: str) -> StatusError:
    """What the client is told when the program is wrong, which itself learns more from an Error event."""
    session.error(ErrorCode.IO_FAILURE, f"A handler of {type(event).__name__} {what}.")
    return StatusError(Status.FAILURE, _WRONG)


def decide(session: "Session", event: e.FileEvent) -> None:
    """Fires the event. Raises StatusError when a handler fails or leaves what cannot be used, HandlerTimeout."""
    if getattr(event, "before_exec", True):
        session.flush()  # what is owed must not wait for a handler that may be slow
    if not session.handlers.ask(session.handlers.hooks.hook(type(event)), event):
        raise StatusError(Status.FAILURE, _WRONG)
    if what := event.mistake():
        raise mistake(session, event, what)


def before(session: "Session", event: e.BeforeAndAfter) -> None:
    """Raises StatusError when a handler denies the request."""
    decide(session, event)
    if event.status_code:
        raise _override(event.status_code)


def after(
    session: "Session", event: e.FileEvent, result: _T | None, failure: OSError | StatusError | None,
    undo: Callable[[_T], object] = lambda _: None,
) -> _T | None:  # fmt: skip
    """The result; None when there is none and a handler says that all is well. Raises what the client is to get."""
    outcome = Status.OK if failure is None else status_for_error(failure)
    event.preset(status_code=int(outcome))
    try:
        decide(session, event)
        if event.status_code not in (outcome, Status.OK):
            raise _override(event.status_code)
    except BaseException:
        if result is not None:
            undo(result)
        raise
    if failure is not None and event.status_code == outcome:
        raise failure
    return result


def around(
    session: "Session", event: e.BeforeAndAfter, act: Callable[[], _T], undo: Callable[[_T], object] = lambda _: None
) -> _T | None:
    """Before, the operation, after."""
    before(session, event)
    result, failure = _attempt(act)
    event.preset(before_exec=False)
    return after(session, event, result, failure, undo)


def _done(session: "Session", request_id: int) -> bytes:
    return session.codec.status(request_id, Status.OK)


# --- files ---


def open_file(session: "Session", r: m.Open) -> bytes:
    path = session.path(r.path)
    if session.event_mode:  # a directory's open(2) looks at this by itself
        plain.check_flags(r.flags)
    session.reserve_handle()
    event = e.FileOpen(
        **session.who,
        path=text_of(path),
        desired_access=r.desired_access,
        flags=r.flags,
        handle=session.next_handle().decode(),
        **parameters_of(r.attributes, session.codec.names_principals, FileType.REGULAR),
    )
    fd = around(session, event, lambda: session.fs.open(path, r.flags, r.attributes.permissions), _close_descriptor)
    try:
        handle = session.add(plain.opened_file(path, r.flags, -1 if fd is None else fd), bytes_of(event.handle))
    except OSError as error:
        if error.errno not in (EEXIST, EINVAL):
            raise
        raise mistake(session, event, f"left the handle {event.handle!r:.300}, which {_HANDLE_RULES}") from None
    plain.journal_open(session, path, r.flags)
    return session.codec.handle(r.request_id, handle)


def _close_descriptor(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def close(session: "Session", r: m.Close) -> bytes:
    opened = session.opened(r.handle)
    event = e.FileClose(**session.who, path=text_of(opened.path), handle=text_of(r.handle))
    _, failure = _attempt(lambda: session.close_handle(r.handle))
    after(session, event, None, failure)
    return _done(session, r.request_id)


def read(session: "Session", r: m.Read) -> bytes:
    file = session.file(r.handle)
    if file.fd < 0:  # the handlers' own: they would have to remember what it was opened for
        plain.check_readable(file)
    length = min(r.length, plain.DATA_MAX)
    event = e.FileRead(**session.who, handle=text_of(r.handle), file_offset=r.offset, length=length)
    data, failure = _attempt(lambda: _fetch(file, length, r.offset))
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
    data = plain.read_bytes(file, length, offset)
    if not data:
        raise StatusError(Status.EOF)
    return data


def write(session: "Session", r: m.Write) -> bytes:
    file = session.file(r.handle)
    if file.fd < 0:
        plain.check_writable(file)
    session.handlers.offer(r.data)
    event = e.FileWrite(**session.who, handle=text_of(r.handle), file_offset=r.offset)
    around(session, event, lambda: _store(file, session.handlers.file_data, r.offset))
    return _done(session, r.request_id)


def _store(file: OpenFile, data: bytes, offset: int) -> None:
    if file.fd < 0:
        file.bytes_written += len(data)
    else:
        plain.write_bytes(file, data, offset)


def fsync(session: "Session", r: m.Fsync) -> bytes:
    file = session.file(r.handle)
    event = e.FileSync(**session.who, path=text_of(file.path), handle=text_of(r.handle))
    around(session, event, lambda: None if file.fd < 0 else os.fsync(file.fd))
    return _done(session, r.request_id)


def remove(session: "Session", r: m.Remove) -> bytes:
    path = session.path(r.path)
    around(session, e.FileRemove(**session.who, path=text_of(path)), lambda: session.fs.remove(path))
    return _done(session, r.request_id)


def rename(session: "Session", r: m.Rename) -> bytes:
    old, new = session.path(r.old_path), session.path(r.new_path)
    event = e.FileRename(**session.who, path=text_of(old), new_path=text_of(new), flags=r.flags)
    overwrite = bool(r.flags & (RenameFlags.OVERWRITE | RenameFlags.NATIVE))
    around(session, event, lambda: session.fs.rename(old, new, overwrite=overwrite))
    return _done(session, r.request_id)


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
    return session.codec.attrs(r.request_id, told_attributes(session, path, r.flags, act))


def told_attributes(session: "Session", path: bytes, flags: int, act: Callable[[], m.Attributes]) -> m.Attributes:
    """What GetAttributes leaves of what `act` finds. Raises StatusError, OSError."""
    named = session.codec.names_principals
    found, failure = _attempt(act)
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
    return _set_attributes(session, r, path, lambda: session.fs.setstat(path, r.attributes))


def lsetstat(session: "Session", r: m.Lsetstat) -> bytes:
    path = session.path(r.path)
    return _set_attributes(session, r, path, lambda: session.fs.lsetstat(path, r.attributes))


def fsetstat(session: "Session", r: m.Fsetstat) -> bytes:
    opened = session.opened(r.handle)
    fs = session.fs_of(opened)
    return _set_attributes(session, r, opened.path, lambda: fs.fsetstat(opened.fileno(), r.attributes))


def _set_attributes(
    session: "Session", r: m.Setstat | m.Lsetstat | m.Fsetstat, path: bytes, act: Callable[[], None]
) -> bytes:
    parameters = parameters_of(r.attributes, session.codec.names_principals)
    around(session, e.SetAttributes(**session.who, path=text_of(path), **parameters), act)
    return _done(session, r.request_id)


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
            return _attempt(lambda: session.fs.lstat(path))[0] or m.Attributes()
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
    around(session, event, lambda: session.fs.mkdir(path, r.attributes.permissions))
    return _done(session, r.request_id)


def rmdir(session: "Session", r: m.Rmdir) -> bytes:
    path = session.path(r.path)
    around(session, e.DirRemove(**session.who, path=text_of(path)), lambda: session.fs.rmdir(path))
    return _done(session, r.request_id)


# --- names and links ---


def realpath(session: "Session", r: m.Realpath) -> bytes:
    path, failure = _attempt(lambda: plain.resolve(session, r))
    if isinstance(failure, PermissionError):
        raise failure  # outside the home: no event
    event = e.ResolvePath(
        **session.who, original_path=text_of(r.path), control_flags=int(r.control), real_path=text_of(path or b"")
    )
    after(session, event, path, failure)
    real = bytes_of(event.real_path)
    return session.codec.name(r.request_id, [m.Entry(real, real, m.Attributes())])


def readlink(session: "Session", r: m.Readlink) -> bytes:
    path = session.path(r.path)
    target, failure = _attempt(lambda: session.fs.readlink(path))
    event = e.LinkRead(**session.who, path=text_of(path), target=text_of(target or b""))
    after(session, event, target, failure)
    target = bytes_of(event.target)
    return session.codec.name(r.request_id, [m.Entry(target, target, m.Attributes())])


def symlink(session: "Session", r: m.Symlink) -> bytes:
    target, link = plain.symlink_order(session, r)
    path = session.path(link)
    event = e.LinkCreate(**session.who, path=text_of(path), target=text_of(target), symbolic=True)
    around(session, event, lambda: session.fs.symlink(target, path))
    return _done(session, r.request_id)


def hardlink(session: "Session", r: m.Hardlink) -> bytes:
    old, new = session.path(r.old_path), session.path(r.new_path)
    event = e.LinkCreate(**session.who, path=text_of(new), target=text_of(old), symbolic=False)
    around(session, event, lambda: session.fs.link(old, new))
    return _done(session, r.request_id)


def extended(session: "Session", r: m.Extended) -> bytes:
    """An extension that no table knows."""
    event = e.Extended(**session.who, name=text_of(r.name), data=r.data, status_code=int(Status.OP_UNSUPPORTED))
    decide(session, event)
    if event.status_code:
        raise _override(event.status_code)
    if event.reply is None:
        return _done(session, r.request_id)
    return session.codec.extended_reply(r.request_id, event.reply)


# --- the tables ---

_WATCHED: dict[type, tuple[type[e.Event], Answer]] = {
    m.Open: (e.FileOpen, open_file),
    m.Close: (e.FileClose, close),
    m.Read: (e.FileRead, read),
    m.Write: (e.FileWrite, write),
    m.Lstat: (e.GetAttributes, lstat),
    m.Fstat: (e.GetAttributes, fstat),
    m.Setstat: (e.SetAttributes, setstat),
    m.Fsetstat: (e.SetAttributes, fsetstat),
    m.Opendir: (e.DirList, opendir),
    m.Remove: (e.FileRemove, remove),
    m.Mkdir: (e.DirCreate, mkdir),
    m.Rmdir: (e.DirRemove, rmdir),
    m.Realpath: (e.ResolvePath, realpath),
    m.Stat: (e.GetAttributes, stat),
    m.Rename: (e.FileRename, rename),
    m.Readlink: (e.LinkRead, readlink),
    m.Symlink: (e.LinkCreate, symlink),
    m.Statvfs: (e.SpaceQuery, statvfs),
    m.Fstatvfs: (e.SpaceQuery, fstatvfs),
    m.Hardlink: (e.LinkCreate, hardlink),
    m.Fsync: (e.FileSync, fsync),
    m.Lsetstat: (e.SetAttributes, lsetstat),
    m.Extended: (e.Extended, extended),
}
_LINKS = (m.Symlink, m.Hardlink)
_UNATTENDED = (m.Close, m.Realpath, m.Readdir, m.Limits)
"""What works without handlers although there is no root directory."""
_WATCHES = {
    e.FileOpen: Watch.OPEN,
    e.FileClose: Watch.CLOSE,
    e.FileRead: Watch.READ,
    e.FileWrite: Watch.WRITE,
}


def _unsupported(_: "Session", __: Any) -> bytes:
    raise StatusError(Status.OP_UNSUPPORTED)


def _no_links(_: "Session", __: Any) -> bytes:
    raise StatusError(Status.PERMISSION_DENIED, "Links cannot be made here")


class Routes:
    """Which function answers a request, and which requests C must leave to Python: as handlers are attached now."""

    __slots__ = ("answers", "watch")

    def __init__(self, hooks: EventHooks, *, event_mode: bool, allow_links: bool) -> None:
        self.answers: dict[type, Answer] = {
            request: self._choose(request, operation.answer, hooks, event_mode, allow_links)
            for request, operation in OPERATIONS.items()
        }
        self.watch = Watch.NOTHING
        for event, bit in _WATCHES.items():
            if hooks.hook(event):
                self.watch |= bit

    @staticmethod
    def _choose(request: type, answer: Answer, hooks: EventHooks, event_mode: bool, allow_links: bool) -> Answer:
        event, watched = _WATCHED.get(request, (None, answer))
        if event is not None and hooks.hook(event):
            return watched
        if event_mode and request not in _UNATTENDED:
            return _unsupported
        return _no_links if request in _LINKS and not allow_links else answer
