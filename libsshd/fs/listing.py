"""What the kernel tells of an object, as attributes, directory entries and lines of `ls -l`.

A listing of 10,000 entries passes here, so whatever repeats is kept: rights and names per kind of entry, dates per
minute. Owners' names come from the system's data base, which may ask a network, and are kept for the process's life.
"""

import time
from collections.abc import Iterable
from functools import lru_cache
from grp import getgrgid
from pwd import getpwuid
from stat import S_IFMT, filemode
from typing import NamedTuple

from libsshd.constants import FileType
from libsshd.wire.messages import Attributes, Basic

Stat = tuple[int, ...]
"""As in libsshd._native.path."""

_MODE_BITS = 0o177777
_HALF_YEAR = 365 * 24 * 3600 // 2
_DATES_KEPT = 4096
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_NO_DATE = b"?".rjust(12)

_FILE_TYPES = {
    0o100000: FileType.REGULAR,
    0o040000: FileType.DIRECTORY,
    0o120000: FileType.SYMLINK,
    0o140000: FileType.SOCKET,
    0o020000: FileType.CHAR_DEVICE,
    0o060000: FileType.BLOCK_DEVICE,
    0o010000: FileType.FIFO,
}

_TYPE_BITS = {file_type: bits for bits, file_type in _FILE_TYPES.items()}


class Kind(NamedTuple):
    """What many entries of a directory have in common."""

    file_type: FileType
    owner: bytes
    group: bytes
    line: bytes


@lru_cache(maxsize=1024)
def user_name_or_nothing(uid: int) -> bytes:
    """The user's name, b"" for a number that has none."""
    try:
        return getpwuid(uid).pw_name.encode("utf-8", "surrogateescape")
    except (KeyError, OverflowError):
        return b""


@lru_cache(maxsize=1024)
def group_name_or_nothing(gid: int) -> bytes:
    """The group's name, b"" for a number that has none."""
    try:
        return getgrgid(gid).gr_name.encode("utf-8", "surrogateescape")
    except (KeyError, OverflowError):
        return b""


def owner_name(uid: int) -> bytes:
    """The user's name, or the number of one that has none."""
    return user_name_or_nothing(uid) or b"%d" % uid


def group_name(gid: int) -> bytes:
    """The group's name, or the number of one that has none."""
    return group_name_or_nothing(gid) or b"%d" % gid


@lru_cache(maxsize=4096)
def kind_of(mode: int, links: int, uid: int, gid: int) -> Kind:
    """The part of the line that comes before the size: rights, link count, owner and group."""
    owner, group = owner_name(uid), group_name(gid)
    line = b"%b %4d %-8b %-8b" % (filemode(mode).encode(), links, owner, group)
    return Kind(_FILE_TYPES.get(S_IFMT(mode), FileType.SPECIAL), owner, group, line)


def date(mtime: int, now: float, *, clock: bool = True) -> bytes:
    """Twelve bytes of local time as `ls` has them: the clock for the last half year, the year for all else.

    Without `clock` the year for all (documented: UnixStyleDateFormat).
    """
    try:
        year, month, day, hour, minute = time.localtime(mtime)[:5]
    except (OverflowError, OSError, ValueError):
        return _NO_DATE
    if clock and 0 <= now - mtime < _HALF_YEAR:
        return b"%b %2d %02d:%02d" % (_MONTHS[month - 1], day, hour, minute)
    return b"%b %2d %5d" % (_MONTHS[month - 1], day, year)


def attributes_of(stat: Stat) -> Attributes:
    """Everything known about an object; see Attributes for the units."""
    return _attributes(stat, kind_of(stat[13], stat[2], stat[14], stat[15]))


def _attributes(stat: Stat, kind: Kind) -> Attributes:
    # fmt: off
    (_, _, links, size, allocation, atime, mtime, ctime, birth, atime_ns, mtime_ns, ctime_ns, birth_ns, mode, uid,
     gid, bits, bits_known, birth_known) = stat
    file_type, owner, group, _ = kind
    return Attributes(  # by position: keywords would double the cost
        size, uid, gid, mode, atime, mtime, (), file_type, atime_ns, mtime_ns,
        birth if birth_known else None, birth_ns, ctime, ctime_ns,
        owner, group, allocation, None, bits, bits_known, None, None, links,
    )
    # fmt: on


def longname(name: bytes, attributes: Attributes, now: float, *, clock: bool = True) -> bytes:
    """A line of `ls -l` for an object that the kernel knows nothing of; `now` and `clock` as in `date`.

    Owner and group are the texts given, else the numbers. What is unknown is "?", as `ls` shows it; a newline too.
    """
    a = attributes
    line = b"%b %4b %-8b %-8b %8b %b %b" % (
        _rights(a),
        _number(a.link_count),
        a.owner or _number(a.uid),
        a.group or _number(a.gid),
        _number(a.size),
        _NO_DATE if a.mtime is None else date(a.mtime, now, clock=clock),
        name,
    )
    return line.replace(b"\n", b"?")


def _number(value: int | None) -> bytes:
    return b"?" if value is None else b"%d" % value


def _rights(a: Attributes) -> bytes:
    """Ten letters; the type is that of the mode, or else the file type."""
    mode = (a.permissions or 0) & _MODE_BITS
    if not S_IFMT(mode):
        mode |= _TYPE_BITS.get(a.file_type, 0)
    text = filemode(mode).encode()
    return text if a.permissions is not None else text[:1] + b"?" * 9


class ListedEntry:
    """A DirectoryEntry; its attributes are made when they are asked for, since version 3 does with the basic ones.

    There are none where the kernel refused to tell them (mode 0).
    """

    __slots__ = ("_kind", "_stat", "basic", "longname", "name")

    def __init__(self, name: bytes, longname: bytes, stat: Stat, kind: Kind) -> None:
        self.name = name
        self.longname = longname
        self.basic: Basic | None = (stat[3], stat[14], stat[15], stat[13], stat[5], stat[6]) if stat[13] else None
        self._stat = stat
        self._kind = kind

    @property
    def attributes(self) -> Attributes:
        return _attributes(self._stat, self._kind) if self.basic else Attributes()


class Listing:
    """Turns one directory's objects into entries; `now` and `clock` as in `date`."""

    def __init__(self, now: float, *, clock: bool = True) -> None:
        self._now = now
        self._clock = clock
        self._dates: dict[int, bytes] = {}

    def entries(self, names: Iterable[bytes], stats: Iterable[Stat]) -> list[ListedEntry]:
        """One entry for each name.

        A name's bytes are unchanged, except that in the long name a newline is "?": clients split that into lines.
        """
        result = []
        date_of = self._dates.get
        for name, stat in zip(names, stats, strict=True):
            kind = kind_of(stat[13], stat[2], stat[14], stat[15])
            shown = name.replace(b"\n", b"?") if b"\n" in name else name
            line = b"%b %8d %b %b" % (
                kind.line,
                stat[3],
                date_of(stat[6] // 60) or self._date(stat[6]),
                shown,
            )
            result.append(ListedEntry(name, line, stat, kind))
        return result

    def _date(self, mtime: int) -> bytes:
        if len(self._dates) == _DATES_KEPT:
            self._dates.clear()
        text = self._dates[mtime // 60] = date(mtime, self._now, clock=self._clock)
        return text
