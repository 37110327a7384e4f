"""A user restricted to the home sees its full path, and nothing else; resolved by openat2 and by the walk alike."""

import errno
import gc
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from libsshd.constants import FileType, OpenFlags
from libsshd.fs.base import FileSystem, below, normalise
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes
from tests.security import test_races as races
from tests.support import seccomp
from tests.support.rawsftp import Code, Type, string, u32
from tests.support.stdio import StdioServer

from .outcome import code_of
from .test_fallback import run_denied
from .test_walk import grow, outcome, random_target

HOME = b"/home/user1"
R, W, CREAT, EXCL, TRUNC = OpenFlags.READ, OpenFlags.WRITE, OpenFlags.CREAT, OpenFlags.EXCL, OpenFlags.TRUNC

Operation = Callable[[FileSystem, bytes], object]


def read_file(fs: FileSystem, path: bytes) -> bytes:
    fd = fs.open(path, R, None)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def write_file(fs: FileSystem, path: bytes) -> None:
    fd = fs.open(path, W | CREAT | TRUNC, None)
    try:
        os.write(fd, b"new")
    finally:
        os.close(fd)


def names(fs: FileSystem, path: bytes) -> list[bytes]:
    directory = fs.opendir(path)
    try:
        return sorted(entry.name for batch in iter(lambda: directory.read(100), []) for entry in batch)
    finally:
        directory.close()


# Every operation of the Protocol that takes a path; those with two appear once for each.
OPERATIONS: dict[str, Operation] = {
    "read": read_file,
    "write": write_file,
    "create": lambda fs, p: os.close(fs.open(p, W | CREAT | EXCL, None)),
    "opendir": names,
    "stat": lambda fs, p: fs.stat(p),
    "lstat": lambda fs, p: fs.lstat(p),
    "setstat": lambda fs, p: fs.setstat(p, Attributes(permissions=0o777, mtime=1, atime=1)),
    "truncate": lambda fs, p: fs.setstat(p, Attributes(size=0)),
    "lsetstat": lambda fs, p: fs.lsetstat(p, Attributes(mtime=1, atime=1)),
    "mkdir": lambda fs, p: fs.mkdir(p, None),
    "rmdir": lambda fs, p: fs.rmdir(p),
    "remove": lambda fs, p: fs.remove(p),
    "rename from": lambda fs, p: fs.rename(p, HOME + b"/moved", overwrite=False),
    "rename to": lambda fs, p: fs.rename(HOME + b"/file", p, overwrite=False),
    "replace from": lambda fs, p: fs.rename(p, HOME + b"/moved", overwrite=True),
    "replace to": lambda fs, p: fs.rename(HOME + b"/file", p, overwrite=True),
    "symlink": lambda fs, p: fs.symlink(b"x", p),
    "readlink": lambda fs, p: fs.readlink(p),
    "link from": lambda fs, p: fs.link(p, HOME + b"/linked"),
    "link to": lambda fs, p: fs.link(HOME + b"/file", p),
    "realpath": lambda fs, p: fs.realpath(p),
    "statvfs": lambda fs, p: fs.statvfs(p),
}

# What acts on a name, not on what its link leads to.
ON_NAMES = {
    "lstat", "lsetstat", "mkdir", "rmdir", "remove", "rename from", "rename to", "replace from", "replace to",
    "symlink", "readlink", "link from", "link to", "realpath",
}  # fmt: skip

LEAVING = ["{etc}", "/etc", "../../etc", "../user2", "..", "/", "/home/user1", "../user1"]


@pytest.fixture
def tree(root: Path) -> Path:
    """The home of the manual's table with its folder; neighbours with secrets, one of a name that begins alike."""
    home = root / "home" / "user1"
    (home / "testfolder").mkdir(parents=True)
    (home / "file").write_bytes(b"inside")
    for neighbour in (root / "etc", root / "home" / "user10", root / "home" / "user2"):
        neighbour.mkdir()
        (neighbour / "secret").write_bytes(b"outside")
    return root


