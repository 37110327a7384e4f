"""Events: what a handler is told, what it may answer, and how handlers are attached.

One class per event; its name is the documented one, its fields are the documented parameters in PEP 8 form. A field
that is Final is input: writing it is an AttributeError, and an error to a type checker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Final,
    Generic,
    TypeVar,
    dataclass_transform,
    get_origin,
    overload,
)

from libsshd.naming import pythonic

_T = TypeVar("_T")


@dataclass_transform(kw_only_default=True, eq_default=False)
def _event(cls: type[_T]) -> type[_T]:
    made: Any = dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)(cls)
    made.writable = MappingProxyType(
        {entry.name: entry.type for entry in fields(made) if get_origin(entry.type) is not Final}
    )
    made.__setattr__ = made._set
    return made  # type: ignore[no-any-return]


def is_text(value: str) -> bool:
    """Whether it can be sent; undecodable bytes of names may stand for themselves (surrogateescape)."""
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


@_event
class Event:
    """What all events have in common; the documented spelling of a parameter means the same parameter."""

    writable: ClassVar[Mapping[str, Any]]
    """The parameters that a handler may set, and their types."""

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """The names of the parameters, in order."""
        return tuple(entry.name for entry in fields(cls))

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for name in self.parameters())
        return f"{type(self).__name__}({', '.join(values)})"

    def preset(self, **values: object) -> None:
        """Sets parameters whatever they are; for the server, not for handlers."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def mistake(self) -> str:
        """What handlers left that cannot be used, as the end of a sentence; "" when all is well."""
        for name, kind in self.writable.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (isinstance(value, str) and not is_text(value)):
                return f"left {value!r:.100} as {name}"
        return ""

    def _set(self, name: str, value: object) -> None:
        if name not in self.writable and (name := pythonic(name)) not in self.writable:
            kind = "is read-only" if name in self.parameters() else "does not exist"
            raise AttributeError(f"{name} of {type(self).__name__} {kind}")
        object.__setattr__(self, name, value)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if (plain := pythonic(name)) != name:
                return getattr(self, plain)
            raise AttributeError(f"{type(self).__name__} has no parameter {name}")


# --- connections ---


@_event
class ConnectionRequest(Event):
    """A client wants to connect; unless `accept` is True in the end, its socket is closed and nothing else fires."""

    address: Final[str]
    port: Final[int]
    accept: bool


@_event
class Connected(Event):
    """A connection begins (`status_code` 0), or could not. Fill `cert_store` to show this client another host key."""

    connection_id: Final[int]
    status_code: Final[int]
    description: Final[str]
    cert_store_type: int = 0
    cert_store: bytes | str = b""
    cert_password: str = ""
    cert_subject: str = ""


@_event
class Disconnected(Event):
    """A connection has ended: 0 and "OK", or the error that ended it."""

    connection_id: Final[int]
    status_code: Final[int]
    description: Final[str]


@_event
class SSHStatus(Event):
    """How the handshake, a login or an exchange of keys proceeds; for information only."""

    connection_id: Final[int]
    message: Final[str]


@_event
class SSHUserAuthRequest(Event):
    """A client tries to log in; nobody gets in unless a handler sets `accept`.

    `auth_param` is the password, the answer to a prompt, or the Base64 form of the offered public key. A public key
    is asked about once when it is offered and again when the request is signed; its signature is checked after the
    handler.
    """

    connection_id: Final[int]
    user: Final[str]
    service: Final[str]
    auth_method: Final[str]
    auth_param: Final[str] = ""
    accept: bool = False
    partial_success: bool = False
    available_methods: str
    home_dir: str = ""
    key_algorithm: Final[str] = ""


@_event
class Log(Event):
    """One message of the log; `log_level` is its own level, `log_type` is reserved."""

    connection_id: Final[int]
    log_level: Final[int]
    message: Final[str]
    log_type: Final[str] = ""


@_event
class Error(Event):
    """Something went wrong that no request could be told, or a handler failed."""

    connection_id: Final[int]
    error_code: Final[int]
    description: Final[str]


# --- files ---


@_event
class FileEvent(Event):
    """What the events of SFTP requests have in common. `status_code` is what the client is told (a Status)."""

    connection_id: Final[int]
    user: Final[str]
    status_code: int = 0


@_event
class BeforeAndAfter(FileEvent):
    """Fires before the request is carried out, where a status but 0 denies it, and afterwards with the outcome."""

    before_exec: Final[bool] = True


@_event
class WithAttributes(BeforeAndAfter):
    """Attributes that the client sent for `path`; those that it did not send are -1 or empty."""

    path: Final[str]
    file_type: Final[int] = 5
    file_size: Final[int] = -1
    file_owner: Final[str] = ""
    file_group: Final[str] = ""
    file_permissions: Final[int] = -1
    file_atime: Final[int] = -1
    file_create_time: Final[int] = -1
    file_mtime: Final[int] = -1
    file_attrib_bits: Final[int] = -1
    file_attrib_bits_valid: Final[int] = -1
    other_attributes: Final[str] = ""


