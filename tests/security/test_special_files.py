"""Class 19: what is no regular file answers at once, is never read, written or waited for, and is left as it was."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.wire import messages as m
from tests.conftest import Rounds
from tests.support.command import wait_until
from tests.support.rawsftp import APPEND, CREAT, EXCL, READ, WRITE, PipeStream, RawSFTP, Type

from .asking import Asker, in_process, sftp_server, succeeded, traces
from .forms import FORMS, READ_ACCESS, WRITE_ACCESS, Form, values_of
from .test_races import SWAPPER, exchange_works, racing

NULL, ZERO, FULL = (1, 3), (1, 5), (1, 7)
DEVICES = {"null": (stat.S_IFCHR, NULL), "zero": (stat.S_IFCHR, ZERO), "full": (stat.S_IFCHR, FULL),
           "disk": (stat.S_IFBLK, (7, 200))}  # fmt: skip


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # their names are short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def device(name: str) -> Callable[[Path], None]:
    kind, numbers = DEVICES[name]

    def make(path: Path) -> None:
        try:
            os.mknod(path, kind | 0o666, os.makedev(*numbers))
            if kind == stat.S_IFCHR:
                path.open("rb").close()
        except PermissionError:
            pytest.skip("device nodes are made by root alone, where the file system takes them")

    return make


KINDS: dict[str, Callable[[Path], None]] = {
    "a FIFO": fifo,
    "a socket": unix_socket,
    "a directory": Path.mkdir,
    **{f"the device {name}": device(name) for name in DEVICES},
}


@pytest.fixture(params=[False, True], ids=["openat2", "walk"])
def asker(root: Path, request: pytest.FixtureRequest) -> Iterator[Asker]:
    with RootedFileSystem(str(root), walk=request.param) as fs, in_process(fs) as asker:
        yield asker


@pytest.fixture
def plain(root: Path) -> Path:
    path = root / "plain"
    path.mkdir()
    (path / "file").write_bytes(b"content")
    return path


FLAGS = [flags for flags in range(64) if not (flags & EXCL and flags & CREAT)]


def opens(path: bytes) -> Iterator[m.Open]:
    for flags in FLAGS:
        yield m.Open(0, path, flags, m.Attributes())


@pytest.mark.parametrize("kind", KINDS)
def test_no_flags_open_it(asker: Asker, plain: Path, kind: str) -> None:
    """Every reply has its deadline: a FIFO that is waited for would fail here."""
    KINDS[kind](plain / "special")
    (plain / "link").symlink_to("special")
    before = (plain / "special").lstat()
    for path in (b"/plain/special", b"/plain/link"):
        answers = asker.ask(list(opens(path)))
        assert not any(map(succeeded, answers))
        later = [
            m.Open(0, path, READ, m.Attributes(), READ_ACCESS),
            m.Open(0, path, WRITE, m.Attributes(), WRITE_ACCESS),
        ]
        assert not any(map(succeeded, asker.ask(later, 6)))
    after = (plain / "special").lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)


@pytest.mark.parametrize("kind", KINDS)
def test_every_request_about_it_is_answered(asker: Asker, plain: Path, kind: str) -> None:
    for form in FORMS.values():
        special = plain / "special"
        if not os.path.lexists(special):
            KINDS[kind](special)
        asker.explore([form(b"/plain/special"), *form.afterwards], form.version)
        (plain / "file").write_bytes(b"content")
    assert asker.ask([m.Stat(0, b"/")])[0][0] == Type.ATTRS


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "a directory"])
def test_what_can_be_done_to_its_name_is_done(asker: Asker, plain: Path, kind: str) -> None:
    """Attributes, names and links are those of any object; nothing has to be opened for them."""
    KINDS[kind](plain / "special")
    wanted = m.Attributes(permissions=0o600, atime=1, mtime=2)
    asked = [
        m.Setstat(0, b"/plain/special", wanted), m.Hardlink(0, b"/plain/special", b"/plain/other"),
        m.Rename(0, b"/plain/other", b"/plain/third"), m.Stat(0, b"/plain/third"), m.Remove(0, b"/plain/third"),
    ]  # fmt: skip
    assert all(map(succeeded, asker.ask(asked)))
    after = (plain / "special").lstat()
    assert (stat.S_IMODE(after.st_mode), after.st_mtime) == (0o600, 2)
    assert not succeeded(asker.ask([m.Setstat(0, b"/plain/special", m.Attributes(size=0))])[0])


def test_a_writer_at_the_other_end_is_neither_read_nor_answered(asker: Asker, plain: Path) -> None:
    os.mkfifo(plain / "fifo")
    end = os.open(plain / "fifo", os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(end, b"for somebody else")
        asker.explore(list(opens(b"/plain/fifo")))
        copies = [
            m.CopyFile(0, b"/plain/fifo", b"/plain/copy", True),
            m.CopyFile(0, b"/plain/file", b"/plain/fifo", False),
        ]
        hashes = [kind(**values_of(kind, path=b"/plain/fifo")) for kind in (m.Md5Hash, m.CheckFileName)]
        assert not any(map(succeeded, asker.ask([*copies, *hashes])))
        assert os.read(end, 100) == b"for somebody else"
        with pytest.raises(BlockingIOError):
            os.read(end, 100)
    finally:
        os.close(end)


def test_no_terminal_becomes_that_of_the_server() -> None:
    """A process that leads its session and opens a terminal gets it for its own, unless it says that it will not."""
    ours, theirs = os.openpty()
    terminal = Path(os.ttyname(theirs))
    with ExitStack() as stack:
        stack.callback(os.close, ours)
        stack.callback(os.close, theirs)
        stream = PipeStream(["setsid", *sftp_server(terminal.parent)])
        stack.callback(stream.abort)
        asker = Asker(lambda: RawSFTP(stream), (3,))
        assert succeeded(asker.ask([m.Stat(0, os.fsencode(f"/{terminal.name}"))])[0])
        assert not any(map(succeeded, asker.ask(list(opens(os.fsencode(f"/{terminal.name}"))))))
        fields = Path(f"/proc/{stream.process.pid}/stat").read_text().rpartition(")")[2].split()
        assert (int(fields[3]), int(fields[4])) == (stream.process.pid, 0)  # its session, and the terminal of that


# --- files that only look regular ---


def test_what_the_kernel_makes_up_is_read_and_copied(plain: Path, root: Path) -> None:
    """Files of /proc say that they are empty."""
    if not Path("/proc/version").is_file():
        pytest.skip("needs /proc")
    with RootedFileSystem("/proc") as fs, in_process(fs) as asker:
        handle = asker.ask([m.Open(0, b"/version", READ, m.Attributes())])[0][9:]
        read, told = asker.ask([m.Read(0, handle, 0, 1000), m.Md5Hash(0, b"/version", 0, 0, b"")])
        version = Path("/proc/version").read_bytes()
        assert read[9:] == version
        assert traces(version)[2] in told
        for path in (b"/self/mem", b"/kcore", b"/self/root", b"/self/fd/0", b"/self/exe"):
            asker.explore([m.Open(0, path, flags, m.Attributes()) for flags in (READ, WRITE, WRITE | APPEND)])


# --- between the look and the opening ---

RACED = [form for form in FORMS.values() if form.kind in (m.Open, m.CopyFile, m.Md5Hash, m.CheckFileName, m.Opendir)]
RACED.append(FORMS["setstat path of a size"])


@pytest.mark.rounds
@pytest.mark.parametrize("form", RACED, ids=str)
def test_a_file_that_turns_into_a_fifo_is_not_waited_for(
    asker: Asker, plain: Path, form: Form, rounds: Rounds
) -> None:
    if not exchange_works(plain):
        pytest.skip("this file system cannot exchange names")
    os.mkfifo(plain / "fifo")
    (plain / "raced").write_bytes(b"content")
    seen = set()

    def attempt() -> bool:
        requests: list[Any] = [form(b"/plain/raced"), m.Remove(0, b"/plain/made")]
        with suppress(FileExistsError):
            os.mkfifo(plain / "fifo")  # the deletion may have hit it
        (plain / "file").write_bytes(b"content")
        seen.add(succeeded(asker.explore(requests, form.version)[0]))
        return len(seen) == 2

    with racing(SWAPPER, plain / "raced", plain / "fifo"):
        for _ in range(rounds(50, 20_000)):
            attempt()
        if form.name in ("open path", "md5-hash path"):
            wait_until(attempt, "file and FIFO have both had their turn")