@pytest.fixture
def restricted(fs: RootedFileSystem, tree: Path) -> FileSystem:
    return fs.restricted_to(HOME)


def snapshot(tree: Path) -> list[tuple[object, ...]]:
    """Everything outside the home."""
    found: list[tuple[object, ...]] = []
    for path in sorted(tree.rglob("*")):
        if not path.is_relative_to(tree / "home" / "user1"):
            s = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            found.append((str(path), s.st_mode, s.st_nlink, s.st_mtime_ns, s.st_ctime_ns, data))
    return found


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "home", "expected"),
        [
            (b"/home/user1", b"/home/user1", b"/"),
            (b"/home/user1/x/y", b"/home/user1", b"/x/y"),
            (b"/home/user1/home/user1", b"/home/user1", b"/home/user1"),
            (b"/", b"/", b"/"),
            (b"/x", b"/", b"/x"),
        ],
    )
    def test_the_home_is_taken_off_a_path(self, path: bytes, home: bytes, expected: bytes) -> None:
        assert below(path, home) == expected

    @pytest.mark.parametrize("path", [b"/", b"/home", b"/home/user", b"/home/user10", b"/home/user1x/y", b"/x", b""])
    def test_what_merely_begins_like_the_home_is_denied(self, path: bytes) -> None:
        assert code_of(below, path, HOME) == errno.EACCES


class TestInside:
    def test_the_home_keeps_its_full_path(self, restricted: FileSystem, tree: Path) -> None:
        assert restricted.realpath(HOME) == HOME
        assert restricted.realpath(HOME + b"/missing/..//testfolder/.") == HOME + b"/testfolder"
        assert names(restricted, HOME) == [b".", b"..", b"file", b"testfolder"]
        assert restricted.stat(HOME + b"/file").size == restricted.lstat(HOME + b"/file").size == 6
        assert restricted.stat(HOME).file_type == FileType.DIRECTORY

    def test_every_operation_works_inside(self, restricted: FileSystem, tree: Path) -> None:
        home = tree / "home" / "user1"
        write_file(restricted, HOME + b"/a")
        assert read_file(restricted, HOME + b"/a") == b"new"
        restricted.rename(HOME + b"/a", HOME + b"/testfolder/b", overwrite=False)
        restricted.link(HOME + b"/testfolder/b", HOME + b"/c")
        restricted.symlink(b"testfolder/../c", HOME + b"/link")
        assert restricted.readlink(HOME + b"/link") == b"testfolder/../c"
        assert read_file(restricted, HOME + b"/link") == b"new"
        restricted.mkdir(HOME + b"/d", 0o700)
        restricted.rmdir(HOME + b"/d")
        restricted.setstat(HOME + b"/link", Attributes(size=1, mtime=2, atime=2))
        restricted.lsetstat(HOME + b"/link", Attributes(mtime=3, atime=3))
        assert (home / "c").stat().st_mtime == 2
        assert (home / "link").lstat().st_mtime == 3
        restricted.remove(HOME + b"/link")
        assert restricted.statvfs(HOME).f_namemax > 0
        assert sorted(os.listdir(home)) == ["c", "file", "testfolder"]
        assert (home / "testfolder" / "b").read_bytes() == b"n"

    def test_open_files_are_served_by_their_descriptors(self, restricted: FileSystem) -> None:
        fd = restricted.open(HOME + b"/file", R | W, None)
        try:
            restricted.fsetstat(fd, Attributes(size=2))
            assert restricted.fstat(fd).size == 2
            assert restricted.fstatvfs(fd).f_namemax > 0
        finally:
            os.close(fd)

    def test_relative_links_within_the_home_work(self, restricted: FileSystem, tree: Path) -> None:
        (tree / "home" / "user1" / "testfolder" / "up").symlink_to("../testfolder/../file")
        assert read_file(restricted, HOME + b"/testfolder/up") == b"inside"

    def test_what_lies_above_the_home_has_no_attributes_of_its_own(self, restricted: FileSystem, tree: Path) -> None:
        os.utime(tree / "home", (3, 4))
        os.utime(tree / "home" / "user1", (1, 2))
        directory = restricted.opendir(HOME)
        by_name = {entry.name: entry.attributes for entry in directory.read(10)}
        directory.close()
        assert by_name[b".."].mtime == by_name[b"."].mtime == 2

    def test_long_names_have_the_style_asked_for(self, restricted: FileSystem) -> None:
        for clock in (False, True):
            directory = restricted.opendir(HOME, clock=clock)
            assert all((b":" in entry.longname) is clock for entry in directory.read(10))
            directory.close()

    def test_c_opens_no_files_by_itself(self, restricted: FileSystem) -> None:
        assert restricted.native_files(read_only=False) is None


