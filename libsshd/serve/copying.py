"""Copies that never leave the server: copy-data between open files, copy-file by names.

Sources: OpenSSH's PROTOCOL, section 4.10; draft-ietf-secsh-filexfer-extensions-00, sections 6 and 7.

Rules:
- A file is not copied onto itself, whatever its handles and names are.
- What a handler of FileRead or FileWrite is to see goes through it; where READ or WRITE is denied, so is a copy.
- What was at its place before is whole until copy-file is through, and nothing half-written gets its name.
- Between two pieces somebody looks whether the copy is still wanted.
- A file that grows is not copied for ever: two copies in a circle would fill the disk.
"""

import os
import time
from contextlib import suppress
from errno import EBADF, EEXIST, EFBIG, EINVAL, EISDIR, ENOSYS, ENXIO, EOPNOTSUPP, EXDEV
from stat import S_IMODE, S_ISDIR
from typing import TYPE_CHECKING

from libsshd import events as e
from libsshd._native import HandleAccess, Watch
from libsshd.constants import AccessMask, FileType, OpenFlags, Status
from libsshd.errors import StatusError
from libsshd.fs.base import Draft
from libsshd.settings import DIRECT
from libsshd.wire import messages as m

from .decision import around, bytes_of, done, text_of
from .opened import FILE_END, OpenFile, check_readable, check_writable, pwrite
from .parameters import parameters_of
from .reading import PIECE, is_direct, open_to_read, piece

if TYPE_CHECKING:
    from .session import Session

_STRIDE = 4 * 1024 * 1024
"""Bytes that the kernel copies at once: some milliseconds, in which this connection does nothing else."""
_NOT_IN_KERNEL = {EXDEV, EOPNOTSUPP, EINVAL, ENOSYS, EBADF}
"""What copy_file_range(2) says where it does not work: file systems apart or without it, files opened for APPEND."""
_WRITE_NEW = int(OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.EXCL)
_WRITE_OVER = int(OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.TRUNC)
_PERMISSIONS = 0o777
_UNSIZED_MOST = 64 * 1024 * 1024
"""Bytes of a file that says it is empty, as those of /proc do; one of them is some KiB long."""


def copy_data(session: "Session", r: m.CopyData) -> bytes:
    """EOF when the file ends before the length asked for; what there was is copied then."""
    source, target = session.file(r.read_handle), session.file(r.write_handle)
    check_readable(source)
    check_writable(target)
    _check_apart(source, target)
    event = e.FileCopy(
        **session.who,
        path=text_of(source.path),
        new_path=text_of(target.path),
        handle=text_of(r.read_handle),
        new_handle=text_of(r.write_handle),
        file_offset=r.read_offset,
        length=r.length,
        new_file_offset=r.write_offset,
        overwrite=True,
    )
    around(session, event, lambda: _copy(session, r))
    return done(session, r.request_id)


def _check_apart(source: OpenFile, target: OpenFile) -> None:
    """By device and inode; of what only handlers know, by the name. Raises StatusError."""
    if source.fd >= 0 and target.fd >= 0:
        same = os.path.samestat(os.fstat(source.fd), os.fstat(target.fd))
    else:
        same = source.path == target.path
    if same:
        raise StatusError(Status.INVALID_PARAMETER, "A file cannot be copied onto itself")


def _copy(session: "Session", r: m.CopyData) -> None:
    """Raises StatusError, OSError."""
    source, target = session.file(r.read_handle), session.file(r.write_handle)
    hooks = session.handlers.hooks
    if source.fd >= 0 and target.fd >= 0:
        direct = is_direct(session, source) and _is_direct_target(session, target)
        direct = direct and not (source.text or target.text)
        copied = _Copy(session, source, target, r).run() if direct else _copy_in_requests(session, r)
    elif hooks.on_file_read and hooks.on_file_write:
        copied = _copy_in_requests(session, r)
    elif hooks.on_file_copy:
        return  # its handler has done it
    else:
        raise StatusError(Status.OP_UNSUPPORTED)
    if copied < r.length:
        raise StatusError(Status.EOF)


