"""Names below the codec: what REALPATH finds, what RENAME may replace, which path of SYMLINK is the link."""

import mimetypes
import os
from collections.abc import Callable
from errno import ENAMETOOLONG
from stat import S_ISREG
from typing import TYPE_CHECKING

from libsshd.constants import RealpathControl, RenameFlags, Status
from libsshd.errors import StatusError
from libsshd.fs.base import normalise
from libsshd.wire.messages import Attributes, Realpath, Symlink, SymlinkOrder

if TYPE_CHECKING:
    from .session import Session

_PATH_MAX = 4096
_GUESSED_TEXT, _GUESSED_BINARY = 1, 3
_TEXT_HINTS = {b"text": _GUESSED_TEXT} | dict.fromkeys((b"audio", b"font", b"image", b"video"), _GUESSED_BINARY)
_OVERWRITING = int(RenameFlags.OVERWRITE | RenameFlags.ATOMIC | RenameFlags.NATIVE)


def overwrites(flags: int) -> bool:
    """Whether a RENAME may replace what has the new name (draft-13, section 8.3).

    ATOMIC implies OVERWRITE; NATIVE is what the system does, and rename(2) replaces. Raises StatusError for others.
    """
    if flags & ~_OVERWRITING:
        raise StatusError(Status.OP_UNSUPPORTED, "Unknown flags of RENAME")
    return bool(flags)


# --- REALPATH ---


def resolve(session: "Session", r: Realpath) -> bytes:
    """The canonical path, by its text alone: nothing has to exist and no link is followed. Raises OSError."""
    path = session.fs.realpath(session.path(r.path, *r.compose))
    if len(path) > _PATH_MAX:
        raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG))
    return path


def attributes_of(session: "Session", control: int, look: Callable[[], Attributes]) -> Attributes:
    """What REALPATH tells of the object: nothing, what there is, or an error when there is nothing (section 8.9).

    Where STAT is denied, so is this.
    """
    if control > RealpathControl.STAT_ALWAYS:
        raise StatusError(Status.INVALID_PARAMETER, "Unknown control byte of REALPATH")
    if control <= RealpathControl.NO_CHECK:
        return Attributes()
    try:
        if "stat" in session.context.policy.denied:
            raise StatusError(Status.PERMISSION_DENIED)
        return look()
    except (OSError, StatusError):
        if control == RealpathControl.STAT_ALWAYS:
            raise
        return Attributes()


# --- SYMLINK ---

_DRAFTED = {
    "AsyncSSH": ("OpenSSH", "paramiko"),
    "-libssh_": ("OpenSSH",),
    "-phpseclib_": ("SSH-2.0-OpenSSH",),
    "-OpenSSH_": ("",),  # its own client, and those that have it as transport, lftp among them, with every server
}


def sends_drafted_symlinks(client_version: str, server_version: str) -> bool | None:
    """Some send (link, target) unless the server's name is one they know for OpenSSH's order; None for others."""
    for client, known in _DRAFTED.items():
        if client in client_version:
            return not any(name in server_version for name in known)
    return None


def symlink_order(session: "Session", r: Symlink) -> tuple[bytes, bytes]:
    """Target and link. What is not sure is decided by what is known of the client, else by what exists."""
    if r.order is SymlinkOrder.SURE:
        return r.target_path, r.link_path
    first, second = _as_sent(r)
    drafted = session.context.drafted_symlinks
    if drafted is None:
        drafted = r.order is SymlinkOrder.DRAFT and not _begins_with_target(session, first, second)
    return (second, first) if drafted else (first, second)


def _as_sent(r: Symlink) -> tuple[bytes, bytes]:
    return (r.link_path, r.target_path) if r.order is SymlinkOrder.DRAFT else (r.target_path, r.link_path)


def _begins_with_target(session: "Session", first: bytes, second: bytes) -> bool:
    """OpenSSH's order, against that of the drafts, which has the link first.

    The name of a link to be made is free, in a directory that there is, and few make links that lead nowhere. Clients
    make the name of a link absolute, and leave a target as it is. Where both or neither make sense, it is the drafts'
    order, unless the server passes for OpenSSH's.
    """
    if session.event_mode:
        return False
    for_target = _sense(session, target=first, link=second)
    for_link = _sense(session, target=second, link=first)
    return for_target > for_link or (for_target == for_link and session.context.passes_for_openssh)


def _sense(session: "Session", *, target: bytes, link: bytes) -> tuple[bool, bool, bool]:
    """What speaks for such a link, the stronger reason first."""
    exists = _exists(session, target, os.path.dirname(link))
    return _can_be_made(session, link), exists, link.startswith(b"/") and not target.startswith(b"/")


def _can_be_made(session: "Session", link: bytes) -> bool:
    try:
        path = session.path(link)
    except OSError:  # outside the home directory
        return False
    return not _exists(session, path, b"/") and _exists(session, os.path.dirname(path), b"/")


def _exists(session: "Session", target: bytes, directory: bytes) -> bool:
    try:
        session.fs.lstat(normalise(target, session.path(directory)))
    except OSError:
        return False
    return True


# --- the kind of a file, by its name ---


def mime_type(path: bytes, attributes: Attributes) -> bytes | None:
    """By the ending of a regular file's name, as the library knows them; None for those that it does not."""
    if not S_ISREG(attributes.permissions or 0):
        return None
    ending = os.path.splitext(path)[1].lower()
    known = mimetypes.types_map.get(ending.decode("ascii", "replace"))
    return None if known is None else known.encode()


def text_hint(mime_type: bytes | None) -> int | None:
    """Text or not, as that type lets guess (draft-13, section 7.10); None for types that may be both."""
    return None if mime_type is None else _TEXT_HINTS.get(mime_type.partition(b"/")[0])
