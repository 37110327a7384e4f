"""Classes 11 to 13: no path and no link changes or shows what is outside the root, or tells it from missing.

Every hostile path meets every operation, normalised as the server would pass it and raw, by openat2 and by the walk.
"""

import errno
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from libsshd.constants import OpenFlags
from libsshd.fs.base import normalise
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire.messages import Attributes

SECRET = b"outside: nobody may read this" * 200  # of a size that neither a link nor an empty directory has
Operation = Callable[[RootedFileSystem, bytes], object]


def read_file(fs: RootedFileSystem, path: bytes) -> bytes:
    fd = fs.open(path, OpenFlags.READ, None)
    try:
        return os.read(fd, 10_000)
    finally:
        os.close(fd)


def write_file(fs: RootedFileSystem, path: bytes) -> None:
    fd = fs.open(path, OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.TRUNC, None)
    try:
        os.write(fd, b"overwritten")
    finally:
        os.close(fd)


def list_names(fs: RootedFileSystem, path: bytes) -> list[bytes]:
    directory = fs.opendir(path)
    try:
        return sorted(entry.name for batch in iter(lambda: directory.read(100), []) for entry in batch)
    finally:
        directory.close()


CHANGE = Attributes(permissions=0o777, atime=1, mtime=1)
TRUNCATION = Attributes(size=0)

OPERATIONS: dict[str, Operation] = {
    "read": read_file,
    "write": write_file,
    "create": lambda fs, p: os.close(fs.open(p, OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.EXCL, None)),
    "opendir": list_names,
    "stat": lambda fs, p: fs.stat(p),
    "lstat": lambda fs, p: fs.lstat(p),
    "setstat": lambda fs, p: fs.setstat(p, CHANGE),
    "truncate": lambda fs, p: fs.setstat(p, TRUNCATION),
    "lsetstat": lambda fs, p: fs.lsetstat(p, CHANGE),
    "statvfs": lambda fs, p: fs.statvfs(p).f_namemax,
    "readlink": lambda fs, p: fs.readlink(p),
    "realpath": lambda fs, p: fs.realpath(p),
    "mkdir": lambda fs, p: fs.mkdir(p, None),
    "rmdir": lambda fs, p: fs.rmdir(p),
    "remove": lambda fs, p: fs.remove(p),
    "symlink": lambda fs, p: fs.symlink(b"/target", p),
    "link from": lambda fs, p: fs.link(p, b"/plain/linked"),
    "link to": lambda fs, p: fs.link(b"/plain/file", p),
    "rename from": lambda fs, p: fs.rename(p, b"/plain/renamed", overwrite=False),
    "rename to": lambda fs, p: fs.rename(b"/plain/other", p, overwrite=False),
    "replace from": lambda fs, p: fs.rename(p, b"/plain/replaced", overwrite=True),
    "replace to": lambda fs, p: fs.rename(b"/plain/other", p, overwrite=True),
}