@_event
class DirCreate(WithAttributes):
    """MKDIR. Attributes that the client did not send are -1 or empty."""


@_event
class DirList(BeforeAndAfter):
    """OPENDIR; `set_file_list()` says what is in the directory."""

    path: Final[str]


@_event
class DirRemove(BeforeAndAfter):
    """RMDIR."""

    path: Final[str]


@_event
class FileOpen(WithAttributes):
    """OPEN. `flags` are OpenFlags, `desired_access` an AccessMask (0 in version 3); `handle` may be replaced.

    What is not opened for writing can be read, and both say so, whatever the client sent.
    """

    desired_access: Final[int] = 0
    flags: Final[int]
    handle: str


@_event
class FileClose(FileEvent):
    """CLOSE of a file or a directory, after it."""

    path: Final[str]
    handle: Final[str]


@_event
class FileRead(FileEvent):
    """READ: the connection's `file_data` is what was read, or is to be filled; EOF is status 1."""

    handle: Final[str]
    file_offset: Final[int]
    length: Final[int]


@_event
class FileWrite(BeforeAndAfter):
    """WRITE: the connection's `file_data` is what the client sent; before the write it may be replaced."""

    handle: Final[str]
    file_offset: Final[int]


@_event
class FileRemove(BeforeAndAfter):
    """REMOVE."""

    path: Final[str]


@_event
class FileRename(BeforeAndAfter):
    """RENAME; `flags` are RenameFlags."""

    path: Final[str]
    new_path: Final[str]
    flags: Final[int]


@_event
class GetAttributes(FileEvent):
    """STAT, LSTAT and FSTAT, after them: what a handler leaves is what the client gets. -1 and "" are not sent."""

    path: Final[str]
    flags: Final[int]
    file_type: int = 5
    file_size: int = -1
    file_owner: str = ""
    file_group: str = ""
    file_permissions: int = -1
    file_atime: int = -1
    file_create_time: int = -1
    file_mtime: int = -1
    file_attrib_bits: int = -1
    file_attrib_bits_valid: int = -1
    other_attributes: str = ""


@_event
class SetAttributes(WithAttributes):
    """SETSTAT, FSETSTAT and LSETSTAT. Attributes that the client did not send are -1 or empty."""


@_event
class ResolvePath(FileEvent):
    """REALPATH, after it; `real_path` is what the client gets, `control_flags` a RealpathControl."""

    original_path: Final[str]
    control_flags: Final[int]
    real_path: str


# --- added: what the documented events leave out ---


@_event
class FileAborted(Event):
    """A file was still open when the client went: its upload may be incomplete (0 bytes: it was only read).

    With UploadMode atomic it has not got its name then.
    """

    connection_id: Final[int]
    user: Final[str]
    path: Final[str]
    handle: Final[str]
    bytes_written: Final[int]
    status_code: Final[int]


@_event
class LinkCreate(BeforeAndAfter):
    """SYMLINK and hard links: `path` is the new name; `target` is stored as it is when `symbolic`."""

    path: Final[str]
    target: Final[str]
    symbolic: Final[bool]


@_event
class LinkRead(FileEvent):
    """READLINK, after it; `target` is what the client gets."""

    path: Final[str]
    target: str


@_event
class FileSync(BeforeAndAfter):
    """FSYNC: what was written shall be on the disk."""

    path: Final[str]
    handle: Final[str]


@_event
class FileLock(BeforeAndAfter):
    """BLOCK, and OPEN that asks for a lock (0 and 0: the whole file). `block_mask` are BLOCK_... of OpenModes."""

    path: Final[str]
    handle: Final[str]
    file_offset: Final[int]
    length: Final[int]
    block_mask: Final[int]


@_event
class FileUnlock(BeforeAndAfter):
    """UNBLOCK. The locks of a handle that is closed end without it."""

    path: Final[str]
    handle: Final[str]
    file_offset: Final[int]
    length: Final[int]


@_event
class FileCopy(BeforeAndAfter):
    """A copy on the server: of open files, of which `handle` is read and `new_handle` written, or by names alone.

    `length` 0 is up to the end. What is copied goes through FileRead and FileWrite if they have handlers. Without a
    root directory, unless both have one, the handler of this event makes the copy.
    """

    path: Final[str]
    new_path: Final[str]
    handle: Final[str]
    new_handle: Final[str]
    file_offset: Final[int]
    length: Final[int]
    new_file_offset: Final[int]
    overwrite: Final[bool]


