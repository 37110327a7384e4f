"""RootDirectory, UserRootDirectory, HomeDir and RestrictUserToHomeDir: what a user sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import paramiko
import pytest

from libsshd import SFTPServerError, SSHUserAuthRequest
from libsshd import events as e
from tests.contract.covering import covers
from tests.contract.support_files import Diary, Site, status
from tests.support.command import wait_until
from tests.support.rawsftp import CREAT, NO_ATTRIBUTES, READ, WRITE, Code, RawSFTP, Reply, Type, string, u32

TREE = {"bin", "boot", "etc", "home"}
DENIED = (Code.PERMISSION_DENIED, "Permission denied")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The manual's own example: bin, boot, etc and /home/user1/testfolder."""
    with Site(tmp_path) as opened:
        plant(opened)
        yield opened


def plant(site: Site) -> None:
    for name in ("bin", "boot", "etc", "home/user1/testfolder", "home/user2"):
        (site.root / name).mkdir(parents=True)
    site.write("etc/passwd", b"secret")
    site.write("home/user2/letter", b"private")
    site.write("home/user1/testfolder/file", b"mine")


def house(site: Site, *, home: str = "", user_root: str = "", restrict: bool = False) -> None:
    """Has every login end there, as the manual advises: inside SSHUserAuthRequest."""

    @site.server.on_ssh_user_auth_request.add
    def settle(event: SSHUserAuthRequest) -> None:
        connection = site.server.sftp_connections[event.connection_id]
        event.home_dir = home
        connection.restrict_user_to_home_dir = restrict
        if user_root:
            connection.user_root_directory = user_root


# --- the five rows ---


class Row(NamedTuple):
    """Settings, where a session begins, what it sees there, and what "/", "/home" and "/etc" are to it."""

    home: str
    user_root: str
    restrict: bool
    start: str
    sees: set[str]
    elsewhere: str


ROWS = {
    "no home": Row("", "", False, "/", TREE, "allowed"),
    "home": Row("/home/user1", "", False, "/home/user1", {"testfolder"}, "allowed"),
    "restricted": Row("/home/user1", "", True, "/home/user1", {"testfolder"}, "denied"),
    "user root": Row("/", "/home/user1", False, "/", {"testfolder"}, "missing"),
    "restricted in user root": Row("/testfolder", "/home/user1", True, "/testfolder", {"file"}, "denied"),
}


@covers("RootDirectory", "UserRootDirectory", "RestrictUserToHomeDir", "SSHUserAuthRequest")
@pytest.mark.parametrize("name", ROWS)
def test_what_openssh_sees(name: str, site: Site) -> None:
    row = ROWS[name]
    house(site, home=row.home, user_root=row.user_root, restrict=row.restrict)
    start, *told = site.openssh("pwd", "ls -1", "-cd /home", "-cd /etc", "-ls -1 /")
    seen, rest = set(told[: len(row.sees)]), told[len(row.sees) :]
    assert start == f"Remote working directory: {row.start}"
    assert seen == row.sees
    assert rest == {
        "allowed": [f"/{name}" for name in sorted(TREE)],
        "denied": [
            "realpath /home: Permission denied", "realpath /etc: Permission denied", 'Can\'t ls: "/" not found'
        ],
        "missing": ["/testfolder", *["stat remote: No such file or directory"] * 2],
    }[row.elsewhere]  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_what_paramiko_reads_and_writes(name: str, site: Site) -> None:
    row = ROWS[name]
    house(site, home=row.home, user_root=row.user_root, restrict=row.restrict)
    sftp = site.sftp()
    assert sftp.normalize(".") == row.start
    assert set(sftp.listdir(".")) == row.sees
    sftp.open("new", "wb").close()
    base = site.root / (row.user_root or "/").lstrip("/") / row.start.lstrip("/")
    assert (base / "new").exists()
    outside = {"allowed": None, "denied": PermissionError, "missing": FileNotFoundError}[row.elsewhere]
    if outside is None:
        assert sftp.open("/etc/passwd").read() == b"secret"
    else:
        with pytest.raises(outside):
            sftp.open("/etc/passwd")


