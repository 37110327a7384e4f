"""What `libsshd check` tries: one table of checks at the end, each a function before it."""

import argparse
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from libsshd.constants import OpenFlags, Packet, Status
from libsshd.testing.client import Channel, RefusedError, Sftp
from libsshd.wire.buffer import Reader, string, u32, u64
from libsshd.wire.messages import Attributes

_R, _W, _CREAT, _TRUNC = map(int, (OpenFlags.READ, OpenFlags.WRITE, OpenFlags.CREAT, OpenFlags.TRUNC))
_APPEND, _EXCL = int(OpenFlags.APPEND), int(OpenFlags.EXCL)
_NEW = _W | _CREAT | _TRUNC
_HANDLES = 64


class Failure(Exception):  # noqa: N818 - of the server that is tried
    """What a server does is not what clients rely on; the text says what."""


class NotOffered(Exception):  # noqa: N818
    """The server does not say that it has this."""


@dataclass
class Trial:
    """What checks work with: a client in a scratch directory, with its path as the server tells it."""

    connection: Any
    sftp: Sftp
    home: bytes
    scratch: bytes
    options: argparse.Namespace

    def path(self, name: bytes) -> bytes:
        return self.scratch + b"/" + name

    def needs(self, extension: bytes) -> None:
        """Raises NotOffered."""
        if extension not in self.sftp.extensions:
            raise NotOffered(f"{extension.decode()} is not offered")


class Check(NamedTuple):
    """What `--only` calls it, what works if it is right, and whether clients rely on it."""

    name: str
    proves: str
    run: Callable[[Trial], object]
    required: bool = True


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failure(otherwise)


def _refused(call: Callable[[], object], otherwise: str, *statuses: Status) -> None:
    """Raises Failure when a request went well, or was refused for another reason than these."""
    try:
        call()
    except RefusedError as error:
        _demand(not statuses or error.status in statuses, f"{otherwise}: it answers {error}")
        return
    raise Failure(f"{otherwise}: it answers that all is well")


# --- files ---


def _transfer(t: Trial, size: int) -> None:
    """Up and down by libssh2, which sends many requests at once."""
    import ssh2.sftp

    data = os.urandom(size)
    path = os.fsdecode(t.path(b"transfer"))
    flags = ssh2.sftp.LIBSSH2_FXF_WRITE | ssh2.sftp.LIBSSH2_FXF_CREAT | ssh2.sftp.LIBSSH2_FXF_TRUNC
    sftp = t.connection.session.sftp_init()
    with sftp.open(path, flags, 0o644) as file:
        view = memoryview(data)
        for at in range(0, size, 1 << 18):
            file.write(bytes(view[at : at + (1 << 18)]))
    digest = hashlib.sha256()
    received = 0
    with sftp.open(path, ssh2.sftp.LIBSSH2_FXF_READ, 0) as file:
        while (part := file.read(1 << 18))[0] > 0:
            digest.update(part[1])
            received += len(part[1])
    _demand(received == size, f"of {size} bytes came {received} back")
    _demand(digest.digest() == hashlib.sha256(data).digest(), f"{size} bytes came back with another hash")


def _transfers(t: Trial) -> None:
    for size in (0, 1, 32_768, 100_000):
        _transfer(t, size)


def _large(t: Trial) -> None:
    _transfer(t, t.options.size)


def _overwriting(t: Trial) -> None:
    t.sftp.put(t.path(b"over"), b"a long content", _NEW)
    t.sftp.put(t.path(b"over"), b"short", _NEW)
    _demand(t.sftp.get(t.path(b"over"), _R) == b"short", "what was longer before is not cut off")


def _exclusive(t: Trial) -> None:
    t.sftp.put(t.path(b"excl"), b"first", _W | _CREAT | _EXCL)
    _refused(lambda: t.sftp.put(t.path(b"excl"), b"x", _W | _CREAT | _EXCL), "EXCL replaces a file")
    _demand(t.sftp.get(t.path(b"excl"), _R) == b"first", "EXCL changes a file that is there")


def _appending(t: Trial) -> None:
    t.sftp.put(t.path(b"append"), b"one ", _NEW)
    with t.sftp.opened(t.path(b"append"), _W | _APPEND) as handle:
        t.sftp.write(handle, 0, b"two")
    _demand(t.sftp.get(t.path(b"append"), _R) == b"one two", "APPEND does not write behind the end")


