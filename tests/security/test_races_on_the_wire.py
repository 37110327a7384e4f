"""Class 12, request by request: what a client asks for never reaches what lies outside, whoever changes the tree.

Every request that names something is raced, by the table of requests: by another process that exchanges names, and
by another client that moves directories and makes links with requests of its own; by openat2 and by the walk; with a
root, and with a home that may not be left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire import messages as m
from tests.conftest import Rounds
from tests.support.command import wait_until
from tests.support.rawsftp import CREAT, WRITE
from tests.wire.client_encoding import encode, encode_init, frame

from .asking import Asker, in_process, served, sftp_server, succeeded, traces
from .forms import FORMS, IMPLIED, WRITE_ACCESS, Form, values_of
from .test_races import DEADLINE, SWAPPER, Arena, exchange_works, racing

SECRET = b"outside: nobody may read this" * 200
ONLY_OUTSIDE = b"a-name-found-nowhere-else"
TRACES = traces(SECRET, ONLY_OUTSIDE)

# Sends the same requests to a server again and again until its input ends; what it answers is not looked at.
RIVAL = """
import os, select, subprocess, sys, threading
hello, requests = open(sys.argv[1], "rb").read(9), open(sys.argv[1], "rb").read()[9:]
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
server.stdin.write(hello)
os.read(server.stdout.fileno(), 65536)
threading.Thread(target=lambda: all(iter(lambda: os.read(server.stdout.fileno(), 65536), b"")), daemon=True).start()
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    server.stdin.write(requests)
server.stdin.close()
server.wait()
"""


class Place(Arena):
    """As before, with a file, and a folder for temporary ones, that change places with links too."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.start = b""
        (self.outside / "file").write_bytes(SECRET)
        (self.outside / ONLY_OUTSIDE.decode()).touch()
        (self.outside / "sub").mkdir()
        (self.root / "plain").mkdir()
        (self.root / "tmp").mkdir()
        (self.root / "area" / "final").write_bytes(b"inside")
        for name, target in (("area/final", self.outside / "file"), ("tmp", self.outside)):
            (self.root / f"{name}.link").symlink_to(target)

    def swapped(self) -> AbstractContextManager[None]:
        """By another process."""
        pairs = "area/dir area/link area/dir area/relative deep/a flat area/final area/final.link tmp tmp.link"
        return racing(SWAPPER, *map(self.root.joinpath, pairs.split()))

    def rivalled(self) -> AbstractContextManager[None]:
        """By another client."""
        script = self.base / "rival"
        cycle = b"".join(frame(encode(request)) for request in self._requests())
        script.write_bytes(frame(encode_init(3)) + cycle * 20)
        return racing(RIVAL, script, *map(Path, sftp_server(self.root)))

    def _requests(self) -> Iterator[Any]:
        targets = (str(self.outside), "../../outside")
        links = [("area/dir", target) for target in targets]
        links += [("area/final", f"{targets[0]}/file"), ("tmp", targets[0])]
        for name, target in links:
            path, kept = f"/{name}".encode(), f"/{name}.kept".encode()
            yield m.PosixRename(0, path, kept)
            yield m.Symlink(0, target.encode(), path)
            yield m.Remove(0, path)
            yield m.PosixRename(0, kept, path)
        yield m.PosixRename(0, b"/deep/a", b"/flat/a")
        yield m.PosixRename(0, b"/flat/a", b"/deep/a")


Swapping = Callable[[Place], AbstractContextManager[None]]
SWAPPERS: dict[str, Swapping] = {"outside the session": Place.swapped, "inside it": Place.rivalled}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    if not exchange_works(tmp_path):
        pytest.skip("this file system cannot exchange names")
    return Place(tmp_path)


# --- what is asked ---

NEW_NAMES = {
    (m.Mkdir, "path"), (m.Rename, "new_path"), (m.PosixRename, "new_path"), (m.Hardlink, "new_path"),
    (m.CopyFile, "new_path"), (m.Symlink, "link_path"),
}  # fmt: skip
LEAVES: dict[type, bytes] = {m.Opendir: b"", m.Rmdir: b"/sub", m.Readlink: b"/file.link"}
DIRECTORIES = (b"area/dir", b"area/link", b"area/relative", b"up")


def make(path: bytes) -> m.Open:
    return m.Open(**values_of(m.Open, path=path, flags=WRITE | CREAT, desired_access=WRITE_ACCESS))


