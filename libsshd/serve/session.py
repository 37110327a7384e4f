"""One SFTP channel: its version, its handles, and the way from a packet to its reply."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EACCES, EBADF, EEXIST, EIO, EMFILE, ENFILE, ENOMEM, ENXIO, ESTALE
from typing import Any

from libsshd import events
from libsshd._native import HandleCounts, HandleStats, Sftp, Watch
from libsshd.constants import Status
from libsshd.dispatch import Dispatcher, HandlerTimeout
from libsshd.errors import ErrorCode, StatusError, UnsettableError, status_for_errno, status_text
from libsshd.events import EventHooks
from libsshd.fs.base import Draft, FileSystem, join, normalise
from libsshd.fs.handled import HandledFileSystem
from libsshd.fs.listing import longname
from libsshd.settings import DIRECT, LINE_ENDS, ConnectionSettings, Settings
from libsshd.version import __version__
from libsshd.wire.announcements import supported_versions
from libsshd.wire.buffer import Malformed, Reader, Unsupported
from libsshd.wire.codec import Codec, codec_for, decode_init, encode_version
from libsshd.wire.codepage import Translation
from libsshd.wire.messages import Attributes, Extended, Request, VersionSelect, Write
from libsshd.wire.offer import Offer

from . import opening
from .budget import HandleBudget
from .decision import text_of
from .handlers import Handlers
from .interception import Answer, Interceptor, Line
from .journal import PACKETS, Journal
from .opened import OpenDirectory, OpenFile
from .operations import DATA_MAX, OPERATIONS, Operation, always
from .policy import Policy, policy_of
from .routes import Routes

VERSION_FIRST = 3
VERSION_LAST = 6
_PATHS = ("path", "old_path", "link_path")
_OTHER_PATHS = ("new_path", "target_path")
_HANDLES = ("handle", "write_handle")
"""Fields that tell the log what a request was about."""
_CHANGES = {request for request, operation in OPERATIONS.items() if operation.changes is always} - {Write}
"""What is logged when it went well: of WRITE, the file's CLOSE tells."""
_UNANSWERED = {"stat", "lstat", "realpath", "readdir", "readlink"}
"""Requests whose failure is part of normal work: clients ask to learn what is there."""
_TROUBLE = {EBADF, EIO, EMFILE, ENFILE, ENOMEM, ENXIO, ESTALE}
"""Failures that are the server's, not the client's."""
_ATTRIBUTE_CHANGES = {"setstat", "fsetstat", "lsetstat"}
_HANDLED = HandledFileSystem()


class ProtocolError(Exception):
    """The channel cannot go on: there is no request a reply could name."""


@dataclass(slots=True)
class SessionContext:
    """What the sessions of one connection share.

    `fs` is None until the first session begins; `event_mode` says that handlers are the file system. `confined` is
    the home directory nothing may leave, None for no such rule. `drafted_symlinks` says whether the client sends
    SYMLINK as the drafts have it or as OpenSSH has it, None when that is not known. `passes_for_openssh`: clients
    take the server for OpenSSH's, and most of them have its order then.
    """

    settings: Settings
    handlers: Handlers
    journal: Journal
    policy: Policy
    routes: Routes
    fs: FileSystem
    event_mode: bool = False
    home: bytes = b"/"
    confined: bytes | None = None
    drafted_symlinks: bool | None = None
    passes_for_openssh: bool = False
    translation: Translation | None = None
    draining: bool = False
    handle_budget: HandleBudget | None = None
    handles: HandleCounts = field(init=False)

    def __post_init__(self) -> None:
        most = self.settings.max_handles_per_connection
        self.handles = HandleCounts(0 if self.handle_budget else most)
        if self.handle_budget is not None:
            self.handle_budget.begin(self.handles, most)

    def more_handles(self) -> bool:
        """Whether the connection may have more, which it takes from what all have together."""
        if self.handle_budget is None:
            return False
        return self.handle_budget.take(self.handles, self.settings.max_handles_per_connection)

    def give_back_handles(self) -> None:
        """The connection is over."""
        if self.handle_budget is not None:
            self.handle_budget.give_back(self.handles)


