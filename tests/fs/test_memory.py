"""A tree in memory does what a directory on a disk does; and what a program sees of it."""

from __future__ import annotations

import errno
import os
import random
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libsshd.constants import OpenFlags
from libsshd.errors import UnsettableError
from libsshd.fs.base import FileSystem
from libsshd.fs.memory import MemoryFileSystem
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes

R, W, APPEND, CREAT, TRUNC, EXCL = (
    OpenFlags.READ, OpenFlags.WRITE, OpenFlags.APPEND, OpenFlags.CREAT, OpenFlags.TRUNC, OpenFlags.EXCL,
)  # fmt: skip
NAMES = (b"a", b"b", b"c", b"d")
LARGE = 1024 * 1024 + 1
MODES = (0o755, 0o700, 0o640 | 0o100, 0o777)


@pytest.fixture
def fs() -> MemoryFileSystem:
    return MemoryFileSystem()


def errno_of(call: Callable[[], object]) -> int:
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno is not None
    return caught.value.errno


def write(fs: FileSystem, path: bytes, flags: int, data: bytes) -> None:
    fd = fs.open(path, flags, None)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def read(fs: FileSystem, path: bytes) -> bytes:
    fd = fs.open(path, int(R), None)
    try:
        return os.pread(fd, 1 << 20, 0)
    finally:
        os.close(fd)


# --- beside a directory ---


def path_in(dice: random.Random) -> bytes:
    return b"/" + b"/".join(dice.choice(NAMES) for _ in range(dice.choice((1, 1, 2, 3))))


def target_in(dice: random.Random) -> bytes:
    return dice.choice((path_in(dice), path_in(dice)[1:], b"../" + dice.choice(NAMES), b"..", b".", b"/"))


def listing(fs: FileSystem, path: bytes) -> list[bytes]:
    directory = fs.opendir(path)
    try:
        found: list[bytes] = []
        while some := directory.read(3):
            found += [entry.name for entry in some]
        return sorted(found)
    finally:
        directory.close()


def open_and_write(fs: FileSystem, dice: random.Random) -> object:
    flags = int(W)
    for flag in (R, CREAT, CREAT, TRUNC, EXCL, APPEND):
        flags |= int(flag) if dice.random() < 0.4 else 0
    fd = fs.create(path_in(dice), flags, Attributes(permissions=dice.choice(MODES)), nofollow=dice.random() < 0.2)
    try:
        os.pwrite(fd, bytes([dice.randrange(256)]) * dice.randrange(5000), dice.randrange(9000))
        return shown(fs.fstat(fd))
    finally:
        os.close(fd)


def shown(a: Attributes) -> tuple[object, ...]:
    """What must be the same. The size and the links of a directory are its file system's own affair."""
    if stat.S_ISDIR(a.permissions or 0):
        return (a.permissions,)
    return a.size, a.permissions, a.link_count


def set_attributes(fs: FileSystem, dice: random.Random) -> object:
    change = Attributes(permissions=dice.choice(MODES)) if dice.random() < 0.5 else Attributes(
        atime=dice.randrange(2**31), mtime=dice.randrange(2**31), mtime_ns=dice.randrange(10**9)
    )  # fmt: skip
    if dice.random() < 0.3:
        change = Attributes(size=dice.randrange(20_000))
    path = path_in(dice)
    fs.setstat(path, change)
    found = fs.stat(path)
    return shown(found), (found.mtime, found.mtime_ns) if change.mtime is not None else None


def upload(fs: FileSystem, dice: random.Random) -> object:
    flags = int(W | CREAT | dice.choice((TRUNC, EXCL, OpenFlags(0))))
    draft = fs.upload(path_in(dice), flags, Attributes(permissions=0o744), resumable=dice.random() < 0.3)
    if draft is None:
        return None
    try:
        os.write(draft.fd, b"uploaded")
        if dice.random() < 0.7:
            draft.publish()
        else:
            draft.withdraw()
    finally:
        draft.withdraw()
        os.close(draft.fd)
    return True