class TestOutside:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_every_operation_is_denied_whether_the_path_exists_or_not(
        self, restricted: FileSystem, tree: Path, operation: str
    ) -> None:
        before = snapshot(tree)
        for path in (
            b"/", b"/home", b"/etc", b"/etc/secret", b"/etc/missing", b"/missing", b"/missing/x", b"/home/user10",
            b"/home/user10/secret", b"/home/user2/secret", b"/home/user3", b"/home/user", b"/etc/secret/x",
        ):  # fmt: skip
            assert code_of(OPERATIONS[operation], restricted, path) == errno.EACCES, path
        assert snapshot(tree) == before

    @pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "realpath"])
    @pytest.mark.parametrize("target", LEAVING)
    def test_every_operation_is_denied_through_a_link_that_leaves_the_home(
        self, restricted: FileSystem, tree: Path, operation: str, target: str
    ) -> None:
        home = tree / "home" / "user1"
        before = snapshot(tree)
        for existing, missing in (("", "/missing"), ("/secret", "/missing/deep")):
            for rest in (existing, missing):
                (home / "link").symlink_to(target.format(etc=tree / "etc") + rest)
                assert code_of(OPERATIONS[operation], restricted, HOME + b"/link/secret") == errno.EACCES
                if operation not in ON_NAMES and operation != "create":
                    assert code_of(OPERATIONS[operation], restricted, HOME + b"/link") == errno.EACCES
                (home / "link").unlink()
        assert snapshot(tree) == before

    def test_nothing_is_created_through_a_dangling_link(self, restricted: FileSystem, tree: Path) -> None:
        before = snapshot(tree)
        for target in ("/etc/new", "../user2/new"):
            restricted.symlink(target.encode(), HOME + b"/link")
            assert restricted.readlink(HOME + b"/link") == target.encode()
            assert code_of(restricted.open, HOME + b"/link", W | CREAT, None) == errno.EACCES
            assert restricted.lstat(HOME + b"/link").file_type == FileType.SYMLINK
            restricted.remove(HOME + b"/link")
        assert snapshot(tree) == before

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("rest", [b"/../user2/secret", b"/testfolder/../../user2/secret", b"/../../etc/new"])
    def test_dots_behind_the_home_do_not_lead_out(
        self, restricted: FileSystem, tree: Path, operation: str, rest: bytes
    ) -> None:
        before = snapshot(tree)
        assert code_of(OPERATIONS[operation], restricted, HOME + rest) == errno.EACCES
        assert snapshot(tree) == before

    def test_the_home_itself_stays(self, restricted: FileSystem, tree: Path) -> None:
        (tree / "home" / "user1" / "empty").mkdir()
        inner = restricted
        for call in (
            lambda: inner.rmdir(HOME),
            lambda: inner.remove(HOME),
            lambda: inner.rename(HOME, HOME + b"/empty/x", overwrite=True),
            lambda: inner.rename(HOME + b"/empty", HOME, overwrite=True),
            lambda: inner.rename(HOME + b"/empty", HOME, overwrite=False),
        ):
            assert code_of(call) == errno.EACCES
        assert code_of(inner.mkdir, HOME, None) == errno.EEXIST
        assert code_of(inner.open, HOME, R, None) == errno.EISDIR