def steps(form: Form, path: bytes) -> list[Any]:
    """The request, between those that make it possible and undo it. Each is tried, whatever came before."""
    if is_new(form):
        return [make(b"plain/file"), form(path), m.Remove(0, path), m.Rmdir(0, path)]
    before = m.Mkdir(**values_of(m.Mkdir, path=path)) if form.kind is m.Rmdir else make(path)
    return [before, form(path), *form.afterwards]


def is_new(form: Form) -> bool:
    """The path is to be free."""
    return (form.kind, form.field) in NEW_NAMES or form.name == "open path to make"


def paths_of(form: Form) -> list[bytes]:
    leaf = b"/new" if is_new(form) else LEAVES.get(form.kind, b"/file")
    final = [b"area/final"] if leaf == b"/file" else []
    return [directory + leaf for directory in DIRECTORIES] + final


RACED = [form for form in FORMS.values() if form.field != "user"] + IMPLIED


def race(asker: Asker, form: Form, start: bytes) -> int:
    """One attempt for each path; how many succeeded."""
    attempts = [steps(form, start + path) for path in paths_of(form)]
    requests = list(chain.from_iterable(attempts))
    answers = asker.explore(requests, form.version)
    for answer in answers:
        assert not [trace for trace in TRACES if trace in answer], form
    raced = {id(attempt[1]) for attempt in attempts}
    return sum(succeeded(answer) for request, answer in zip(requests, answers, strict=False) if id(request) in raced)


def run(
    place: Place, swapping: Swapping, serving: AbstractContextManager[Asker], forms: list[Form], times: int
) -> None:
    before = place.snapshot()
    with serving as asker, swapping(place):
        for form in forms:
            attempt = partial(race, asker, form, place.start)
            won = sum(attempt() for _ in range(times))
            if not won:  # a race in which the request can never do its work is not the one that was meant
                wait_until(lambda a=attempt: a() > 0, f"{form} succeeds")  # type: ignore[misc]
            assert place.snapshot() == before, form


Door = Callable[..., AbstractContextManager[Asker]]


def root_door(place: Place, *, walk: bool, mode: str = "direct") -> AbstractContextManager[Asker]:
    place.start = b"/"  # C opens what is absolute by itself
    return served(place.root, "--upload-mode", mode, walk=walk)


@contextmanager
def home_door(place: Place, *, walk: bool, mode: str = "direct") -> Iterator[Asker]:
    """Sessions whose root is above, of which they may use the home alone."""
    with RootedFileSystem(os.fsencode(place.base), walk=walk) as fs:
        inside = fs.restricted_to(b"/root")
        with in_process(inside, home="/root", upload_mode=mode) as asker:
            yield asker
        inside.close()


by_walk = pytest.mark.parametrize("walk", [False, True], ids=["openat2", "walk"])
by_door = pytest.mark.parametrize("door", [root_door, home_door], ids=["a root", "a home"])
by_swapper = pytest.mark.parametrize("swapping", SWAPPERS.values(), ids=list(SWAPPERS))


@pytest.mark.rounds
@by_walk
@by_door
@by_swapper
def test_no_request_is_led_out(place: Place, swapping: Swapping, door: Door, walk: bool, rounds: Rounds) -> None:
    run(place, swapping, door(place, walk=walk), RACED, rounds(8, 5000))


@pytest.mark.rounds
@pytest.mark.parametrize(("walk", "mode"), [(False, "atomic"), (True, "atomic-keep")], ids=["openat2", "walk"])
@by_door
@by_swapper
def test_no_upload_is_led_out(
    place: Place, swapping: Swapping, door: Door, walk: bool, mode: str, rounds: Rounds
) -> None:
    """With its temporary, and the name that it gets in the end."""
    uploads = [form for form in RACED if form.kind in (m.Open, m.CopyFile)]
    run(place, swapping, door(place, walk=walk, mode=mode), uploads, rounds(2, 500))


@by_swapper
def test_resolving_by_text_would_lose_these_races(place: Place, swapping: Swapping) -> None:
    root = os.path.realpath(place.root)
    end = time.monotonic() + DEADLINE
    escaped = False
    with swapping(place):
        while not escaped:
            assert time.monotonic() < end
            with suppress(OSError):
                real = os.path.realpath(f"{root}/area/dir/file")
                if real.startswith(root + "/"):
                    escaped = Path(real).read_bytes() == SECRET
