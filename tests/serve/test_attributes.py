"""Attributes that clients of the later versions send and ask for (draft-13, section 7)."""

import os
from pathlib import Path
from typing import Any

import pytest

from libsshd import events as e
from libsshd.constants import Status
from libsshd.wire import messages as m

from .asking import APPEND, Asked, R, W, rooted

MIME_TYPE = 0x1000
TEXT_HINT = 0x800
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs privileges")


def setstat(sftp: Asked, **attributes: Any) -> Status:
    return sftp.code(m.Setstat(1, b"/file", m.Attributes(**attributes)))


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        ({"acl": b""}, Status.OP_UNSUPPORTED),
        ({"mime_type": b"text/plain"}, Status.OP_UNSUPPORTED),
        ({"attrib_bits": 0, "attrib_bits_valid": 4}, Status.OP_UNSUPPORTED),
        ({"attrib_bits": 4}, Status.OP_UNSUPPORTED),
        ({"extended": ((b"name@domain", b""),)}, Status.OP_UNSUPPORTED),
        ({"text_hint": 0}, Status.INVALID_PARAMETER),
        ({"link_count": 1}, Status.INVALID_PARAMETER),
        ({"untranslated_name": b"x"}, Status.INVALID_PARAMETER),
        ({"owner": b"nobody at all"}, Status.UNKNOWN_PRINCIPAL),
        ({"owner": b"root@example.org"}, Status.UNKNOWN_PRINCIPAL),
        ({"owner": b"4294967295"}, Status.UNKNOWN_PRINCIPAL),
        ({"owner": b"-1"}, Status.UNKNOWN_PRINCIPAL),
        ({"owner": b"\xff"}, Status.UNKNOWN_PRINCIPAL),
        ({"owner": b"a\0b"}, Status.UNKNOWN_PRINCIPAL),
        ({"group": b"none of these"}, Status.UNKNOWN_PRINCIPAL),
        ({"size": 10, "allocation_size": 9}, Status.INVALID_PARAMETER),
    ],
)
def test_what_cannot_be_set_is_refused_before_anything_is_changed(
    refused: dict[str, Any], status: Status, sftp: Asked, root: Path
) -> None:
    before = (root / "file").stat()
    handle = sftp.handle(b"/file", R | W)
    attributes = m.Attributes(**({"size": 3, "permissions": 0o600, "mtime": 5} | refused))
    for request in (m.Setstat(1, b"/file", attributes), m.Lsetstat(1, b"/file", attributes),
                    m.Fsetstat(1, handle, attributes)):  # fmt: skip
        assert sftp.code(request) == status
    assert (root / "file").stat() == before


def test_bits_of_which_none_is_meant_are_no_reason_to_refuse(sftp: Asked) -> None:
    assert setstat(sftp, attrib_bits=0xFF, attrib_bits_valid=0, mtime=5) == Status.OK


def test_times_of_creation_and_change_do_not_keep_the_others_from_being_set(sftp: Asked, root: Path) -> None:
    assert setstat(sftp, createtime=1, ctime=2, mtime=3, mtime_ns=4) == Status.OK
    assert (root / "file").stat().st_mtime_ns == 3 * 10**9 + 4


def test_one_time_may_come_without_the_other(sftp: Asked, root: Path) -> None:
    assert setstat(sftp, atime=11, atime_ns=12, mtime=13) == Status.OK
    assert setstat(sftp, atime=14) == Status.OK
    assert ((root / "file").stat().st_atime_ns, (root / "file").stat().st_mtime) == (14 * 10**9, 13)


def test_a_time_may_lie_before_1970(sftp: Asked, root: Path) -> None:
    assert setstat(sftp, mtime=-1, mtime_ns=500_000_000) == Status.OK
    assert (root / "file").stat().st_mtime_ns == -500_000_000


@needs_root
@pytest.mark.parametrize(
    ("owner", "group", "expected"),
    [
        (b"daemon", b"daemon", (1, 1)),
        (b"daemon@localhost", b"", (1, 5)),
        (b"", b"1@localhost", (5, 1)),
        (b"0042", b"43", (42, 43)),
        (None, b"7", (5, 7)),
    ],
)
def test_owners_are_names_or_numbers_of_this_machine(
    owner: bytes | None, group: bytes | None, expected: tuple[int, int], sftp: Asked, root: Path
) -> None:
    os.chown(root / "file", 5, 5)
    assert setstat(sftp, owner=owner, group=group) == Status.OK
    assert ((root / "file").stat().st_uid, (root / "file").stat().st_gid) == expected