@_event
class FileHash(BeforeAndAfter):
    """A client wants a hash of a file, or one of each block of `block_size` bytes; by name without `handle`.

    `length` 0 is up to the end. What is hashed goes through FileRead if that has a handler.
    """

    path: Final[str]
    handle: Final[str]
    algorithm: Final[str]
    file_offset: Final[int]
    length: Final[int]
    block_size: Final[int]


@_event
class SpaceQuery(BeforeAndAfter):
    """STATVFS and FSTATVFS."""

    path: Final[str]


@_event
class Extended(FileEvent):
    """An extension that the server does not know: with status 0 and `reply` set, the client gets `reply`."""

    name: Final[str]
    data: Final[bytes]
    reply: bytes | None = None


# --- attaching ---

E_ = TypeVar("E_", bound=Event)
Handler = Callable[[E_], object]


class Hook(Generic[E_]):
    """The handlers of one event, called in the order in which they were added."""

    __slots__ = ("_changed", "_handlers")

    def __init__(self, changed: Callable[[], object] = lambda: None) -> None:
        self._handlers: list[Handler[E_]] = []  # threads may append to it at the same time
        self._changed = changed

    def __call__(self, handler: Handler[E_]) -> Handler[E_]:
        """Attaches as a decorator."""
        return self.add(handler)

    def __bool__(self) -> bool:
        return bool(self._handlers)

    @property
    def handlers(self) -> tuple[Handler[E_], ...]:
        """Those that are attached, in order."""
        return tuple(self._handlers)

    def add(self, handler: Handler[E_]) -> Handler[E_]:
        """Attaches one more; returns it."""
        self._handlers.append(handler)
        self._changed()
        return handler

    def replace(self, handler: Handler[E_] | None) -> None:
        """What assignment does: this handler alone, or none."""
        self._handlers = [] if handler is None else [handler]
        self._changed()


class EventSlot(Generic[E_]):
    """A member `on_...` of the server: read it to add or decorate, assign to it to replace."""

    def __init__(self, event: type[E_]) -> None:
        self.event = event
        self._key = f"_hook_{event.__name__}"

    @overload
    def __get__(self, instance: None, owner: type) -> "EventSlot[E_]": ...
    @overload
    def __get__(self, instance: "EventHooks", owner: type) -> Hook[E_]: ...
    def __get__(self, instance: "EventHooks | None", owner: type) -> "EventSlot[E_] | Hook[E_]":
        if instance is None:
            return self
        hook: Hook[E_] | None = instance.__dict__.get(self._key)
        if hook is None:
            hook = instance.__dict__.setdefault(self._key, Hook(instance.handlers_changed))
        return hook

    def __set__(self, instance: "EventHooks", handler: Handler[E_] | Hook[E_] | None) -> None:
        if not isinstance(handler, Hook):
            self.__get__(instance, type(instance)).replace(handler)


class EventHooks:
    """The `on_...` members, one per event."""

    on_connection_request = EventSlot(ConnectionRequest)
    on_connected = EventSlot(Connected)
    on_disconnected = EventSlot(Disconnected)
    on_ssh_status = EventSlot(SSHStatus)
    on_ssh_user_auth_request = EventSlot(SSHUserAuthRequest)
    on_log = EventSlot(Log)
    on_error = EventSlot(Error)
    on_dir_create = EventSlot(DirCreate)
    on_dir_list = EventSlot(DirList)
    on_dir_remove = EventSlot(DirRemove)
    on_file_open = EventSlot(FileOpen)
    on_file_close = EventSlot(FileClose)
    on_file_read = EventSlot(FileRead)
    on_file_write = EventSlot(FileWrite)
    on_file_remove = EventSlot(FileRemove)
    on_file_rename = EventSlot(FileRename)
    on_get_attributes = EventSlot(GetAttributes)
    on_set_attributes = EventSlot(SetAttributes)
    on_resolve_path = EventSlot(ResolvePath)
    on_file_aborted = EventSlot(FileAborted)
    on_link_create = EventSlot(LinkCreate)
    on_link_read = EventSlot(LinkRead)
    on_file_sync = EventSlot(FileSync)
    on_file_lock = EventSlot(FileLock)
    on_file_unlock = EventSlot(FileUnlock)
    on_file_copy = EventSlot(FileCopy)
    on_file_hash = EventSlot(FileHash)
    on_space_query = EventSlot(SpaceQuery)
    on_extended = EventSlot(Extended)

    def handlers_changed(self) -> None:
        """Called after a handler was attached or taken away."""

    def hook(self, event: type[E_]) -> Hook[E_]:
        """The handlers of an event."""
        slot: EventSlot[E_] = EVENTS[event]
        return slot.__get__(self, type(self))


EVENTS: MappingProxyType[type[Event], EventSlot[Any]] = MappingProxyType(
    {slot.event: slot for slot in vars(EventHooks).values() if isinstance(slot, EventSlot)}
)
"""The slot of each event."""
