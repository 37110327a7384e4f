"""RENAME, links and REALPATH as the later versions have them (draft-13, sections 8.3, 8.7 and 8.9)."""

import os
from pathlib import Path

import pytest

from libsshd.constants import FileType, RealpathControl, Status
from libsshd.serve.naming import sends_drafted_symlinks
from libsshd.wire import messages as m
from libsshd.wire.messages import SymlinkOrder

from .asking import Asked

OVERWRITE, ATOMIC, NATIVE = 1, 2, 4


def rename(sftp: Asked, flags: int) -> Status:
    return sftp.code(m.Rename(1, b"/file", b"/other", flags))


@pytest.mark.parametrize("flags", [OVERWRITE, ATOMIC, OVERWRITE | ATOMIC, NATIVE, 7])
def test_rename_replaces_when_a_flag_says_so(flags: int, sftp: Asked, root: Path) -> None:
    (root / "other").write_bytes(b"old")
    assert rename(sftp, flags) == Status.OK
    assert (root / "other").read_bytes() == b"0123456789"


def test_rename_replaces_nothing_without_a_flag(sftp: Asked, root: Path) -> None:
    (root / "other").write_bytes(b"old")
    assert rename(sftp, 0) == Status.FILE_ALREADY_EXISTS
    assert ((root / "other").read_bytes(), (root / "file").exists()) == (b"old", True)


def test_flags_of_rename_that_nobody_knows_are_not_supported(sftp: Asked, root: Path) -> None:
    assert rename(sftp, 8) == Status.OP_UNSUPPORTED
    assert (root / "file").exists()


class TestSymlink:
    def make(self, sftp: Asked, first: bytes, second: bytes, order: SymlinkOrder = SymlinkOrder.DRAFT) -> Status:
        """The two paths as they stand in the packet."""
        link, target = (second, first) if order is SymlinkOrder.OPENSSH else (first, second)
        return sftp.code(m.Symlink(1, target, link, order))

    def test_version_3_has_the_target_first(self, sftp: Asked, root: Path) -> None:
        assert self.make(sftp, b"nowhere", b"/link", SymlinkOrder.OPENSSH) == Status.OK
        assert (root / "link").readlink() == Path("nowhere")

    def test_version_6_has_the_link_first(self, sftp: Asked, root: Path) -> None:
        assert self.make(sftp, b"/file", b"link", SymlinkOrder.SURE) == Status.FILE_ALREADY_EXISTS
        assert self.make(sftp, b"/link", b"file", SymlinkOrder.SURE) == Status.OK
        assert (root / "link").readlink() == Path("file")

    @pytest.mark.parametrize(("first", "second"), [(b"/link", b"file"), (b"file", b"/link"), (b"link", b"/file")])
    def test_what_exists_is_the_target(self, first: bytes, second: bytes, sftp: Asked, root: Path) -> None:
        assert self.make(sftp, first, second) == Status.OK
        assert (root / "link").readlink() == Path(os.fsdecode(first if b"file" in first else second))

    def test_a_target_is_looked_up_where_its_link_is(self, sftp: Asked, root: Path) -> None:
        (root / "d").mkdir()
        (root / "d" / "target").write_bytes(b"x")
        assert self.make(sftp, b"target", b"/d/link") == Status.OK
        assert (root / "d" / "link").readlink() == Path("target")

    def test_where_nothing_exists_it_is_the_order_of_the_drafts(self, sftp: Asked, root: Path) -> None:
        assert self.make(sftp, b"/link", b"nowhere") == Status.OK
        assert (root / "link").readlink() == Path("nowhere")

    @pytest.mark.parametrize(("first", "second"), [(b"/d/link", b"sub/later"), (b"sub/later", b"/d/link")])
    def test_a_link_is_where_there_is_a_directory_for_it(
        self, first: bytes, second: bytes, sftp: Asked, root: Path
    ) -> None:
        """As when lftp copies a tree: links come before what they lead to."""
        (root / "d").mkdir()
        assert self.make(sftp, first, second) == Status.OK
        assert (root / "d" / "link").readlink() == Path("sub/later")

    @pytest.mark.parametrize(("first", "second"), [(b"/link", b"later"), (b"later", b"/link")])
    def test_the_absolute_of_two_that_do_not_exist_is_the_link(
        self, first: bytes, second: bytes, sftp: Asked, root: Path
    ) -> None:
        assert self.make(sftp, first, second) == Status.OK
        assert (root / "link").readlink() == Path("later")

    @pytest.mark.parametrize("passes_for_openssh", [True, False])
    def test_in_doubt_a_server_that_passes_for_openssh_takes_the_target_first(
        self, passes_for_openssh: bool, sftp: Asked, root: Path
    ) -> None:
        sftp.session.context.passes_for_openssh = passes_for_openssh
        assert self.make(sftp, b"one", b"two") == Status.OK
        assert (root / "two").is_symlink() == passes_for_openssh
        assert (root / "one").is_symlink() != passes_for_openssh

    def test_where_both_exist_nothing_is_made(self, sftp: Asked, root: Path) -> None:
        (root / "other").write_bytes(b"x")
        assert self.make(sftp, b"/file", b"/other") == Status.FILE_ALREADY_EXISTS
        assert sorted(path.name for path in root.iterdir()) == ["file", "other"]

    @pytest.mark.parametrize("drafted", [True, False])
    def test_of_a_client_that_is_known_nothing_is_guessed(self, drafted: bool, sftp: Asked, root: Path) -> None:
        sftp.session.context.drafted_symlinks = drafted
        expected = Status.FILE_ALREADY_EXISTS if drafted else Status.OK
        assert self.make(sftp, b"/file", b"link") == expected
        assert (root / "link").is_symlink() != drafted