class TestAllocation:
    def test_space_does_not_move_the_end(self, sftp: Asked, root: Path) -> None:
        assert setstat(sftp, allocation_size=200_000) == Status.OK
        assert (root / "file").read_bytes() == b"0123456789"
        assert (root / "file").stat().st_blocks * 512 >= 200_000

    def test_less_than_the_size_cuts_the_file(self, sftp: Asked, root: Path) -> None:
        assert sftp.code(m.Fsetstat(1, sftp.handle(b"/file", W), m.Attributes(allocation_size=4))) == Status.OK
        assert (root / "file").read_bytes() == b"0123"

    def test_the_size_is_set_first(self, sftp: Asked, root: Path) -> None:
        assert setstat(sftp, size=3, allocation_size=5) == Status.OK
        assert (root / "file").read_bytes() == b"012"

    @pytest.mark.parametrize("space", [2**63, 2**64 - 1])
    def test_more_than_a_file_can_have_is_refused(self, space: int, sftp: Asked, root: Path) -> None:
        assert setstat(sftp, allocation_size=space, permissions=0o600) == Status.FAILURE
        assert (root / "file").stat().st_mode & 0o777 != 0o600


@pytest.mark.parametrize("by_handle", [False, True])
def test_a_handler_that_denies_sizes_denies_an_allocation_that_cuts_the_file(
    by_handle: bool, sftp: Asked, root: Path
) -> None:
    def deny(event: e.SetAttributes) -> None:
        if event.before_exec and event.file_size >= 0:
            event.status_code = Status.PERMISSION_DENIED

    sftp.on(e.SetAttributes, deny)
    handle = sftp.handle(b"/file", W)

    def allocate(space: int) -> Status:
        attributes = m.Attributes(allocation_size=space)
        return sftp.code(m.Fsetstat(1, handle, attributes) if by_handle else m.Setstat(1, b"/file", attributes))

    assert allocate(9) == Status.PERMISSION_DENIED
    assert (root / "file").read_bytes() == b"0123456789"
    assert allocate(10) == Status.OK


@pytest.mark.parametrize("sizes", [{"size": 3}, {"allocation_size": 100}])
def test_a_size_needs_a_handle_that_may_write(sizes: dict[str, int], sftp: Asked, root: Path) -> None:
    attributes = m.Attributes(**sizes)  # type: ignore[arg-type]
    assert sftp.code(m.Fsetstat(1, sftp.handle(b"/file", R), attributes)) == Status.PERMISSION_DENIED
    assert sftp.code(m.Fsetstat(1, sftp.handle(b"/file", R | W), attributes)) == Status.OK
    assert sftp.code(m.Fsetstat(1, sftp.handle(b"/file", W | APPEND), attributes)) == Status.OK


def test_a_mode_needs_no_handle_that_may_write(sftp: Asked, root: Path) -> None:
    assert sftp.code(m.Fsetstat(1, sftp.handle(b"/file", R), m.Attributes(permissions=0o600))) == Status.OK
    assert (root / "file").stat().st_mode == 0o100600


# --- attributes that are asked for ---


def test_the_type_of_the_content_is_told_when_it_is_asked_for(sftp: Asked, root: Path) -> None:
    for name, expected in {"a.TXT": b"text/plain", "b.html": b"text/html", "c": None, "d.no-such": None}.items():
        (root / name).write_bytes(b"")
        assert sftp.attributes(m.Stat(1, b"/" + name.encode(), MIME_TYPE)).mime_type == expected
        assert sftp.attributes(m.Lstat(1, b"/" + name.encode(), 0x1)).mime_type is None
    (root / "e.txt").mkdir()
    assert sftp.attributes(m.Stat(1, b"/e.txt", MIME_TYPE)).mime_type is None
    assert sftp.attributes(m.Fstat(1, sftp.handle(b"/b.html", R), MIME_TYPE)).mime_type == b"text/html"


@pytest.mark.parametrize(("name", "hint"), [("a.txt", 1), ("b.JPEG", 3), ("c.pdf", None), ("d", None)])
def test_whether_it_is_text_is_guessed_when_that_is_asked_for(
    name: str, hint: int | None, sftp: Asked, root: Path
) -> None:
    (root / name).write_bytes(b"")
    told = sftp.attributes(m.Stat(1, b"/" + name.encode(), TEXT_HINT))
    assert (told.text_hint, told.mime_type) == (hint, None)
    assert sftp.attributes(m.Fstat(1, sftp.handle(b"/" + name.encode(), R), TEXT_HINT)).text_hint == hint
    assert sftp.attributes(m.Stat(1, b"/" + name.encode(), MIME_TYPE)).text_hint is None


def test_a_listing_is_never_told_of_contents(root: Path) -> None:
    (root / "a.txt").write_bytes(b"")
    with rooted(root) as sftp:
        handle = sftp.ask(m.Opendir(1, b"/")).handle
        assert sftp.attributes(m.Readdir(1, handle)).mime_type is None
