"""Two servers that are asked the same, each in a tree of its own: `libsshd sftp-server` and OpenSSH's.

What is compared is what a client can rely on: kinds of replies, status codes, data, names, attributes, and the trees.
DIFFERENCES has what may differ, each with its reason; docs/protocol.md tells users of them.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.conftest import PROGRAM
from tests.support.rawsftp import Attributes, PipeStream, RawSFTP, Reply, Type, string

OPENSSH = Path("/usr/lib/openssh/sftp-server")
DEPTH = b"1/2/3/4/5/6"  # of the working directory of a script: a few ".." do not leave what is compared

Seen = tuple[Any, ...]
"""A reply as far as it is compared: its kind, then what it says."""


@dataclass(eq=False)
class Handle:
    """What both servers call the same open file or directory."""

    ours: bytes
    theirs: bytes
    inode: int = 0


class Side:
    """One server and its tree."""

    def __init__(self, command: list[str], directory: Path) -> None:
        directory.mkdir()
        self.base = directory
        start = ["sh", "-c", 'umask 022; cd "$0"; exec "$@"', str(directory)]
        self.client = RawSFTP(PipeStream([*start, *command])).init()

    def close(self) -> None:
        self.client.close()

    def begin(self, script: bytes) -> None:
        """A new tree, for one script, in a directory of that name."""
        self.tree = self.base / os.fsdecode(script)
        self.work = self.tree / os.fsdecode(DEPTH)
        plant(self.work)

    def end(self) -> None:
        shutil.rmtree(self.tree)


def plant(directory: Path) -> None:
    """What a script finds."""
    directory.mkdir(parents=True)
    (directory / "file").write_bytes(b"some content\n" * 10)
    (directory / "empty").write_bytes(b"")
    (directory / "dir").mkdir()
    (directory / "dir" / "inner").write_bytes(b"inner")
    (directory / "link").symlink_to("file")
    (directory / "dirlink").symlink_to("dir")
    (directory / "dangling").symlink_to("gone")
    (directory / "loop").symlink_to("loop")


@dataclass(frozen=True)
class Question:
    """A request, with what is needed to tell whether the answers may differ."""

    name: str
    paths: tuple[bytes, ...] = ()
    offset: int = 0
    length: int = -1  # of READ
    idle: bool = False  # attributes are to be set, but there are none
    moved: bool = False  # the directory is no longer where it was opened


@dataclass(frozen=True)
class Difference:
    """Where the answers may differ: to a request ("" is any), and only when `when` is true of it."""

    request: str
    ours: tuple[Seen, ...]  # any of them; a kind alone stands for all that it may say
    theirs: tuple[Seen, ...]
    reason: str
    when: Callable[[Question], bool] = lambda question: True

    def allows(self, question: Question, ours: Seen, theirs: Seen) -> bool:
        return (
            self.request in ("", question.name)
            and _among(ours, self.ours)
            and _among(theirs, self.theirs)
            and self.when(question)
        )


def _among(answer: Seen, allowed: tuple[Seen, ...]) -> bool:
    return any(answer[: len(one)] == one for one in allowed)


OK, EOF, MISSING, DENIED, FAILURE, BAD = (("status", code) for code in range(6))
UNSUPPORTED = ("status", 8)

DIFFERENCES = (
    Difference("", (FAILURE,), (MISSING,), "ENOTDIR, ELOOP and EBADF are NO_SUCH_FILE for OpenSSH"),
    Difference(
        "", (FAILURE,), (BAD,), "EINVAL and ENAMETOOLONG are BAD_MESSAGE for OpenSSH, where the message is well"
    ),
    Difference("realpath", (("names",),), (("names",), MISSING, FAILURE, BAD), "REALPATH goes by the text alone"),
    Difference(
        "setstat", (MISSING, FAILURE), (OK,), "a path is looked at even if nothing is to be set", lambda q: q.idle
    ),
    Difference(
        "lsetstat", (MISSING, FAILURE), (OK,), "a path is looked at even if nothing is to be set", lambda q: q.idle
    ),
    Difference(
        "read", (EOF,), (BAD,), "nothing is behind the end, however far", lambda q: q.offset + q.length >= 2**63
    ),
    Difference("read", (EOF, DENIED), (("data", b""),), "no data are none", lambda q: q.length == 0),
    Difference("read", (DENIED,), (MISSING, BAD), "what was opened for writing may not be read"),
    Difference("write", (DENIED,), (MISSING,), "what was opened for reading may not be written"),
    Difference("copy-data", (DENIED,), (OK, FAILURE), "access is looked at before there is something to copy"),
    Difference("lsetstat", (UNSUPPORTED,), (FAILURE,), "the mode of a link cannot be set, and that is what it says"),
    Difference("open", (FAILURE,), (("handle",),), "OPEN is for regular files"),
    Difference("fstat", (("attributes",),), (FAILURE,), "a directory that is open has attributes"),
    Difference(
        "posix-rename@openssh.com", (MISSING, FAILURE), (FAILURE, BAD, MISSING), "of two mistakes, one is seen first"
    ),
    Difference("rename", (MISSING, FAILURE), (FAILURE, BAD, MISSING), "of two mistakes, one is seen first"),
    Difference(
        "hardlink@openssh.com", (MISSING, FAILURE), (FAILURE, BAD, MISSING), "of two mistakes, one is seen first"
    ),
    Difference(
        "readdir",
        (("names",),),
        (("names",),),
        "OpenSSH looks for the entries where the directory was opened",
        lambda q: q.moved,
    ),
    Difference("fsetstat", (DENIED,), (BAD,), "what was opened for reading may not be cut"),
    Difference("copy-data", (EOF,), (OK,), "a file shorter than the length asked for"),
)


class Pair:
    """Both servers."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.ours = Side([*PROGRAM, "sftp-server"], directory / "ours")
        self.theirs = Side([str(OPENSSH)], directory / "theirs")
        self.scripts = 0

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def begin(self) -> None:
        self.scripts += 1
        self.prefix = b"%d/%s/" % (self.scripts, DEPTH)
        for side in (self.ours, self.theirs):
            side.begin(b"%d" % self.scripts)

    def end(self) -> None:
        """The trees are the same."""
        ours, theirs = census(self.ours.tree), census(self.theirs.tree)
        self.ours.end()
        self.theirs.end()
        for path in sorted(ours.keys() | theirs.keys()):
            assert (path, ours.get(path)) == (path, theirs.get(path))

    def path(self, path: bytes) -> bytes:
        """As a field."""
        return string(self.prefix + path)

    def ask(self, question: Question, type: int, *fields: bytes | Handle) -> tuple[Reply, Reply]:
        """The replies, which mean the same or differ as they may."""
        ours = self.ours.client.ask(type, *(f if isinstance(f, bytes) else string(f.ours) for f in fields))
        theirs = self.theirs.client.ask(type, *(f if isinstance(f, bytes) else string(f.theirs) for f in fields))
        self.judge(question, seen(ours, self.ours), seen(theirs, self.theirs))
        return ours, theirs

    def judge(self, question: Question, ours: Seen, theirs: Seen) -> None:
        if ours == theirs:
            return
        for difference in DIFFERENCES:
            if difference.allows(question, ours, theirs):
                return
        raise AssertionError(f"{question}: ours {ours!r}, OpenSSH's {theirs!r}")