def _resuming(t: Trial) -> None:
    t.sftp.put(t.path(b"resume"), b"first half, ", _NEW)
    with t.sftp.opened(t.path(b"resume"), _W) as handle:
        t.sftp.write(handle, 12, b"second half")
    _demand(t.sftp.get(t.path(b"resume"), _R) == b"first half, second half", "a WRITE behind the end goes elsewhere")


def _end_of_file(t: Trial) -> None:
    t.sftp.put(t.path(b"end"), b"12345", _NEW)
    with t.sftp.opened(t.path(b"end"), _R) as handle:
        _demand(t.sftp.read(handle, 3, 100) == b"45", "a READ over the end does not give what there is")
        _demand(t.sftp.read(handle, 5, 100) == b"", "a READ at the end is not EOF")
        _demand(t.sftp.read(handle, 1 << 40, 100) == b"", "a READ far behind the end is not EOF")


def _missing(t: Trial) -> None:
    path = t.path(b"missing")
    for what, call in (
        ("OPEN", lambda: t.sftp.open(path, _R)),
        ("STAT", lambda: t.sftp.stat(path)),
        ("OPENDIR", lambda: t.sftp.entries(path)),
        ("REMOVE", lambda: t.sftp.change(Packet.REMOVE, path)),
    ):
        _refused(call, f"{what} of what is missing is not NO_SUCH_FILE", Status.NO_SUCH_FILE)


def _truncating(t: Trial) -> None:
    t.sftp.put(t.path(b"cut"), b"1234567890", _NEW)
    t.sftp.setstat(t.path(b"cut"), Attributes(size=4))
    _demand(t.sftp.get(t.path(b"cut"), _R) == b"1234", "SETSTAT of a size does not cut")


def _many_handles(t: Trial) -> None:
    t.sftp.put(t.path(b"open"), b"x", _NEW)
    handles: list[bytes] = []
    try:
        handles.extend(t.sftp.open(t.path(b"open"), _R) for _ in range(_HANDLES))
        _demand(len(set(handles)) == _HANDLES, "handles that are open have the same name")
        _demand(t.sftp.read(handles[0], 0, 1) == b"x", "the first handle is not valid any more")
    finally:
        for handle in handles:
            t.sftp.close(handle)


# --- names ---


def _renaming(t: Trial) -> None:
    t.sftp.put(t.path(b"old"), b"content", _NEW)
    t.sftp.change(Packet.RENAME, t.path(b"old"), t.path(b"new"))
    _demand(t.sftp.get(t.path(b"new"), _R) == b"content", "the file is not under its new name")
    _refused(lambda: t.sftp.stat(t.path(b"old")), "the old name is still there")


def _renaming_onto(t: Trial) -> None:
    t.sftp.put(t.path(b"from"), b"from", _NEW)
    t.sftp.put(t.path(b"onto"), b"onto", _NEW)
    _refused(lambda: t.sftp.change(Packet.RENAME, t.path(b"from"), t.path(b"onto")), "RENAME replaces a file")


def _posix_rename(t: Trial) -> None:
    t.needs(b"posix-rename@openssh.com")
    t.sftp.put(t.path(b"from"), b"from", _NEW)
    t.sftp.put(t.path(b"onto"), b"onto", _NEW)
    t.sftp.extended(b"posix-rename@openssh.com", string(t.path(b"from")) + string(t.path(b"onto")))
    _demand(t.sftp.get(t.path(b"onto"), _R) == b"from", "posix-rename does not replace a file")


_NAMES = (
    "blank name", "-dash", "semi;colon", "quote'\"", "back\\slash", "star*?[x]", "u\u0308", "\u00fc", "\u540d\u524d",
    "\U0001f4c1", ".hidden", "trailing.", "~tilde", "%41",
)  # fmt: skip


def _strange_names(t: Trial) -> None:
    names = [name.encode() for name in _NAMES] + [b"n" * 255]
    directory = t.path(b"names")
    t.sftp.mkdir(directory)
    for name in names:
        t.sftp.put(directory + b"/" + name, name, _NEW)
    listed = {entry.name for entry in t.sftp.entries(directory)}
    for name in names:
        shown = name.decode()[:20]
        _demand(name in listed, f"the name {shown!r} is not listed as it was given")
        _demand(t.sftp.get(directory + b"/" + name, _R) == name, f"the file {shown!r} has another content")