def test_parents_end_at_the_root_that_the_user_has(site: Site) -> None:
    house(site, user_root="/home/user1")
    sftp = site.sftp()
    assert sftp.normalize("../../..") == "/"
    assert sftp.listdir("../../../..") == ["testfolder"]
    with pytest.raises(FileNotFoundError):
        sftp.stat("/../../etc/passwd")


# --- the restriction ---

Ask = Callable[[RawSFTP], Reply]
OUTSIDE: dict[str, Ask] = {
    "open": lambda raw: raw.ask(Type.OPEN, string(b"/etc/passwd"), u32(READ), NO_ATTRIBUTES),
    "create": lambda raw: raw.ask(Type.OPEN, string(b"../user2/new"), u32(WRITE | CREAT), NO_ATTRIBUTES),
    "opendir": lambda raw: raw.ask(Type.OPENDIR, string(b"/home")),
    "stat": lambda raw: raw.ask(Type.STAT, string(b"..")),
    "lstat": lambda raw: raw.ask(Type.LSTAT, string(b"/")),
    "setstat": lambda raw: raw.ask(Type.SETSTAT, string(b"/etc"), NO_ATTRIBUTES),
    "mkdir": lambda raw: raw.ask(Type.MKDIR, string(b"/home/user10"), NO_ATTRIBUTES),
    "rmdir": lambda raw: raw.ask(Type.RMDIR, string(b"/home/user2")),
    "remove": lambda raw: raw.ask(Type.REMOVE, string(b"/etc/passwd")),
    "rename from": lambda raw: raw.ask(Type.RENAME, string(b"/etc/passwd"), string(b"mine")),
    "rename to": lambda raw: raw.ask(Type.RENAME, string(b"testfolder"), string(b"/home/user2/theirs")),
    "posix-rename to": lambda raw: raw.extend(b"posix-rename@openssh.com", string(b"testfolder"), string(b"/etc/x")),
    "symlink": lambda raw: raw.ask(Type.SYMLINK, string(b"x"), string(b"/etc/link")),
    "hardlink from": lambda raw: raw.extend(b"hardlink@openssh.com", string(b"/etc/passwd"), string(b"mine")),
    "hardlink to": lambda raw: raw.extend(b"hardlink@openssh.com", string(b"testfolder/file"), string(b"/etc/x")),
    "readlink": lambda raw: raw.ask(Type.READLINK, string(b"/etc/link")),
    "realpath": lambda raw: raw.ask(Type.REALPATH, string(b"..")),
    "realpath of what is missing": lambda raw: raw.ask(Type.REALPATH, string(b"/no/where")),
    "statvfs": lambda raw: raw.extend(b"statvfs@openssh.com", string(b"/")),
    "a sibling whose name begins alike": lambda raw: raw.ask(Type.STAT, string(b"/home/user11")),
}


