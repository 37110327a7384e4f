"""How each version of SFTP says the same thing: fields of requests and of replies, written from the drafts.

Numbers and layouts are written out here and not taken from libsshd, as in rawsftp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.rawsftp import (
    APPEND,
    CREAT,
    EXCL,
    READ,
    TRUNC,
    WRITE,
    Cursor,
    RawSFTP,
    Reply,
    Type,
    string,
    u32,
    u64,
)

LINK, BLOCK, UNBLOCK = 21, 22, 23  # packet types of version 6
REGULAR, DIRECTORY, SYMLINK, SPECIAL, UNKNOWN = 1, 2, 3, 4, 5
CREATE_NEW, CREATE_TRUNCATE, OPEN_EXISTING, OPEN_OR_CREATE, TRUNCATE_EXISTING = range(5)

SIZE, UIDGID, PERMISSIONS, ACMODTIME = 0x01, 0x02, 0x04, 0x08  # flags of ATTRS; two of them in version 3 alone
ACCESSTIME, CREATETIME, MODIFYTIME, ACL, OWNERGROUP, SUBSECONDS = 0x08, 0x10, 0x20, 0x40, 0x80, 0x100
BITS, ALLOCATION, TEXT_HINT, MIME_TYPE, LINK_COUNT, UNTRANSLATED, CTIME = (
    0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0x8000,
)  # fmt: skip
EXTENDED = 0x80000000
ALL = {
    4: 0x800001FD,
    5: 0x800003FD,
    6: 0x8000FFFD,
}
"""Every flag of ATTRS that a version has."""

LAYOUT_OF_VERSION_3: tuple[tuple[int, str, Callable[[Cursor], object], int], ...] = (
    (SIZE, "size", Cursor.u64, 3),
    (UIDGID, "uid", Cursor.u32, 3),
    (UIDGID, "gid", Cursor.u32, 3),
    (PERMISSIONS, "permissions", Cursor.u32, 3),
    (ACMODTIME, "atime", Cursor.u32, 3),
    (ACMODTIME, "mtime", Cursor.u32, 3),
)
LAYOUT: tuple[tuple[int, str, Callable[[Cursor], object], int], ...] = (
    (SIZE, "size", Cursor.u64, 4),
    (ALLOCATION, "allocation", Cursor.u64, 6),
    (OWNERGROUP, "owner", Cursor.string, 4),
    (OWNERGROUP, "group", Cursor.string, 4),
    (PERMISSIONS, "permissions", Cursor.u32, 4),
    (ACCESSTIME, "atime", Cursor.u64, 4),
    (ACCESSTIME | SUBSECONDS, "atime_ns", Cursor.u32, 4),
    (CREATETIME, "createtime", Cursor.u64, 4),
    (CREATETIME | SUBSECONDS, "createtime_ns", Cursor.u32, 4),
    (MODIFYTIME, "mtime", Cursor.u64, 4),
    (MODIFYTIME | SUBSECONDS, "mtime_ns", Cursor.u32, 4),
    (CTIME, "ctime", Cursor.u64, 6),
    (CTIME | SUBSECONDS, "ctime_ns", Cursor.u32, 6),
    (ACL, "acl", Cursor.string, 4),
    (BITS, "bits", Cursor.u32, 5),
    (BITS, "bits_valid", Cursor.u32, 6),
    (TEXT_HINT, "text_hint", lambda cursor: cursor.take(1)[0], 6),
    (MIME_TYPE, "mime_type", Cursor.string, 6),
    (LINK_COUNT, "link_count", Cursor.u32, 6),
    (UNTRANSLATED, "untranslated", Cursor.string, 6),
)
"""The fields of ATTRS in their order: the flags that each needs, its name, how it is read, its first version."""

OLDER = {10: 2, 12: 3}  # statuses that have a better equivalent in version 3 than FAILURE


def as_in_version_3(status: int) -> int:
    """What version 3 says where a later one says this."""
    return status if status <= 8 else OLDER.get(status, 4)


@dataclass
class Found:
    """ATTRS of any version; what was not sent is not in `fields`."""

    flags: int
    kind: int = 0
    fields: dict[str, object] = field(default_factory=dict)


class Dialect:
    """One version."""

    def __init__(self, version: int) -> None:
        self.version = version

    def attributes(
        self, *, kind: int = UNKNOWN, size: int | None = None, mode: int | None = None, times: int | None = None
    ) -> bytes:
        """ATTRS; `times` is for both the last access and the last change."""
        flags, body = 0, b""
        if size is not None:
            flags, body = flags | SIZE, body + u64(size)
        if mode is not None:
            flags, body = flags | PERMISSIONS, body + u32(mode)
        if times is not None and self.version == 3:
            flags, body = flags | ACMODTIME, body + u32(times) + u32(times)
        elif times is not None:
            flags, body = flags | ACCESSTIME | MODIFYTIME, body + u64(times) + u64(times)
        return u32(flags) + (bytes([kind]) if self.version > 3 else b"") + body

    def open(self, path: bytes, flags: int, mode: int | None = None) -> tuple[int, bytes]:
        """OPEN with the flags of version 3."""
        attributes = self.attributes(kind=REGULAR, mode=mode)
        how = u32(flags) if self.version < 5 else access_and_disposition(flags)
        return Type.OPEN, string(path) + how + attributes

    def stat(self, path: bytes, wanted: int | None = None, *, follow: bool = True) -> tuple[int, bytes]:
        wanted = ALL.get(self.version, 0) if wanted is None else wanted
        flags = b"" if self.version == 3 else u32(wanted)
        return Type.STAT if follow else Type.LSTAT, string(path) + flags

    def fstat(self, handle: bytes, wanted: int | None = None) -> tuple[int, bytes]:
        return Type.FSTAT, self.stat(handle, wanted)[1]

    def rename(self, old: bytes, new: bytes, flags: int = 0) -> tuple[int, bytes]:
        return Type.RENAME, string(old) + string(new) + (u32(flags) if self.version > 4 else b"")

    def symlink(self, target: bytes, link: bytes) -> tuple[int, bytes]:
        """In OpenSSH's order in version 3, in that of the drafts later."""
        if self.version == 6:
            return LINK, string(link) + string(target) + b"\x01"
        return Type.SYMLINK, string(target) + string(link) if self.version == 3 else string(link) + string(target)

    def hardlink(self, target: bytes, link: bytes) -> tuple[int, bytes]:
        if self.version == 6:
            return LINK, string(link) + string(target) + b"\x00"
        return Type.EXTENDED, string(b"hardlink@openssh.com") + string(target) + string(link)

    # --- replies ---

    def read_attributes(self, cursor: Cursor) -> Found:
        found = Found(cursor.u32())
        if self.version > 3:
            assert found.flags & ~ALL[self.version] == 0, f"flags {found.flags:#x} are not version {self.version}"
            found.kind = cursor.take(1)[0]
        for flags, name, read, first in LAYOUT if self.version > 3 else LAYOUT_OF_VERSION_3:
            if found.flags & flags == flags and self.version >= first:
                found.fields[name] = read(cursor)
        if found.flags & EXTENDED:
            found.fields["extended"] = [(cursor.string(), cursor.string()) for _ in range(cursor.u32())]
        return found

    def names(self, reply: Reply) -> list[tuple[bytes, Found]]:
        """Names and attributes of a NAME reply."""
        cursor = reply.cursor(Type.NAME)
        entries = []
        for _ in range(cursor.u32()):
            name = cursor.string()
            if self.version == 3:
                cursor.string()  # the long name
            entries.append((name, self.read_attributes(cursor)))
        if self.version == 6 and cursor.position < len(cursor.data):
            cursor.take(1)  # end-of-list
        cursor.end()
        return entries

    def found(self, reply: Reply) -> Found:
        """The attributes of an ATTRS reply."""
        cursor = reply.cursor(Type.ATTRS)
        attributes = self.read_attributes(cursor)
        cursor.end()
        return attributes


