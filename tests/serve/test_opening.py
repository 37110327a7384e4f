"""OPEN as versions 5 and 6 have it: modes, access, initial attributes (draft-13, sections 7 and 8.1.1)."""

import os
from pathlib import Path

import pytest

from libsshd.constants import AccessMask, Disposition, FileType, OpenModes, Status
from libsshd.events import FileOpen
from libsshd.fs.rooted import RootedFileSystem
from libsshd.settings import Settings
from libsshd.wire import messages as m
from tests.support.rawsftp import Code, RawSFTP, Type, string, u32, u64
from tests.support.stdio import StdioServer

from .asking import APPEND, CREAT, EXCL, SHARED, TRUNC, Asked, R, W, rooted

NOFOLLOW, DELETE = int(OpenModes.NOFOLLOW), int(OpenModes.DELETE_ON_CLOSE)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs privileges")


def test_a_new_file_may_be_made_for_reading_alone(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/new", R | CREAT | EXCL)
    assert (root / "new").read_bytes() == b""
    assert sftp.write(handle, b"x") == Status.PERMISSION_DENIED


def test_what_cannot_be_written_cannot_be_emptied(sftp: Asked, root: Path) -> None:
    assert sftp.status(b"/file", R | TRUNC) == Status.INVALID_PARAMETER
    assert sftp.status(b"/new", R | CREAT | TRUNC) == Status.INVALID_PARAMETER
    assert (root / "file").read_bytes() == b"0123456789"
    assert not (root / "new").exists()


def test_access_to_attributes_alone_opens_for_reading(sftp: Asked) -> None:
    handle = sftp.open(b"/file", 0, access=int(AccessMask.READ_ATTRIBUTES)).handle
    assert sftp.attributes(m.Fstat(1, handle)).size == 10


@pytest.mark.parametrize(
    ("flags", "access", "told"),
    [
        (0, 0, (R, 0)),
        (CREAT, 0, (CREAT | R, 0)),
        (0, AccessMask.READ_ATTRIBUTES, (R, AccessMask.READ_ATTRIBUTES | AccessMask.READ_DATA)),
        (W, AccessMask.WRITE_DATA, (W, AccessMask.WRITE_DATA)),
        (R | W, AccessMask.READ_DATA | AccessMask.WRITE_DATA, (R | W, AccessMask.READ_DATA | AccessMask.WRITE_DATA)),
    ],
)
def test_handlers_are_told_of_all_that_a_handle_can_do(
    flags: int, access: int, told: tuple[int, int], sftp: Asked
) -> None:
    seen: list[FileOpen] = []
    sftp.on(FileOpen, seen.append)
    handle = sftp.open(b"/file", flags, access=int(access)).handle
    assert (seen[0].flags, seen[0].desired_access) == told
    assert (sftp.read(handle, 1) == b"0") == bool(seen[0].flags & R)


@pytest.mark.parametrize("access", [AccessMask.WRITE_ACL, AccessMask.WRITE_NAMED_ATTRS])
def test_access_that_nobody_has_is_denied_before_anything_is_made(access: int, sftp: Asked, root: Path) -> None:
    assert sftp.status(b"/new", W | CREAT, access=int(access)) == Status.PERMISSION_DENIED
    assert not (root / "new").exists()


@pytest.mark.parametrize("mode", [0x1000, 0x2000, 0x4000, 0x8000, 0x10000])
def test_privileges_and_unknown_modes_are_not_supported(mode: int, sftp: Asked, root: Path) -> None:
    assert sftp.status(b"/new", W | CREAT, mode) == Status.OP_UNSUPPORTED
    assert not (root / "new").exists()


def test_appending_atomically_is_how_appending_is_done(sftp: Asked, root: Path) -> None:
    handle = sftp.handle(b"/file", W | APPEND, int(OpenModes.APPEND_DATA_ATOMIC))
    assert sftp.write(handle, b"more") == Status.OK
    assert (root / "file").read_bytes() == b"0123456789more"


def test_a_directory_is_named_as_such(sftp: Asked, root: Path) -> None:
    (root / "directory").mkdir()
    assert sftp.status(b"/directory", R) == Status.FILE_IS_A_DIRECTORY
    assert sftp.status(b"/directory", R | CREAT, atime=1) == Status.FILE_IS_A_DIRECTORY


class TestNofollow:
    def test_a_link_is_a_loop(self, sftp: Asked, root: Path) -> None:
        (root / "link").symlink_to("file")
        assert sftp.status(b"/link", R, NOFOLLOW) == Status.LINK_LOOP
        assert sftp.status(b"/link", W | CREAT, NOFOLLOW, atime=1) == Status.LINK_LOOP
        assert sftp.read(sftp.handle(b"/link", R), 3) == b"012"

    def test_links_on_the_way_are_followed(self, sftp: Asked, root: Path) -> None:
        (root / "up").symlink_to(".")
        assert sftp.read(sftp.handle(b"/up/file", R, NOFOLLOW), 3) == b"012"


class TestDeleteOnClose:
    def test_the_file_goes_with_its_handle(self, sftp: Asked, root: Path) -> None:
        handle = sftp.handle(b"/file", R, DELETE)
        assert (root / "file").exists()
        assert sftp.close(handle) == Status.OK
        assert not (root / "file").exists()

    def test_the_file_goes_with_the_client(self, root: Path) -> None:
        with rooted(root) as sftp:
            sftp.handle(b"/new", W | CREAT | EXCL, DELETE)
            assert (root / "new").exists()
        assert not (root / "new").exists()

    def test_what_has_the_name_by_now_stays(self, sftp: Asked, root: Path) -> None:
        handle = sftp.handle(b"/file", R, DELETE)
        (root / "file").rename(root / "moved")
        (root / "file").write_bytes(b"another")
        assert sftp.close(handle) == Status.OK
        assert (root / "file").read_bytes() == b"another"
        assert (root / "moved").read_bytes() == b"0123456789"

    def test_a_name_that_is_gone_is_no_failure(self, sftp: Asked, root: Path) -> None:
        handle = sftp.handle(b"/file", R, DELETE)
        (root / "file").unlink()
        assert sftp.close(handle) == Status.OK

    def test_a_link_is_not_opened_for_it(self, sftp: Asked, root: Path) -> None:
        (root / "link").symlink_to("file")
        assert sftp.status(b"/link", R, DELETE) == Status.LINK_LOOP

    def test_a_server_that_is_only_read_refuses_it_at_once(self, root: Path) -> None:
        with rooted(root, read_only=True) as sftp:
            assert sftp.status(b"/file", R, DELETE) == Status.WRITE_PROTECT
            sftp.close(sftp.handle(b"/file", R))
        assert (root / "file").exists()

    def test_who_may_not_remove_may_not_have_it_removed(self, root: Path) -> None:
        with rooted(root, deny_requests="remove") as sftp:
            assert sftp.status(b"/file", R, DELETE) == Status.PERMISSION_DENIED


class TestInitialAttributes:
    def test_times_and_mode_are_those_that_were_sent(self, sftp: Asked, root: Path) -> None:
        sftp.handle(b"/new", W | CREAT | EXCL, permissions=0o640, atime=11, atime_ns=5, mtime=22)
        found = (root / "new").stat()
        assert (found.st_mode, found.st_atime_ns, found.st_mtime) == (0o100640, 11 * 10**9 + 5, 22)

    @needs_root
    def test_so_is_the_owner(self, sftp: Asked, root: Path) -> None:
        sftp.handle(b"/new", W | CREAT, owner=b"12", group=b"34@localhost")
        assert ((root / "new").stat().st_uid, (root / "new").stat().st_gid) == (12, 34)

    def test_the_size_is_a_hint(self, sftp: Asked, root: Path) -> None:
        sftp.handle(b"/new", W | CREAT, size=1000, mtime=5)
        assert (root / "new").stat().st_size == 0

    def test_space_is_set_aside(self, sftp: Asked, root: Path) -> None:
        sftp.handle(b"/new", W | CREAT, allocation_size=100_000)
        assert ((root / "new").stat().st_size, (root / "new").stat().st_blocks * 512 >= 100_000) == (0, True)

    def test_without_the_space_there_is_no_file(self, sftp: Asked, root: Path) -> None:
        assert sftp.open(b"/new", W | CREAT, allocation_size=2**62).code != Status.OK
        assert not (root / "new").exists()

    @pytest.mark.parametrize("flags", [CREAT, CREAT | TRUNC])
    def test_those_of_a_file_that_exists_stay(self, flags: int, sftp: Asked, root: Path) -> None:
        os.utime(root / "file", (7, 7))
        handle = sftp.handle(b"/file", W | flags, atime=1, owner=b"nobody at all", acl=b"x")
        assert (root / "file").stat().st_atime == 7
        assert sftp.close(handle) == Status.OK

    def test_what_cannot_be_set_makes_no_file(self, sftp: Asked, root: Path) -> None:
        assert sftp.status(b"/new", W | CREAT, acl=b"") == Status.OP_UNSUPPORTED
        assert sftp.status(b"/new", W | CREAT, owner=b"nobody at all") == Status.UNKNOWN_PRINCIPAL
        assert sftp.status(b"/new", W | CREAT, extended=((b"a@b", b""),)) == Status.OP_UNSUPPORTED
        assert not (root / "new").exists()

    def test_behind_a_link_that_led_nowhere_there_is_the_mode_alone(self, sftp: Asked, root: Path) -> None:
        (root / "link").symlink_to("target")
        sftp.handle(b"/link", W | CREAT, permissions=0o600, mtime=5)
        assert ((root / "target").stat().st_mode, (root / "target").stat().st_mtime > 5) == (0o100600, True)

    def test_a_directory_has_them_too(self, sftp: Asked, root: Path) -> None:
        attributes = m.Attributes(permissions=0o700, mtime=5, file_type=FileType.DIRECTORY)
        assert sftp.code(m.Mkdir(1, b"/new", attributes)) == Status.OK
        assert ((root / "new").stat().st_mode, (root / "new").stat().st_mtime) == (0o40700, 5)

    def test_what_cannot_be_set_makes_no_directory(self, sftp: Asked, root: Path) -> None:
        assert sftp.code(m.Mkdir(1, b"/new", m.Attributes(group=b"none of these"))) == Status.UNKNOWN_PRINCIPAL
        assert sftp.code(m.Mkdir(1, b"/new", m.Attributes(allocation_size=5))) == Status.FILE_IS_A_DIRECTORY
        assert not (root / "new").exists()


def test_a_lock_that_is_refused_leaves_the_content_alone(sftp: Asked, other: Asked, root: Path) -> None:
    other.handle(b"/file", R, SHARED)
    assert sftp.status(b"/file", W | CREAT | TRUNC, SHARED) == Status.LOCK_CONFLICT
    assert (root / "file").read_bytes() == b"0123456789"


def test_a_lock_that_is_granted_empties_the_file_afterwards(sftp: Asked, root: Path) -> None:
    sftp.handle(b"/file", W | CREAT | TRUNC, SHARED)
    assert (root / "file").read_bytes() == b""


def test_what_is_to_be_deleted_is_deleted_when_the_client_does_not_take_its_replies(root: Path) -> None:
    (root / "file").write_bytes(bytes(100_000))
    with StdioServer(RootedFileSystem(str(root)), Settings(protocol_version=6)) as server:
        raw = server.client.init(6)
        flags = u32(AccessMask.READ_DATA) + u32(Disposition.OPEN_EXISTING | DELETE)
        handle = raw.ask(Type.OPEN, string(b"/file"), flags, u32(0), b"\x01").handle
        for _ in range(32):  # whose replies are more than a socket holds
            raw.post(Type.READ, string(handle), u64(0), u32(100_000))
        server.socket.close()
        assert server.ending().kind == "gone"
    assert not (root / "file").exists()


@pytest.mark.parametrize("offset", [0, 2**63 - 4, 2**63, 2**64 - 1])
def test_no_offset_is_too_large_for_appending(raw: RawSFTP, root: Path, offset: int) -> None:
    handle = raw.open(b"/file", W | APPEND)
    assert raw.write(handle, offset, b"more") == Code.OK
    assert raw.shut(handle) == Code.OK
    assert (root / "file").read_bytes() == b"0123456789more"