STEPS: list[Callable[[Any, random.Random], object]] = [
    open_and_write,
    open_and_write,
    set_attributes,
    upload,
    lambda fs, dice: fs.mkdir(path_in(dice), dice.choice(MODES)),
    lambda fs, dice: fs.mkdir(path_in(dice), None),
    lambda fs, dice: fs.rmdir(path_in(dice)),
    lambda fs, dice: fs.remove(path_in(dice)),
    lambda fs, dice: fs.rename(path_in(dice), path_in(dice), overwrite=dice.random() < 0.5),
    lambda fs, dice: fs.symlink(target_in(dice), path_in(dice)),
    lambda fs, dice: fs.link(path_in(dice), path_in(dice)),
    lambda fs, dice: fs.readlink(path_in(dice)),
    lambda fs, dice: shown(fs.stat(path_in(dice))),
    lambda fs, dice: shown(fs.lstat(path_in(dice))),
    lambda fs, dice: listing(fs, path_in(dice)),
    lambda fs, dice: read(fs, path_in(dice)),
]


def outcome(step: Callable[[Any, random.Random], object], fs: FileSystem, seed: float) -> object:
    try:
        return step(fs, random.Random(seed))
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def everything(fs: FileSystem, path: bytes = b"/") -> dict[bytes, object]:
    found: dict[bytes, object] = {}
    for name in listing(fs, path):
        if name in (b".", b".."):
            continue
        below = path.rstrip(b"/") + b"/" + name
        attributes = fs.lstat(below)
        mode = attributes.permissions or 0
        content: object = None
        if stat.S_ISDIR(mode):
            found |= everything(fs, below)
        elif stat.S_ISLNK(mode):
            content = fs.readlink(below)
        else:
            content = read(fs, below)
        found[below] = shown(attributes), content
    return found


@pytest.fixture
def beneath(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("beneath", [False, True], indirect=True, ids=["root", "home"])
@pytest.mark.parametrize("seed", range(12))
def test_a_random_script_has_the_same_outcome_and_leaves_the_same_tree(
    tmp_path: Path, seed: int, beneath: bool
) -> None:
    before = os.umask(0o022)
    tmp_path.chmod(0o755)
    (tmp_path / "home").mkdir()
    memory = MemoryFileSystem()
    memory.make_directory("home")
    try:
        with RootedFileSystem(str(tmp_path)) as disk:
            pair: list[FileSystem] = [disk, memory]
            if beneath:
                pair = [at_home(disk.restricted_to(b"/home")), at_home(memory.restricted_to(b"/home"))]
            dice = random.Random(seed)
            for number in range(400):
                step, chance = dice.choice(STEPS), dice.random()
                expected, found = (outcome(step, fs, chance) for fs in pair)
                assert found == expected, f"step {number}, {STEPS.index(step)}"
            assert everything(pair[1]) == everything(pair[0])
    finally:
        os.umask(before)


def at_home(fs: Any) -> Any:
    """What is inside a home, by paths that begin there."""
    return fs._inside


# --- the same rule on both ---


@pytest.fixture(params=["disk", "memory"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileSystem]:
    if request.param == "memory":
        yield MemoryFileSystem()
        return
    with RootedFileSystem(str(tmp_path)) as disk:
        yield disk


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda fs: fs.symlink(b"x" * 4096, b"/l"), errno.ENAMETOOLONG),
        (lambda fs: fs.symlink(b"x\0y", b"/l"), errno.EINVAL),
        (lambda fs: fs.symlink(b"", b"/l"), errno.ENOENT),
        (lambda fs: fs.rename(b"/f", b"/", overwrite=False), errno.EEXIST),
        (lambda fs: fs.rename(b"/f", b"/", overwrite=True), errno.EBUSY),
        (lambda fs: fs.rename(b"/", b"/g", overwrite=True), errno.EBUSY),
        (lambda fs: fs.rmdir(b"/"), errno.EBUSY),
        (lambda fs: fs.remove(b"/"), errno.EISDIR),
        (lambda fs: fs.mkdir(b"/", None), errno.EEXIST),
        (lambda fs: fs.setstat(b"/d", Attributes(size=1)), errno.EISDIR),
        (lambda fs: fs.setstat(b"/f", Attributes(size=2**63)), errno.EFBIG),
        (lambda fs: fs.setstat(b"/f", Attributes(size=2**64 - 1)), errno.EFBIG),
        (lambda fs: fs.open(b"/f", int(R | TRUNC), None), errno.EINVAL),
    ],
)
def test_what_cannot_be_is_the_same_error(
    either: FileSystem, call: Callable[[FileSystem], object], expected: int
) -> None:
    write(either, b"/f", int(W | CREAT), b"x")
    either.mkdir(b"/d", None)
    assert errno_of(lambda: call(either)) == expected