class TestHome:
    @pytest.mark.parametrize(
        ("home", "error"),
        [(b"/missing", errno.ENOENT), (b"/home/user1/file", errno.ENOTDIR), (b"/h\0", errno.EINVAL)],
    )
    def test_a_home_that_is_no_directory_is_told_at_once(
        self, fs: RootedFileSystem, tree: Path, home: bytes, error: int
    ) -> None:
        assert code_of(fs.restricted_to, home) == error

    def test_the_top_narrows_nothing(self, fs: RootedFileSystem, tree: Path) -> None:
        (tree / "link").symlink_to("/etc")
        whole = fs.restricted_to(b"//")
        assert read_file(whole, b"/link/secret") == b"outside"
        assert whole.native_files(read_only=False) is not None

    def test_a_home_that_is_a_link_is_where_it_leads(self, fs: RootedFileSystem, tree: Path) -> None:
        (tree / "home" / "alias").symlink_to("/home/user1")
        restricted = fs.restricted_to(b"/home/alias")
        assert read_file(restricted, b"/home/alias/file") == b"inside"
        assert code_of(restricted.stat, HOME + b"/file") == errno.EACCES

    def test_a_home_moved_meanwhile_stays_the_same_directory(self, fs: RootedFileSystem, tree: Path) -> None:
        restricted = fs.restricted_to(HOME)
        (tree / "home" / "user1").rename(tree / "moved")
        (tree / "home" / "user1").symlink_to("/etc")
        assert names(restricted, HOME) == [b".", b"..", b"file", b"testfolder"]

    def test_read_only_stays_read_only(self, tree: Path) -> None:
        with RootedFileSystem(str(tree), read_only=True) as fs:
            for narrowed, path in ((fs.restricted_to(HOME), HOME + b"/file"), (fs.beneath(HOME), b"/file")):
                assert code_of(narrowed.remove, path) == errno.EROFS
                assert code_of(narrowed.fsetstat, 0, Attributes(size=0)) == errno.EROFS


class TestBeneath:
    def test_a_directory_becomes_a_root_of_its_own(self, fs: RootedFileSystem, tree: Path) -> None:
        (tree / "home" / "user1" / "absolute").symlink_to("/testfolder/../file")
        (tree / "home" / "user1" / "climbing").symlink_to("../../../file")
        (tree / "home" / "user1" / "out").symlink_to("/etc/secret")
        user = fs.beneath(HOME)
        for path in (b"/file", b"/absolute", b"/climbing", b"/../../file"):
            assert read_file(user, path) == b"inside"
        assert code_of(user.stat, b"/out") == code_of(user.stat, HOME) == errno.ENOENT
        assert user.native_files().walk is fs.native_files().walk
        assert user.native_files().root != fs.native_files().root

    def test_a_home_within_it_can_be_all_that_is_allowed(self, fs: RootedFileSystem, tree: Path) -> None:
        """The last row of the manual's table: UserRootDirectory, HomeDir and RestrictUserToHomeDir together."""
        restricted = fs.beneath(HOME).restricted_to(b"/testfolder")
        assert names(restricted, b"/testfolder") == [b".", b".."]
        for path in (b"/", b"/file", HOME, b"/etc"):
            assert code_of(restricted.stat, path) == errno.EACCES

    @pytest.mark.parametrize(
        ("path", "error"),
        [(b"/missing", errno.ENOENT), (b"/home/user1/file", errno.ENOTDIR), (b"/out", errno.ENOENT)],
    )
    def test_what_is_no_directory_inside_the_root_is_told_at_once(
        self, fs: RootedFileSystem, tree: Path, path: bytes, error: int
    ) -> None:
        (tree / "out").symlink_to(tree.parent)
        assert code_of(fs.beneath, path) == error