def context_without_server(settings: Settings, fs: FileSystem) -> SessionContext:
    """For a channel that belongs to no SFTPServer, and so has no handlers. Raises SFTPServerError (10022)."""
    hooks, values, policy = EventHooks(), ConnectionSettings(), policy_of(settings)
    dispatcher = Dispatcher(hooks, lambda: False)
    return SessionContext(
        settings=settings,
        handlers=Handlers(hooks, dispatcher, None, values, lambda: 0.0),
        journal=Journal({}, dispatcher, hooks, settings),
        policy=policy,
        routes=Routes(hooks, policy, event_mode=False, allow_links=settings.allow_links),
        fs=fs,
    )


_FIRST_CODEC = codec_for(VERSION_FIRST)


def stock_replies(codec: Codec = _FIRST_CODEC) -> tuple[bytes, bytes]:
    """The encoded OK and EOF that C sends by itself; the request id is filled in there."""
    return codec.status(0, Status.OK), codec.status(0, Status.EOF)


def _undecoded(request_id: int, packet: bytes) -> Extended:
    """An extension in no table, for a handler that may know it."""
    r = Reader(packet, 5)
    return Extended(request_id, r.string(), r.rest())


def _first(request: object, names: tuple[str, ...]) -> bytes | None:
    """The first of these fields that the request has and that is not empty."""
    return next((found for name in names if (found := getattr(request, name, None))), None)


def _end_upload(upload: Draft, error: int, *, aborted: bool) -> int:
    """Publishes what is complete; the first errno. What is not may be left to be resumed, if every WRITE went well:
    behind one that did not there may be a gap.
    """
    if aborted or error:
        upload.spared = upload.resumable and not error
        return error
    try:
        upload.publish()
    except OSError as failure:
        return failure.errno or EIO
    return 0