def test_an_unknown_owner_is_refused_before_anything_is_changed(either: FileSystem) -> None:
    write(either, b"/f", int(W | CREAT), b"x")
    with pytest.raises(UnsettableError):
        either.setstat(b"/f", Attributes(size=0, owner=b"nobody-of-that-name", group=b"none-of-that-name"))
    assert either.stat(b"/f").size == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_new_owner_takes_the_privileges_of_a_program_away(either: FileSystem) -> None:
    write(either, b"/f", int(W | CREAT), b"x")
    either.setstat(b"/f", Attributes(permissions=0o6755))
    either.setstat(b"/f", Attributes(uid=7, gid=7))
    assert either.stat(b"/f").permissions == 0o100755
    either.setstat(b"/f", Attributes(uid=8, gid=8, permissions=0o4755))
    assert either.stat(b"/f").permissions == 0o104755


def test_an_upload_to_a_directory_that_is_gone_fails(fs: MemoryFileSystem) -> None:
    fs.make_directory("d")
    draft = fs.upload(b"/d/f", int(W | CREAT), Attributes())
    assert draft is not None
    del fs["d"]
    assert errno_of(draft.publish) == errno.ENOENT
    draft.withdraw()
    os.close(draft.fd)


# --- files that are open ---


def test_what_is_open_outlives_its_name(fs: MemoryFileSystem) -> None:
    fs["f"] = b"content"
    fd = fs.open(b"/f", int(R), None)
    del fs["f"]
    fs["f"] = b"other"
    assert os.pread(fd, 100, 0) == b"content"
    assert fs.fstat(fd).link_count == 0
    os.close(fd)
    assert fs["f"] == b"other"


def test_append_goes_to_the_end(fs: MemoryFileSystem) -> None:
    fs["f"] = b"one "
    write(fs, b"/f", int(W | APPEND), b"two")
    assert fs["f"] == b"one two"


def test_descriptors_do_not_pile_up(fs: MemoryFileSystem) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(10_000):
        write(fs, b"/%d" % number, int(W | CREAT), b"x" * 100)
    assert len(os.listdir("/proc/self/fd")) - before < 100
    assert fs["1"] == fs["9999"] == b"x" * 100
    fs.settle()
    assert len(os.listdir("/proc/self/fd")) <= before


def abandon(fs: MemoryFileSystem) -> None:
    draft = fs.upload(b"/f", int(W | CREAT), Attributes())
    assert draft is not None
    os.pwrite(draft.fd, bytes(LARGE), 0)
    draft.withdraw()
    os.close(draft.fd)


def replace(fs: MemoryFileSystem) -> None:
    draft = fs.upload(b"/f", int(W | CREAT | TRUNC), Attributes())
    assert draft is not None
    os.pwrite(draft.fd, bytes(LARGE), 0)
    draft.publish()
    os.close(draft.fd)


def delete(fs: MemoryFileSystem) -> None:
    write(fs, b"/f", int(W | CREAT), bytes(LARGE))
    fs.remove(b"/f")


def delete_while_it_is_open(fs: MemoryFileSystem) -> None:
    fd = fs.open(b"/f", int(W | CREAT), None)
    os.pwrite(fd, bytes(LARGE), 0)
    del fs["f"]
    os.close(fd)