def descriptors() -> list[str]:
    gc.collect()  # earlier tests may have left some to the collector
    return sorted(os.listdir("/proc/self/fd"), key=int)


class TestDescriptors:
    def test_each_is_closed_with_its_last_reference(self, fs: RootedFileSystem, tree: Path) -> None:
        before = descriptors()
        restricted, user = fs.restricted_to(HOME), fs.beneath(HOME)
        assert len(descriptors()) == len(before) + 2
        del restricted, user
        assert descriptors() == before

    def test_they_outlive_the_root_they_came_from(self, tree: Path) -> None:
        fs = RootedFileSystem(str(tree))
        restricted, user = fs.restricted_to(HOME), fs.beneath(HOME)
        fs.close()
        assert read_file(restricted, HOME + b"/file") == read_file(user, b"/file") == b"inside"

    def test_closing_twice_closes_nobody_elses(self, fs: RootedFileSystem, tree: Path) -> None:
        for narrowed in (fs.restricted_to(HOME), fs.restricted_to(b"/"), fs.beneath(HOME)):
            narrowed.close()
            taken = os.open(tree, os.O_RDONLY)  # the number that has just become free
            narrowed.close()
            del narrowed
            gc.collect()
            os.fstat(taken)
            os.close(taken)
        assert fs.stat(b"/").file_type == FileType.DIRECTORY

    def test_an_open_directory_keeps_its_root(self, fs: RootedFileSystem, tree: Path) -> None:
        os.utime(tree / "home", (3, 4))
        os.utime(tree / "home" / "user1", (1, 2))
        directory = fs.beneath(HOME).opendir(b"/")
        gc.collect()
        assert {entry.attributes.mtime for entry in directory.read(10) if entry.name == b".."} == {2}
        directory.close()

    @pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
    def test_no_call_leaves_one_behind(self, restricted: FileSystem, tree: Path, operation: Operation) -> None:
        home = tree / "home" / "user1"
        (home / "link").symlink_to("testfolder/../..")
        (home / "loop").symlink_to("loop")
        before = descriptors()
        for rest in (b"", b"/testfolder", b"/file/x", b"/link", b"/link/x", b"/loop/x", b"/new", b"/missing/x"):
            with suppress(OSError):
                operation(restricted, HOME + rest)
        assert descriptors() == before


def test_a_client_is_told_permission_denied_and_nothing_more(restricted: FileSystem) -> None:
    """The third row of the manual's table, over the wire: even an OPEN that C could answer passes the check."""
    with StdioServer(restricted) as server:
        server.session.context.home = HOME
        client = server.client.init()
        assert client.ask(Type.REALPATH, string(b".")).names[0][0] == HOME
        replies = set()
        for path in (b"/", b"/home", b"/etc", b"..", b"../user2/secret", b"/missing", b"/etc/secret"):
            for kind in (Type.REALPATH, Type.STAT, Type.LSTAT, Type.OPENDIR, Type.REMOVE, Type.RMDIR, Type.READLINK):
                replies.add(client.ask(kind, string(path)).body)
            reply = client.ask(Type.OPEN, string(path), u32(int(R)), u32(0))
            assert reply.code == Code.PERMISSION_DENIED
            replies.add(reply.body)
        assert len(replies) == 1
        handle = client.open(b"file", R)
        assert client.ask(Type.CLOSE, string(handle)).code == Code.OK


@pytest.fixture
def both(root: Path) -> Iterator[tuple[FileSystem, FileSystem]]:
    with RootedFileSystem(str(root)) as kernel, RootedFileSystem(str(root), walk=True) as walk:
        (root / "home").mkdir()
        yield kernel.restricted_to(b"/home"), walk.restricted_to(b"/home")


