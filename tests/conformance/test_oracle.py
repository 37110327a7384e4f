"""Version 3 by random scripts: whatever a client asks for, in whatever order, OpenSSH's sftp-server is the oracle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule, run_state_machine_as_test

from tests.conftest import Rounds
from tests.support.rawsftp import (
    APPEND,
    CREAT,
    EXCL,
    NO_ATTRIBUTES,
    READ,
    TRUNC,
    WRITE,
    Attributes,
    Type,
    string,
    u32,
    u64,
)

from .oracle import OPENSSH, Handle, Pair, Question, Seen, Side, seen

pytestmark = pytest.mark.skipif(not OPENSSH.exists(), reason="OpenSSH's sftp-server is not installed")

NAMES = st.sampled_from(b"file empty dir link dirlink dangling loop gone new inner".split())
ODD_NAMES = st.sampled_from([b".", b"", b"\xff\xfe", b"with space", b"n" * 255, b"n" * 256, b"-"])
PATHS = st.one_of(  # those that end in "/" or "/." mean another thing to OpenSSH
    NAMES,
    st.lists(st.one_of(NAMES, NAMES, NAMES, ODD_NAMES), min_size=1, max_size=3).map(b"/".join),
    st.tuples(st.sampled_from([b"../", b"../../", b"./", b"/"]), NAMES).map(b"".join),
).filter(lambda path: path not in (b"", b".") and not path.endswith((b"/", b"/.")))
TARGETS = PATHS.filter(lambda path: not path.startswith(b"/"))
STRANGE_HANDLES = st.binary(max_size=300).map(lambda end: b"\xff" + end) | st.just(b"")
FLAGS = st.one_of(  # TRUNC without WRITE is refused here before anything is made
    st.sampled_from([READ, READ | WRITE, READ | WRITE | CREAT, WRITE | CREAT | TRUNC, WRITE | APPEND | CREAT]),
    st.sets(st.sampled_from([READ, WRITE, APPEND, CREAT, TRUNC, EXCL])).map(sum),
).filter(lambda flags: not flags & TRUNC or bool(flags & WRITE))
OFFSETS = st.one_of(st.integers(0, 200), st.sampled_from([4096, 70_000, 2**63 - 1, 2**63, 2**64 - 1]))
LENGTHS = st.one_of(st.integers(0, 300), st.sampled_from([32_768, 261_120, 262_144, 2**31, 2**32 - 1]))
MODES = st.integers(0, 0o7777)
TIMES = {"atime": st.none() | st.integers(0, 2**32 - 1), "mtime": st.integers(0, 2**32 - 1)}
OWNERS = {"uid": st.integers(0, 3), "gid": st.integers(0, 3)}
INITIAL = st.builds(
    Attributes, size=st.none() | st.integers(0, 300), permissions=st.none() | MODES, **OWNERS, **TIMES
)
# One thing at a time: OpenSSH does the rest when one fails, and the mode before the owner, which takes bits of it.
CHANGES = st.builds(Attributes, permissions=st.none() | MODES, **TIMES) | st.builds(Attributes, **OWNERS)
RESIZING = CHANGES | st.builds(Attributes, size=st.integers(0, 300))


class Script(RuleBasedStateMachine):
    """One client of both servers."""

    pair: Pair
    files = Bundle("files")
    directories = Bundle("directories")

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[Handle] = []
        self.places: dict[bytes, Path] = {}  # of directories, by our handles
        self.pair.begin()

    def teardown(self) -> None:
        for handle in self.opened:
            self.pair.ask(Question("close"), Type.CLOSE, handle)
        self.pair.end()

    def on_path(self, name: str, type: int, path: bytes, *rest: bytes) -> None:
        self.pair.ask(Question(name, (path,)), type, self.pair.path(path), *rest)

    def on_paths(self, name: str, path: bytes, other: bytes) -> None:
        fields = self.pair.path(path), self.pair.path(other)
        self.pair.ask(Question(name, (path, other)), Type.EXTENDED, string(name.encode()), *fields)

    # --- handles ---

    def begin(self, question: Question, type: int, *fields: bytes) -> Handle | None:
        ours, theirs = self.pair.ask(question, type, *fields)
        if theirs.type != Type.HANDLE:
            return None
        if ours.type != Type.HANDLE:  # which may be where a difference is allowed
            self.pair.theirs.client.shut(theirs.handle)
            return None
        handle = Handle(ours.handle, theirs.handle, self.place(question.paths[0]).stat().st_ino)
        self.opened.append(handle)
        return handle

    def place(self, path: bytes) -> Path:
        """Where the path lies on our side."""
        return self.pair.ours.base / os.fsdecode(self.pair.prefix + path)

    @rule(target=files, path=PATHS, flags=FLAGS, attributes=INITIAL)
    def open(self, path: bytes, flags: int, attributes: Attributes) -> object:
        fields = self.pair.path(path), u32(flags), attributes.encode()
        handle = self.begin(Question("open", (path,)), Type.OPEN, *fields)
        return multiple() if handle is None else handle

    @rule(target=directories, path=PATHS)
    def opendir(self, path: bytes) -> object:
        handle = self.begin(Question("opendir", (path,)), Type.OPENDIR, self.pair.path(path))
        if handle is None:
            return multiple()
        self.places[handle.ours] = self.place(path)
        return handle

    @rule(handle=st.one_of(consumes(files), consumes(directories)))
    def close(self, handle: Handle) -> None:
        self.opened.remove(handle)
        self.pair.ask(Question("close"), Type.CLOSE, handle)

    @rule(handle=st.one_of(files, files, directories), offset=OFFSETS, length=LENGTHS)
    def read(self, handle: Handle, offset: int, length: int) -> None:
        self.pair.ask(Question("read", offset=offset, length=length), Type.READ, handle, u64(offset), u32(length))

    @rule(handle=st.one_of(files, files, directories), offset=st.integers(0, 200), data=st.binary(max_size=100))
    def write(self, handle: Handle, offset: int, data: bytes) -> None:
        self.pair.ask(Question("write"), Type.WRITE, handle, u64(offset), string(data))

    @rule(handle=st.one_of(directories, files))
    def readdir(self, handle: Handle) -> None:
        """All that is left, for a reply may hold as much as its server likes."""
        ours = rest_of(self.pair.ours, handle.ours)
        question = Question("readdir", moved=self.has_moved(handle))
        self.pair.judge(question, ours, rest_of(self.pair.theirs, handle.theirs))

    def has_moved(self, handle: Handle) -> bool:
        place = self.places.get(handle.ours)
        try:
            return place is not None and place.stat().st_ino != handle.inode
        except OSError:
            return True

    @rule(handle=st.one_of(files, directories))
    def fstat(self, handle: Handle) -> None:
        self.pair.ask(Question("fstat"), Type.FSTAT, handle)

    @rule(handle=files, attributes=RESIZING)
    def fsetstat(self, handle: Handle, attributes: Attributes) -> None:
        self.pair.ask(Question("fsetstat"), Type.FSETSTAT, handle, attributes.encode())

    @rule(handle=st.one_of(files, files, directories))
    def fsync(self, handle: Handle) -> None:
        self.pair.ask(Question("fsync"), Type.EXTENDED, string(b"fsync@openssh.com"), handle)

    @rule(source=files, goal=files, offset=st.integers(0, 150), length=st.integers(0, 150), to=st.integers(0, 150))
    def copy_data(self, source: Handle, goal: Handle, offset: int, length: int, to: int) -> None:
        if source.inode == goal.inode:
            return  # refused here, while OpenSSH copies where nothing overlaps
        numbers = u64(offset), u64(length), goal, u64(to)
        self.pair.ask(Question("copy-data"), Type.EXTENDED, string(b"copy-data"), source, *numbers)

    @rule(handle=STRANGE_HANDLES, offset=st.integers(0, 9))
    def strange_handle(self, handle: bytes, offset: int) -> None:
        self.pair.ask(Question("strange handle"), Type.READ, string(handle), u64(offset), u32(9))
        self.pair.ask(Question("strange handle"), Type.WRITE, string(handle), u64(offset), string(b"data"))
        for kind in (Type.FSTAT, Type.READDIR, Type.CLOSE):
            self.pair.ask(Question("strange handle"), kind, string(handle))

    # --- paths ---

    @rule(path=PATHS)
    def stat(self, path: bytes) -> None:
        self.on_path("stat", Type.STAT, path)
        self.on_path("lstat", Type.LSTAT, path)

    @rule(path=PATHS, attributes=RESIZING)
    def setstat(self, path: bytes, attributes: Attributes) -> None:
        question = Question("setstat", (path,), idle=attributes.encode() == NO_ATTRIBUTES)
        self.pair.ask(question, Type.SETSTAT, self.pair.path(path), attributes.encode())

    @rule(path=PATHS, attributes=CHANGES)
    def lsetstat(self, path: bytes, attributes: Attributes) -> None:
        fields = string(b"lsetstat@openssh.com"), self.pair.path(path), attributes.encode()
        question = Question("lsetstat", (path,), idle=attributes.encode() == NO_ATTRIBUTES)
        self.pair.ask(question, Type.EXTENDED, *fields)

    @rule(path=PATHS)
    def listing(self, path: bytes) -> None:
        handle = self.begin(Question("opendir", (path,)), Type.OPENDIR, self.pair.path(path))
        if handle is not None:
            self.readdir(handle)
            self.close(handle)

    @rule(path=PATHS)
    def remove(self, path: bytes) -> None:
        self.on_path("remove", Type.REMOVE, path)

    @rule(path=PATHS, attributes=INITIAL)
    def mkdir(self, path: bytes, attributes: Attributes) -> None:
        self.on_path("mkdir", Type.MKDIR, path, attributes.encode())

    @rule(path=PATHS)
    def rmdir(self, path: bytes) -> None:
        self.on_path("rmdir", Type.RMDIR, path)

    @rule(path=PATHS)
    def realpath(self, path: bytes) -> None:
        self.on_path("realpath", Type.REALPATH, path)

    @rule(path=PATHS, other=PATHS)
    def rename(self, path: bytes, other: bytes) -> None:
        if os.path.islink(self.place(other)):
            return  # refused here, while OpenSSH replaces a link that leads nowhere
        question = Question("rename", (path, other))
        self.pair.ask(question, Type.RENAME, self.pair.path(path), self.pair.path(other))

    @rule(path=PATHS, other=PATHS)
    def posix_rename(self, path: bytes, other: bytes) -> None:
        self.on_paths("posix-rename@openssh.com", path, other)

    @rule(path=PATHS, other=PATHS)
    def hardlink(self, path: bytes, other: bytes) -> None:
        self.on_paths("hardlink@openssh.com", path, other)

    @rule(path=PATHS)
    def readlink(self, path: bytes) -> None:
        self.on_path("readlink", Type.READLINK, path)

    @rule(text=TARGETS, path=PATHS)
    def symlink(self, text: bytes, path: bytes) -> None:
        self.pair.ask(Question("symlink", (path,)), Type.SYMLINK, string(text), self.pair.path(path))

    @rule(path=PATHS)
    def statvfs(self, path: bytes) -> None:
        """Free space is another one a moment later; all else is the same on one file system."""
        fields = string(b"statvfs@openssh.com"), self.pair.path(path)
        ours, theirs = (side.client.ask(Type.EXTENDED, *fields) for side in (self.pair.ours, self.pair.theirs))
        lasting = [
            ("extended", reply.body[:24], reply.body[64:]) if reply.type == Type.EXTENDED_REPLY else seen(reply, side)
            for reply, side in ((ours, self.pair.ours), (theirs, self.pair.theirs))
        ]
        self.pair.judge(Question("statvfs", (path,)), *lasting)

    @rule(path=PATHS)
    def expand_path(self, path: bytes) -> None:
        fields = string(b"expand-path@openssh.com"), self.pair.path(path)
        self.pair.ask(Question("realpath", (path,)), Type.EXTENDED, *fields)

    @rule(users=st.lists(st.integers(0, 5), max_size=4), groups=st.lists(st.integers(0, 5), max_size=4))
    def names_of_owners(self, users: list[int], groups: list[int]) -> None:
        fields = (string(b"".join(map(u32, numbers))) for numbers in (users, groups))
        self.pair.ask(Question("names"), Type.EXTENDED, string(b"users-groups-by-id@openssh.com"), *fields)

    # --- neither ---

    @rule(name=st.text("abc@.-", max_size=20), rest=st.binary(max_size=20))
    def unknown_extension(self, name: str, rest: bytes) -> None:
        self.pair.ask(Question("unknown"), Type.EXTENDED, string(name.encode()), rest)


def rest_of(side: Side, handle: bytes) -> Seen:
    entries: list[Seen] = []
    while (reply := side.client.ask(Type.READDIR, string(handle))).type == Type.NAME:
        entries += seen(reply, side)[1]
    return "names", sorted(entries), seen(reply, side)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"))
    yield made
    made.close()


@pytest.mark.rounds
def test_scripts_have_the_same_replies_and_leave_the_same_trees(pair: Pair, rounds: Rounds) -> None:
    options = settings(
        max_examples=rounds(40, 20_000),
        stateful_step_count=60,
        deadline=None,
        database=None,
        derandomize=rounds(0, 1) == 0,  # what is new is found by long runs
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(type("Script", (Script,), {"pair": pair}), settings=options)