@pytest.mark.parametrize("step", [abandon, replace, delete, delete_while_it_is_open])
def test_what_has_no_name_takes_no_memory(fs: MemoryFileSystem, step: Callable[[MemoryFileSystem], None]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        step(fs)
    assert len(os.listdir("/proc/self/fd")) - before <= 1


@pytest.mark.parametrize("size", [5000, LARGE])
def test_there_may_be_more_files_of_any_kind_than_descriptors(fs: MemoryFileSystem, size: int) -> None:
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 150, hard))
    try:
        for number in range(200):
            fd = fs.open(b"/%d" % number, int(W | CREAT), None)
            os.pwrite(fd, b"%d" % number, size)
            os.close(fd)
            fs.setstat(b"/%d" % number, Attributes(size=2 * size))
            fs["s"] = b""
            fs.setstat(b"/s", Attributes(size=size))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    assert fs["7"] == bytes(size) + b"7" + bytes(size - 1)
    assert fs["s"] == bytes(size)
    found = fs.stat(b"/7")
    assert (found.size, found.allocation_size) == (2 * size, 4096)


def test_a_part_that_is_cleared_leaves_the_rest_alone(fs: MemoryFileSystem) -> None:
    fs["home/f"] = b"theirs"
    fs["f"] = b"mine"
    fd = fs.open(b"/f", int(R), None)
    fs.beneath(b"/home").clear()
    os.close(fd)
    fs.settle()
    assert fs.tree() == {"f": b"mine", "home/": None}


def test_a_hole_takes_no_memory_and_reads_as_zeros(fs: MemoryFileSystem) -> None:
    fd = fs.open(b"/f", int(R | W | CREAT), None)
    os.pwrite(fd, b"end", 1 << 40)
    os.close(fd)
    found = fs.stat(b"/f")
    assert found.size == (1 << 40) + 3
    assert (found.allocation_size or 0) <= 1 << 16
    copy = fs.snapshot()
    fs.clear()
    fs.restore(copy)
    fd = fs.open(b"/f", int(R), None)
    assert os.pread(fd, 5, (1 << 40) - 2) == b"\0\0end"
    os.close(fd)


def test_rights_of_the_owner_count(fs: MemoryFileSystem) -> None:
    fs["d/f"] = b"x"
    fs.set("d/f", mode=0o400)
    assert errno_of(lambda: fs.open(b"/d/f", int(W), None)) == errno.EACCES
    fs.set("d", mode=0o500)
    assert errno_of(lambda: fs.remove(b"/d/f")) == errno.EACCES
    fs.set("d", mode=0o200)
    assert errno_of(lambda: fs.stat(b"/d/f")) == errno.EACCES
    assert errno_of(lambda: fs.opendir(b"/d")) == errno.EACCES


def test_names_and_paths_have_their_usual_limits(fs: MemoryFileSystem) -> None:
    fs.mkdir(b"/" + b"n" * 255, None)
    assert errno_of(lambda: fs.mkdir(b"/" + b"n" * 256, None)) == errno.ENAMETOOLONG
    assert errno_of(lambda: fs.stat(b"/a" * 2048)) == errno.ENAMETOOLONG


def test_a_circle_of_links_is_an_error(fs: MemoryFileSystem) -> None:
    fs.make_link("a", "b")
    fs.make_link("b", "a")
    assert errno_of(lambda: fs.stat(b"/a")) == errno.ELOOP


def test_a_partial_upload_is_continued_by_its_name(fs: MemoryFileSystem) -> None:
    first = fs.upload(b"/f", int(W | CREAT | TRUNC), Attributes(), resumable=True)
    assert first is not None
    os.write(first.fd, b"half")
    assert errno_of(lambda: fs.upload(b"/.libsshd-partial-f", int(W), Attributes(), resumable=True)) == errno.EAGAIN
    first.spared = True
    first.withdraw()
    os.close(first.fd)
    assert "f" not in fs
    second = fs.upload(b"/.libsshd-partial-f", int(W), Attributes(), resumable=True)
    assert second is not None
    os.pwrite(second.fd, b" and half", 4)
    second.publish()
    os.close(second.fd)
    assert fs.tree() == {"f": b"half and half"}


