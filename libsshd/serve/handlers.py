"""The handlers as one connection meets them: who asks, for how long, and what a handler may touch meanwhile."""

import os
from collections.abc import Callable
from typing import Any

from libsshd.dispatch import Asker, Dispatcher
from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.events import DirList, Event, EventHooks, FileEvent, FileRead, FileWrite, Hook, is_text
from libsshd.settings import ConnectionSettings


class Handlers:
    """Belongs to the connection's thread, except what a handler reads and writes while that thread waits for it."""

    __slots__ = ("_asker", "_dispatcher", "_file_data", "_patience", "connection_id", "current", "file_list", "hooks",
                 "is_touched", "user", "values")  # fmt: skip

    def __init__(
        self, hooks: EventHooks, dispatcher: Dispatcher, asker: Asker | None, values: ConnectionSettings,
        patience: Callable[[], float],
    ) -> None:  # fmt: skip
        self.hooks = hooks
        self.values = values
        values.sftp_error_message = ""  # what Config() has without an index belongs to no event
        self.connection_id = -1
        self.user = ""
        self.current: type[Event] | None = None
        self.file_list: list[bytes] | None = None
        self.is_touched = False
        self._file_data = b""
        self._dispatcher = dispatcher
        self._asker = asker
        self._patience = patience

    def ask(self, hook: Hook[Any], event: Event, *, keep: bool = False) -> bool:
        """Runs the handlers and waits for them; False when one failed. Raises HandlerTimeout.

        With `keep` they run even when it is too late for an answer.
        """
        self.current = type(event)
        self.is_touched = True
        try:
            return self._dispatcher.ask(hook, event, self._asker, self._patience(), keep=keep)
        finally:
            self.current = None
            if self._asker is not None and self._asker.is_abandoned:
                os._exit(0)  # a handler forked and returned in the child, where there is nothing to come back to

    def forget(self) -> None:
        """A request has got its answer: what its handlers were told and left is over."""
        self.values.sftp_error_message = ""
        self._file_data = b""
        self.file_list = None
        self.is_touched = False

    def finish(self, hook: Hook[Any], event: Event, then: Callable[[bool], object] | None = None) -> None:
        """Fires what nobody waits for."""
        self._dispatcher.tell(hook, event, then)

    # --- what handlers may touch ---

    @property
    def file_data(self) -> bytes:
        """The bytes of the READ or WRITE in progress."""
        return self._file_data

    def offer(self, data: bytes) -> None:
        """What `file_data` is when the handler begins."""
        self.is_touched = True
        self._file_data = data

    def set_file_data(self, data: bytes) -> None:
        """Raises SFTPServerError outside the events that have data, and for what is no bytes."""
        if self.current not in (FileRead, FileWrite):
            raise SFTPServerError(
                ErrorCode.INVALID_ARGUMENT, "FileData can only be set inside FileRead or FileWrite."
            )
        if not isinstance(data, bytes | bytearray | memoryview):
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, "FileData takes bytes.")
        self._file_data = bytes(data)

    def set_file_list(self, names: str) -> None:
        """Names separated by CRLF or LF. Raises SFTPServerError outside DirList, and for what cannot be a name."""
        if self.current is not DirList:
            raise SFTPServerError(
                ErrorCode.INVALID_ARGUMENT, "set_file_list() works only inside a handler of DirList."
            )
        if not isinstance(names, str) or not is_text(names):
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, "set_file_list() takes a text.")
        if "/" in names or "\0" in names:
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, "set_file_list() takes names, not paths.")
        lines = names.replace("\r\n", "\n").split("\n")
        self.file_list = [line.encode("utf-8", "surrogateescape") for line in lines if line]

    def set_error_message(self, text: str) -> None:
        """Outside the events of requests it has no effect."""
        if self.current is not None and issubclass(self.current, FileEvent):
            self.values.sftp_error_message = text
