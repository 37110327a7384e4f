"""What a client does while a system call fails, and how the tree looks when all went well."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.serve.asking import SHARED
from tests.support.faults import FaultyServer
from tests.support.rawsftp import (
    APPEND,
    CREAT,
    EXCL,
    NO_ATTRIBUTES,
    READ,
    TRUNC,
    WRITE,
    Attributes,
    Code,
    Reply,
    Type,
    string,
    u32,
    u64,
)

OLD = b"0123456789" * 10
NEW = b"the new content, shorter than the old one, so that it must be cut"
PUT = WRITE | CREAT | TRUNC


class RefusedError(Exception):
    """A reply was an error: the client gives up."""


@dataclass
class Run:
    """What a client does, and what it was told."""

    server: FaultyServer
    refused: list[int] = field(default_factory=list)
    handles: list[bytes] = field(default_factory=list)

    def ask(self, kind: int, *fields: bytes) -> Reply:
        """Ends the run when the reply is an error."""
        reply = self.server.client.ask(kind, *fields)
        if reply.type == Type.STATUS and reply.code not in (Code.OK, Code.EOF):
            self.refused.append(reply.code)
            raise RefusedError
        return reply

    def extend(self, name: bytes, *fields: bytes) -> Reply:
        return self.ask(Type.EXTENDED, string(name), *fields)

    def open(self, path: bytes, flags: int = READ, attributes: bytes = NO_ATTRIBUTES) -> bytes:
        handle = self.ask(Type.OPEN, string(path), u32(flags), attributes).handle
        self.handles.append(handle)
        return handle

    def write(self, handle: bytes, data: bytes, offset: int = 0) -> None:
        self.ask(Type.WRITE, string(handle), u64(offset), string(data))

    def close(self, handle: bytes) -> None:
        self.handles.remove(handle)
        self.ask(Type.CLOSE, string(handle))

    def close_all(self) -> None:
        """What a client does that was refused something."""
        for handle in self.handles:
            reply = self.server.client.ask(Type.CLOSE, string(handle))
            if reply.code != Code.OK:
                self.refused.append(reply.code)
        self.handles.clear()

    def put(self, path: bytes, data: bytes, flags: int = PUT) -> None:
        handle = self.open(path, flags)
        self.write(handle, data)
        self.close(handle)


Check = Callable[[Path], bool]


def holds(name: str, data: bytes) -> Check:
    return lambda root: (root / name).is_file() and (root / name).read_bytes() == data


def read_all(run: Run) -> None:
    handle = run.open(b"/file")
    data = b""
    while (reply := run.ask(Type.READ, string(handle), u64(len(data)), u32(1000))).type == Type.DATA:
        data += reply.data
    run.close(handle)
    assert data == OLD


def put_synced(run: Run) -> None:
    handle = run.open(b"/file", PUT)
    run.write(handle, NEW)
    run.extend(b"fsync@openssh.com", string(handle))
    run.close(handle)


def put_in_parts(run: Run) -> None:
    handle = run.open(b"/file", PUT)
    for at in range(0, len(NEW), 20):
        run.write(handle, NEW[at : at + 20], at)
    run.close(handle)


def resize(run: Run) -> None:
    handle = run.open(b"/file", READ | WRITE)
    run.ask(Type.FSETSTAT, string(handle), Attributes(size=5, permissions=0o600, atime=1, mtime=2).encode())
    run.close(handle)


def stat_all(run: Run) -> None:
    handle = run.open(b"/file")
    sizes = [
        run.ask(Type.STAT, string(b"/link")).attributes.size,
        run.ask(Type.LSTAT, string(b"/file")).attributes.size,
        run.ask(Type.FSTAT, string(handle)).attributes.size,
    ]
    run.close(handle)
    assert sizes == [len(OLD)] * 3


def listing(run: Run) -> None:
    handle = run.ask(Type.OPENDIR, string(b"/")).handle
    run.handles.append(handle)
    names = set()
    while (reply := run.ask(Type.READDIR, string(handle))).type == Type.NAME:
        names |= {name for name, _, _ in reply.names}
    run.close(handle)
    assert names == {b".", b"..", b"file", b"link", b"d"}


def copy_data(run: Run) -> None:
    source, target = run.open(b"/file"), run.open(b"/copy", PUT)
    run.extend(b"copy-data", string(source), u64(0), u64(0), string(target), u64(0))
    run.close(target)
    run.close(source)


def spaces(run: Run) -> None:
    assert len(run.extend(b"statvfs@openssh.com", string(b"/")).extended) == 88
    handle = run.open(b"/file")
    assert len(run.extend(b"fstatvfs@openssh.com", string(handle)).extended) == 88
    run.close(handle)


def ask(kind: int, *fields: bytes) -> Callable[[Run], None]:
    return lambda run: _done(run.ask(kind, *fields))


def extend(name: bytes, *fields: bytes) -> Callable[[Run], None]:
    return lambda run: _done(run.extend(name, *fields))


def _done(_: Reply) -> None:
    pass


def put(path: bytes, data: bytes, flags: int = PUT) -> Callable[[Run], None]:
    return lambda run: run.put(path, data, flags)


def readlink(run: Run) -> None:
    assert run.ask(Type.READLINK, string(b"/link")).names[0][0] == b"file"


def changed(root: Path) -> bool:
    found = (root / "file").stat()
    return (found.st_mode & 0o7777, found.st_mtime) == (0o600, 2)


_CHANGED = Attributes(size=5, uid=os.getuid(), gid=os.getgid(), permissions=0o600, atime=1, mtime=2).encode()

SCENES: dict[str, tuple[Callable[[Run], None], Check]] = {
    "put over": (put(b"/file", NEW), holds("file", NEW)),
    "put new": (put(b"/new", NEW), holds("new", NEW)),
    "put exclusive": (put(b"/new", NEW, PUT | EXCL), holds("new", NEW)),
    "put through a link": (put(b"/link", NEW), holds("file", NEW)),
    "put in parts": (put_in_parts, holds("file", NEW)),
    "put and fsync": (put_synced, holds("file", NEW)),
    "append": (put(b"/file", NEW, WRITE | APPEND), holds("file", OLD + NEW)),
    "append anew": (put(b"/file", NEW, PUT | APPEND), holds("file", NEW)),
    "read": (read_all, holds("file", OLD)),
    "resize": (resize, holds("file", OLD[:5])),
    "stat": (stat_all, holds("file", OLD)),
    "setstat": (ask(Type.SETSTAT, string(b"/file"), _CHANGED), lambda r: holds("file", OLD[:5])(r) and changed(r)),
    "list": (listing, holds("file", OLD)),
    "remove": (ask(Type.REMOVE, string(b"/file")), lambda root: not (root / "file").exists()),
    "mkdir": (ask(Type.MKDIR, string(b"/e"), NO_ATTRIBUTES), lambda root: (root / "e").is_dir()),
    "rmdir": (ask(Type.RMDIR, string(b"/d")), lambda root: not (root / "d").exists()),
    "rename": (ask(Type.RENAME, string(b"/file"), string(b"/d/new")), holds("d/new", OLD)),
    "posix-rename": (extend(b"posix-rename@openssh.com", string(b"/file"), string(b"/d/new")), holds("d/new", OLD)),
    "symlink": (ask(Type.SYMLINK, string(b"target"), string(b"/new")), lambda root: (root / "new").is_symlink()),
    "hardlink": (extend(b"hardlink@openssh.com", string(b"/file"), string(b"/new")), holds("new", OLD)),
    "readlink": (readlink, holds("file", OLD)),
    "copy-data": (copy_data, holds("copy", OLD)),
    "copy-file": (extend(b"copy-file", string(b"/file"), string(b"/copy"), b"\0"), holds("copy", OLD)),
    "copy-file over": (extend(b"copy-file", string(b"/file"), string(b"/link"), b"\1"), holds("link", OLD)),
    "space": (spaces, holds("file", OLD)),
}


READ_DATA, WRITE_DATA, CREATE_TRUNCATE, OPEN_EXISTING, TEXT_MODE = 1, 2, 1, 2, 0x20
BLOCK, UNBLOCK = 22, 23
NONE, ALLOCATED, DATED = u32(0) + b"\1", u32(0x400) + b"\1" + u64(8192), u32(0x20) + b"\1" + u64(2)


def open_6(run: Run, path: bytes, access: int, flags: int, attributes: bytes = NONE) -> bytes:
    handle = run.ask(Type.OPEN, string(path), u32(access), u32(flags), attributes).handle
    run.handles.append(handle)
    return handle


def text(run: Run) -> None:
    handle = open_6(run, b"/file", WRITE_DATA, CREATE_TRUNCATE | TEXT_MODE)
    run.write(handle, NEW)
    run.close(handle)
    handle = open_6(run, b"/file", READ_DATA, OPEN_EXISTING | TEXT_MODE)
    data = b""
    while (reply := run.ask(Type.READ, string(handle), u64(0), u32(1000))).type == Type.DATA:
        data += reply.data
    run.close(handle)
    assert data == NEW


def locked(run: Run) -> None:
    handle = open_6(run, b"/file", WRITE_DATA, OPEN_EXISTING)
    run.ask(BLOCK, string(handle), u64(0), u64(10), u32(SHARED))
    run.ask(UNBLOCK, string(handle), u64(0), u64(10))
    run.close(handle)
    handle = open_6(run, b"/file", WRITE_DATA, CREATE_TRUNCATE | SHARED)
    run.write(handle, NEW)
    run.close(handle)


def allocate(run: Run) -> None:
    handle = open_6(run, b"/file", WRITE_DATA, OPEN_EXISTING)
    run.ask(Type.FSETSTAT, string(handle), ALLOCATED)
    run.close(handle)


def put_dated(run: Run) -> None:
    handle = open_6(run, b"/new", WRITE_DATA, CREATE_TRUNCATE, DATED)
    run.close(handle)


SCENES_6: dict[str, tuple[Callable[[Run], None], Check]] = {
    "text": (text, holds("file", NEW)),
    "locks": (locked, holds("file", NEW)),
    "allocation": (allocate, lambda root: (root / "file").stat().st_blocks >= 16),
    "put with a date": (put_dated, lambda root: (root / "new").stat().st_mtime == 2),
}
"""What version 6 has and 3 has not."""


ALL = SCENES | SCENES_6


def restore(root: Path) -> None:
    """The tree that every scene begins with."""
    for entry in root.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    (root / "file").write_bytes(OLD)
    (root / "link").symlink_to("file")
    (root / "d").mkdir()
