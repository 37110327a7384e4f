"""BLOCK and UNBLOCK, and the locks of OPEN (draft-13, sections 8.1.1.3 and 8.8)."""

import fcntl
import os
from pathlib import Path
from struct import pack

import pytest

from libsshd.constants import Status
from libsshd.fs.handled import HandledFileSystem
from libsshd.serve import locks
from libsshd.wire import messages as m

from .asking import EXCLUSIVE, SHARED, Asked, R, W, rooted

READ, WRITE, DELETE, ADVISORY = 0x40, 0x80, 0x100, 0x200


def block(sftp: Asked, handle: bytes, offset: int, length: int, mask: int = SHARED) -> Status:
    return sftp.code(m.Block(1, handle, offset, length, mask))


def unblock(sftp: Asked, handle: bytes, offset: int, length: int) -> Status:
    return sftp.code(m.Unblock(1, handle, offset, length))


def is_free(path: Path, start: int, length: int, kind: int = fcntl.F_WRLCK) -> bool:
    """Whether another process could lock it."""
    with path.open("rb+") as file:
        wanted = pack("@hhqqi0q", kind, os.SEEK_SET, start, length, 0)
        answer: bytes = fcntl.fcntl(file, fcntl.F_OFD_GETLK, wanted)
    return int.from_bytes(answer[:2], "little") == fcntl.F_UNLCK


# --- OPEN ---


@pytest.mark.parametrize(
    "mask",
    [READ, WRITE, DELETE, ADVISORY, READ | WRITE, READ | ADVISORY, DELETE | ADVISORY, 0x3C0, READ | WRITE | DELETE],
)
def test_what_cannot_be_promised_is_not_supported(mask: int, sftp: Asked) -> None:
    assert sftp.status(b"/file", R | W, mask) == Status.OP_UNSUPPORTED
    assert block(sftp, sftp.handle(b"/file", R | W), 0, 1, mask) == Status.OP_UNSUPPORTED


def test_readers_that_want_no_writer_go_together_and_keep_off_writers(sftp: Asked, other: Asked) -> None:
    sftp.handle(b"/file", R, SHARED)
    other.handle(b"/file", R, SHARED)
    assert other.status(b"/file", R | W, SHARED) == Status.LOCK_CONFLICT
    assert other.status(b"/file", W, EXCLUSIVE) == Status.LOCK_CONFLICT


@pytest.mark.parametrize(("flags", "mask"), [(W, SHARED), (R | W, SHARED), (R | W, EXCLUSIVE), (W, EXCLUSIVE)])
def test_a_writer_that_wants_no_other_is_alone(flags: int, mask: int, sftp: Asked, other: Asked, root: Path) -> None:
    sftp.handle(b"/file", flags, mask)
    for wanted in (R, W, R | W):
        assert other.status(b"/file", wanted, SHARED) == Status.LOCK_CONFLICT
    assert not is_free(root / "file", 5, 1, fcntl.F_RDLCK)


def test_who_asks_for_no_lock_is_not_kept_off(sftp: Asked, other: Asked, root: Path) -> None:
    sftp.handle(b"/file", R | W, EXCLUSIVE)
    assert other.write(other.handle(b"/file", W), b"x") == Status.OK
    assert (root / "file").read_bytes() == b"x123456789"


def test_readers_are_only_kept_off_by_who_may_write(sftp: Asked) -> None:
    assert sftp.status(b"/file", R, EXCLUSIVE) == Status.PERMISSION_DENIED
    assert block(sftp, sftp.handle(b"/file", R), 0, 1, EXCLUSIVE) == Status.PERMISSION_DENIED


def test_a_lock_ends_with_its_handle(sftp: Asked, other: Asked) -> None:
    sftp.close(sftp.handle(b"/file", R | W, EXCLUSIVE))
    other.close(other.handle(b"/file", R | W, EXCLUSIVE))
    handle = sftp.handle(b"/file", W)
    assert block(sftp, handle, 0, 5) == Status.OK
    sftp.close(handle)
    assert block(other, other.handle(b"/file", W), 0, 5) == Status.OK


def test_a_lock_ends_with_its_handle_though_a_child_of_the_process_has_its_descriptor(
    sftp: Asked, other: Asked
) -> None:
    handle = sftp.handle(b"/file", R | W, EXCLUSIVE)
    childs = os.dup(sftp.session.opened(handle).fileno())  # as after a fork
    try:
        assert sftp.close(handle) == Status.OK
        assert other.handle(b"/file", R | W, EXCLUSIVE)
    finally:
        os.close(childs)


def test_a_lock_ends_with_its_client(root: Path, other: Asked) -> None:
    with rooted(root) as sftp:
        sftp.handle(b"/file", R | W, EXCLUSIVE)
        assert other.status(b"/file", R, SHARED) == Status.LOCK_CONFLICT
    other.handle(b"/file", R, SHARED)


# --- BLOCK ---


def test_a_range_is_locked_for_every_process_until_it_is_given_back(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | W)
    assert block(sftp, handle, 2, 3) == Status.OK
    assert [is_free(root / "file", at, 1) for at in range(7)] == [True, True, False, False, False, True, True]
    assert unblock(sftp, handle, 2, 3) == Status.OK
    assert is_free(root / "file", 0, 0)


def test_a_reader_lets_others_read(sftp: Asked, root: Path) -> None:
    assert block(sftp, sftp.handle(b"/file", R), 2, 3) == Status.OK
    assert is_free(root / "file", 2, 1, fcntl.F_RDLCK)
    assert not is_free(root / "file", 2, 1, fcntl.F_WRLCK)


