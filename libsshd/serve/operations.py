"""The requests of SFTP: one table, and one function for each that answers it.

A function takes the session and the decoded request and returns the encoded reply. What goes wrong is raised:
OSError, or StatusError for what has no errno; the session turns both into a STATUS.
"""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from errno import EFBIG, EINVAL, EIO, ENAMETOOLONG
from functools import cache
from typing import TYPE_CHECKING, Any

from libsshd._native import HandleAccess
from libsshd.constants import OpenFlags, RenameFlags, Status
from libsshd.errors import StatusError
from libsshd.fs.base import Directory
from libsshd.wire import messages as m
from libsshd.wire.extensions import limits_reply, statvfs_reply

if TYPE_CHECKING:
    from .session import Session

PACKET_MAX = 256 * 1024
DATA_MAX = PACKET_MAX - 1024
NAMES_MAX = 32 * 1024
"""Bytes of one NAME reply: every client takes packets of 34,000 bytes (draft-02, section 3)."""
_BATCH = 128
_UNLIMITED = 1 << 31
_PATH_MAX = 4096
_FILE_END = 2**63
"""No file reaches so far: what lies there is behind its end for READ, too big for WRITE."""

# Plain integers: an operation on IntFlag members costs more than most requests.
_CHANGES = int(OpenFlags.WRITE | OpenFlags.APPEND | OpenFlags.CREAT | OpenFlags.TRUNC)
_CAN_READ, _CAN_WRITE = int(HandleAccess.READ), int(HandleAccess.WRITE)
_NAMED = int(OpenFlags.READ | OpenFlags.EXCL) | _CHANGES


@dataclass(slots=True)
class OpenFile:
    """A file behind a handle; READ and WRITE on it are mostly served in C.

    `access` are HandleAccess bits; bytes and the first errno of a WRITE count what Python served itself. A file that
    only handlers know has `fd` -1.
    """

    path: bytes
    fd: int
    access: int
    opened: float
    bytes_read: int = 0
    bytes_written: int = 0
    error: int = 0

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


@dataclass(slots=True)
class OpenDirectory:
    """A directory behind a handle; `pending` are encoded entries that did not fit the last reply."""

    path: bytes
    directory: Directory
    pending: list[bytes]
    access: int = 0

    def fileno(self) -> int:
        return self.directory.fileno()

    def close(self) -> None:
        self.directory.close()


def _descriptor(opened: OpenFile | OpenDirectory) -> int:
    """Raises StatusError for what only handlers know, where there is no handler."""
    fd = opened.fileno()
    if fd < 0:
        raise StatusError(Status.OP_UNSUPPORTED)
    return fd


# --- files ---


def open_file(session: "Session", r: m.Open) -> bytes:
    path = session.path(r.path)
    session.reserve_handle()
    file = opened_file(path, r.flags, session.fs.open(path, r.flags, r.attributes.permissions))
    handle = session.add(file, session.next_handle())
    journal_open(session, path, r.flags)
    return session.codec.handle(r.request_id, handle)


def check_flags(flags: int) -> None:
    """Raises OSError for a file to be emptied that is not to be written: no handler should have to think of it."""
    if flags & OpenFlags.TRUNC and not flags & OpenFlags.WRITE:
        raise OSError(EINVAL, os.strerror(EINVAL))


def opened_file(path: bytes, flags: int, fd: int) -> OpenFile:
    """What stands behind the handle of a file opened with SSH_FXF flags."""
    return OpenFile(path, fd, _access(flags & _NAMED), time.monotonic())


def journal_open(session: "Session", path: bytes, flags: int) -> None:
    session.journal.record(logging.INFO, "open", "file opened", path=path, flags=_flag_names(flags & _NAMED))


def close(session: "Session", r: m.Close) -> bytes:
    session.close_handle(r.handle)
    return session.codec.status(r.request_id, Status.OK)


def read(session: "Session", r: m.Read) -> bytes:
    data = read_bytes(session.file(r.handle), min(r.length, DATA_MAX), r.offset)
    if not data:
        return session.codec.status(r.request_id, Status.EOF)
    return session.codec.data(r.request_id, data)


def check_readable(file: OpenFile) -> None:
    """Raises StatusError for a file that was opened for something else."""
    if not file.access & _CAN_READ:
        raise StatusError(Status.PERMISSION_DENIED, "The file is not open for reading")


def check_writable(file: OpenFile) -> None:
    """Raises StatusError for a file that was opened for something else."""
    if not file.access & _CAN_WRITE:
        raise StatusError(Status.PERMISSION_DENIED, "The file is not open for writing")


