"""Extensions about users: "~", home directories, names of numbers, folders for temporary files."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from libsshd import SSHUserAuthRequest
from libsshd import events as e
from libsshd.constants import Status
from tests.contract.support_files import Diary, Site, status
from tests.support.account import USER
from tests.support.rawsftp import Code, Cursor, RawSFTP, Reply, Type, string, u32

OWN = USER.encode()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Everybody's home is /home/alice."""
    with Site(tmp_path) as opened:
        (opened.root / "home/alice").mkdir(parents=True)
        opened.server.on_ssh_user_auth_request.add(lambda event: setattr(event, "home_dir", "/home/alice"))
        yield opened


@pytest.fixture
def raw(site: Site) -> RawSFTP:
    return site.raw()


def name_in(reply: Reply) -> bytes:
    ((name, _, _),) = reply.names
    return name


def expand(raw: RawSFTP, path: bytes) -> Reply:
    return raw.extend(b"expand-path@openssh.com", string(path))


# --- paths ---


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        (b"~", b"/home/alice"),
        (b"~/", b"/home/alice"),
        (b"~/a/../b//", b"/home/alice/b"),
        (b"~/../../../../etc", b"/etc"),
        (b"~alice", b"/home/alice"),
        (b"~alice/x", b"/home/alice/x"),
        (b"", b"/home/alice"),
        (b"x/~", b"/home/alice/x/~"),
        (b"./~", b"/home/alice/~"),
        (b"/a/./b", b"/a/b"),
    ],
)
def test_a_path_is_expanded_from_the_home_and_never_leaves_the_tree(
    path: bytes, expanded: bytes, raw: RawSFTP
) -> None:
    assert name_in(expand(raw, path)) == expanded


@pytest.mark.parametrize("path", [b"~root", b"~root/x", b"~bob", b"~alic", b"~alice2/", b"~ALICE", b"~\xff"])
def test_another_user_does_not_exist(path: bytes, raw: RawSFTP) -> None:
    assert status(expand(raw, path)) == (Code.NO_SUCH_FILE, "There is no such user")