def _is_direct_target(session: "Session", file: OpenFile) -> bool:
    """Whether what is written to it goes to the disk as it is."""
    return file.content is None and not session.context.routes.watch & Watch.WRITE


def _end(session: "Session", r: m.CopyData) -> int:
    """Where to stop: without a length where the file ends now, unless handlers of READ say where that is."""
    source = session.file(r.read_handle)
    if r.length:
        return min(r.read_offset + r.length, FILE_END)
    if not is_direct(session, source):
        return FILE_END
    return os.fstat(source.fd).st_size or r.read_offset + _UNSIZED_MOST


def _copy_in_requests(session: "Session", r: m.CopyData) -> int:
    """How many bytes READ and WRITE have copied."""
    wanted = _end(session, r) - r.read_offset
    copied = 0
    while copied < wanted:
        data = piece(session, r.request_id, r.read_handle, min(PIECE, wanted - copied), r.read_offset + copied)
        if not data:
            break
        session.part(m.Write(r.request_id, r.write_handle, r.write_offset + copied, data))
        copied += len(data)
    return copied


class _Copy:
    """One run from descriptor to descriptor. A hole is left as one where the target has nothing yet."""

    def __init__(self, session: "Session", source: OpenFile, target: OpenFile, r: m.CopyData) -> None:
        self._session = session
        self._source = source
        self._target = target
        size = os.fstat(source.fd).st_size
        self._start = r.read_offset
        self._stop = _end(session, r)
        self._appends = target.appends
        self._shift = 0 if self._appends else r.write_offset - r.read_offset
        self._in_kernel = not self._appends
        self._has_holes = size > 0 and not self._appends  # a size of 0 may be untrue, as in /proc
        self._extent = 0  # where the data ends that is being copied

    def run(self) -> int:
        """How many bytes were copied; the first errno stays with the target for its CLOSE. Raises OSError."""
        position = self._start
        try:
            while position < self._stop and (count := self._step(position)):
                position += count
                self._source.bytes_read += count
                self._target.bytes_written += count
            self._end_at(position + self._shift)
        except OSError as error:
            self._target.note(error)
            raise
        return position - self._start

    def _step(self, position: int) -> int:
        """Bytes copied, 0 at the end of the file."""
        self._session.go_on()
        if position >= self._extent:
            data, self._extent = self._next_data(position)
            if skipped := self._skipped(position, data):
                return skipped
        return self._copied(position, min(_STRIDE, self._extent - position))

    def _next_data(self, position: int) -> tuple[int, int]:
        """Where data begins from `position` on, and where it ends."""
        if not self._has_holes:
            return position, self._stop
        fd = self._source.fd
        try:
            data = os.lseek(fd, position, os.SEEK_DATA)
            return min(data, self._stop), min(os.lseek(fd, data, os.SEEK_HOLE), self._stop)
        except OSError as error:
            if error.errno != ENXIO:
                self._has_holes = False  # or none that this file system would tell of
                return position, self._stop
        size = min(max(os.fstat(fd).st_size, position), self._stop)  # there is but a hole left
        return size, size

    def _skipped(self, position: int, data: int) -> int:
        """How much of the hole before `data` need not be written: what the target holds there must be."""
        filled = os.fstat(self._target.fd).st_size - (position + self._shift) if data > position else 0
        if filled > 0:
            self._extent = min(data, position + filled)
            return 0
        return data - position

    def _copied(self, position: int, length: int) -> int:
        source, target, at = self._source.fd, self._target.fd, position + self._shift
        length = min(length, FILE_END - 1 - position)
        if length <= 0:
            return 0
        if self._in_kernel and at + length < FILE_END:
            try:
                if count := os.copy_file_range(source, target, length, position, at):
                    return count
            except OSError as error:
                if error.errno not in _NOT_IN_KERNEL:
                    raise
            self._in_kernel = False
        data = os.pread(source, min(length, PIECE), position)
        view = memoryview(data)
        if view:
            _check_size(at + len(view))
        while view:
            count = pwrite(target, view, at)
            view, at = view[count:], at + count
        return len(data)

    def _end_at(self, end: int) -> None:
        """A hole at the end is not written either, but counts."""
        if self._has_holes and end > self._start + self._shift and end > os.fstat(self._target.fd).st_size:
            _check_size(end)
            os.ftruncate(self._target.fd, end)


