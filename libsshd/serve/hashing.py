"""Hashes of files: check-file by name and by handle, and md5-hash.

Sources: draft-ietf-secsh-filexfer-extensions-00, section 3; for MD5 draft-ietf-secsh-filexfer-05, section 8.1.
"""

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from libsshd import events as e
from libsshd.constants import Status
from libsshd.errors import StatusError
from libsshd.wire import messages as m
from libsshd.wire.reply import check_file_reply, md5_hash_reply

from .decision import around, text_of
from .opened import FILE_END
from .reading import file_to_read, is_direct, open_to_read, piece

if TYPE_CHECKING:
    from .session import Session

_IN_HASHLIB = {b"sha512": 64, b"sha384": 48, b"sha256": 32, b"sha224": 28, b"sha1": 20, b"md5": 16}
_CRC32 = b"crc32"
_KNOWN = ", ".join(name.decode() for name in (*_IN_HASHLIB, _CRC32))
_BLOCK_LEAST = 256
_REPLY_MOST = 255 * 1024
"""Bytes of all hashes in a reply."""
_QUICK_CHECK = 2048


class Hash(Protocol):
    """As in hashlib."""

    @property
    def digest_size(self) -> int: ...
    def update(self, data: bytes, /) -> object: ...
    def digest(self) -> bytes: ...


class _CRC32Hash:
    """CRC-32 of ISO 3309, highest byte first."""

    digest_size = 4

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self.digest_size, "big")


class Range(NamedTuple):
    """Of the file behind `handle`: `length` 0 is up to its end; a hash per `block_size` bytes, 0 for a single one."""

    handle: bytes
    start: int
    length: int
    block_size: int = 0


# --- check-file ---


def check_file_name(session: "Session", r: m.CheckFileName) -> bytes:
    with open_to_read(session, r.request_id, r.path) as handle:
        algorithm, hashes = _checked(session, r, handle, by_name=True)
    return session.codec.extended_reply(r.request_id, check_file_reply(algorithm, hashes))


def check_file_handle(session: "Session", r: m.CheckFileHandle) -> bytes:
    algorithm, hashes = _checked(session, r, r.handle)
    return session.codec.extended_reply(r.request_id, check_file_reply(algorithm, hashes))


def check_file(session: "Session", r: m.CheckFile) -> bytes:
    """By the older name, which the reply repeats."""
    algorithm, hashes = _checked(session, r, r.handle)
    return session.codec.extended_reply(r.request_id, check_file_reply(algorithm, hashes, b"check-file"))


def _checked(
    session: "Session", r: m.CheckFileName | m.CheckFileHandle, handle: bytes, *, by_name: bool = False
) -> tuple[bytes, bytes]:
    """The first algorithm of the list that is known here, and all hashes in a row. Raises StatusError, OSError."""
    if 0 < r.block_size < _BLOCK_LEAST:
        raise StatusError(Status.INVALID_PARAMETER, f"A block has at least {_BLOCK_LEAST} bytes")
    algorithm, new = _chosen(r.algorithms)
    part = Range(handle, r.start, r.length, r.block_size)
    return algorithm, _judged(
        session, algorithm, part, lambda: _hashes(session, r.request_id, part, new), by_name=by_name
    )


def _chosen(algorithms: tuple[bytes, ...]) -> tuple[bytes, Callable[[], Hash]]:
    """Raises StatusError when nothing in the list is known."""
    import hashlib  # noqa: PLC0415 - it loads OpenSSL, which few sessions need

    for name in algorithms:
        if name == _CRC32:
            return name, _CRC32Hash
        if name in _IN_HASHLIB:
            new = partial(hashlib.new, name.decode(), usedforsecurity=False)
            with suppress(ValueError):  # forbidden on this system
                new()
                return name, new
    raise StatusError(Status.INVALID_PARAMETER, f"Known algorithms are {_KNOWN}")


def _judged(session: "Session", algorithm: bytes, part: Range, act: Callable[[], bytes], *, by_name: bool) -> bytes:
    """What `act` returns, if no handler denies it. Raises StatusError, OSError."""
    file = file_to_read(session, part.handle)
    event = e.FileHash(
        **session.who,
        path=text_of(file.path),
        handle="" if by_name else text_of(part.handle),
        algorithm=algorithm.decode(),
        file_offset=part.start,
        length=part.length,
        block_size=part.block_size,
    )
    hashes = around(session, event, act)
    if hashes is None:
        raise StatusError(Status.FAILURE)
    return hashes


# --- md5-hash ---


def md5_hash(session: "Session", r: m.Md5Hash) -> bytes:
    with open_to_read(session, r.request_id, r.path) as handle:
        digest = _md5(session, r, Range(handle, r.start, r.length), by_name=True)
    return session.codec.extended_reply(r.request_id, md5_hash_reply(b"md5-hash", digest))


def md5_hash_handle(session: "Session", r: m.Md5HashHandle) -> bytes:
    """Its reply begins with the name of the request, as a client demands; the draft has "md5-hash" for both."""
    digest = _md5(session, r, Range(r.handle, r.start, r.length))
    return session.codec.extended_reply(r.request_id, md5_hash_reply(b"md5-hash-handle", digest))


def _md5(session: "Session", r: m.Md5Hash | m.Md5HashHandle, part: Range, *, by_name: bool = False) -> bytes:
    """b"" when the beginning is not what the client has. Raises StatusError, OSError."""
    algorithm, new = _chosen((b"md5",))

    def act() -> bytes:
        if r.quick_check:
            beginning = part._replace(length=min(part.length or _QUICK_CHECK, _QUICK_CHECK))
            if _hashes(session, r.request_id, beginning, new) != r.quick_check:
                return b""
        return _hashes(session, r.request_id, part, new)

    return _judged(session, algorithm, part, act, by_name=by_name)


# --- the work ---


def _hashes(session: "Session", request_id: int, part: Range, new: Callable[[], Hash]) -> bytes:
    """The hashes of all blocks, in a row. Raises StatusError, OSError."""
    most = _REPLY_MOST // new().digest_size
    _check_range(session, part, most)
    position, stop = part.start, part.start + part.length if part.length else FILE_END
    hashes: list[bytes] = []
    while True:
        digest = new()
        wanted = min(part.block_size or FILE_END, stop - position)
        count = _feed(session, request_id, digest, Range(part.handle, position, wanted))
        if count or not part.block_size:
            hashes.append(digest.digest())
        position += count
        if not part.block_size or count < wanted or position >= stop:
            return b"".join(hashes)
        if len(hashes) >= most:
            raise _too_many(most)


def _check_range(session: "Session", part: Range, most: int) -> None:
    """Before the work, where the size is known. Raises StatusError."""
    file = file_to_read(session, part.handle)
    if not is_direct(session, file):
        return
    size = session.fs.fstat(file.fd).size or 0
    if part.start > size:
        raise StatusError(Status.INVALID_PARAMETER, "The range begins behind the end of the file")
    length = min(part.length or FILE_END, size - part.start)
    if part.block_size and length > most * part.block_size:
        raise _too_many(most)


def _too_many(most: int) -> StatusError:
    return StatusError(Status.INVALID_PARAMETER, f"A reply holds at most {most} hashes; take larger blocks")


def _feed(session: "Session", request_id: int, digest: Hash, part: Range) -> int:
    """How many bytes there were."""
    done = 0
    while done < part.length:
        data = piece(session, request_id, part.handle, part.length - done, part.start + done)
        if not data:
            break
        digest.update(data)
        done += len(data)
    return done