# --- space ---


def test_a_quota_takes_what_fits_and_refuses_the_rest(fs: MemoryFileSystem) -> None:
    fs["old"] = b"x" * 100
    fs.quota = 150
    fd = fs.open(b"/new", int(W | CREAT), None)
    content = fs.content(fd)
    assert content is not None
    assert content.write(memoryview(bytes(80)), 0) == 50
    assert errno_of(lambda: content.write(memoryview(b"x"), 50)) == errno.ENOSPC
    assert errno_of(lambda: fs.fsetstat(fd, Attributes(size=51))) == errno.ENOSPC
    assert content.write(memoryview(b"y"), 3) == 1, "what is there may be written over"
    os.close(fd)
    assert fs.used == 150
    assert fs.statvfs(b"/").f_bavail == 0
    del fs["old"]
    assert fs.statvfs(b"/").f_blocks == 0
    assert fs.used == 50


def test_a_part_shares_the_room_of_the_whole(fs: MemoryFileSystem) -> None:
    fs["other"] = b"x" * 90
    fs.make_directory("home")
    part = fs.beneath(b"/home")
    fs.quota = 100
    fd = part.open(b"/f", int(W | CREAT), None)
    content = part.content(fd)
    assert content is not None
    assert content.write(memoryview(bytes(50)), 0) == 10
    assert part.statvfs(b"/").f_bavail == 0
    os.close(fd)


def test_what_is_open_without_a_name_takes_room(fs: MemoryFileSystem) -> None:
    fs.quota = 100
    draft = fs.upload(b"/f", int(W | CREAT), Attributes())
    assert draft is not None
    content = fs.content(draft.fd)
    assert content is not None
    assert content.write(memoryview(bytes(80)), 0) == 80
    assert content.write(memoryview(bytes(80)), 80) == 20
    draft.withdraw()
    os.close(draft.fd)
    assert fs.used == 0


def test_many_entries_are_listed_in_order_and_once(fs: MemoryFileSystem) -> None:
    fs.fill("d", 100_000)
    names = listing(fs, b"/d")
    assert len(names) == len(set(names)) == 100_002
    assert names[-1] == b"file099999"


# --- what a program sees ---


def test_files_are_there_by_their_paths(fs: MemoryFileSystem) -> None:
    fs["in/a.csv"] = "ä"
    fs[b"/in/b\xff"] = b"b"
    fs.make_directory("out/empty")
    fs.make_link("l", "in/a.csv")
    assert fs.tree() == {"in/a.csv": "ä".encode(), "in/b\udcff": b"b", "l": "-> in/a.csv", "out/empty/": None}
    assert fs["l"] == "ä".encode()
    assert "/in/a.csv" in fs
    assert "in/none" not in fs
    assert "in/a.csv/below" not in fs
    del fs["in"]
    assert fs.tree() == {"l": "-> in/a.csv", "out/empty/": None}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda fs: fs["none"], errno.ENOENT),
        (lambda fs: fs["d"], errno.EISDIR),
        (lambda fs: fs.__setitem__("d", b""), errno.EISDIR),
        (lambda fs: fs.__setitem__("f/below", b""), errno.ENOTDIR),
        (lambda fs: fs.__delitem__("none"), errno.ENOENT),
        (lambda fs: fs.make_link("f", "d"), errno.EEXIST),
    ],
)
def test_what_is_wrong_is_told_as_by_open(
    fs: MemoryFileSystem, call: Callable[[MemoryFileSystem], object], expected: int
) -> None:
    fs.make_directory("d")
    fs["f"] = b""
    assert errno_of(lambda: call(fs)) == expected