@covers("RestrictUserToHomeDir")
@pytest.mark.parametrize("rooted", [True, False], ids=["rooted", "event mode"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_path_outside_the_home_is_denied_without_an_event(name: str, rooted: bool, tmp_path: Path) -> None:
    with Site(tmp_path, rooted=rooted) as site:
        plant(site)
        house(site, home="/home/user1", restrict=True)
        diary = Diary(site.server, *(kind for kind in e.EVENTS if issubclass(kind, e.FileEvent)))
        before = site.tree()
        assert status(OUTSIDE[name](site.raw())) == DENIED
        assert diary.names == []
        assert site.tree() == before


@pytest.mark.parametrize("home", ["/home/user1", "home/user1", "/home/user1/", "/home/../home//user1/."])
def test_a_home_may_be_written_in_any_way(home: str, site: Site) -> None:
    house(site, home=home, restrict=True)
    sftp = site.sftp()
    assert sftp.normalize("") == "/home/user1"
    assert sftp.listdir("/home/user1/../user1") == ["testfolder"]


@pytest.mark.parametrize("home", ["", "/", "/.."])
def test_a_restriction_to_no_home_restricts_nothing(home: str, site: Site) -> None:
    house(site, home=home, restrict=True)
    assert set(site.sftp().listdir("/")) == TREE


def test_neither_setting_changes_a_session_that_has_begun(site: Site) -> None:
    """For further channels of the same connection, too."""
    house(site, home="/home/user1")
    transport = site.login()
    first = site.sftp(transport)
    assert set(first.listdir("/")) == TREE
    connection = site.server.sftp_connections[0]
    connection.restrict_user_to_home_dir = True
    connection.user_root_directory = "/home/user1"
    assert set(first.listdir("/")) == TREE
    assert set(site.sftp(transport).listdir("/")) == TREE


def test_what_is_set_for_one_connection_leaves_others_alone(site: Site) -> None:
    def settle(event: SSHUserAuthRequest) -> None:
        if event.connection_id == 0:
            site.server.config("UserRootDirectory[0]=/home/user1")

    site.server.on_ssh_user_auth_request.add(settle)
    first, second = site.sftp(), site.sftp()
    assert first.listdir("/") == ["testfolder"]
    assert set(second.listdir("/")) == TREE


def test_settings_without_a_number_are_for_connections_that_have_no_own(site: Site) -> None:
    site.server.config("UserRootDirectory=/home/user1")
    site.server.config("RestrictUserToHomeDir=yes")
    house_of_first = site.sftp()
    assert house_of_first.listdir("/") == ["testfolder"]
    assert site.server.config("UserRootDirectory[0]") == "/home/user1"
    assert site.server.config("RestrictUserToHomeDir[0]") == "True"


# --- links ---


@pytest.fixture
def linked(site: Site, tmp_path: Path) -> Site:
    """In user1's home: links to a neighbour, to what is missing, to the home itself, out of the root."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"outside")
    home = site.root / "home/user1"
    for name, target in {
        "neighbour": "../user2", "absolute": "/home/user2", "gone": "../nobody", "inside": "testfolder",
        "back": "/home/user1/testfolder", "out": str(tmp_path / "outside"), "up": "../../../outside",
    }.items():  # fmt: skip
        (home / name).symlink_to(target)
    return site


def code(raw: RawSFTP, path: str) -> int:
    reply = raw.ask(Type.STAT, string(path.encode()))
    return 0 if reply.type == Type.ATTRS else reply.code


def test_links_lead_nowhere_outside_the_root(linked: Site) -> None:
    """As under chroot."""
    raw = linked.raw()
    assert raw.read(raw.open(b"/home/user1/neighbour/letter"), 0, 10).data == b"private"
    assert code(raw, "/home/user1/absolute/letter") == Code.OK
    for path in ("/home/user1/out", "/home/user1/out/secret", "/home/user1/up", "/home/user1/up/secret"):
        assert code(raw, path) == Code.NO_SUCH_FILE


def test_links_lead_nowhere_outside_a_users_root(linked: Site) -> None:
    house(linked, user_root="/home/user1")
    raw = linked.raw()
    assert code(raw, "/inside/file") == Code.OK
    for path in ("/neighbour", "/absolute", "/gone", "/out/secret", "/up", "/back"):
        assert code(raw, path) == Code.NO_SUCH_FILE


def test_a_restriction_counts_where_links_lead_not_what_they_are_called(linked: Site) -> None:
    """Whether the target is there makes no difference."""
    house(linked, home="/home/user1", restrict=True)
    raw = linked.raw()
    assert code(raw, "/home/user1/inside/file") == Code.OK
    for path in (
        "neighbour",
        "neighbour/letter",
        "neighbour/none",
        "absolute",
        "gone",
        "gone/x",
        "out",
        "up",
        "back",
    ):
        assert code(raw, path) == Code.PERMISSION_DENIED
        assert raw.ask(Type.OPENDIR, string(path.encode())).code == Code.PERMISSION_DENIED
    assert raw.ask(Type.LSTAT, string(b"neighbour")).type == Type.ATTRS


# --- directories that cannot be (2001) ---


def test_a_users_root_may_be_a_local_path_or_one_below_the_root(site: Site) -> None:
    """What lies inside RootDirectory as a path of this machine is taken so."""
    connection_roots = [str(site.root / "home/user1"), f"{site.root}/etc/../home/user1/", "home/user1", "/home/user1"]
    for number, path in enumerate(connection_roots):
        transport = site.login()
        site.server.sftp_connections[number].user_root_directory = path
        assert site.server.config(f"UserRootDirectory[{number}]") == path
        assert site.sftp(transport).listdir("/") == ["testfolder"]


@pytest.mark.parametrize("path", ["missing", "/etc/passwd", "/home/user1/out", "\ud800", "/etc/passwd/x"])
@pytest.mark.parametrize(
    "assign",
    [
        lambda site, path: setattr(site.server.sftp_connections[0], "user_root_directory", path),
        lambda site, path: site.server.config(f"UserRootDirectory[0]={path}"),
    ],
    ids=["attribute", "config"],
)
def test_a_users_root_that_is_no_directory_inside_the_root_is_error_2001(
    path: str, assign: Callable[[Site, str], object], linked: Site
) -> None:
    transport = linked.login()
    with pytest.raises(SFTPServerError) as caught:
        assign(linked, path)
    assert caught.value.code == 2001
    assert linked.server.sftp_connections[0].user_root_directory == ""
    assert set(linked.sftp(transport).listdir("/")) == TREE


def test_without_a_root_directory_there_is_no_users_root(tmp_path: Path) -> None:
    with Site(tmp_path, rooted=False) as site:
        site.login()
        with pytest.raises(SFTPServerError) as caught:
            site.server.sftp_connections[0].user_root_directory = "/"
        assert caught.value.code == 2001


def refused(transport: paramiko.Transport) -> bool:
    channel = transport.open_session()
    try:
        channel.invoke_subsystem("sftp")
    except paramiko.SSHException:
        return True
    return False


@pytest.mark.parametrize(
    ("setting", "home", "what"),
    [
        ("UserRootDirectory=/missing", "", "'/missing' cannot be served: No such file or directory."),
        ("UserRootDirectory=/etc/passwd", "", "'/etc/passwd' cannot be served: Not a directory."),
        ("RestrictUserToHomeDir=1", "/home/nobody", "'/home/nobody' cannot be served: No such file or directory."),
    ],
)
def test_a_session_that_has_no_directory_is_refused_and_told_as_error_2001(
    setting: str, home: str, what: str, site: Site
) -> None:
    site.server.config(setting)
    house_home(site, home)
    transport = site.login()
    assert refused(transport)
    wait_until(lambda: site.errors != [], "the program is told")
    assert site.errors == [(2001, what)]
    assert refused(transport), "and the connection lives on"


def house_home(site: Site, home: str) -> None:
    site.server.on_ssh_user_auth_request.add(lambda event: setattr(event, "home_dir", home))


@pytest.mark.parametrize("home", ["/home\0", "/\ud800", 7, None])
def test_a_home_that_is_no_path_lets_nobody_in(home: Any, site: Site) -> None:
    house_home(site, home)
    with pytest.raises(paramiko.AuthenticationException):
        site.login()
    assert site.errors == [
        (2002, "A handler of SSHUserAuthRequest must leave texts in AvailableMethods and HomeDir.")
    ]  # fmt: skip


def test_a_home_that_is_not_there_is_no_error_without_a_restriction(site: Site) -> None:
    house(site, home="/home/nobody")
    sftp = site.sftp()
    assert sftp.normalize(".") == "/home/nobody"
    with pytest.raises(FileNotFoundError):
        sftp.listdir(".")
    assert set(sftp.listdir("/")) == TREE


def test_a_root_that_is_replaced_serves_connections_that_come_later(site: Site) -> None:
    early = site.sftp()
    site.server.root_directory = str(site.root / "home")
    assert set(early.listdir("/")) == TREE
    assert set(site.sftp().listdir("/")) == {"user1", "user2"}