def read_bytes(file: OpenFile, length: int, offset: int) -> bytes:
    """b"" at the end of the file. Raises StatusError, OSError."""
    check_readable(file)
    data = os.pread(_descriptor(file), length, offset) if offset + length < _FILE_END else b""
    file.bytes_read += len(data)
    return data


def write(session: "Session", r: m.Write) -> bytes:
    write_bytes(session.file(r.handle), r.data, r.offset)
    return session.codec.status(r.request_id, Status.OK)


def write_bytes(file: OpenFile, data: bytes, offset: int) -> None:
    """Writes all of it; the first errno stays with the file for its CLOSE. Raises StatusError, OSError."""
    check_writable(file)
    fd = _descriptor(file)
    view = memoryview(data)
    try:
        if offset + len(view) >= _FILE_END:
            raise OSError(EFBIG, os.strerror(EFBIG))
        while view:
            count = os.pwrite(fd, view, offset)
            view, offset = view[count:], offset + count
            file.bytes_written += count
    except OSError as error:
        file.error = file.error or error.errno or EIO
        raise


def fsync(session: "Session", r: m.Fsync) -> bytes:
    fd = _descriptor(session.file(r.handle))
    session.flush()
    os.fsync(fd)
    return session.codec.status(r.request_id, Status.OK)


def remove(session: "Session", r: m.Remove) -> bytes:
    session.fs.remove(session.path(r.path))
    return session.codec.status(r.request_id, Status.OK)


def rename(session: "Session", r: m.Rename) -> bytes:
    overwrite = bool(r.flags & (RenameFlags.OVERWRITE | RenameFlags.NATIVE))
    session.fs.rename(session.path(r.old_path), session.path(r.new_path), overwrite=overwrite)
    return session.codec.status(r.request_id, Status.OK)


# --- attributes ---


def stat(session: "Session", r: m.Stat) -> bytes:
    return session.codec.attrs(r.request_id, session.fs.stat(session.path(r.path)))


def lstat(session: "Session", r: m.Lstat) -> bytes:
    return session.codec.attrs(r.request_id, session.fs.lstat(session.path(r.path)))


def fstat(session: "Session", r: m.Fstat) -> bytes:
    return session.codec.attrs(r.request_id, session.fs.fstat(_descriptor(session.opened(r.handle))))


def setstat(session: "Session", r: m.Setstat) -> bytes:
    session.fs.setstat(session.path(r.path), r.attributes)
    return session.codec.status(r.request_id, Status.OK)


def lsetstat(session: "Session", r: m.Lsetstat) -> bytes:
    session.fs.lsetstat(session.path(r.path), r.attributes)
    return session.codec.status(r.request_id, Status.OK)


def fsetstat(session: "Session", r: m.Fsetstat) -> bytes:
    session.fs.fsetstat(_descriptor(session.opened(r.handle)), r.attributes)
    return session.codec.status(r.request_id, Status.OK)


def statvfs(session: "Session", r: m.Statvfs) -> bytes:
    volume = session.fs.statvfs(session.path(r.path))
    return session.codec.extended_reply(r.request_id, statvfs_reply(volume))


def fstatvfs(session: "Session", r: m.Fstatvfs) -> bytes:
    volume = session.fs.fstatvfs(_descriptor(session.opened(r.handle)))
    return session.codec.extended_reply(r.request_id, statvfs_reply(volume))


# --- directories ---


def opendir(session: "Session", r: m.Opendir) -> bytes:
    path = session.path(r.path)
    session.reserve_handle()
    handle = session.add(OpenDirectory(path, open_directory(session, path), []), session.next_handle())
    return session.codec.handle(r.request_id, handle)


def open_directory(session: "Session", path: bytes) -> Directory:
    """Its listing lines in the style that is set."""
    return session.fs.opendir(path, clock=session.context.settings.unix_style_date_format)


def readdir(session: "Session", r: m.Readdir) -> bytes:
    """Fills one reply; entries that are left over wait for the next."""
    opened = session.directory(r.handle)
    entries, opened.pending = opened.pending, []
    most = session.handlers.values.dir_list_buffer_size or _UNLIMITED
    size = sum(map(len, entries))
    while size < NAMES_MAX and len(entries) < most:
        batch = [session.codec.entry(entry) for entry in opened.directory.read(min(_BATCH, most - len(entries)))]
        if not batch:
            break
        entries += batch
        size += sum(map(len, batch))
    while (size > NAMES_MAX and len(entries) > 1) or len(entries) > most:
        size -= len(entries[-1])
        opened.pending.append(entries.pop())
    opened.pending.reverse()
    if not entries:
        return session.codec.status(r.request_id, Status.EOF)
    return session.codec.names(r.request_id, len(entries), b"".join(entries))