def test_a_program_passes_links_and_rights(fs: MemoryFileSystem) -> None:
    fs["d/f"] = b"x"
    fs.set("d", mode=0)
    fs.make_link("l", "d")
    fs.make_link("ahead", "d/new")
    assert "d/f" in fs
    assert fs["l/f"] == b"x"
    fs["l/g"] = b"y"
    fs["ahead"] = b"z"
    assert fs.tree() == {"ahead": "-> d/new", "d/f": b"x", "d/g": b"y", "d/new": b"z", "l": "-> d"}
    assert errno_of(lambda: fs.__setitem__("n" * 256, b"")) == errno.ENAMETOOLONG


def test_a_tree_may_be_as_deep_as_a_path_is_long(fs: MemoryFileSystem) -> None:
    fs["/".join("d" * 2000)] = b"x"
    taken = fs.snapshot()
    del fs["d"]
    assert fs.tree() == {}
    fs.restore(taken)
    assert list(fs.tree().values()) == [b"x"]


def test_attributes_are_set_by_name(fs: MemoryFileSystem) -> None:
    fs["f"] = b"x"
    fs.set("f", mode=0o4600, uid=12, gid=34, atime=1.5, mtime=2)
    found = fs.stat(b"/f")
    assert (found.permissions, found.uid, found.gid) == (0o104600, 12, 34)
    assert (found.atime, found.atime_ns, found.mtime, found.mtime_ns) == (1, 500_000_000, 2, 0)


def test_a_snapshot_is_restored_with_links_times_and_modes(fs: MemoryFileSystem) -> None:
    fs["d/f"] = b"first"
    fs.link(b"/d/f", b"/g")
    fs.set("d/f", mode=0o600, mtime=5)
    taken = fs.snapshot()
    for _ in range(2):
        fs["g"] = b"second"
        fs["new"] = b""
        fs.restore(taken)
        assert fs.tree() == {"d/f": b"first", "g": b"first"}
        found = fs.stat(b"/g")
        assert (found.link_count, found.permissions, found.mtime) == (2, 0o100600, 5)
    fs["g"] = b"both"
    assert fs["d/f"] == b"both"


def test_who_has_a_file_open_keeps_it_when_the_tree_is_another(fs: MemoryFileSystem) -> None:
    fs["f"] = b"first"
    taken = fs.snapshot()
    fd = fs.open(b"/f", int(R | W), None)
    fs.restore(taken)
    os.pwrite(fd, b"FIRST", 0)
    assert os.pread(fd, 9, 0) == b"FIRST"
    assert fs["f"] == b"first"
    assert fs.fstat(fd).size == 5
    os.close(fd)


def test_what_is_produced_is_made_when_it_is_read(fs: MemoryFileSystem) -> None:
    asked: list[tuple[int, int]] = []

    def produce(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return b"\x07" * length

    size = 100 * 2**30
    fs.produce("big", size, produce)
    assert fs.stat(b"/big").size == size
    fd = fs.open(b"/big", int(R), None)
    content = fs.content(fd)
    assert content is not None
    assert content.read(100, size - 10) == b"\x07" * 10
    assert content.read(100, size) == b""
    assert asked == [(size - 10, 10)]
    assert fs.fstat(fd).size == size
    os.close(fd)
    fs["big"] = b"in a memfd"
    os.close(fs.open(b"/big", int(R), None))
    fs.produce("big", size, produce)
    fd = fs.open(b"/big", int(R), None)
    assert os.fstat(fd).st_size == size
    os.close(fd)
    copy = fs.snapshot()
    fs["big"] = b"small"
    assert fs["big"] == b"small"
    fs.restore(copy)
    assert fs.stat(b"/big").size == size


def test_threads_may_share_it(fs: MemoryFileSystem) -> None:
    def work(number: int) -> None:
        for step in range(200):
            path = b"/%d-%d" % (number, step)
            write(fs, path, int(W | CREAT), path)
            fs.rename(path, path + b"x", overwrite=False)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fs.tree()) == 800
    assert fs["3-199x"] == b"/3-199"


@pytest.fixture(autouse=True)
def nothing_stays_open(request: pytest.FixtureRequest) -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    made = request.node.funcargs.get("fs")
    if made is not None:
        made.clear()
        assert len(os.listdir("/proc/self/fd")) <= before
