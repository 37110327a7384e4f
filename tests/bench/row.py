"""What is measured with time: one class per kind of work, and the table of all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .client import CHACHA, GCM, Job
from .workspace import BenchError, Workspace, digest, discard, tree_digest

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Amount:
    """How much of everything; `mib` is the size of the large file for the server at hand."""

    mib: int
    files: int
    entries: int
    logins: int


class Work(Protocol):
    """A piece of work for one or several clients."""

    at_once: int

    def jobs(self, place: Workspace, amount: Amount) -> list[Job]:
        """Fresh jobs; makes the files they need."""

    def rehearsal(self, place: Workspace, amount: Amount) -> list[Job]:
        """Jobs of a round that is not measured but checked, when the measured ones leave nothing behind."""
        return []

    def check(self, place: Workspace, amount: Amount, jobs: list[Job]) -> None:
        """Compare what arrived with what was sent. Raises BenchError when they differ."""

    def clean(self, place: Workspace, jobs: list[Job]) -> None:
        """Remove what arrived."""


def require(same: bool, what: str) -> None:
    if not same:
        raise BenchError(f"{what} is not what was sent")


class Get(Work):
    """To /dev/null: writing a file of 1 GiB costs the client more than the server needs to send it."""

    at_once = 1

    def jobs(self, place: Workspace, amount: Amount) -> list[Job]:
        return [Job(f"get {place.big(amount.mib).name} /dev/null\n")]

    def rehearsal(self, place: Workspace, amount: Amount) -> list[Job]:
        return [Job(f"get {place.big(amount.mib).name} arrived.bin\n")]

    def check(self, place: Workspace, amount: Amount, jobs: list[Job]) -> None:
        require(digest(place.local / "arrived.bin") == digest(place.big(amount.mib)), "the downloaded file")

    def clean(self, place: Workspace, jobs: list[Job]) -> None:
        discard(place.local / "arrived.bin")


class Put(Work):
    at_once = 1

    def jobs(self, place: Workspace, amount: Amount) -> list[Job]:
        return [Job(f"put {place.big(amount.mib)} arrived.bin\n")]

    def check(self, place: Workspace, amount: Amount, jobs: list[Job]) -> None:
        require(digest(place.root / "arrived.bin") == digest(place.big(amount.mib)), "the uploaded file")

    def clean(self, place: Workspace, jobs: list[Job]) -> None:
        discard(place.root / "arrived.bin")


@dataclass
class GetTree(Work):
    at_once: int

    def jobs(self, place: Workspace, amount: Amount) -> list[Job]:
        source = place.small(amount.files).name
        return [Job(f"get -r {source} tree-{n}\n") for n in range(self.at_once)]

    def check(self, place: Workspace, amount: Amount, jobs: list[Job]) -> None:
        check_trees(place.small(amount.files), place.local, len(jobs))

    def clean(self, place: Workspace, jobs: list[Job]) -> None:
        for n in range(len(jobs)):
            discard(place.local / f"tree-{n}")


@dataclass
class PutTree(Work):
    at_once: int

    def jobs(self, place: Workspace, amount: Amount) -> list[Job]:
        source = place.small(amount.files)
        return [Job(f"put -r {source} tree-{n}\n") for n in range(self.at_once)]

    def check(self, place: Workspace, amount: Amount, jobs: list[Job]) -> None:
        check_trees(place.small(amount.files), place.root, len(jobs))

    def clean(self, place: Workspace, jobs: list[Job]) -> None:
        for n in range(len(jobs)):
            discard(place.root / f"tree-{n}")


def check_trees(source: Path, target: Path, count: int) -> None:
    sent = tree_digest(source)
    for n in range(count):
        require(tree_digest(target / f"tree-{n}") == sent, f"tree {n}")


class List(Work):
    at_once = 1

    def jobs(self, place: Workspace, amount: Amount) -> list[Job]:
        return [Job(f"ls -l {place.many(amount.entries).name}\n")]

    def check(self, place: Workspace, amount: Amount, jobs: list[Job]) -> None:
        lines = jobs[0].output.splitlines()
        listed = sorted(line.replace("/", " ").split(" ")[-1] for line in lines if line.startswith("-"))
        require(listed == sorted(path.name for path in place.many(amount.entries).iterdir()), "the listing")

    def clean(self, place: Workspace, jobs: list[Job]) -> None:
        return


class Login(Work):
    at_once = 16

    def jobs(self, place: Workspace, amount: Amount) -> list[Job]:
        return [Job("pwd\n") for _ in range(amount.logins)]

    def check(self, place: Workspace, amount: Amount, jobs: list[Job]) -> None:
        answered = sum("Remote working directory: /" in job.output for job in jobs)
        require(answered == amount.logins, "the answer to a login")

    def clean(self, place: Workspace, jobs: list[Job]) -> None:
        return


@dataclass(frozen=True)
class Row:
    """`large` rows move the large file, whose size may be smaller for slow peers. In a `watched` row libsshd is the
    component with a handler of FileRead that does nothing, so that every READ passes through Python.
    """

    name: str
    title: str
    work: Work
    cipher: str = GCM
    large: bool = False
    watched: bool = False


@dataclass(frozen=True)
class MemoryRow:
    """Sessions that are held open; each moves `moved_mib` MiB down and as many up before it falls idle."""

    name: str
    title: str
    moved_mib: int


ROWS: tuple[Row, ...] = (
    Row("get-1g-gcm", "GET 1 GiB, AES-128-GCM", Get(), GCM, large=True),
    Row("put-1g-gcm", "PUT 1 GiB, AES-128-GCM", Put(), GCM, large=True),
    Row("get-1g-chacha", "GET 1 GiB, ChaCha20-Poly1305", Get(), CHACHA, large=True),
    Row("put-1g-chacha", "PUT 1 GiB, ChaCha20-Poly1305", Put(), CHACHA, large=True),
    Row("get-1g-watched", "GET 1 GiB, READ watched by an empty handler", Get(), GCM, large=True, watched=True),
    Row("get-small", "GET 2,000 files of 4 KiB", GetTree(1)),
    Row("put-small", "PUT 2,000 files of 4 KiB", PutTree(1)),
    Row("get-small-8", "GET 8 x 2,000 files, 8 clients", GetTree(8)),
    Row("put-small-8", "PUT 8 x 2,000 files, 8 clients", PutTree(8)),
    Row("ls-10k", "ls -l of 10,000 entries", List()),
    Row("login-16", "64 logins, 16 at once", Login()),
)
MEMORY_ROWS: tuple[MemoryRow, ...] = (
    MemoryRow("idle", "Idle session", 0),
    MemoryRow("idle-moved", "Idle after 100 MiB moved", 50),
)
TITLES = {row.name: row.title for row in ROWS} | {row.name: row.title for row in MEMORY_ROWS}