@pytest.mark.parametrize("seed", range(6))
def test_the_walk_answers_as_openat2_does(both: tuple[FileSystem, FileSystem], root: Path, seed: int) -> None:
    rng = random.Random(seed)
    grow(root / "home", rng)
    found = set()
    for _ in range(800):
        path = b"/home/" + random_target(rng).lstrip("/").encode()
        for operation in ("stat", "lstat", "readlink"):
            by_kernel, by_walk = (outcome(getattr(fs, operation), path) for fs in both)
            assert by_walk == by_kernel, (operation, path)
            found.add(by_kernel if isinstance(by_kernel, str) else "found")
    assert {"found", "ENOTDIR", "ELOOP", "EACCES"} <= found, "the trees should have some of everything"


@pytest.mark.skipif(not seccomp.SUPPORTED, reason="the filters name calls of x86-64")
def test_without_openat2_the_rule_is_the_same(tree: Path) -> None:
    def scenario(fs: RootedFileSystem, root: Path) -> None:
        (root / "home" / "user1" / "out").symlink_to("../user2/secret")
        (root / "home" / "user1" / "absolute").symlink_to("/home/user1/file")
        restricted = fs.restricted_to(HOME)
        assert read_file(restricted, HOME + b"/file") == b"inside"
        for name in (b"/out", b"/absolute", b"/../user2/secret"):
            assert code_of(read_file, restricted, HOME + name) == errno.EACCES

    run_denied(tree, [(seccomp.OPENAT2, errno.ENOSYS, None)], scenario)


def furnish(home: Path) -> None:
    """Fills the home anew: links to outside, a directory and a file."""
    for path in home.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    (home / "testfolder").mkdir()
    (home / "file").write_bytes(b"inside")
    for name, target in (("out", home.parent.parent / "etc"), ("up", "../user2"), ("top", "/")):
        (home / name).symlink_to(target)


def test_random_paths_reach_nothing_but_the_home(restricted: FileSystem, tree: Path) -> None:
    """Components of all kinds in any order, normalised as a session passes them and raw."""
    before = snapshot(tree)
    rng = random.Random(5)
    parts = b"home user1 user10 user2 etc secret testfolder out up top file new .. . ".split(b" ")
    for number in range(400):
        if number % 20 == 0:
            furnish(tree / "home" / "user1")
        path = rng.choice([b"/", HOME + b"/"]) + b"/".join(rng.choices(parts, k=rng.randint(0, 5)))
        for form in (normalise, bytes):
            for operation in OPERATIONS.values():
                with suppress(OSError):
                    assert operation(restricted, form(path)) != b"outside"
    assert snapshot(tree) == before


class Prefixed:
    """A restricted file system seen from its home: the races are written for a root."""

    def __init__(self, fs: FileSystem, home: bytes) -> None:
        self._fs = fs
        self._home = home

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*arguments: object, **keywords: object) -> object:
            paths = (self._home + a if isinstance(a, bytes) else a for a in arguments)
            return getattr(self._fs, name)(*paths, **keywords)

        return call


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
@pytest.mark.parametrize("operation", races.OPERATIONS)
def test_no_race_leads_out_of_the_home(tmp_path: Path, operation: str, walk: bool) -> None:
    if not races.exchange_works(tmp_path):
        pytest.skip("this file system cannot exchange names")
    arena = races.Arena(tmp_path)
    before = arena.snapshot()
    succeeded = [0] * len(races.OPERATIONS[operation])
    whole = RootedFileSystem(str(arena.base), walk=walk)
    fs: Any = Prefixed(whole.restricted_to(b"/root"), b"/root")
    with arena.swapping():
        for path in (b"/area/dir/file", b"/area/relative/file", b"/up/file") * 300:
            for number, step in enumerate(races.OPERATIONS[operation]):
                try:
                    assert not races.shows_outside(step(fs, path))
                    succeeded[number] += 1
                except OSError as error:
                    assert error.errno in races.ALLOWED | {errno.EACCES}
    assert arena.snapshot() == before
    assert all(succeeded), "a step always failed, so its race was never run"
