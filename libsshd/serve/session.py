"""One SFTP channel: its version, its handles, and the way from a packet to its reply."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EIO, EMFILE

from libsshd._native import HandleAccess, HandleCounts, HandleStats, Sftp, Watch
from libsshd.constants import Status
from libsshd.errors import StatusError, status_for_errno, status_text
from libsshd.fs.base import FileSystem, normalise
from libsshd.settings import Settings
from libsshd.wire.buffer import Malformed, Unsupported
from libsshd.wire.codec import Codec, codec_for, decode_init, encode_version

from . import journal
from .operations import OPERATIONS, OpenDirectory, OpenFile, Operation

VERSION_FIRST = 3
VERSION_LAST = 3
_UNANSWERED = {"stat", "lstat", "realpath", "readdir", "readlink"}
"""Requests whose failure is part of normal work: clients ask to learn what is there."""


class ProtocolError(Exception):
    """The channel cannot go on: there is no request a reply could name."""


@dataclass(slots=True)
class SessionContext:
    """What the sessions of one connection share.

    `facts` begin every log record; `drafted_symlinks` says that the client sends SYMLINK as the draft has it.
    """

    settings: Settings
    fs: FileSystem
    home: bytes = b"/"
    facts: dict[str, object] = field(default_factory=dict)
    drafted_symlinks: bool = False
    draining: bool = False
    handles: HandleCounts = field(init=False)

    def __post_init__(self) -> None:
        self.handles = HandleCounts(self.settings.max_handles_per_connection)


def sends_drafted_symlinks(client_version: str, server_version: str) -> bool:
    """AsyncSSH sends (link, target) unless the server's name is one it knows for OpenSSH's order."""
    return "AsyncSSH" in client_version and not any(name in server_version for name in ("OpenSSH", "paramiko"))


def stock_replies(version: int = VERSION_FIRST) -> tuple[bytes, bytes]:
    """The encoded OK and EOF that C sends by itself; the request id is filled in there."""
    codec = codec_for(version)
    return codec.status(0, Status.OK), codec.status(0, Status.EOF)


class Session:
    """Belongs to its connection's thread."""

    def __init__(self, context: SessionContext, sftp: Sftp, flush: Callable[[], None]) -> None:
        self.context = context
        self.fs = context.fs
        self.codec: Codec = codec_for(VERSION_FIRST)
        self.flush = flush
        self._read_only = context.settings.read_only
        self._negotiated = False
        self._sftp = sftp
        sftp.limit_handles(context.settings.max_handles_per_channel, context.handles)
        self._handles: dict[bytes, OpenFile | OpenDirectory] = {}

    # --- packets ---

    def answer(self, packet: bytes) -> bytes:
        """The encoded reply to a packet without its length field. Raises ProtocolError."""
        if not self._negotiated:
            return self._negotiate(packet)
        try:
            request = self.codec.decode(packet)
        except Unsupported as error:
            return self._refuse(error.request_id, Status.OP_UNSUPPORTED, error)
        except Malformed as error:
            return self._refuse(error.request_id, Status.BAD_MESSAGE, error)
        operation = OPERATIONS[type(request)]
        try:
            if self._read_only and operation.changes(request):
                raise StatusError(Status.WRITE_PROTECT)
            return operation.answer(self, request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the request gets its answer
            return self._failed(operation, request, error)

    def _negotiate(self, packet: bytes) -> bytes:
        try:
            version, _ = decode_init(packet)
        except Malformed as error:
            raise ProtocolError(str(error)) from None
        if version < VERSION_FIRST:
            raise ProtocolError(f"the client speaks SFTP version {version}, the oldest spoken here is 3")
        self._negotiated = True
        self.codec = codec_for(min(version, VERSION_LAST))
        self._share_files()
        return encode_version(self.codec.version, self.codec.announcements)

    def _share_files(self) -> None:
        """Lets C open and close files by itself, unless each of these is to be seen: for the log, or in a drain."""
        native = self.fs.native_files(read_only=self._read_only)
        if native is None or self.codec.version != VERSION_FIRST:
            return
        self._sftp.open_files(native.root, native.flags, walk=native.walk)
        if self.context.draining or journal.enabled(logging.INFO):
            self.drain()

    def drain(self) -> None:
        """Every OPEN and CLOSE goes to Python from now on."""
        self._sftp.watch(self._sftp.watch(Watch.OPEN | Watch.CLOSE) | Watch.OPEN | Watch.CLOSE)

    def _refuse(self, request_id: int | None, status: Status, error: Exception) -> bytes:
        if request_id is None:
            raise ProtocolError(str(error))
        self.journal(logging.DEBUG, "refused", "request not understood", reason=str(error))
        return self.codec.status(request_id, status)

    def _failed(self, operation: Operation, request: object, error: Exception) -> bytes:
        request_id: int = request.request_id  # type: ignore[attr-defined]
        status, text = Status.FAILURE, ""
        if isinstance(error, StatusError):
            status, text = error.status, error.message
        elif isinstance(error, OSError) and error.errno is not None:
            status = status_for_errno(error.errno)
            text = status_text(status) if status != Status.FAILURE else os.strerror(error.errno)
        else:
            journal.failure(f"{operation.name} failed", error, self.context.facts)
        path = getattr(request, "path", None) or getattr(request, "old_path", None)
        level = logging.DEBUG if operation.name in _UNANSWERED else logging.WARNING
        self.journal(level, "failed", "request failed", request=operation.name, path=path, status=status.name,
                     reason=text or None)  # fmt: skip
        return self.codec.status(request_id, status, text)

    def reply(self, packet: bytes) -> None:
        """Queues a reply at once."""
        self._sftp.reply(packet)

    def failed_in_core(self, request_id: int, operation: str, handle: bytes, errno: int) -> bytes:
        """The reply to a READ, WRITE or CLOSE that C could not carry out."""
        opened = self._find(handle)
        status = status_for_errno(errno)
        text = os.strerror(errno)
        path = opened.path if opened else None
        self.journal(
            logging.WARNING, "failed", "request failed", request=operation, path=path, status=status.name, reason=text
        )
        return self.codec.status(request_id, status, text)

    # --- paths and handles ---

    def path(self, path: bytes) -> bytes:
        """The normalised virtual path of what a client sent; the empty one is the login directory."""
        return normalise(path, self.context.home)

    def reserve_handle(self) -> None:
        """Raises OSError(EMFILE) when there are too many, StatusError while the server shuts down."""
        if self.context.draining:
            raise StatusError(Status.FAILURE, "The server is shutting down")
        if self._sftp.full:
            raise OSError(EMFILE, os.strerror(EMFILE))

    def add(self, opened: OpenFile | OpenDirectory) -> bytes:
        """The handle of what was opened: numbers that are never used twice on a connection."""
        handle = b"%d" % self.context.handles.next_number()
        try:
            self._sftp.handle_add(handle, opened.fileno(), opened.access)
        except OSError:
            opened.close()
            raise
        self._handles[handle] = opened
        return handle

    def _find(self, handle: bytes) -> OpenFile | OpenDirectory | None:
        """What the handle stands for; a file that C opened becomes ours."""
        opened = self._handles.get(handle)
        if opened is None and (adopted := self._sftp.adopt(handle)) is not None:
            opened = OpenFile(adopted.path, adopted.fd, adopted.access, time.monotonic())
            self._handles[handle] = opened
        return opened

    def opened(self, handle: bytes) -> OpenFile | OpenDirectory:
        """Raises StatusError(INVALID_HANDLE)."""
        opened = self._find(handle)
        if opened is None:
            raise StatusError(Status.INVALID_HANDLE)
        return opened

    def file(self, handle: bytes) -> OpenFile:
        opened = self.opened(handle)
        if not isinstance(opened, OpenFile):
            raise StatusError(Status.INVALID_HANDLE, "The handle is a directory's")
        return opened

    def directory(self, handle: bytes) -> OpenDirectory:
        opened = self.opened(handle)
        if not isinstance(opened, OpenDirectory):
            raise StatusError(Status.INVALID_HANDLE, "The handle is a file's")
        return opened

    def close_handle(self, handle: bytes, *, by_client: bool = True) -> None:
        """Raises the first error that a WRITE or the closing itself met: OSError."""
        opened = self.opened(handle)
        del self._handles[handle]
        stats = self._sftp.handle_remove(handle)
        if isinstance(opened, OpenDirectory):
            opened.close()
            return
        error = stats.error or opened.error
        try:
            opened.close()
        except OSError as failure:
            error = error or failure.errno or EIO
        self._journal_close(opened, stats, aborted=not by_client and bool(opened.access & HandleAccess.WRITE))
        if error:
            raise OSError(error, os.strerror(error))

    # --- the end ---

    def close(self) -> None:
        """Lets go of what the client left open; a file that was being written is logged as aborted."""
        while (name := self._sftp.owned()) is not None:
            self._find(name)
        for handle, opened in list(self._handles.items()):
            try:
                self.close_handle(handle, by_client=False)
            except OSError as error:
                self.journal(logging.WARNING, "failed", "close failed", path=opened.path, reason=str(error))

    def _journal_close(self, opened: OpenFile, stats: HandleStats, *, aborted: bool) -> None:
        self.journal(
            logging.INFO,
            "aborted" if aborted else "close",
            "file not closed by the client" if aborted else "file closed",
            path=opened.path,
            read=stats.bytes_read + opened.bytes_read,
            written=stats.bytes_written + opened.bytes_written,
            seconds=round(time.monotonic() - opened.opened, 3),
        )

    def journal(self, level: int, event: str, message: str, /, **fields: object) -> None:
        journal.record(level, event, message, self.context.facts, **fields)