@pytest.mark.parametrize("flags", [R, W, R | W])
def test_any_overlap_is_refused_whoever_has_it(flags: int, sftp: Asked, other: Asked) -> None:
    handle = sftp.handle(b"/file", flags)
    assert block(sftp, handle, 2, 3) == Status.OK
    for client, name in (
        (sftp, handle),
        (sftp, sftp.handle(b"/file", flags)),
        (other, other.handle(b"/file", flags)),
    ):
        for offset, length in ((2, 3), (0, 3), (4, 9), (3, 1), (0, 100)):
            assert block(client, name, offset, length) == Status.BYTE_RANGE_LOCK_REFUSED
        assert block(client, name, 100, 1) == Status.OK
        assert unblock(client, name, 100, 1) == Status.OK


def test_a_lock_of_another_process_counts(sftp: Asked, root: Path) -> None:
    with (root / "file").open("rb") as file:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, pack("@hhqqi0q", fcntl.F_RDLCK, os.SEEK_SET, 4, 1, 0))
        handle = sftp.handle(b"/file", R)
        assert block(sftp, handle, 0, 10) == Status.BYTE_RANGE_LOCK_REFUSED
        assert block(sftp, handle, 5, 5) == Status.OK


def test_the_lock_of_open_has_no_part_that_could_be_given_back(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | W, EXCLUSIVE)
    assert block(sftp, handle, 0, 5) == Status.BYTE_RANGE_LOCK_REFUSED
    assert unblock(sftp, handle, 0, 0) == Status.NO_MATCHING_BYTE_RANGE_LOCK
    assert not is_free(root / "file", 3, 1)


@pytest.mark.parametrize(("offset", "length"), [(2, 2), (2, 4), (1, 3), (3, 3), (2, 0), (0, 0)])
def test_only_exactly_what_was_locked_is_given_back(offset: int, length: int, sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | W)
    assert block(sftp, handle, 2, 3) == Status.OK
    assert unblock(sftp, handle, offset, length) == Status.NO_MATCHING_BYTE_RANGE_LOCK
    assert not is_free(root / "file", 2, 3)


def test_a_length_of_nothing_is_up_to_what_is_the_end_then(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | W)
    assert block(sftp, handle, 4, 0) == Status.OK
    sftp.write(handle, b"abc", 10)
    assert not is_free(root / "file", 9, 1)
    assert is_free(root / "file", 10, 0)
    assert unblock(sftp, handle, 4, 6) == Status.NO_MATCHING_BYTE_RANGE_LOCK
    assert unblock(sftp, handle, 4, 0) == Status.OK
    assert is_free(root / "file", 0, 0)


def test_behind_the_end_a_length_of_nothing_is_nothing(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | W)
    assert block(sftp, handle, 500, 0) == Status.OK
    assert is_free(root / "file", 0, 0)
    assert unblock(sftp, handle, 500, 0) == Status.OK


def test_a_lock_does_not_change_the_file(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", R | W)
    assert block(sftp, handle, 1000, 50) == Status.OK
    assert (root / "file").stat().st_size == 10


@pytest.mark.parametrize("length", [2**63 - 1, 2**63, 2**64 - 1])
def test_a_range_that_has_no_end_is_one_up_to_the_last_byte_there_can_be(
    length: int, sftp: Asked, root: Path
) -> None:
    handle = sftp.handle(b"/file", R | W)
    assert block(sftp, handle, 1, length) == Status.OK
    assert not is_free(root / "file", 2**63 - 2, 1)
    assert is_free(root / "file", 0, 1)
    assert unblock(sftp, handle, 1, length) == Status.OK
    assert is_free(root / "file", 0, 0)


@pytest.mark.parametrize("offset", [2**63, 2**64 - 1])
def test_there_is_nothing_where_no_file_reaches(offset: int, sftp: Asked) -> None:
    assert block(sftp, sftp.handle(b"/file", R | W), offset, 1) == Status.INVALID_PARAMETER


def test_a_handle_has_so_many_locks_and_no_more(sftp: Asked) -> None:
    handle = sftp.handle(b"/file", R | W)
    for at in range(locks.LOCKS_MAX):
        assert block(sftp, handle, 2 * at, 1) == Status.OK
    assert block(sftp, handle, 10**6, 1) == Status.BYTE_RANGE_LOCK_REFUSED
    assert unblock(sftp, handle, 0, 1) == Status.OK
    assert block(sftp, handle, 10**6, 1) == Status.OK


def test_a_server_that_is_only_read_still_locks_for_readers(root: Path) -> None:
    with rooted(root, read_only=True) as sftp:
        handle = sftp.handle(b"/file", R, SHARED)
        assert sftp.close(handle) == Status.OK
        assert block(sftp, sftp.handle(b"/file", R), 0, 1) == Status.OK


def test_who_may_not_block_may_not_open_with_a_lock(root: Path) -> None:
    with rooted(root, deny_requests="block") as sftp:
        assert sftp.status(b"/file", R, SHARED) == Status.PERMISSION_DENIED


def test_directories_and_unknown_handles_have_no_locks(sftp: Asked) -> None:
    directory = sftp.ask(m.Opendir(1, b"/")).handle
    assert block(sftp, directory, 0, 1) == Status.OP_UNSUPPORTED
    assert unblock(sftp, directory, 0, 1) == Status.OP_UNSUPPORTED
    assert block(sftp, b"no such", 0, 1) == Status.INVALID_HANDLE


def test_without_a_root_directory_there_are_no_locks() -> None:
    with Asked(HandledFileSystem()) as sftp:
        handle = sftp.handle(b"/x", R | W)
        assert block(sftp, handle, 0, 1) == Status.OP_UNSUPPORTED