def _check_size(size: int) -> None:
    """Raises OSError when no file can have so many bytes."""
    if size >= FILE_END:
        raise OSError(EFBIG, os.strerror(EFBIG))


# --- by names ---


def copy_file(session: "Session", r: m.CopyFile) -> bytes:
    """A regular file with the permissions of the other; a link at the new name is replaced, not followed."""
    old, new = session.path(r.old_path), session.path(r.new_path)
    if old == new:
        raise StatusError(Status.INVALID_PARAMETER, "A file cannot be copied onto itself")
    event = e.FileCopy(
        **session.who,
        path=text_of(old),
        new_path=text_of(new),
        handle="",
        new_handle="",
        file_offset=0,
        length=0,
        new_file_offset=0,
        overwrite=r.overwrite,
    )
    if session.event_mode and not session.handlers.hooks.on_file_copy:
        raise StatusError(Status.OP_UNSUPPORTED)
    around(session, event, lambda: None if session.event_mode else _copy_file(session, r, new))
    return done(session, r.request_id)


def _copy_file(session: "Session", r: m.CopyFile, new: bytes) -> None:
    _check_free(session, new, overwrite=r.overwrite)
    with open_to_read(session, r.request_id, r.old_path) as source:
        if session.fs.leads_to(new, session.file(source).fd):
            raise StatusError(Status.INVALID_PARAMETER, "A file cannot be copied onto itself")
        mode = S_IMODE(session.fs.fstat(session.file(source).fd).permissions or 0)
        target = _open_target(session, r, new, mode)
        try:
            _copy(session, m.CopyData(r.request_id, source, 0, 0, target, 0))
        except BaseException:
            with suppress(OSError):
                session.close_handle(target, by_client=False)
            raise
        session.part(m.Close(r.request_id, target))


def _check_free(session: "Session", path: bytes, *, overwrite: bool) -> None:
    """Before the work: what could not get its name in the end. Raises OSError."""
    try:
        found = session.fs.lstat(path)
    except FileNotFoundError:
        return
    if S_ISDIR(found.permissions or 0):
        raise OSError(EISDIR, os.strerror(EISDIR))
    if not overwrite:
        raise OSError(EEXIST, os.strerror(EEXIST))


def _open_target(session: "Session", r: m.CopyFile, new: bytes, mode: int) -> bytes:
    """The handle of a file that has its name once it is closed; handlers are asked about that name."""
    session.reserve_handle()
    attributes = m.Attributes(permissions=mode & _PERMISSIONS)
    opening = m.Open(
        r.request_id, new, _WRITE_OVER if r.overwrite else _WRITE_NEW, attributes, int(AccessMask.WRITE_DATA)
    )
    event = e.FileOpen(
        **session.who,
        path=text_of(new),
        desired_access=opening.desired_access,
        flags=opening.flags,
        handle=session.next_handle().decode(),
        **parameters_of(attributes, session.codec.names_principals, FileType.REGULAR),
    )
    durable = session.context.settings.upload_mode != DIRECT
    file = around(
        session,
        event,
        lambda: _written(
            session, new, session.fs.copy(new, mode & _PERMISSIONS, exclusive=not r.overwrite, durable=durable)
        ),
        OpenFile.close,
    )
    if file is None:
        raise StatusError(Status.FAILURE)
    return session.add(file, bytes_of(event.handle))


def _written(session: "Session", path: bytes, begun: Draft) -> OpenFile:
    content = session.fs.content(begun.fd)
    return OpenFile(path, begun.fd, int(HandleAccess.WRITE), time.monotonic(), upload=begun, content=content)