class Stage:
    """A root among neighbours: one whose name begins alike, one that is a secret, and links to all of them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "root1"
        self.outside = [base / "root10", base / "outside"]
        for place in self.outside:
            (place / "dir").mkdir(parents=True)
            (place / "secret").write_bytes(SECRET)
            (place / "dir" / "deep").write_bytes(SECRET)
            (place / "empty").mkdir()
        self.fds = [os.open(place, os.O_RDONLY) for place in self.outside]
        self.build()

    def build_plain(self) -> None:
        (self.root / "plain" / "deep" / "deeper").mkdir(parents=True, exist_ok=True)
        for name in ("file", "other"):
            (self.root / "plain" / name).write_bytes(b"inside")

    def build(self) -> None:
        """Puts back what is missing and takes away what is new; making all of it anew would take most of the time."""
        links = self.links()
        self.clear(lambda path: path.is_symlink() and os.readlink(path) == links.get(path.name))
        self.build_plain()
        for name, target in links.items():
            if not (self.root / name).is_symlink():
                (self.root / name).symlink_to(target)

    def clear(self, keep: Callable[[Path], bool] = lambda path: False) -> None:
        self.root.mkdir(exist_ok=True)
        for path in self.root.iterdir():
            if keep(path):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def links(self) -> dict[str, str]:
        base = str(self.base)
        chain = {f"chain{n}": f"chain{n - 1}" for n in range(1, 45)} | {"chain0": f"{base}/outside"}
        return chain | {
            "absolute": f"{base}/outside",
            "neighbour": f"{base}/root10",
            "relative": "../outside",
            "climbing": "../" * 40 + base.lstrip("/") + "/outside",
            "through": "plain/deep/../../../outside",
            "twice": "absolute/../relative",
            "file": f"{base}/outside/secret",
            "dangling": f"{base}/outside/new",
            "parent": "..",
            "dots": "plain/../..",
            "top": "/",
            "loop": "loop",
            "loop2": "loop3/x",
            "loop3": "loop2",
            "magic": f"/proc/self/fd/{self.fds[1]}",
            "magic2": f"/proc/{os.getpid()}/root{base}/outside",
            "cwd": "/proc/self/cwd",
            "long": "../" * 1300 + "etc",
        }

    def snapshot(self) -> list[tuple[object, ...]]:
        """All there is outside, except when it was read last."""
        found: list[tuple[object, ...]] = []
        for path in sorted(itertools.chain(*(place.rglob("*") for place in self.outside), self.outside)):
            s = path.lstat()
            data = path.read_bytes() if path.is_file() else b""
            found.append((str(path), s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_mtime_ns, s.st_ctime_ns, data))
        return found

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def hostile_paths(stage: Stage) -> list[bytes]:
    """2,000 paths: literal ones and random compositions of the parts that have fooled servers."""
    base = os.fsencode(stage.base)
    links = [os.fsencode(name) for name in stage.links()]
    literal = [
        *(b"/" + link + rest for link in links for rest in (b"", b"/", b"/secret", b"/dir/deep", b"/new", b"/..")),
        *(b"../" * n + base.lstrip(b"/") + b"/outside/secret" for n in range(1, 30)),
        *(base + rest for rest in (b"/outside/secret", b"/root10/secret", b"0/secret", b"/root1/plain")),
        b"/..", b"/../outside", b"/../root10/secret", b"/plain/../../outside/secret", b"//", b"///..//outside",
        b"/plain/deep/../../../outside", b"/..\\outside", b"/\\..\\..\\outside", b"/plain\\..\\..\\outside",
        b"\\\\host\\share",
        b"/%2e%2e/outside", b"/\xc0\xae\xc0\xae/outside", b"/\xe2\x80\xae", b"/..\xff/outside", b"/\xff" * 50,
        b"/..\0", b"/plain/file\0/../../../outside", b"\0", b"/plain/\0", b"/" + b"n" * 255, b"/" + b"n" * 256,
        b"/" + b"n/" * 2046, b"/" + b"../" * 1364 + b"etc", b"/" + b"/" * 5000, b"/" + b"./" * 3000 + b"..",
        b"/proc/self/root", b"/proc/self/cwd/..", b"/dev/stdin", b"/dev/fd/0", b"", b".", b"..", b"/.", b"/...",
        b"~", b"~root",
        b"-rf", b"/plain/file/", b"/plain/file/..", b"/plain/file/../../outside", b"/plain/missing/../../../outside",
    ]  # fmt: skip
    parts = [*links, b"plain", b"deep", b"file", b"secret", b"dir", b"new", b"outside", b"root10", b"..", b"..", b".",
             b"", b"\xff", b"..\\..", b"..;", b". .", b".. ", b"...", b"\n", b"*"]  # fmt: skip
    rng = random.Random(2)
    made = (
        rng.choice([b"/", b"", b"//"]) + b"/".join(rng.choices(parts, k=rng.randint(1, 7))) for _ in itertools.count()
    )
    return [*literal, *itertools.islice(made, 2000 - len(literal))]


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_path_leads_out(stage: Stage, operation: str, walk: bool) -> None:
    before = stage.snapshot()
    call = OPERATIONS[operation]
    answers: list[object] = []
    with RootedFileSystem(str(stage.root), walk=walk) as fs:
        for number, path in enumerate(hostile_paths(stage)):
            for form in (normalise, bytes):
                try:
                    answers.append(call(fs, form(path)))
                except OSError as error:
                    assert error.errno not in (errno.EBADF, errno.EFAULT, errno.EXDEV), path
                    assert os.fsencode(stage.base) not in str(error).encode()
            if number % 250 == 249:
                stage.build()  # removing and renaming have worn the links down
    assert stage.snapshot() == before
    assert SECRET not in answers
    assert not any(b"secret" in names for names in answers if isinstance(names, list))
    assert not any(answer.size == len(SECRET) for answer in answers if isinstance(answer, Attributes))


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except OSError as error:
        return error.errno


EXISTING_AND_MISSING = [
    ("outside", "nowhere"),
    ("outside/secret", "outside/nothing"),
    ("outside/dir", "outside/nothing"),
    ("outside/dir/deep", "nowhere/dir/deep"),
    ("root10/secret", "root11/secret"),
]


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_exists_outside_answers_like_what_does_not(stage: Stage, operation: str, walk: bool) -> None:
    def answers(target: str) -> Iterator[object]:
        for path in (b"/probe", b"/probe/x", normalise(os.fsencode(target))):
            stage.clear()
            stage.build_plain()
            (stage.root / "probe").symlink_to(target)
            yield comparable(operation, outcome(partial(OPERATIONS[operation], fs, path)))

    with RootedFileSystem(str(stage.root), walk=walk) as fs:
        for existing, missing in EXISTING_AND_MISSING:
            for pattern in (
                "{base}/{name}",
                "../{name}",
                "../" * 40 + "{base}/{name}",
                "plain/deep/../../../{name}",
            ):
                first, second = (
                    list(answers(pattern.format(base=stage.base, name=name))) for name in (existing, missing)
                )
                assert first == second, (existing, pattern)


def comparable(operation: str, answer: object) -> object:
    """What of an answer may not depend on the world outside: all but the link's own inode, dates and text."""
    if isinstance(answer, Attributes):
        return (answer.file_type, answer.permissions, answer.link_count)
    return "text" if operation in ("readlink", "realpath") and isinstance(answer, bytes) else answer


def test_the_stage_is_hostile(stage: Stage) -> None:
    """Without a root to stop them, many of these paths do lead out."""
    led_out = 0
    for path in hostile_paths(stage):
        try:
            with open(os.fsencode(stage.root) + b"/" + path, "rb") as file:
                led_out += file.read() == SECRET
        except (OSError, ValueError):
            pass
    assert led_out > 50
    assert len(hostile_paths(stage)) == 2000
