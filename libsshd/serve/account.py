"""Extensions about users: their names, their home directories and their folders for temporary files."""

import os
from collections.abc import Callable, Sequence
from stat import S_ISDIR
from typing import TYPE_CHECKING

from libsshd.constants import Status
from libsshd.errors import StatusError
from libsshd.fs.listing import group_name_or_nothing, user_name_or_nothing
from libsshd.wire import messages as m
from libsshd.wire.reply import names_reply

if TYPE_CHECKING:
    from .session import Session

_IDS_MOST = 1024
"""Numbers in one request: each may be a question to a directory service."""
_TEMPORARY = b"/tmp"
_PRIVATE = 0o700


def expand_path(session: "Session", r: m.ExpandPath) -> bytes:
    """REALPATH, of "~" and "~user" as well. Users are not told of others, so those do not exist."""
    if r.path[:1] != b"~":
        return session.part(m.Realpath(r.request_id, r.path))
    name, slash, rest = r.path[1:].partition(b"/")
    if name and not _is_own(session, name):
        raise StatusError(Status.NO_SUCH_FILE, "There is no such user")
    return session.part(m.Realpath(r.request_id, session.context.home + slash + rest))


def home_directory(session: "Session", r: m.HomeDirectory) -> bytes:
    """The user's own; of another one FAILURE, as from OpenSSH for one that does not exist."""
    if r.user and not _is_own(session, r.user):
        raise StatusError(Status.FAILURE, "There is no such user")
    return session.part(m.Realpath(r.request_id, session.context.home))


def _is_own(session: "Session", name: bytes) -> bool:
    return name == session.handlers.user.encode("utf-8", "surrogateescape")


# --- names ---


def users_groups_by_id(session: "Session", r: m.UsersGroupsById) -> bytes:
    """An empty name for a number that has none. Where handlers are the file system, no number is this system's."""
    if len(r.uids) + len(r.gids) > _IDS_MOST:
        raise StatusError(Status.INVALID_PARAMETER, f"At most {_IDS_MOST} numbers in one request")
    users = _names(session, user_name_or_nothing, r.uids)
    groups = _names(session, group_name_or_nothing, r.gids)
    return session.codec.extended_reply(r.request_id, names_reply(users, groups))


def _names(session: "Session", name_of: Callable[[int], bytes], numbers: Sequence[int]) -> list[bytes]:
    if session.event_mode:
        return [b""] * len(numbers)
    names = []
    for number in numbers:
        session.go_on()
        names.append(name_of(number))
    return names


# --- temporary files ---


def get_temp_folder(session: "Session", r: m.GetTempFolder) -> bytes:
    return _name(session, r.request_id, _temp_folder(session))


def make_temp_folder(session: "Session", r: m.MakeTempFolder) -> bytes:
    """A new one for the user alone: MKDIR of a name that nobody can guess."""
    path = _temp_folder(session).rstrip(b"/") + b"/sftp-" + os.urandom(16).hex().encode()
    session.part(m.Mkdir(r.request_id, path, m.Attributes(permissions=_PRIVATE)))
    return _name(session, r.request_id, path)


def _temp_folder(session: "Session") -> bytes:
    """The usual place where the user sees one, else the home directory."""
    try:
        attributes = session.fs.stat(session.path(_TEMPORARY))
    except OSError:
        return session.context.home
    return _TEMPORARY if S_ISDIR(attributes.permissions or 0) else session.context.home


def _name(session: "Session", request_id: int, path: bytes) -> bytes:
    return session.codec.name(request_id, [m.Entry(path, path, m.Attributes())])