def test_a_tilde_leads_nowhere_a_confined_user_may_not_go(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        (site.root / "home/alice").mkdir(parents=True)

        @site.server.on_ssh_user_auth_request.add
        def confine(event: SSHUserAuthRequest) -> None:
            event.home_dir = "/home/alice"
            site.server.sftp_connections[event.connection_id].restrict_user_to_home_dir = True

        raw = site.raw()
        assert name_in(expand(raw, b"~/x")) == b"/home/alice/x"
        assert expand(raw, b"~/..").code == Code.PERMISSION_DENIED


@pytest.mark.parametrize("user", [b"", OWN])
def test_the_home_is_told_by_no_name_and_by_the_own_one(user: bytes, raw: RawSFTP) -> None:
    assert name_in(raw.extend(b"home-directory", string(user))) == b"/home/alice"


@pytest.mark.parametrize("user", [b"root", b"bob", b"~", b"\xff", b"alice\0"])
def test_nobody_else_has_a_home(user: bytes, raw: RawSFTP) -> None:
    assert raw.extend(b"home-directory", string(user)).code == Code.FAILURE


def test_a_handler_of_resolve_path_decides_on_both(site: Site) -> None:
    diary = Diary(site.server, e.ResolvePath)
    site.server.on_resolve_path.add(lambda event: setattr(event, "real_path", "/elsewhere"))
    raw = site.raw()
    assert name_in(expand(raw, b"~/a")) == b"/elsewhere"
    assert name_in(raw.extend(b"home-directory", string(b""))) == b"/elsewhere"
    assert [entry["original_path"] for entry in diary.of("ResolvePath")] == ["/home/alice/a", "/home/alice"]


# --- names ---


def ask_names(raw: RawSFTP, uids: list[int], gids: list[int]) -> Reply:
    lists = [string(b"".join(map(u32, ids))) for ids in (uids, gids)]
    return raw.extend(b"users-groups-by-id@openssh.com", *lists)


def lists_in(reply: Reply) -> list[list[bytes]]:
    """User names and group names."""
    cursor = Cursor(reply.extended)
    lists = [Cursor(cursor.string()), Cursor(cursor.string())]
    cursor.end()
    return [[one.string() for _ in iter(lambda one=one: one.position < len(one.data), False)] for one in lists]  # type: ignore[misc]


def test_names_come_in_the_order_of_the_numbers_and_are_empty_where_there_is_none(raw: RawSFTP) -> None:
    users = [entry.pw_uid for entry in pwd.getpwall()][:3]
    groups = [entry.gr_gid for entry in grp.getgrall()][:3]
    nobody = 4_000_000_000
    assert lists_in(ask_names(raw, [nobody, *users, nobody], [*groups, 2**32 - 1])) == [
        [b"", *(pwd.getpwuid(uid).pw_name.encode() for uid in users), b""],
        [*(grp.getgrgid(gid).gr_name.encode() for gid in groups), b""],
    ]


def test_a_question_for_no_names_has_an_answer(raw: RawSFTP) -> None:
    assert lists_in(ask_names(raw, [], [])) == [[], []]


def test_a_number_that_is_cut_off_is_a_bad_message(raw: RawSFTP) -> None:
    request = string(bytes(7)), string(b"")
    assert raw.extend(b"users-groups-by-id@openssh.com", *request).code == Code.BAD_MESSAGE


def test_one_request_has_a_limited_number_of_names(raw: RawSFTP) -> None:
    many = list(range(3_000_000_000, 3_000_000_000 + 1024))
    assert lists_in(ask_names(raw, many[:24], many[24:])) == [[b""] * 24, [b""] * 1000]
    assert status(ask_names(raw, many, [0])) == (Code.FAILURE, "At most 1024 numbers in one request")


# --- temporary files ---


def make(raw: RawSFTP) -> bytes:
    return name_in(raw.extend(b"make-temp-folder"))


def test_temporary_files_go_to_tmp_if_there_is_one_else_home(site: Site, raw: RawSFTP) -> None:
    assert name_in(raw.extend(b"get-temp-folder")) == b"/home/alice"
    (site.root / "tmp").touch()
    assert name_in(raw.extend(b"get-temp-folder")) == b"/home/alice"
    (site.root / "tmp").unlink()
    (site.root / "tmp").mkdir()
    assert name_in(raw.extend(b"get-temp-folder")) == b"/tmp"


def test_a_new_folder_is_the_users_alone_and_has_a_name_of_its_own(site: Site, raw: RawSFTP) -> None:
    made = {make(raw) for _ in range(5)}
    assert len(made) == 5
    for path in made:
        assert path.startswith(b"/home/alice/sftp-")
        mode = (site.root / os.fsdecode(path[1:])).stat().st_mode
        assert (stat.S_ISDIR(mode), stat.S_IMODE(mode)) == (True, 0o700)


def test_a_handler_of_dir_create_decides_on_the_new_folder(site: Site) -> None:
    diary = Diary(site.server, e.DirCreate)
    raw = site.raw()
    path = make(raw).decode()
    assert [(name, entry["path"], entry["file_permissions"]) for name, entry in diary.entries] == [
        ("DirCreate before", path, 0o700), ("DirCreate after", path, 0o700)
    ]  # fmt: skip
    site.server.on_dir_create = lambda event: setattr(event, "status_code", Status.PERMISSION_DENIED)
    assert raw.extend(b"make-temp-folder").code == Code.PERMISSION_DENIED
    assert len(os.listdir(site.root / "home/alice")) == 1


def test_a_read_only_server_makes_no_folder(tmp_path: Path) -> None:
    with Site(tmp_path, read_only=True) as site:
        raw = site.raw()
        assert name_in(raw.extend(b"get-temp-folder")) == b"/"
        assert raw.extend(b"make-temp-folder").code == Code.PERMISSION_DENIED
        assert os.listdir(site.root) == []


# --- without a root directory ---


def test_handlers_that_are_the_file_system_are_asked_too(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False) as site:
        raw = site.raw()
        assert name_in(expand(raw, b"~/a")) == b"/a"
        assert name_in(raw.extend(b"home-directory", string(b""))) == b"/"
        assert name_in(raw.extend(b"get-temp-folder")) == b"/"
        assert lists_in(ask_names(raw, [0], [0])) == [[b""], [b""]]
        assert raw.extend(b"make-temp-folder").code == Code.OP_UNSUPPORTED
        site.server.on_dir_create = lambda _: None
        assert make(raw).startswith(b"/sftp-")
        assert raw.ask(Type.REALPATH, string(b".")).names[0][0] == b"/"