class Session:
    """Belongs to its connection's thread."""

    def __init__(
        self, context: SessionContext, sftp: Sftp, flush: Callable[[], None],
        negotiated: Callable[[int], object] = lambda _: None, deserted: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self.context = context
        self.fs = context.fs
        self.handlers = context.handlers
        self.journal = context.journal
        self.codec = _FIRST_CODEC
        self.flush = flush
        self._tell_version = negotiated
        self._is_deserted = deserted
        self._read_only = context.settings.read_only
        self._last_version = min(context.settings.protocol_version, VERSION_LAST)
        self._step = Session._negotiate  # no bound method: a session must not hold itself
        self._intercepted: Answer | None = None
        self._is_first = False
        self._is_seen = self._tells_packets = self.journal.tells(PACKETS)
        self._sftp = sftp
        sftp.limit_handles(context.settings.max_handles_per_channel, context.handles)
        self._handles: dict[bytes, OpenFile | OpenDirectory] = {}

    # --- packets ---

    def answer(self, packet: bytes) -> bytes:
        """The encoded reply to a packet without its length field. Raises ProtocolError, HandlerTimeout, HangUp."""
        if not self._is_seen:
            return self._step(self, packet)
        return self._own_answer(packet) if self._intercepted is None else self._intercepted(packet)

    def intercept(self, line: Line, interceptor: Interceptor) -> None:
        """Has every packet from now on answered by what the interceptor makes of it; nothing is left to C."""
        self._intercepted = interceptor.opens(line, self, self._own_answer)
        self.watch()

    def _own_answer(self, packet: bytes) -> bytes:
        return self._told_answer(packet) if self._tells_packets else self._step(self, packet)

    def _told_answer(self, packet: bytes) -> bytes:
        self.journal.packet(f"SFTP packet type {packet[0]} received" if packet else "empty SFTP packet", packet)
        reply = self._step(self, packet)
        self.journal.packet(f"SFTP packet type {reply[4]} sent", reply)
        return reply

    def _serve(self, packet: bytes) -> bytes:
        request: Request | Extended
        try:
            request = self.codec.decode(packet)
        except Unsupported as error:
            if error.request_id is None or not error.extension or not self.handlers.hooks.on_extended:
                return self._refuse(error.request_id, Status.OP_UNSUPPORTED, error)
            request = _undecoded(error.request_id, packet)
        except Malformed as error:
            return self._refuse(error.request_id, Status.BAD_MESSAGE, error)
        operation = OPERATIONS[type(request)]
        try:
            if self._read_only and operation.changes(request):
                raise StatusError(Status.WRITE_PROTECT)
            reply = self.context.routes.answers[type(request)](self, request)
            if type(request) in _CHANGES:
                self._journal_change(operation, request)
            return reply
        except (HandlerTimeout, ProtocolError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the request gets its answer
            return self._failed(operation, request, error)
        finally:
            if self.handlers.is_touched:
                self.handlers.forget()

    def _negotiate(self, packet: bytes) -> bytes:
        try:
            version, _ = decode_init(packet)
        except Malformed as error:
            raise ProtocolError(str(error)) from None
        if version < VERSION_FIRST:
            raise ProtocolError(f"the client speaks SFTP version {version}, the oldest spoken here is 3")
        self._speak(min(version, self._last_version))
        if supported_versions(self._offer):
            self._step = Session._serve_first
            self.watch()
        else:
            self._step = Session._serve
            self._share_files()
        return encode_version(self.codec.version, self.codec.announcements(self._offer))

    @property
    def _offer(self) -> Offer:
        return Offer(
            last_version=self._last_version,
            newline=LINE_ENDS[self.context.settings.server_eol],
            read_size=DATA_MAX,
            product=b"libsshd",
            product_version=__version__.encode(),
            announces=self.context.policy.announces,
        )

    def _speak(self, version: int) -> None:
        self.codec = codec_for(version, self.context.translation)
        self._sftp.stock(*stock_replies(self.codec))
        self._tell_version(version)

    def _serve_first(self, packet: bytes) -> bytes:
        """The one request that may change the version: nothing is left to C before it."""
        self._step = Session._serve
        self._is_first = True
        try:
            return self._serve(packet)
        finally:
            self._is_first = False
            self._share_files()

    def select_version(self, r: VersionSelect) -> None:
        """Another version from now on.

        Raises ProtocolError for one that was not announced, and for a request that is not the first (draft-13,
        section 5.5).
        """
        if not self._is_first or r.version not in supported_versions(self._offer):
            text = "A version is selected from those announced, and before anything else"
            self.reply(self.codec.status(r.request_id, Status.FAILURE, text))
            raise ProtocolError(f"version-select: {ascii(r.version)[1:]}")
        self._speak(int(r.version))

    def _share_files(self) -> None:
        """Lets C open and close files by itself, unless each of these is to be seen."""
        uploads = self.context.settings.upload_mode != DIRECT
        native = self.fs.native_files(read_only=self._read_only, uploads=uploads)
        if native is not None and self.codec.native_open:
            self._sftp.open_files(native.root, native.flags, walk=native.walk)
        self.watch()

    def watch(self) -> None:
        """Has C leave to Python what handlers, the log or a drain are to see from now on."""
        mask = self.context.routes.watch
        if self.context.draining or self.journal.wants(logging.INFO):
            mask |= Watch.OPEN | Watch.CLOSE
        self._tells_packets = self.journal.tells(PACKETS)
        self._is_seen = self._tells_packets or self._intercepted is not None
        if self._is_seen:
            mask |= Watch.READ | Watch.WRITE | Watch.OPEN | Watch.CLOSE
        self._sftp.watch(mask)

    def _refuse(self, request_id: int | None, status: Status, error: Exception) -> bytes:
        if request_id is None:
            raise ProtocolError(str(error))
        self.journal.record(logging.DEBUG, "refused", "request not understood", reason=str(error))
        return self.codec.status(request_id, status)

    def _failed(self, operation: Operation, request: Request | Extended, error: Exception) -> bytes:
        status, text = Status.FAILURE, ""
        unknown: tuple[bytes, ...] = ()
        if isinstance(error, StatusError):
            status, text = error.status, error.message
            if isinstance(error, UnsettableError):
                unknown = error.unknown
                self.error(ErrorCode.ATTRIBUTES_NOT_CHANGED, f"{operation.name}: {error}.")
        elif isinstance(error, OSError) and error.errno is not None:
            status = status_for_errno(error.errno)
            text = status_text(status) if status != Status.FAILURE else os.strerror(error.errno)
            self._report(operation, error)
        else:
            self.journal.failure(f"{operation.name} failed", error)
        own = self.handlers.values.sftp_error_message
        text = own or text
        path = _first(request, _PATHS) or self._path_behind(request, error)
        expected = operation.name in _UNANSWERED or status == Status.EOF
        level = logging.DEBUG if expected else logging.WARNING
        self.journal.record(level, "failed", "request failed", request=operation.name, path=path, status=status.name,
                            reason=text or None)  # fmt: skip
        return self.codec.status(request.request_id, status, text, "" if own else None, unknown)

    def _path_behind(self, request: Request | Extended, error: Exception) -> bytes | None:
        """Of the handle that a request is about; a handle that was just closed has left it in the error."""
        opened = self._handles.get(_first(request, _HANDLES) or b"")
        left = getattr(error, "filename", None)
        return opened.path if opened else left if isinstance(left, bytes) else None

    def _journal_change(self, operation: Operation, request: Request | Extended) -> None:
        if self.journal.wants(logging.INFO):
            opened = self._handles.get(_first(request, _HANDLES) or b"")
            path = opened.path if opened else _first(request, _PATHS)
            other = _first(request, _OTHER_PATHS)
            self.journal.record(logging.INFO, "changed", "changed", request=operation.name, path=path, other=other)

    def _report(self, operation: Operation, error: OSError) -> None:
        """Error events for what is the server's trouble, and for attributes that could not be changed."""
        if operation.name in _ATTRIBUTE_CHANGES:
            self.error(ErrorCode.ATTRIBUTES_NOT_CHANGED, f"{operation.name}: {error.strerror}.")
        elif error.errno in _TROUBLE:
            self.error(ErrorCode.IO_FAILURE, f"{operation.name}: {error.strerror}.")

    def part(self, request: Request) -> bytes:
        """The encoded reply to a request that is a part of the one in progress. Raises StatusError, OSError."""
        return self.context.routes.answers[type(request)](self, request)

    def go_on(self) -> None:
        """Between the steps of a long request. Raises StatusError when nobody waits for its end any more."""
        if self._is_deserted():
            raise StatusError(Status.FAILURE, "Interrupted")

    def error(self, code: int, description: str) -> None:
        """Fires Error."""
        self.journal.error(code, description)

    def reply(self, packet: bytes) -> None:
        """Queues a reply at once."""
        self._sftp.reply(packet)

    def path_behind(self, handle: bytes) -> bytes | None:
        """The path that a handle was opened by; None for no handle of this session."""
        opened = self._find(handle)
        return opened.path if opened else None

    def failed_in_core(self, request_id: int, operation: str, handle: bytes, errno: int) -> bytes:
        """The reply to a READ, WRITE or CLOSE that C could not carry out."""
        opened = self._find(handle)
        status = status_for_errno(errno)
        text = os.strerror(errno)
        path = opened.path if opened else None
        self.journal.record(
            logging.WARNING, "failed", "request failed", request=operation, path=path, status=status.name, reason=text
        )
        if errno in _TROUBLE:
            self.error(ErrorCode.IO_FAILURE, f"{operation}: {text}.")
        return self.codec.status(request_id, status, text)

    # --- events ---

    @property
    def who(self) -> dict[str, Any]:
        """The parameters that all events of requests begin with."""
        return {"connection_id": self.handlers.connection_id, "user": self.handlers.user}

    @property
    def event_mode(self) -> bool:
        """There is no root directory: the handlers are the file system."""
        return self.context.event_mode

    def long_name(self, name: bytes, attributes: Attributes) -> bytes:
        """The line of `ls -l` for an entry that a handler named."""
        return longname(name, attributes, time.time(), clock=self.context.settings.unix_style_date_format)

    # --- paths and handles ---

    def path(self, path: bytes, *further: bytes) -> bytes:
        """The normalised virtual path of what a client sent; the empty one is the login directory.

        Each of the `further` paths begins where the one before it leads. Raises PermissionError for one outside the
        home directory that the client is confined to, OSError.
        """
        path = join(self.context.home, path, *further) if further else normalise(path, self.context.home)
        confined = self.context.confined
        if confined is not None and path != confined and not path.startswith(confined.rstrip(b"/") + b"/"):
            raise PermissionError(EACCES, os.strerror(EACCES))
        return path

    def check_attributes(self, attributes: Attributes) -> None:
        """Raises StatusError for extended attributes in a version where those that nobody knows are an error."""
        if attributes.createtime is not None or attributes.ctime is not None:
            self.journal.record(logging.DEBUG, "ignored", "times of creation and change cannot be set")
        if attributes.extended and not self.codec.ignores_extended:
            raise StatusError(Status.OP_UNSUPPORTED, "Unknown extended attributes")

    def reserve_handle(self) -> None:
        """Raises OSError(EMFILE) when there are too many, StatusError while the server shuts down."""
        if self.context.draining:
            raise StatusError(Status.FAILURE, "The server is shutting down")
        if self._sftp.full or (self.context.handles.full and not self.context.more_handles()):
            raise OSError(EMFILE, os.strerror(EMFILE))

    def next_handle(self) -> bytes:
        """Numbers that are never used twice on a connection, nor while a handler uses them on this channel."""
        while (handle := b"%d" % self.context.handles.next_number()) in self._handles:
            pass
        return handle

    def add(self, opened: OpenFile | OpenDirectory, handle: bytes) -> bytes:
        """Puts what was opened behind `handle`. Raises OSError for one that is taken, empty or too long."""
        fd = opened.fileno()
        try:
            if self._find(handle) is not None:
                raise OSError(EEXIST, os.strerror(EEXIST))
            self._sftp.handle_add(handle, fd, opened.native_access)
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

    def fs_of(self, opened: OpenFile | OpenDirectory) -> FileSystem:
        """Where a handle belongs; what has no descriptor is the handlers' own."""
        return self.fs if opened.fileno() >= 0 else _HANDLED

    def directory(self, handle: bytes) -> OpenDirectory:
        opened = self.opened(handle)
        if not isinstance(opened, OpenDirectory):
            raise StatusError(Status.INVALID_HANDLE, "The handle is a file's")
        return opened

    def close_handle(self, handle: bytes, *, by_client: bool = True) -> None:
        """Raises the first error that a WRITE, an fsync, giving the file its name or the closing itself met: OSError;
        or what kept a file that was to be deleted with it: OSError, StatusError, HandlerTimeout.
        """
        opened = self.opened(handle)
        del self._handles[handle]
        stats = self._sftp.handle_remove(handle)
        if isinstance(opened, OpenDirectory):
            opened.close()
            return
        error = stats.error or opened.error
        refused: Exception | None = None
        if opened.doomed:
            refused = opening.remove_closed(self, opened)
        aborted = "" if by_client or not opened.writable else "file not closed by the client"
        if opened.upload is not None:
            error = _end_upload(opened.upload, error, aborted=bool(aborted))
            aborted = aborted or ("" if opened.upload.is_over else "file not published")
        try:
            opened.close()
        except OSError as failure:
            error = error or failure.errno or EIO
        self._journal_close(opened, stats, aborted)
        if not by_client:
            self._tell_aborted(handle, opened, stats.bytes_written + opened.bytes_written, error)
        if error:
            raise OSError(error, os.strerror(error), opened.path)
        if refused is not None:
            raise refused

    # --- the end ---

    def close(self) -> None:
        """Lets go of what the client left open; a file that was being written is logged as aborted."""
        self._intercepted = None  # it may hold this session
        while (name := self._sftp.owned()) is not None:
            self._find(name)
        for handle, opened in list(self._handles.items()):
            try:
                self.close_handle(handle, by_client=False)
            except (OSError, StatusError, HandlerTimeout) as error:
                self.journal.record(logging.WARNING, "failed", "close failed", path=opened.path, reason=str(error))

    def _tell_aborted(self, handle: bytes, opened: OpenFile, written: int, error: int) -> None:
        hook = self.handlers.hooks.on_file_aborted
        if hook:
            event = events.FileAborted(
                **self.who,
                path=text_of(opened.path),
                handle=text_of(handle),
                bytes_written=written,
                status_code=int(status_for_errno(error) if error else Status.CONNECTION_LOST),
            )
            self.handlers.finish(hook, event)

    def _journal_close(self, opened: OpenFile, stats: HandleStats, aborted: str) -> None:
        """`aborted` says why it is not to be taken for complete, "" if it may be."""
        self.journal.record(
            logging.INFO,
            "aborted" if aborted else "close",
            aborted or "file closed",
            path=opened.path,
            read=stats.bytes_read + opened.bytes_read,
            written=stats.bytes_written + opened.bytes_written,
            seconds=round(time.monotonic() - opened.opened, 3),
        )
