"""Extensions of SFTP: one table with one entry each.

To add one: its message in messages.py, an entry here, its operation in serve/operations.py, and in reply.py the data
of its reply, if it has any. Sources: OpenSSH's PROTOCOL, section 4; draft-ietf-secsh-filexfer-extensions-00; for MD5
draft-ietf-secsh-filexfer-05, section 8.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from libsshd.wire.buffer import Malformed, Reader
from libsshd.wire.messages import (
    Attributes,
    CheckFile,
    CheckFileHandle,
    CheckFileName,
    CopyData,
    CopyFile,
    ExpandPath,
    Fstatvfs,
    Fsync,
    GetTempFolder,
    Hardlink,
    HomeDirectory,
    Limits,
    Lsetstat,
    MakeTempFolder,
    Md5Hash,
    Md5HashHandle,
    PosixRename,
    Ranges,
    Request,
    SpaceAvailable,
    Statvfs,
    TextSeek,
    UsersGroupsById,
)
from libsshd.wire.offer import Announcement

AttributesDecoder: TypeAlias = Callable[[Reader], Attributes]
ExtensionDecoder: TypeAlias = Callable[[int, Reader, AttributesDecoder], Request]


@dataclass(frozen=True, slots=True)
class Extension:
    """`version` is what the VERSION packet says next to the name: bytes, or made from the Offer; None where it says
    nothing of it.

    `decode(request_id, reader behind the name, decoder of attributes)` makes the request and raises
    Malformed; it is None for what is only announced.
    """

    name: bytes
    version: bytes | Announcement | None
    decode: ExtensionDecoder | None = None


def _numbers(r: Reader) -> tuple[int, ...]:
    """The uint32 that fill a string."""
    packed = r.string()
    if len(packed) % 4:
        raise Malformed("a list of numbers ends within one")
    numbers = Reader(packed)
    return tuple(numbers.u32() for _ in range(len(packed) // 4))


def _hashing(r: Reader) -> tuple[bytes, tuple[bytes, ...], int, int, int]:
    """File, algorithms in a comma list, start, length, and size of a block."""
    return r.string(), tuple(r.string().split(b",")), r.u64(), r.u64(), r.u32()


def _md5_hashing(r: Reader) -> tuple[bytes, int, int, bytes]:
    """File, start, length, and the hash that the client knows."""
    return r.string(), r.u64(), r.u64(), r.string()


EXTENSIONS = (
    Extension(b"posix-rename@openssh.com", b"1", lambda n, r, _: PosixRename(n, r.string(), r.string())),
    Extension(b"statvfs@openssh.com", b"2", lambda n, r, _: Statvfs(n, r.string())),
    Extension(b"fstatvfs@openssh.com", b"2", lambda n, r, _: Fstatvfs(n, r.string())),
    Extension(b"hardlink@openssh.com", b"1", lambda n, r, _: Hardlink(n, r.string(), r.string())),
    Extension(b"fsync@openssh.com", b"1", lambda n, r, _: Fsync(n, r.string())),
    Extension(b"lsetstat@openssh.com", b"1", lambda n, r, attributes: Lsetstat(n, r.string(), attributes(r))),
    Extension(b"limits@openssh.com", b"1", lambda n, _r, _: Limits(n)),
    Extension(b"expand-path@openssh.com", b"1", lambda n, r, _: ExpandPath(n, r.string())),
    Extension(
        b"copy-data",
        b"1",
        lambda n, r, _: CopyData(n, r.string(), r.u64(), r.u64(), r.string(), r.u64()),
    ),
    Extension(b"home-directory", b"1", lambda n, r, _: HomeDirectory(n, r.string())),
    Extension(b"users-groups-by-id@openssh.com", b"1", lambda n, r, _: UsersGroupsById(n, _numbers(r), _numbers(r))),
    Extension(b"copy-file", b"1", lambda n, r, _: CopyFile(n, r.string(), r.string(), r.boolean())),
    # Clients look for the first name, and ask by the other two; by the first only those of an older draft.
    Extension(b"check-file", b"1", lambda n, r, _: CheckFile(n, *_hashing(r))),
    Extension(b"check-file-name", b"1", lambda n, r, _: CheckFileName(n, *_hashing(r))),
    Extension(b"check-file-handle", b"1", lambda n, r, _: CheckFileHandle(n, *_hashing(r))),
    Extension(b"md5-hash", b"1", lambda n, r, _: Md5Hash(n, *_md5_hashing(r))),
    Extension(b"md5-hash-handle", b"1", lambda n, r, _: Md5HashHandle(n, *_md5_hashing(r))),
    Extension(b"space-available", b"1", lambda n, r, _: SpaceAvailable(n, r.string())),
    Extension(b"get-temp-folder", b"1", lambda n, _r, _: GetTempFolder(n)),
    Extension(b"make-temp-folder", b"1", lambda n, _r, _: MakeTempFolder(n)),
    Extension(b"ranges@asyncssh.com", b"1", lambda n, r, _: Ranges(n, r.string(), r.u64(), r.u64())),
)

# Of the versions that open files as text.
TEXT_SEEK = Extension(b"text-seek", b"1", lambda n, r, _: TextSeek(n, r.string(), r.u64()))

# Says that SYMLINK has OpenSSH's argument order, which only version 3 is sure to have.
SYMLINK_ORDER = Extension(b"symlink-order@rjk.greenend.org.uk", b"targetpath-linkpath")
