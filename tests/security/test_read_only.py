"""Class 14: where nothing may be changed, nothing changes, whatever the request, its flags and its version are."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve.operations import OPERATIONS
from libsshd.wire import messages as m
from tests.support.connection import connect
from tests.support.rawsftp import ChannelStream, RawSFTP, Type, string, u32
from tests.support.server import Keys, start

from .asking import Asker, Literal, in_process, served, succeeded
from .forms import FORMS, PATH_FIELDS, READ_ACCESS, Form, values_of

REFUSED = (3, 12)  # PERMISSION_DENIED, WRITE_PROTECT
CHANGING = 0x1E  # WRITE, APPEND, CREAT and TRUNC
HANDLES = ("handle", "read_handle", "write_handle")
ENDS_THE_CHANNEL = (m.VersionSelect,)

Tree = dict[str, tuple[object, ...]]


def build(root: Path) -> None:
    """One of each kind, with all that a request could change about it."""
    (root / "plain" / "deep").mkdir(parents=True)
    (root / "plain" / "file").write_bytes(b"as it was")
    (root / "plain" / "empty").mkdir()
    (root / "tmp").mkdir()
    (root / "plain" / "link").symlink_to("file")
    (root / "plain" / "dangling").symlink_to("missing")
    os.link(root / "plain" / "file", root / "hard")
    os.mkfifo(root / "fifo")
    (root / "plain" / "file").chmod(0o4751)
    with suppress(OSError):  # not every file system has them
        os.setxattr(root / "plain" / "file", "user.note", b"kept")
    for path in [root, *root.rglob("*")]:
        os.utime(path, (1000, 2000), follow_symlinks=False)


def attributes_of(path: Path) -> list[tuple[str, bytes]]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
    except OSError as error:
        assert error.errno in (errno.ENOTSUP, errno.EPERM)
        return []


def tree(root: Path) -> Tree:
    """Everything that is there, but for when it was read."""
    found: Tree = {}
    for path in [root, *root.rglob("*")]:
        s = path.lstat()
        content: object = sorted(os.listdir(path)) if stat.S_ISDIR(s.st_mode) else b""
        if stat.S_ISREG(s.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(s.st_mode):
            content = os.readlink(path)
        known = (s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        found[str(path)] = (*known, content, attributes_of(path))
    return found


# --- ways to forbid ---


@contextmanager
def by_setting(root: Path, versions: tuple[int, ...] = (3, 6)) -> Iterator[Asker]:
    with RootedFileSystem(str(root)) as fs, in_process(fs, versions=versions, read_only=True) as asker:
        yield asker


Serving = Callable[[Path], AbstractContextManager[Asker]]


@pytest.fixture(params=["setting", "sftp-server -R", "run --read-only"])
def read_only(request: pytest.FixtureRequest, root: Path, tmp_path: Path, keys: Keys) -> Iterator[tuple[Path, Asker]]:
    """A root with something in it, and a server that changes nothing of it, by each way to say so."""
    build(root)
    ways: dict[str, Serving] = {
        "setting": by_setting,
        "sftp-server -R": lambda root: served(root, "-R"),
        "run --read-only": lambda root: by_run(tmp_path, keys, root),
    }
    with ways[request.param](root) as asker:
        yield root, asker


@contextmanager
def by_run(directory: Path, keys: Keys, root: Path) -> Iterator[Asker]:
    server = start(directory / "server", keys, "--read-only", "--set", "ProtocolVersion=6", root=root)
    transport = connect(server)
    yield Asker(lambda: RawSFTP(ChannelStream(transport)))
    transport.close()
    server.stop()


# --- what is asked ---


def is_refused(answer: bytes) -> bool:
    return answer[0] == Type.STATUS and int.from_bytes(answer[5:9], "big") in REFUSED


def opened(asker: Asker, version: int, requests: Sequence[Any]) -> list[bytes]:
    """The answers to the requests alone, after all that could be done with their handles was tried."""
    answers = []
    for at in range(0, len(requests), 100):
        part = requests[at : at + 100]
        answers += asker.explore(part, version)[: len(part)]
    return answers


PATHS = (b"/plain/file", b"/plain/missing", b"/plain/link", b"/plain/dangling")


def test_no_flags_of_version_3_open_or_make_anything_to_write(read_only: tuple[Path, Asker]) -> None:
    root, asker = read_only
    before = tree(root)
    asked = [(flags, path) for flags in range(64) for path in PATHS]
    requests = [m.Open(0, path, flags, m.Attributes(permissions=0o600)) for flags, path in asked]
    for (flags, path), answer in zip(asked, opened(asker, 3, requests), strict=True):
        assert is_refused(answer) == bool(flags & CHANGING), (flags, path, answer)
        assert (answer[0] == Type.HANDLE) == (not flags & CHANGING and path in (b"/plain/file", b"/plain/link"))
    assert tree(root) == before


ACCESS_MASKS = [0, *(1 << bit for bit in range(32)), *(1 | 1 << bit for bit in range(1, 32)), 0xFFFFFFFF]
FLAGS_OF_OPEN = [0, 0x8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000, 0xFFF8]


@pytest.mark.parametrize("version", [5, 6])
def test_no_access_and_no_disposition_of_later_versions_does(root: Path, version: int) -> None:
    build(root)
    before = tree(root)
    asked = list(itertools.product(PATHS[:2], ACCESS_MASKS, range(8), FLAGS_OF_OPEN))
    with by_setting(root, (version,)) as asker:
        requests = [literal_open(path, access, disposition | flags) for path, access, disposition, flags in asked]
        answers = opened(asker, version, requests)
    handles = [one for one, answer in zip(asked, answers, strict=True) if answer[0] == Type.HANDLE]
    assert tree(root) == before
    assert handles
    for path, access, disposition, flags in handles:
        assert (path, disposition) == (b"/plain/file", 2)
        assert not access & 0x6
        assert not flags & 0x818  # appending and deletion on close


def literal_open(path: bytes, access: int, flags: int) -> Literal:
    """As versions 5 and 6 have it."""
    return Literal(Type.OPEN, string(path) + u32(access) + u32(flags) + u32(0) + b"\x01")


def forms_on(path: bytes) -> Iterator[tuple[Form, Any]]:
    for form in FORMS.values():
        yield form, form(path)


def requests_of_handles(file: bytes, directory: bytes) -> Iterator[Any]:
    """Every request with a handle, for each kind of handle."""
    for kind in OPERATIONS:
        names = [f.name for f in fields(kind) if f.name in HANDLES]
        if names and kind is not m.Close:
            for handle in (file, directory):
                yield kind(**values_of(kind, **dict.fromkeys(names, handle)))


def bare_requests() -> Iterator[Any]:
    """Every request that names nothing."""
    for kind in OPERATIONS:
        named = any(f.name in (*HANDLES, *PATH_FIELDS) for f in fields(kind))
        if not named and kind not in ENDS_THE_CHANNEL:
            yield kind(**values_of(kind))


def ask_everything(asker: Asker) -> list[tuple[Any, bytes]]:
    """Every request of the table, on what there is and what is not, and what each was answered."""
    told: list[tuple[Any, bytes]] = []
    for path in (*PATHS, b"/", b"/plain/empty", b"/plain", b"/hard", b"/fifo"):
        for form, request in forms_on(path):
            told.append((request, asker.explore([request], form.version)[0]))
    for version in (3, 6):
        later = [m.Block, m.Unblock, m.TextSeek] if version == 3 else []
        file, directory = asker.ask(
            [m.Open(0, PATHS[0], 1, m.Attributes(), READ_ACCESS), m.Opendir(0, b"/plain")], version
        )
        requests = [*requests_of_handles(file[9:], directory[9:]), *bare_requests()]
        requests = [request for request in requests if type(request) not in later]
        told += zip(requests, asker.ask(requests, version), strict=True)
    return told


def test_no_request_changes_anything(read_only: tuple[Path, Asker]) -> None:
    root, asker = read_only
    before = tree(root)
    told = ask_everything(asker)
    assert tree(root) == before
    assert {type(request) for request, _ in told} >= set(OPERATIONS) - {m.Close, *ENDS_THE_CHANNEL}
    for request, answer in told:
        if OPERATIONS[type(request)].changes(request):
            assert is_refused(answer), request


def test_the_same_requests_change_a_tree_that_may_be_changed(root: Path) -> None:
    build(root)
    before = tree(root)
    with RootedFileSystem(str(root)) as fs, in_process(fs) as asker:
        told = ask_everything(asker)
    assert tree(root) != before
    done = {type(request) for request, answer in told if succeeded(answer) and u32(0) in answer[5:9]}
    assert done >= {m.Setstat, m.Mkdir, m.Remove, m.Rename, m.Symlink}