def _names_in_bytes(t: Trial) -> None:
    t.sftp.mkdir(t.path(b"bytes"))
    t.sftp.put(t.path(b"bytes/\xff\xfe"), b"x", _NEW)
    listed = [entry.name for entry in t.sftp.entries(t.path(b"bytes"))]
    _demand(listed == [b"\xff\xfe"], f"a name that is no UTF-8 is listed as {listed!r:.100}")


def _listing(t: Trial) -> None:
    directory = t.path(b"listing")
    t.sftp.mkdir(directory)
    wanted = {b"file%06d" % number for number in range(t.options.listing)}
    for name in sorted(wanted):
        t.sftp.close(t.sftp.open(directory + b"/" + name, _NEW))
    listed = [entry.name for entry in t.sftp.entries(directory)]
    _demand(len(listed) == len(set(listed)), "a name is listed twice")
    _demand(set(listed) == wanted, f"of {len(wanted)} files {len(wanted & set(listed))} are listed")


def _directories(t: Trial) -> None:
    t.sftp.mkdir(t.path(b"d"))
    _demand(t.sftp.entries(t.path(b"d")) == [], "a new directory is not empty")
    _refused(lambda: t.sftp.mkdir(t.path(b"d")), "MKDIR of what is there")
    t.sftp.put(t.path(b"d/f"), b"x", _NEW)
    _refused(lambda: t.sftp.change(Packet.RMDIR, t.path(b"d")), "RMDIR of a directory that is not empty")
    t.sftp.change(Packet.REMOVE, t.path(b"d/f"))
    t.sftp.change(Packet.RMDIR, t.path(b"d"))
    _refused(lambda: t.sftp.stat(t.path(b"d")), "the directory is still there", Status.NO_SUCH_FILE)


def _paths(t: Trial) -> None:
    name = t.scratch.rpartition(b"/")[2]
    found = t.sftp.name(Packet.REALPATH, t.scratch + b"/../" + name + b"/.")
    _demand(found == t.scratch, f"REALPATH of a way there and back is {found!r:.100}")
    _demand(t.sftp.name(Packet.REALPATH, b"") == t.home, "the empty path is not where the login begins")


def _links(t: Trial) -> None:
    t.sftp.put(t.path(b"target"), b"x", _NEW)
    t.sftp.change(Packet.SYMLINK, b"target", t.path(b"link"))
    found = t.sftp.name(Packet.READLINK, t.path(b"link"))
    _demand(found.rpartition(b"/")[2] == b"target", f"READLINK gives {found!r:.100}")
    _demand(t.sftp.get(t.path(b"link"), _R) == b"x", "a link is not followed")


# --- attributes ---


def _attributes(t: Trial) -> None:
    t.sftp.put(t.path(b"attributes"), b"12345", _NEW)
    t.sftp.setstat(t.path(b"attributes"), Attributes(atime=1_000_000_000, mtime=1_000_000_001))
    found = t.sftp.stat(t.path(b"attributes"))
    _demand(found.size == 5, f"STAT gives a size of {found.size}")
    _demand(found.mtime == 1_000_000_001, f"the time of change was set, and is {found.mtime}")


def _modes(t: Trial) -> None:
    t.sftp.put(t.path(b"mode"), b"x", _NEW)
    for mode in (0o600, 0o644):
        t.sftp.setstat(t.path(b"mode"), Attributes(permissions=mode))
        found = (t.sftp.stat(t.path(b"mode")).permissions or 0) & 0o777
        _demand(found == mode, f"the mode {mode:o} was set, and is {found:o}")


def _kinds(t: Trial) -> None:
    kind = (t.sftp.stat(t.scratch).permissions or 0) & 0o170000
    _demand(kind == 0o040000, f"the type of a directory is {kind:o}")


# --- extensions and manners ---


def _space(t: Trial) -> None:
    t.needs(b"statvfs@openssh.com")
    r = Reader(t.sftp.extended(b"statvfs@openssh.com", string(t.scratch)))
    numbers = [r.u64() for _ in range(11)]
    _demand(numbers[1] > 0 and numbers[2] >= numbers[3], f"statvfs gives {numbers}")