@pytest.mark.parametrize(
    ("client", "server", "expected"),
    [
        ("SSH-2.0-AsyncSSH_2.24.0", "SSH-2.0-libsshd_0.1", True),
        ("SSH-2.0-AsyncSSH_2.24.0", "SSH-2.0-OpenSSH_10.0", False),
        ("SSH-2.0-phpseclib_3.0 (openssl)", "SSH-2.0-libsshd_0.1", True),
        ("SSH-2.0-phpseclib_3.0 (openssl)", "SSH-2.0-OpenSSH_10.0", False),
        ("SSH-2.0-OpenSSH_9.2", "SSH-2.0-libsshd_0.1", False),
        ("SSH-2.0-WinSCP_release_6.5", "SSH-2.0-libsshd_0.1", None),
    ],
)
def test_some_clients_are_known_for_their_order(client: str, server: str, expected: bool | None) -> None:
    assert sends_drafted_symlinks(client, server) is expected


class TestRealpath:
    def path(self, sftp: Asked, path: bytes, *compose: bytes, control: int = RealpathControl.NO_CHECK) -> bytes:
        reply = sftp.ask(m.Realpath(1, path, int(control), compose))
        return reply.names[0][0]

    @pytest.mark.parametrize(
        ("paths", "expected"),
        [
            ((b"/a", b"b", b"c"), b"/a/b/c"),
            ((b"/a/b", b"..", b"x"), b"/a/x"),
            ((b"/a", b"/b", b"c"), b"/b/c"),
            ((b"/a", b"b", b"/c"), b"/c"),
            ((b"/a", b"", b""), b"/a"),
            ((b"", b"a"), b"/a"),
            ((b"/a", b"../../..", b"b"), b"/b"),
        ],
    )
    def test_each_path_begins_where_the_one_before_it_leads(
        self, paths: tuple[bytes, ...], expected: bytes, sftp: Asked
    ) -> None:
        assert self.path(sftp, *paths) == expected

    def test_without_a_check_links_stay_and_nothing_has_to_exist(self, sftp: Asked, root: Path) -> None:
        (root / "loop").symlink_to("loop")
        for path in (b"/loop", b"/loop/x", b"/file/x", b"/none/x"):
            assert self.path(sftp, path) == path

    @pytest.mark.parametrize("control", [RealpathControl.STAT_IF, RealpathControl.STAT_ALWAYS])
    def test_attributes_come_with_what_exists(self, control: int, sftp: Asked, root: Path) -> None:
        (root / "link").symlink_to("file")
        told = sftp.attributes(m.Realpath(1, b"/", int(control), (b"link",)))
        assert (told.size, told.file_type) == (10, FileType.REGULAR)

    def test_what_does_not_exist_is_unknown_or_an_error(self, sftp: Asked) -> None:
        told = sftp.attributes(m.Realpath(1, b"/none", int(RealpathControl.STAT_IF)))
        assert told == m.Attributes(file_type=FileType.UNKNOWN)
        assert sftp.code(m.Realpath(1, b"/none", int(RealpathControl.STAT_ALWAYS))) == Status.NO_SUCH_FILE

    def test_a_control_byte_that_nobody_knows_is_an_error(self, sftp: Asked) -> None:
        assert self.path(sftp, b"/x", control=0) == b"/x"
        assert sftp.code(m.Realpath(1, b"/x", 4)) == Status.INVALID_PARAMETER

    def test_in_a_confined_home_only_where_it_ends_counts(self, sftp: Asked) -> None:
        sftp.session.context.home = sftp.session.context.confined = b"/home"
        assert self.path(sftp, b"/etc", b"/home/x") == b"/home/x"
        assert self.path(sftp, b"", b"..", b"home") == b"/home"
        assert sftp.code(m.Realpath(1, b"", 1, (b"..",))) == Status.PERMISSION_DENIED
        assert sftp.code(m.Realpath(1, b"/home/x", 2, (b"/etc",))) == Status.PERMISSION_DENIED
