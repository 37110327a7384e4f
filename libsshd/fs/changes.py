"""Attributes that a client sends, as what the kernel can do about them (draft-13, section 7).

Rules:
- What can never be set refuses the whole request before anything is changed.
- The times of creation and of the last change of attributes are the exception: they are left out, because clients
  that preserve times send all they have, and would lose those that can be set.
"""

from collections.abc import Callable
from grp import getgrnam
from pwd import getpwnam

from libsshd._native import path as native
from libsshd.constants import Status
from libsshd.errors import UnsettableError
from libsshd.wire.messages import Attributes

MODE_BITS = 0o7777
_LOCAL = b"@localhost"
_NO_ID = 2**32 - 1  # what chown(2) takes for "leave alone"

_REFUSED: dict[str, tuple[Status, str]] = {
    "text_hint": (Status.INVALID_PARAMETER, "The hint of text cannot be set"),
    "link_count": (Status.INVALID_PARAMETER, "The number of links cannot be set"),
    "untranslated_name": (Status.INVALID_PARAMETER, "A name cannot be set"),
    "acl": (Status.OP_UNSUPPORTED, "Access lists are not supported"),
    "mime_type": (Status.OP_UNSUPPORTED, "The type of the content cannot be set"),
}
"""Attributes whose presence is an error, as the draft says of the first three, or that nothing here can hold."""


def change_of(a: Attributes) -> native.Change:
    """What SETSTAT and its like ask for.

    Raises UnsettableError for what cannot be set, for unknown owners, and for an allocation below the size.
    """
    check_settable(a)
    if a.size is not None and a.allocation_size is not None and a.allocation_size < a.size:
        raise UnsettableError(Status.INVALID_PARAMETER, "The allocation size is below the size")
    return _change(a, a.size, a.permissions)


def sets_more(a: Attributes) -> bool:
    """Whether there is more to an object to be made than its mode, and its size, which is no more than a hint."""
    return a != Attributes(size=a.size, permissions=a.permissions, file_type=a.file_type)


def initial_change(a: Attributes) -> native.Change:
    """What an object gets that OPEN or MKDIR has just made with its mode. Raises UnsettableError."""
    check_settable(a)
    return _change(a, None, None)


def _change(a: Attributes, size: int | None, permissions: int | None) -> native.Change:
    uid, gid = ids_of(a)
    return native.Change(
        size=size,
        allocation=a.allocation_size,
        uid=uid,
        gid=gid,
        mode=None if permissions is None else permissions & MODE_BITS,
        atime=(a.atime, a.atime_ns),
        mtime=(a.mtime, a.mtime_ns),
    )


def check_settable(a: Attributes) -> None:
    for name, (status, text) in _REFUSED.items():
        if getattr(a, name) is not None:
            raise UnsettableError(status, text)
    bits = a.attrib_bits if a.attrib_bits_valid is None else a.attrib_bits_valid
    if bits:
        raise UnsettableError(Status.OP_UNSUPPORTED, "Attribute bits cannot be set")


def ids_of(a: Attributes) -> tuple[int | None, int | None]:
    """Numbers of owner and group, None for what stays as it is. Raises UnsettableError with names that nobody has."""
    uid = a.uid if a.owner is None else _id(a.owner, lambda name: getpwnam(name).pw_uid)
    gid = a.gid if a.group is None else _id(a.group, lambda name: getgrnam(name).gr_gid)
    unknown = tuple(name for name, number in ((a.owner, uid), (a.group, gid)) if name and number is None)
    if unknown:
        raise UnsettableError(Status.UNKNOWN_PRINCIPAL, unknown=unknown)
    return uid, gid


def _id(name: bytes, find: Callable[[str], int]) -> int | None:
    """The number of a name, which may be that number as text; None if there is no such."""
    text = _local(name)
    try:
        return find(text)
    except (KeyError, ValueError):
        known = text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _NO_ID
        return int(text) if known else None


def _local(name: bytes) -> str:
    """The name without "@localhost", which says that it is one of this machine's."""
    return name.removesuffix(_LOCAL).decode("utf-8", "surrogateescape")