def mkdir(session: "Session", r: m.Mkdir) -> bytes:
    session.fs.mkdir(session.path(r.path), r.attributes.permissions)
    return session.codec.status(r.request_id, Status.OK)


def rmdir(session: "Session", r: m.Rmdir) -> bytes:
    session.fs.rmdir(session.path(r.path))
    return session.codec.status(r.request_id, Status.OK)


# --- names and links ---


def realpath(session: "Session", r: m.Realpath) -> bytes:
    path = resolve(session, r)
    return session.codec.name(r.request_id, [m.Entry(path, path, m.Attributes())])


def resolve(session: "Session", r: m.Realpath) -> bytes:
    """The canonical path. Raises OSError."""
    path = session.fs.realpath(session.path(r.path))
    if len(path) > _PATH_MAX:
        raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG))
    return path


def readlink(session: "Session", r: m.Readlink) -> bytes:
    target = session.fs.readlink(session.path(r.path))
    return session.codec.name(r.request_id, [m.Entry(target, target, m.Attributes())])


def symlink(session: "Session", r: m.Symlink) -> bytes:
    target, link = symlink_order(session, r)
    session.fs.symlink(target, session.path(link))
    return session.codec.status(r.request_id, Status.OK)


def symlink_order(session: "Session", r: m.Symlink) -> tuple[bytes, bytes]:
    """Target and link, whichever of the two orders the client sends them in."""
    if session.context.drafted_symlinks:
        return r.link_path, r.target_path
    return r.target_path, r.link_path


def hardlink(session: "Session", r: m.Hardlink) -> bytes:
    session.fs.link(session.path(r.old_path), session.path(r.new_path))
    return session.codec.status(r.request_id, Status.OK)


def limits(session: "Session", r: m.Limits) -> bytes:
    reply = limits_reply(
        packet_length=PACKET_MAX,
        read_length=DATA_MAX,
        write_length=DATA_MAX,
        open_handles=session.context.settings.max_handles_per_channel,
    )
    return session.codec.extended_reply(r.request_id, reply)


def extended(_: "Session", __: m.Extended) -> bytes:
    """What only a handler can know."""
    raise StatusError(Status.OP_UNSUPPORTED)


# --- the table ---


def _always(_: Any) -> bool:
    return True


def _never(_: Any) -> bool:
    return False


def _open_changes(r: m.Open) -> bool:
    return bool(r.flags & _CHANGES)


@cache
def _access(flags: int) -> int:
    """What a handle may be used for: what its descriptor is for, so neither READ nor WRITE means reading."""
    if not flags & OpenFlags.WRITE:
        return _CAN_READ
    return _CAN_WRITE | (_CAN_READ if flags & OpenFlags.READ else 0)


@cache
def _flag_names(flags: int) -> str:
    return ",".join(str(flag.name).lower() for flag in OpenFlags if flags & flag)


@dataclass(slots=True, frozen=True)
class Operation:
    """`changes` tells whether a request would change something: what read-only forbids."""

    name: str
    answer: Callable[[Any, Any], bytes]
    changes: Callable[[Any], bool]


OPERATIONS: dict[type, Operation] = {
    m.Open: Operation("open", open_file, _open_changes),
    m.Close: Operation("close", close, _never),
    m.Read: Operation("read", read, _never),
    m.Write: Operation("write", write, _always),
    m.Lstat: Operation("lstat", lstat, _never),
    m.Fstat: Operation("fstat", fstat, _never),
    m.Setstat: Operation("setstat", setstat, _always),
    m.Fsetstat: Operation("fsetstat", fsetstat, _always),
    m.Opendir: Operation("opendir", opendir, _never),
    m.Readdir: Operation("readdir", readdir, _never),
    m.Remove: Operation("remove", remove, _always),
    m.Mkdir: Operation("mkdir", mkdir, _always),
    m.Rmdir: Operation("rmdir", rmdir, _always),
    m.Realpath: Operation("realpath", realpath, _never),
    m.Stat: Operation("stat", stat, _never),
    m.Rename: Operation("rename", rename, _always),
    m.Readlink: Operation("readlink", readlink, _never),
    m.Symlink: Operation("symlink", symlink, _always),
    m.Statvfs: Operation("statvfs", statvfs, _never),
    m.Fstatvfs: Operation("fstatvfs", fstatvfs, _never),
    m.Hardlink: Operation("hardlink", hardlink, _always),
    m.Fsync: Operation("fsync", fsync, _always),
    m.Lsetstat: Operation("lsetstat", lsetstat, _always),
    m.Limits: Operation("limits", limits, _never),
    m.Extended: Operation("extension", extended, _never),
}