def _fsync(t: Trial) -> None:
    t.needs(b"fsync@openssh.com")
    with t.sftp.opened(t.path(b"sync"), _NEW) as handle:
        t.sftp.write(handle, 0, b"x")
        t.sftp.extended(b"fsync@openssh.com", string(handle))


def _hard_links(t: Trial) -> None:
    t.needs(b"hardlink@openssh.com")
    t.sftp.put(t.path(b"one"), b"x", _NEW)
    t.sftp.extended(b"hardlink@openssh.com", string(t.path(b"one")) + string(t.path(b"two")))
    _demand(t.sftp.get(t.path(b"two"), _R) == b"x", "a hard link has another content")


def _limits(t: Trial) -> None:
    t.needs(b"limits@openssh.com")
    r = Reader(t.sftp.extended(b"limits@openssh.com", b""))
    packet, read, write = r.u64(), r.u64(), r.u64()
    _demand(max(read, write) <= packet or packet == 0, f"limits allow READs of {read} in packets of {packet}")


def _copying(t: Trial) -> None:
    t.needs(b"copy-data")
    t.sftp.put(t.path(b"source"), b"content", _NEW)
    with t.sftp.opened(t.path(b"source"), _R) as old, t.sftp.opened(t.path(b"copy"), _NEW) as new:
        t.sftp.extended(b"copy-data", string(old) + u64(0) + u64(0) + string(new) + u64(0))
    _demand(t.sftp.get(t.path(b"copy"), _R) == b"content", "a copy has another content")


def _unknown(t: Trial) -> None:
    _refused(
        lambda: t.sftp.extended(b"unknown@libsshd.example", u32(1)),
        "an extension that nobody knows",
        Status.OP_UNSUPPORTED,
    )
    t.sftp.stat(t.scratch)


def _wrong_handle(t: Trial) -> None:
    _refused(lambda: t.sftp.close(b"no handle"), "CLOSE of a handle that was never given")
    t.sftp.stat(t.scratch)


def _channels(t: Trial) -> None:
    second = Sftp(Channel(t.connection.session))
    second.put(t.path(b"second"), b"x", _NEW)
    _demand(t.sftp.get(t.path(b"second"), _R) == b"x", "another channel of the connection sees other files")


CHECKS = (
    Check("transfer", "files go up and down unchanged", _transfers),
    Check("large", "so does a large file", _large),
    Check("overwrite", "a shorter file replaces a longer one", _overwriting),
    Check("exclusive", "EXCL replaces nothing", _exclusive),
    Check("append", "APPEND writes behind the end", _appending, required=False),
    Check("resume", "a file can be continued", _resuming),
    Check("end", "the end of a file is told as EOF", _end_of_file),
    Check("missing", "what is missing is told as NO_SUCH_FILE", _missing),
    Check("truncate", "a size can be set", _truncating, required=False),
    Check("handles", f"{_HANDLES} files can be open", _many_handles),
    Check("rename", "files can be renamed", _renaming),
    Check("rename-onto", "RENAME replaces nothing", _renaming_onto, required=False),
    Check("posix-rename", "posix-rename replaces", _posix_rename, required=False),
    Check("names", "strange names are kept", _strange_names),
    Check("bytes", "names need not be UTF-8", _names_in_bytes, required=False),
    Check("listing", "a big directory is listed whole", _listing),
    Check("directories", "directories are made and removed", _directories),
    Check("paths", "REALPATH finds the way", _paths),
    Check("links", "symbolic links are made, read and followed", _links, required=False),
    Check("attributes", "sizes and times are told and set", _attributes),
    Check("modes", "modes are told and set", _modes, required=False),
    Check("kinds", "directories are told from files", _kinds),
    Check("space", "free space is told", _space, required=False),
    Check("fsync", "files can be put on the disk", _fsync, required=False),
    Check("hardlink", "hard links are made", _hard_links, required=False),
    Check("limits", "limits fit together", _limits, required=False),
    Check("copy", "files are copied on the server", _copying, required=False),
    Check("unknown", "what is unknown is refused, and the session lives", _unknown),
    Check("wrong-handle", "a wrong handle is refused, and the session lives", _wrong_handle),
    Check("channels", "a second channel works", _channels, required=False),
)
