"""Class 11: no path and no link changes or shows what is outside the root.

Every hostile path meets every operation, normalised as the server would pass it and raw, by openat2 and by the walk.
"""

import errno
import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from libsshd.constants import OpenFlags
from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire import messages as m
from libsshd.wire.messages import Attributes

from .asking import Asker, served, traces
from .forms import FORMS, Form, values_of

SECRET = b"outside: nobody may read this" * 200  # of a size that neither a link nor an empty directory has
ONLY_OUTSIDE, TARGET_OUTSIDE = b"a-name-found-nowhere-else", b"a-target-found-nowhere-else"
TRACES = traces(SECRET, ONLY_OUTSIDE, TARGET_OUTSIDE)
BATCH = 80  # requests between which the stage is put in order
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
            (place / ONLY_OUTSIDE.decode()).symlink_to(TARGET_OUTSIDE.decode())
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


PARTS: dict[str, list[bytes]] = {
    "inside": [b"plain", b"deep", b"file", b"new"],
    "outside": [b"secret", b"dir", b"outside", b"root10", b"root1"],
    "climbing": [b"..", b"..", b".", b"", b"...", b". .", b".. ", b" ..", b"..;", b"..\t", b"..\n"],
    "backslash": [b"..\\..", b"\\", b"\\..", b"..\\..\\outside", b"C:\\"],
    "percent": [b"%2e%2e", b"..%2f..", b"%2f", b"%252e%252e", b"%c0%ae%c0%ae", b"%00", b"%u002e"],
    "overlong": [b"\xc0\xae\xc0\xae", b"\xe0\x80\xae\xe0\x80\xae", b"..\xc0\xaf..", b"\xf0\x80\x80\xae"],
    "invalid": [b"\xff", b"..\xff", b"\xed\xa0\x80", b"\xfe..", b"\x80"],
    "alike": [
        text.encode() for text in ("\uff0e\uff0e", "\u2024\u2024", "\u2025", "..\uff0f..", "\u2215", "\u202e..")
    ],
    "composed": [text.encode() for text in ("e\u0301", "\xe9", "..\u0301", "\u200b..", "\ufeff..", "\u212b")],
    "control": [b"\n", b"\r", b"\x1b[2J", b"\x7f", b"*", b"~", b"~root", b"$HOME", b"-rf", b"|id", b"`id`"],
    "nul": [b"\0", b"..\0", b"file\0", b"\0/.."],
    "long": [b"n" * 255, b"n" * 256, b"\xc3\xa9" * 127, b"../" * 1364, b"./" * 2047],
    "special": [b"proc/self/root", b"proc/self/cwd", b"dev/fd/0", b"dev/stdin", b"proc/self/fd/3", b"etc/passwd"],
}
"""What has fooled servers, to be put together."""


def hostile_paths(stage: Stage) -> list[bytes]:
    """2,000 paths: literal ones and random compositions of links and PARTS."""
    base = os.fsencode(stage.base)
    links = [os.fsencode(name) for name in stage.links()]
    parts = [*links, *itertools.chain(*PARTS.values())]
    literal = [
        *(b"/" + link + rest for link in links for rest in (b"", b"/", b"/secret", b"/dir/deep", b"/new", b"/..")),
        *(b"/" + part + rest for part in parts for rest in (b"/../outside/secret", b"/")),
        *(b"../" * n + base.lstrip(b"/") + b"/outside/secret" for n in range(1, 30)),
        *(base + rest for rest in (b"/outside/secret", b"/root10/secret", b"0/secret", b"/root1/plain")),
        b"/..", b"/../outside", b"/../root10/secret", b"/plain/../../outside/secret", b"//", b"///..//outside",
        b"/plain/deep/../../../outside", b"/..\\outside", b"/\\..\\..\\outside", b"/plain\\..\\..\\outside",
        b"\\\\host\\share", b"/\xff" * 50, b"/plain/file\0/../../../outside", b"/plain/\0",
        b"/" + b"n/" * 2046, b"/" + b"n/" * 2047 + b"n", b"/" + b"/" * 5000, b"/" + b"./" * 3000 + b"..",
        b"/proc/self/cwd/..", b"", b".", b"..", b"/.", b"/...",
        b"/plain/file/", b"/plain/file/..", b"/plain/file/../../outside", b"/plain/missing/../../../outside",
    ]  # fmt: skip
    rng = random.Random(2)
    made = (
        rng.choice([b"/", b"", b"//"]) + b"/".join(rng.choices(parts, k=rng.randint(1, 7))) for _ in itertools.count()
    )
    found = dict.fromkeys(literal)
    while len(found) < 2000:
        found[next(made)] = None
    return list(found)


@pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_path_leads_out_as_it_is(stage: Stage, operation: str, walk: bool) -> None:
    before = stage.snapshot()
    call = OPERATIONS[operation]
    answers: list[object] = []
    with RootedFileSystem(str(stage.root), walk=walk) as fs:
        for number, path in enumerate(hostile_paths(stage)):
            try:
                answers.append(call(fs, path))
            except OSError as error:
                assert error.errno not in (errno.EBADF, errno.EFAULT, errno.EXDEV), path
                assert os.fsencode(stage.base) not in str(error).encode()
            if number % 250 == 249:
                stage.build()  # removing and renaming have worn the links down
    assert stage.snapshot() == before
    assert SECRET not in answers
    assert not any(b"secret" in names for names in answers if isinstance(names, list))
    assert not any(answer.size == len(SECRET) for answer in answers if isinstance(answer, Attributes))


@pytest.fixture(scope="module", params=[False, True], ids=["openat2", "walk"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Asker]]:
    """A stage and the server that shows its root."""
    stage = Stage(tmp_path_factory.mktemp("stage"))
    with served(stage.root, walk=request.param) as asker:
        yield stage, asker
    stage.close()


@pytest.mark.parametrize("form", FORMS.values(), ids=str)
def test_no_path_leads_out(server: tuple[Stage, Asker], form: Form) -> None:
    stage, asker = server
    attack(stage, asker, form, hostile_paths(stage))


UPLOADS = [form for form in FORMS.values() if form.kind in (m.Open, m.CopyFile) and form.changes]


@pytest.mark.parametrize(("walk", "mode"), [(False, "atomic"), (True, "atomic-keep")], ids=["openat2", "walk"])
def test_no_path_of_an_upload_leads_out(stage: Stage, mode: str, walk: bool) -> None:
    """Neither that of its temporary nor the one that it gets in the end."""
    with served(stage.root, "--upload-mode", mode, walk=walk) as asker:
        for form in UPLOADS:
            attack(stage, asker, form, hostile_paths(stage)[::4])


def attack(stage: Stage, asker: Asker, form: Form, hostile: list[bytes]) -> None:
    """Has the request meet every path."""
    stage.build()
    before = stage.snapshot()
    for paths in batches(hostile, BATCH):
        requests = [request for path in paths for request in (form(path), *form.afterwards)]
        for answer in asker.explore(requests, form.version):
            assert not [trace for trace in TRACES if trace in answer], paths
            assert form.kind is m.Readlink or not tells_the_root(stage, answer, paths), answer
        if form.changes:
            stage.build()  # removing and renaming have worn the links down
    assert stage.snapshot() == before


def tells_the_root(stage: Stage, answer: bytes, paths: list[bytes]) -> bool:
    """Whether the reply names the place that nobody told the server of."""
    base = os.fsencode(stage.base)
    return base in answer and not any(base.strip(b"/") in path for path in paths)


def batches(paths: list[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(paths), size):
        yield paths[start : start + size]


def test_the_traces_are_seen_when_the_server_does_look_outside(stage: Stage) -> None:
    with served(stage.base) as asker:
        for kind in (m.Open, m.Stat, m.Md5Hash, m.CheckFileName):
            (answer, *more) = asker.explore([kind(**values_of(kind, path=b"/outside/secret"))])
            assert any(trace in each for trace in TRACES for each in (answer, *more)), kind
        assert any(ONLY_OUTSIDE in answer for answer in asker.explore([m.Opendir(0, b"/outside")]))
        assert TARGET_OUTSIDE in asker.ask([m.Readlink(0, b"/outside/" + ONLY_OUTSIDE)])[0]


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
