"""OPEN below the codec: what is refused, and from a path to an open file (draft-13, section 8.1.1)."""

import logging
import os
import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from libsshd._native import HandleAccess
from libsshd.constants import AccessMask, OpenFlags, OpenModes, Status
from libsshd.dispatch import HandlerTimeout
from libsshd.errors import StatusError
from libsshd.events import FileRemove
from libsshd.fs.base import Content, Draft
from libsshd.fs.upload import resumed_name
from libsshd.settings import ATOMIC_KEEP, DIRECT
from libsshd.wire.messages import Attributes, Open

from . import locks
from .decision import around, text_of
from .opened import OpenFile

if TYPE_CHECKING:
    from .session import Session

# Plain integers: an operation on IntFlag members costs more than most requests.
_READ, _WRITE, _CREAT, _TRUNC = map(int, (OpenFlags.READ, OpenFlags.WRITE, OpenFlags.CREAT, OpenFlags.TRUNC))
_TEXT = int(OpenFlags.TEXT)
_NAMED = int(OpenFlags.READ | OpenFlags.WRITE | OpenFlags.APPEND | OpenFlags.CREAT | OpenFlags.TRUNC | OpenFlags.EXCL)
_CHANGES = int(OpenFlags.WRITE | OpenFlags.APPEND | OpenFlags.CREAT | OpenFlags.TRUNC)
_CAN_READ, _CAN_WRITE = int(HandleAccess.READ), int(HandleAccess.WRITE)
_NOFOLLOW, _DELETE_ON_CLOSE = int(OpenModes.NOFOLLOW), int(OpenModes.DELETE_ON_CLOSE)
_BLOCKS = locks.BLOCKS
_MODES = _BLOCKS | _NOFOLLOW | _DELETE_ON_CLOSE | int(OpenModes.APPEND_DATA_ATOMIC)
"""The modes that are known here: privileges of backup, audit and ownership are not."""
_READ_DATA = int(AccessMask.READ_DATA)
_NEVER_GRANTED = int(AccessMask.WRITE_ACL | AccessMask.WRITE_NAMED_ATTRS)


def changes(r: Open) -> bool:
    """Whether it would change something."""
    return bool(r.flags & _CHANGES or r.modes & _DELETE_ON_CLOSE)


def granted(r: Open) -> tuple[int, int]:
    """Flags and access as handlers are told: with what a handle can do although nobody asked for it."""
    if r.flags & _WRITE:
        return r.flags, r.desired_access
    access = r.desired_access | _READ_DATA if r.desired_access else 0  # of versions that have it
    return r.flags | _READ, access


def check(session: "Session", r: Open) -> None:
    """Raises StatusError for what cannot be granted: no handler should have to think of it."""
    if r.flags & _TRUNC and not r.flags & _WRITE:
        raise StatusError(Status.INVALID_PARAMETER, "A file to be emptied must be opened for writing")
    if r.desired_access & _NEVER_GRANTED:
        raise StatusError(Status.PERMISSION_DENIED, "Nobody may change access lists or named attributes")
    if r.modes:
        _check_modes(session, r)


def _check_modes(session: "Session", r: Open) -> None:
    if r.modes & ~_MODES:
        raise StatusError(Status.OP_UNSUPPORTED, "Privileges cannot be asked for")
    denied = session.context.policy.denied
    mask = r.modes & _BLOCKS
    if mask:
        locks.check_mask(mask)
        locks.check_access(mask, writable=bool(r.flags & _WRITE))
    if (mask and "block" in denied) or (r.modes & _DELETE_ON_CLOSE and "remove" in denied):
        raise StatusError(Status.PERMISSION_DENIED, "This server does not take such requests")
    if session.event_mode:
        _check_handlers(session, r.modes)


def _check_handlers(session: "Session", modes: int) -> None:
    """Without a root directory, what nobody would carry out is not promised."""
    hooks = session.handlers.hooks
    locked_by_nobody = modes & _BLOCKS and not hooks.on_file_lock
    removed_by_nobody = modes & _DELETE_ON_CLOSE and not hooks.on_file_remove
    if locked_by_nobody or removed_by_nobody:
        raise StatusError(Status.OP_UNSUPPORTED)


