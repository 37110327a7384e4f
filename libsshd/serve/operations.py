"""The requests of SFTP: one table, and one function for each that answers it.

A function takes the session and the decoded request and returns the encoded reply. What goes wrong is raised:
OSError, or StatusError for what has no errno; the session turns both into a STATUS.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from errno import EACCES
from typing import TYPE_CHECKING, Any

from libsshd.constants import AttributeFlags, Status
from libsshd.errors import StatusError
from libsshd.fs.base import Directory
from libsshd.settings import LINE_ENDS
from libsshd.wire import messages as m
from libsshd.wire.reply import limits_reply, statvfs_reply

from . import account, copying, hashing, locks, naming, negotiation, opening, space, textfile
from .opened import OpenDirectory, OpenFile, check_readable, descriptor, read_bytes, sync, write_bytes

if TYPE_CHECKING:
    from .session import Session

PACKET_MAX = 256 * 1024
DATA_MAX = PACKET_MAX - 1024
NAMES_MAX = 32 * 1024
"""Bytes of one NAME reply: every client takes packets of 34,000 bytes (draft-02, section 3)."""
_BATCH = 128
_UNLIMITED = 1 << 31
_MIME_TYPE = int(AttributeFlags.MIME_TYPE)
_TEXT_HINT = int(AttributeFlags.TEXT_HINT)


# --- files ---


def open_file(session: "Session", r: m.Open) -> bytes:
    path = session.path(r.path)
    opening.check(session, r)
    session.reserve_handle()
    file = opening.open_path(session, path, r, lambda file: opening.lock(file, r))
    handle = session.add(file, session.next_handle())
    opening.journal(session, path, r.flags)
    return session.codec.handle(r.request_id, handle)


def close(session: "Session", r: m.Close) -> bytes:
    session.close_handle(r.handle)
    return session.codec.status(r.request_id, Status.OK)


def read(session: "Session", r: m.Read) -> bytes:
    data = read_bytes(session.file(r.handle), min(r.length, DATA_MAX), r.offset)
    if not data:
        return session.codec.status(r.request_id, Status.EOF)
    return session.codec.data(r.request_id, data)


def write(session: "Session", r: m.Write) -> bytes:
    write_bytes(session.file(r.handle), r.data, r.offset)
    return session.codec.status(r.request_id, Status.OK)


def fsync(session: "Session", r: m.Fsync) -> bytes:
    file = session.file(r.handle)
    descriptor(file)
    session.flush()
    sync(file)
    return session.codec.status(r.request_id, Status.OK)


def remove(session: "Session", r: m.Remove) -> bytes:
    session.fs.remove(session.path(r.path))
    return session.codec.status(r.request_id, Status.OK)


def rename(session: "Session", r: m.Rename) -> bytes:
    overwrite = naming.overwrites(r.flags)
    session.fs.rename(session.path(r.old_path), session.path(r.new_path), overwrite=overwrite)
    return session.codec.status(r.request_id, Status.OK)


# --- locks and lines ---


def lockable(session: "Session", handle: bytes) -> OpenFile:
    """Raises StatusError: INVALID_HANDLE; OP_UNSUPPORTED for a directory."""
    opened = session.opened(handle)
    if not isinstance(opened, OpenFile):
        raise StatusError(Status.OP_UNSUPPORTED, "A directory cannot be locked")
    return opened


def block(session: "Session", r: m.Block) -> bytes:
    file = lockable(session, r.handle)
    descriptor(file)
    lock_range(file, r)
    return session.codec.status(r.request_id, Status.OK)


def lock_range(file: OpenFile, r: m.Block) -> None:
    """Raises StatusError, OSError."""
    if file.upload is not None:
        raise StatusError(Status.OP_UNSUPPORTED, "What has not got its name yet cannot be locked")
    locks.check_mask(r.mask)
    locks.check_access(r.mask, writable=file.writable)
    file.locks.append(locks.lock_range(file.fd, r.offset, r.length, file.locks, writable=file.writable))


def unblock(session: "Session", r: m.Unblock) -> bytes:
    file = lockable(session, r.handle)
    descriptor(file)
    unlock_range(file, r)
    return session.codec.status(r.request_id, Status.OK)


def unlock_range(file: OpenFile, r: m.Unblock) -> None:
    """Raises StatusError, OSError."""
    lock = locks.find(file.locks, r.offset, r.length)
    locks.unlock(file.fd, lock)
    file.locks.remove(lock)


def text_seek(session: "Session", r: m.TextSeek) -> bytes:
    file = session.file(r.handle)
    check_readable(file)
    if not file.text:
        raise StatusError(Status.INVALID_PARAMETER, "The file is not open as text")
    session.flush()
    newline = LINE_ENDS[session.context.settings.server_eol]
    found = textfile.seek(descriptor(file), r.line, newline, session.go_on)
    return session.codec.status(r.request_id, Status.OK if found else Status.EOF)


# --- attributes ---


def described(path: bytes, wanted: int, found: m.Attributes) -> m.Attributes:
    """With what is only told when it is asked for."""
    if wanted & (_MIME_TYPE | _TEXT_HINT):
        kind = naming.mime_type(path, found)
        if wanted & _MIME_TYPE:
            found.mime_type = kind
        if wanted & _TEXT_HINT:
            found.text_hint = naming.text_hint(kind)
    return found


def stat(session: "Session", r: m.Stat) -> bytes:
    path = session.path(r.path)
    return session.codec.attrs(r.request_id, described(path, r.flags, session.fs.stat(path)), r.flags)


def lstat(session: "Session", r: m.Lstat) -> bytes:
    path = session.path(r.path)
    return session.codec.attrs(r.request_id, described(path, r.flags, session.fs.lstat(path)), r.flags)


def fstat(session: "Session", r: m.Fstat) -> bytes:
    opened = session.opened(r.handle)
    found = session.fs.fstat(descriptor(opened))
    return session.codec.attrs(r.request_id, described(opened.path, r.flags, found), r.flags)


def setstat(session: "Session", r: m.Setstat) -> bytes:
    session.check_attributes(r.attributes)
    session.fs.setstat(session.path(r.path), r.attributes)
    return session.codec.status(r.request_id, Status.OK)


def lsetstat(session: "Session", r: m.Lsetstat) -> bytes:
    session.check_attributes(r.attributes)
    session.fs.lsetstat(session.path(r.path), r.attributes)
    return session.codec.status(r.request_id, Status.OK)


def fsetstat(session: "Session", r: m.Fsetstat) -> bytes:
    session.check_attributes(r.attributes)
    opened = session.opened(r.handle)
    descriptor(opened)
    set_attributes(session, opened, r.attributes)
    return session.codec.status(r.request_id, Status.OK)


def set_attributes(session: "Session", opened: OpenFile | OpenDirectory, attributes: m.Attributes) -> None:
    """Raises StatusError, OSError."""
    resizes = attributes.size is not None or attributes.allocation_size is not None
    if resizes and isinstance(opened, OpenFile) and not opened.writable:
        raise OSError(EACCES, os.strerror(EACCES))
    session.fs_of(opened).fsetstat(opened.fileno(), attributes)


def statvfs(session: "Session", r: m.Statvfs) -> bytes:
    volume = session.fs.statvfs(session.path(r.path))
    return session.codec.extended_reply(r.request_id, statvfs_reply(volume))


def fstatvfs(session: "Session", r: m.Fstatvfs) -> bytes:
    volume = session.fs.fstatvfs(descriptor(session.opened(r.handle)))
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
    size, at_end = sum(map(len, entries)), False
    while size < NAMES_MAX and len(entries) < most:
        batch = [session.codec.entry(entry) for entry in opened.directory.read(min(_BATCH, most - len(entries)))]
        if not batch:
            at_end = True
            break
        entries += batch
        size += sum(map(len, batch))
    while (size > NAMES_MAX and len(entries) > 1) or len(entries) > most:
        size -= len(entries[-1])
        opened.pending.append(entries.pop())
    opened.pending.reverse()
    if not entries:
        return session.codec.status(r.request_id, Status.EOF)
    return session.codec.names(r.request_id, len(entries), b"".join(entries), at_end and not opened.pending)


def mkdir(session: "Session", r: m.Mkdir) -> bytes:
    make_directory(session, session.path(r.path), r.attributes)
    return session.codec.status(r.request_id, Status.OK)


def make_directory(session: "Session", path: bytes, initial: m.Attributes) -> None:
    """Raises StatusError, OSError."""
    if session.codec.sets_initial_attributes:
        session.check_attributes(initial)
        session.fs.create_directory(path, initial)
    else:
        session.fs.mkdir(path, initial.permissions)


def rmdir(session: "Session", r: m.Rmdir) -> bytes:
    session.fs.rmdir(session.path(r.path))
    return session.codec.status(r.request_id, Status.OK)


# --- names and links ---


def realpath(session: "Session", r: m.Realpath) -> bytes:
    path = naming.resolve(session, r)
    found = naming.attributes_of(session, r.control, lambda: _look(session, path))
    return session.codec.name(r.request_id, [m.Entry(path, path, found)])


def _look(session: "Session", path: bytes) -> m.Attributes:
    if session.event_mode:
        raise StatusError(Status.OP_UNSUPPORTED)
    return session.fs.stat(path)


def readlink(session: "Session", r: m.Readlink) -> bytes:
    target = session.fs.readlink(session.path(r.path))
    return session.codec.name(r.request_id, [m.Entry(target, target, m.Attributes())])


def symlink(session: "Session", r: m.Symlink) -> bytes:
    target, link = naming.symlink_order(session, r)
    session.fs.symlink(target, session.path(link))
    return session.codec.status(r.request_id, Status.OK)


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


def always(_: Any) -> bool:
    """Such requests would all change something."""
    return True


def _never(_: Any) -> bool:
    return False


@dataclass(slots=True, frozen=True)
class Operation:
    """`changes` tells whether a request would change something: what read-only forbids."""

    name: str
    answer: Callable[[Any, Any], bytes]
    changes: Callable[[Any], bool]


OPERATIONS: dict[type, Operation] = {
    m.Open: Operation("open", open_file, opening.changes),
    m.Close: Operation("close", close, _never),
    m.Read: Operation("read", read, _never),
    m.Write: Operation("write", write, always),
    m.Lstat: Operation("lstat", lstat, _never),
    m.Fstat: Operation("fstat", fstat, _never),
    m.Setstat: Operation("setstat", setstat, always),
    m.Fsetstat: Operation("fsetstat", fsetstat, always),
    m.Opendir: Operation("opendir", opendir, _never),
    m.Readdir: Operation("readdir", readdir, _never),
    m.Remove: Operation("remove", remove, always),
    m.Mkdir: Operation("mkdir", mkdir, always),
    m.Rmdir: Operation("rmdir", rmdir, always),
    m.Realpath: Operation("realpath", realpath, _never),
    m.Stat: Operation("stat", stat, _never),
    m.Rename: Operation("rename", rename, always),
    m.PosixRename: Operation("posix-rename", rename, always),
    m.Readlink: Operation("readlink", readlink, _never),
    m.Symlink: Operation("symlink", symlink, always),
    m.Block: Operation("block", block, _never),
    m.Unblock: Operation("unblock", unblock, _never),
    m.Statvfs: Operation("statvfs", statvfs, _never),
    m.Fstatvfs: Operation("fstatvfs", fstatvfs, _never),
    m.Hardlink: Operation("hardlink", hardlink, always),
    m.Fsync: Operation("fsync", fsync, always),
    m.Lsetstat: Operation("lsetstat", lsetstat, always),
    m.TextSeek: Operation("text-seek", text_seek, _never),
    m.Limits: Operation("limits", limits, _never),
    m.ExpandPath: Operation("expand-path", account.expand_path, _never),
    m.HomeDirectory: Operation("home-directory", account.home_directory, _never),
    m.UsersGroupsById: Operation("users-groups-by-id", account.users_groups_by_id, _never),
    m.GetTempFolder: Operation("get-temp-folder", account.get_temp_folder, _never),
    m.MakeTempFolder: Operation("make-temp-folder", account.make_temp_folder, always),
    m.VersionSelect: Operation("version-select", negotiation.version_select, _never),
    m.VendorId: Operation("vendor-id", negotiation.vendor_id, _never),
    m.FilenameTranslationControl: Operation(
        "filename-translation-control", negotiation.filename_translation_control, _never
    ),
    m.CopyData: Operation("copy-data", copying.copy_data, always),
    m.CopyFile: Operation("copy-file", copying.copy_file, always),
    m.CheckFile: Operation("check-file", hashing.check_file, _never),
    m.CheckFileName: Operation("check-file-name", hashing.check_file_name, _never),
    m.CheckFileHandle: Operation("check-file-handle", hashing.check_file_handle, _never),
    m.Md5Hash: Operation("md5-hash", hashing.md5_hash, _never),
    m.Md5HashHandle: Operation("md5-hash-handle", hashing.md5_hash_handle, _never),
    m.SpaceAvailable: Operation("space-available", space.space_available, _never),
    m.Ranges: Operation("ranges", space.ranges, _never),
    m.Extended: Operation("extension", extended, _never),
}