def access_and_disposition(flags: int) -> bytes:
    """Desired access and flags of versions 5 and 6 for the flags of version 3.

    There, what is not opened for writing is opened for reading, and APPEND alone does not open for writing.
    """
    append = flags & APPEND and flags & WRITE
    access = (
        (0x1 if flags & READ or not flags & WRITE else 0) | (0x2 if flags & WRITE else 0) | (0x4 if append else 0)
    )
    if flags & CREAT:
        disposition = CREATE_NEW if flags & EXCL else CREATE_TRUNCATE if flags & TRUNC else OPEN_OR_CREATE
    else:
        disposition = TRUNCATE_EXISTING if flags & TRUNC else OPEN_EXISTING
    return u32(access) + u32(disposition | (0x8 if append else 0))


def listing(client: RawSFTP, dialect: Dialect, path: bytes) -> list[tuple[bytes, Found]] | int:
    """OPENDIR, READDIR until the end, CLOSE; the status if there is none."""
    reply = client.ask(Type.OPENDIR, string(path))
    if reply.type == Type.STATUS:
        return reply.code
    handle, entries = reply.handle, []
    while (reply := client.ask(Type.READDIR, string(handle))).type == Type.NAME:
        entries += dialect.names(reply)
    assert (reply.code, client.shut(handle)) == (1, 0)
    return entries