def open_path(session: "Session", path: bytes, r: Open, take_lock: Callable[[OpenFile], object]) -> OpenFile:
    """`take_lock` is called if the client asks for a lock. Raises what it raises, OSError, StatusError."""
    wants_lock = r.modes & _BLOCKS
    flags = r.flags & ~_TRUNC if wants_lock else r.flags  # not before it is ours: see lock()
    nofollow = bool(r.modes & (_NOFOLLOW | _DELETE_ON_CLOSE))
    upload = _upload(session, path, r, nofollow=nofollow)
    told = told_path(session, path)
    if upload is not None:
        return _without_text(file_of(told, r, upload.fd, upload, session.fs.content(upload.fd)))
    fd = _descriptor(session, path, flags, r.attributes, nofollow=nofollow)
    file = _without_text(file_of(told, r, fd, content=session.fs.content(fd)))
    if wants_lock:
        try:
            take_lock(file)
        except BaseException:
            file.close()
            raise
    return file


def _without_text(file: OpenFile) -> OpenFile:
    """Lines are found by the descriptor alone. Raises StatusError for text whose content is made elsewhere."""
    if file.text and file.content is not None:
        file.close()
        raise StatusError(Status.OP_UNSUPPORTED, "This file cannot be opened as text")
    return file


def file_of(
    path: bytes, r: Open, fd: int, upload: Draft | None = None, content: Content | None = None
) -> OpenFile:  # fmt: skip
    """What stands behind the handle."""
    text, doomed = bool(r.flags & _TEXT), bool(r.modes & _DELETE_ON_CLOSE)
    return OpenFile(
        path, fd, _access(r.flags & _NAMED), time.monotonic(), text, doomed, upload=upload, content=content
    )


def told_path(session: "Session", path: bytes) -> bytes:
    """What a handler is asked about: the name that the file will have, if it is an upload that can be resumed."""
    if session.context.settings.upload_mode != ATOMIC_KEEP:
        return path
    parent, _, name = path.rpartition(b"/")
    target = resumed_name(name)
    return path if target is None else parent + b"/" + target


def _upload(session: "Session", path: bytes, r: Open, *, nofollow: bool) -> Draft | None:
    """None for what is written in place: without a mode for uploads, and where the client wants to keep others off
    the file itself, or to be rid of it afterwards.
    """
    mode = session.context.settings.upload_mode
    if mode == DIRECT or not r.flags & _WRITE or r.modes & (_BLOCKS | _DELETE_ON_CLOSE):
        return None
    initial = r.attributes
    if session.codec.sets_initial_attributes:
        session.check_attributes(initial)
    else:
        initial = Attributes(permissions=initial.permissions)
    return session.fs.upload(path, r.flags, initial, nofollow=nofollow, resumable=mode == ATOMIC_KEEP)


def _descriptor(session: "Session", path: bytes, flags: int, initial: Attributes, *, nofollow: bool) -> int:
    """Rule: a link that is to be deleted on close is not opened; the name would not lead to what was opened."""
    if flags & _CREAT and session.codec.sets_initial_attributes:
        session.check_attributes(initial)
        return session.fs.create(path, flags, initial, nofollow=nofollow)
    return session.fs.open(path, flags, initial.permissions, nofollow=nofollow)


def lock(file: OpenFile, r: Open) -> None:
    """Takes the lock, and does what had to wait for it. Raises OSError, StatusError."""
    file.locks.append(locks.lock_whole(file.fd, writable=file.writable))
    if r.flags & _TRUNC and file.fd >= 0:
        os.ftruncate(file.fd, 0)


def remove_closed(session: "Session", file: OpenFile) -> Exception | None:
    """Deletes a file on close, unless something else has its name by now; what kept it from being deleted."""
    event = FileRemove(**session.who, path=text_of(file.path))
    try:
        around(session, event, lambda: session.fs_of(file).remove_same(file.path, file.fd))
    except (OSError, StatusError, HandlerTimeout) as error:
        return error
    return None


@cache
def _access(flags: int) -> int:
    """What a handle may be used for: what its descriptor is for, so neither READ nor WRITE means reading."""
    if not flags & _WRITE:
        return _CAN_READ
    return _CAN_WRITE | (_CAN_READ if flags & _READ else 0)


def journal(session: "Session", path: bytes, flags: int) -> None:
    session.journal.record(logging.INFO, "open", "file opened", path=path, flags=_flag_names(flags & _NAMED))


@cache
def _flag_names(flags: int) -> str:
    return ",".join(str(flag.name).lower() for flag in OpenFlags if flags & flag)
