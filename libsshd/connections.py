"""The documented SFTPConnection... members: what a program sees of one connection, and may set for it."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, overload

from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.serve.connection import Connection
from libsshd.serve.hub import Hub
from libsshd.settings import CONNECTION_SETTINGS

_T = TypeVar("_T")


class _Own(Generic[_T]):
    """A value of one connection that may be set: an entry of CONNECTION_SETTINGS."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "_Own[_T]": ...
    @overload
    def __get__(self, instance: "SFTPConnection", owner: type) -> _T: ...
    def __get__(self, instance: "SFTPConnection | None", owner: type) -> "_Own[_T] | _T":
        if instance is None:
            return self
        value: _T = getattr(instance.found.values, self._name)
        return value

    def __set__(self, instance: "SFTPConnection", value: _T) -> None:
        setattr(instance.found.values, self._name, CONNECTION_SETTINGS[self._name].accept(value))


class SFTPConnection:
    """One connection, by its number. Everything but `connected` is error 126 once the connection has ended."""

    __slots__ = ("_hub", "_id")

    def __init__(self, hub: Hub | None, connection_id: int) -> None:
        self._hub = hub
        self._id = connection_id

    @property
    def found(self) -> Connection:
        """The connection itself. Raises SFTPServerError (126)."""
        if self._hub is None:
            raise SFTPServerError(ErrorCode.UNKNOWN_CONNECTION)
        return self._hub.find(self._id)

    @property
    def id(self) -> int:
        """ConnectionId: the number itself, which a later connection may have again."""
        return self._id

    @property
    def connected(self) -> bool:
        """Whether the connection lives; setting False ends it, setting True is nothing or error 126."""
        try:
            return self.found.connected
        except SFTPServerError:
            return False

    @connected.setter
    def connected(self, value: bool) -> None:
        if not value:
            self.found.disconnect()
        elif not self.connected:
            raise SFTPServerError(ErrorCode.UNKNOWN_CONNECTION)

    @property
    def remote_host(self) -> str:
        """The peer's address."""
        return self.found.remote_host

    @property
    def remote_port(self) -> int:
        """The peer's port."""
        return self.found.remote_port

    @property
    def local_address(self) -> str:
        """The address of this machine that the client came to."""
        return self.found.local_address

    @property
    def protocol_version(self) -> int:
        """The SFTP version agreed on, 3 until then."""
        return self.found.protocol_version

    @property
    def error_message(self) -> str:
        """The text that goes with the status of the event in progress (SFTPErrorMessage)."""
        return self.found.values.sftp_error_message

    @property
    def file_data(self) -> bytes:
        """The bytes of the FileRead or FileWrite in progress, b"" otherwise; may be set inside these two."""
        return self.found.handlers.file_data

    @file_data.setter
    def file_data(self, data: bytes) -> None:
        self.found.handlers.set_file_data(data)

    @property
    def timeout(self) -> int:
        """Seconds without a byte moved after which work in hand is given up; 0: no limit."""
        return self.found.values.timeout

    @timeout.setter
    def timeout(self, seconds: int) -> None:
        self.found.values.timeout = CONNECTION_SETTINGS["timeout"].accept(seconds)
        self.found.timeout_changed()

    @property
    def sftp_error_message(self) -> str:
        """As `error_message`, to be set inside the event of a request; elsewhere setting it has no effect."""
        return self.error_message

    @sftp_error_message.setter
    def sftp_error_message(self, text: str) -> None:
        self.found.handlers.set_error_message(CONNECTION_SETTINGS["sftp_error_message"].accept(text))

    @property
    def user_root_directory(self) -> str:
        """Directory below the root that this client sees as `/` instead; error 2001 when it is set to none."""
        return self.found.values.user_root_directory

    @user_root_directory.setter
    def user_root_directory(self, path: str) -> None:
        path = CONNECTION_SETTINGS["user_root_directory"].accept(path)
        if path:
            self.found.check_user_root(path)
        self.found.values.user_root_directory = path

    dir_list_buffer_size = _Own[int]()
    restrict_user_to_home_dir = _Own[bool]()
    keyboard_interactive_prompts = _Own[str]()
    user_auth_banner = _Own[str]()

    @property
    def client_ssh_version_string(self) -> str:
        """The client's identification, "" until it is known."""
        return self.found.client_version

    @property
    def negotiated_strict_kex(self) -> bool:
        """Whether strict key exchange was agreed on; False until keys were exchanged."""
        return self.found.strict_kex

    @property
    def connection_uid(self) -> str:
        """An identifier that is never used again in this process."""
        return str(self.found.uid)

    @property
    def user(self) -> str:
        """Who logged in, "" until then."""
        return self.found.handlers.user

    @property
    def state(self) -> dict[Any, Any]:
        """A place for what the application wants to remember; gone with the connection."""
        return self.found.state


class SFTPConnections:
    """The connections by number: `[id]`, `len()` as SFTPConnectionCount, and those that live by iteration."""

    __slots__ = ("_hub",)

    def __init__(self, hub: Callable[[], Hub | None]) -> None:
        self._hub = hub

    def __getitem__(self, connection_id: int) -> SFTPConnection:
        return SFTPConnection(self._hub(), connection_id)

    def __len__(self) -> int:
        hub = self._hub()
        return 0 if hub is None else hub.count

    def __iter__(self) -> Iterator[SFTPConnection]:
        hub = self._hub()
        for number in [] if hub is None else hub.ids:
            yield self[number]


class ItemArray:
    """A documented array: one member of all the items of a collection."""

    __slots__ = ("_attribute", "_items")

    def __init__(self, items: Any, attribute: str) -> None:
        self._items = items
        self._attribute = attribute

    def __getitem__(self, index: int) -> Any:
        return getattr(self._items[index], self._attribute)

    def __setitem__(self, index: int, value: object) -> None:
        setattr(self._items[index], self._attribute, value)
