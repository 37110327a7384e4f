"""Long names are lines of `ls -l`."""

import os
import pwd
import time
from collections.abc import Callable, Iterator

import pytest

from libsshd.constants import FileType
from libsshd.fs.listing import Listing, Stat, attributes_of, date, group_name, kind_of, longname, owner_name
from libsshd.wire.messages import Attributes

NO_USER = 3_999_999_999
NOW = 1_700_000_000  # 2023-11-14 22:13:20 UTC
HALF_YEAR = 365 * 24 * 3600 // 2


def stat_of(mode: int = 0o100644, *, size: int = 0, mtime: int = NOW, links: int = 1, uid: int = NO_USER) -> Stat:
    return (1, 2, links, size, 0, 0, mtime, 0, 0, 0, 0, 0, 0, mode, uid, NO_USER, 0, 0, 0)


@pytest.fixture(autouse=True)
def zone() -> Iterator[Callable[[str], None]]:
    before = os.environ.get("TZ")

    def set_zone(name: str) -> None:
        os.environ["TZ"] = name
        time.tzset()

    set_zone("UTC0")
    yield set_zone
    del os.environ["TZ"]
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("stat", "name", "line"),
    [
        (stat_of(size=12), b"name", b"-rw-r--r--    1 3999999999 3999999999       12 Nov 14 22:13 name"),
        (stat_of(0o040755, links=3), b".", b"drwxr-xr-x    3 3999999999 3999999999        0 Nov 14 22:13 ."),
        (stat_of(0o041777), b"t", b"drwxrwxrwt    1 3999999999 3999999999        0 Nov 14 22:13 t"),
        (stat_of(0o106750), b"x", b"-rwsr-s---    1 3999999999 3999999999        0 Nov 14 22:13 x"),
        (stat_of(0o106000), b"X", b"---S--S---    1 3999999999 3999999999        0 Nov 14 22:13 X"),
        (
            stat_of(size=2**63),
            b"big",
            b"-rw-r--r--    1 3999999999 3999999999 9223372036854775808 Nov 14 22:13 big",
        ),
        (stat_of(), b"two\nlines", b"-rw-r--r--    1 3999999999 3999999999        0 Nov 14 22:13 two?lines"),
        (stat_of(), b"\xff\x1b ", b"-rw-r--r--    1 3999999999 3999999999        0 Nov 14 22:13 \xff\x1b "),
    ],
)
def test_a_line_is_that_of_ls(stat: Stat, name: bytes, line: bytes) -> None:
    [entry] = Listing(NOW).entries([name], [stat])
    assert entry.name == name
    assert entry.longname == line


@pytest.mark.parametrize(
    ("mode", "letter", "file_type"),
    [
        (0o100000, b"-", FileType.REGULAR),
        (0o040000, b"d", FileType.DIRECTORY),
        (0o120000, b"l", FileType.SYMLINK),
        (0o140000, b"s", FileType.SOCKET),
        (0o020000, b"c", FileType.CHAR_DEVICE),
        (0o060000, b"b", FileType.BLOCK_DEVICE),
        (0o010000, b"p", FileType.FIFO),
    ],
)
def test_each_type_has_its_letter(mode: int, letter: bytes, file_type: FileType) -> None:
    assert kind_of(mode, 1, 0, 0).line[:1] == letter
    assert attributes_of(stat_of(mode)).file_type == file_type


@pytest.mark.parametrize(
    ("mtime", "expected"),
    [
        (NOW, b"Nov 14 22:13"),
        (NOW + 1, b"Nov 14  2023"),
        (NOW - HALF_YEAR + 1, b"May 16 10:13"),
        (NOW - HALF_YEAR, b"May 16  2023"),
        (0, b"Jan  1  1970"),
        (-1, b"Dec 31  1969"),
        (2**60, b"           ?"),
    ],
)
def test_dates_within_half_a_year_have_the_clock_and_others_the_year(mtime: int, expected: bytes) -> None:
    assert date(mtime, NOW) == expected


@pytest.mark.parametrize(
    ("mtime", "expected"), [(NOW, b"Nov 14  2023"), (NOW - 60, b"Nov 14  2023"), (0, b"Jan  1  1970")]
)
def test_without_the_clock_every_date_has_the_year(mtime: int, expected: bytes) -> None:
    assert date(mtime, NOW, clock=False) == expected
    [entry] = Listing(NOW, clock=False).entries([b"n"], [stat_of(mtime=mtime)])
    assert entry.longname[-14:] == expected + b" n"


def test_dates_are_local_and_months_english_whatever_the_locale(zone: Callable[[str], None]) -> None:
    zone("XXX-5:30")
    assert date(NOW, NOW) == b"Nov 15 03:43"


def test_the_dates_kept_do_not_grow_without_end() -> None:
    listing = Listing(NOW)
    stats = [stat_of(mtime=60 * number) for number in range(10_000)]
    entries = listing.entries([b"n"] * len(stats), stats)
    assert len(listing._dates) <= 4096
    assert [entry.longname[-14:-2] for entry in entries] == [date(60 * number, NOW) for number in range(10_000)]


def test_owners_have_names_where_the_system_knows_them() -> None:
    known = pwd.getpwuid(os.getuid())
    assert owner_name(known.pw_uid) == known.pw_name.encode()
    assert owner_name(NO_USER) == group_name(NO_USER) == b"3999999999"
    assert owner_name(2**32 - 1) == b"4294967295"


def test_short_owners_fill_their_columns() -> None:
    assert kind_of(0o100644, 1, 0, 0).line == b"-rw-r--r--    1 root     root    "


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        (
            Attributes(12, 1, 2, 0o100644, NOW, NOW, owner=b"ann", group=b"staff", link_count=3),
            b"-rw-r--r--    3 ann      staff          12 Nov 14 22:13 n",
        ),
        (Attributes(0, 1, 2, 0o040755, 0, 0), b"drwxr-xr-x    ? 1        2               0 Jan  1  1970 n"),
        (
            Attributes(permissions=0o750, file_type=FileType.DIRECTORY, size=2**63),
            b"drwxr-x---    ? ?        ?        9223372036854775808            ? n",
        ),
        (Attributes(file_type=FileType.SYMLINK), b"l?????????    ? ?        ?               ?            ? n"),
        (Attributes(), b"??????????    ? ?        ?               ?            ? n"),
        (Attributes(permissions=2**32 - 1), b"?rwsrwsrwt    ? ?        ?               ?            ? n"),
        (
            Attributes(owner=b"two\nlines", group=b"", uid=1, gid=2, mtime=2**62),
            b"??????????    ? two?lines 2               ?            ? n",
        ),
    ],
)
def test_what_no_kernel_knows_has_a_line_too(attributes: Attributes, line: bytes) -> None:
    assert longname(b"n", attributes, NOW) == line


def test_a_line_from_attributes_is_that_of_the_stat_they_came_from() -> None:
    stat = stat_of(0o100640, size=5, links=2, uid=0)
    for clock in (False, True):
        [entry] = Listing(NOW, clock=clock).entries([b"a\nb"], [stat])
        assert longname(b"a\nb", attributes_of(stat), NOW, clock=clock) == entry.longname