def seen(reply: Reply, side: Side) -> Seen:
    match reply.type:
        case Type.STATUS:
            return "status", reply.code
        case Type.HANDLE:
            return "handle", bool(reply.handle)
        case Type.DATA:
            return "data", reply.data
        case Type.ATTRS:
            return "attributes", lasting(reply.attributes)
        case Type.NAME:
            base = os.fsencode(side.base)
            return "names", sorted((name.replace(base, b""), lasting(found)) for name, _, found in reply.names)
        case _:
            return "extended", reply.extended


def lasting(attributes: Attributes) -> tuple[int | None, ...]:
    """Without times, and without the size of what is no file: that depends on the past of a directory."""
    mode = attributes.permissions
    size = attributes.size if mode is not None and stat.S_ISREG(mode) else None
    return size, attributes.uid, attributes.gid, mode


def census(directory: Path) -> dict[str, tuple[Any, ...]]:
    """All there is below the directory: kind and mode, links, owner, content."""
    found: dict[str, tuple[Any, ...]] = {}
    for parent, directories, files in os.walk(directory):
        for name in directories + files:
            path = Path(parent, name)
            entry = path.lstat()
            content: object = None
            if stat.S_ISREG(entry.st_mode):
                content = entry.st_nlink, path.read_bytes()
            elif stat.S_ISLNK(entry.st_mode):
                content = os.readlink(path)
            found[str(path.relative_to(directory))] = entry.st_mode, entry.st_uid, entry.st_gid, content
    return found
