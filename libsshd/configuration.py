"""The names that Config() knows, made from the tables of settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.naming import pythonic
from libsshd.settings import (
    ALTERNATE_COUNT,
    CERTIFICATE_SETTINGS,
    CONNECTION_SETTINGS,
    READ_ONLY,
    SETTINGS,
    Kind,
    Setting,
)

if TYPE_CHECKING:
    from libsshd.server import SFTPServer

Owner: TypeAlias = "Callable[[SFTPServer, int | None], Any]"
"""Finds what has the attribute, for the index in brackets. Raises SFTPServerError (10022, 126)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name in Config() means: an attribute of what `owner` finds; without a setting it can only be read."""

    name: str
    attribute: str
    setting: Setting | None
    owner: Owner


def _of_server(name: str) -> Owner:
    def owner(server: "SFTPServer", index: int | None) -> Any:
        if index is not None:
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"{name} takes no index.")
        return server

    return owner


def _of_connection(name: str, *, has_default: bool) -> Owner:
    def owner(server: "SFTPServer", index: int | None) -> Any:
        if index is not None:
            connection = server.sftp_connections[index]
            _ = connection.found
            return connection
        if has_default:
            return server._connection_defaults
        raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"{name} needs the number of a connection: {name}[0].")

    return owner


def _of_alternate(name: str) -> Owner:
    def owner(server: "SFTPServer", index: int | None) -> Any:
        if index is None:
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"{name} needs an index: {name}[0].")
        return server.alt_ssh_certs[index]

    return owner


_READ_PER_CONNECTION = ("ClientSSHVersionString", "ConnectionUID", "NegotiatedStrictKex")


def _config_names() -> dict[str, Entry]:
    entries = [
        Entry(setting.name, name, setting, _of_server(setting.name))
        for name, setting in SETTINGS.items()
        if setting.kind is not Kind.PROPERTY
    ]
    entries += [
        Entry(setting.name, name, setting, _of_connection(setting.name, has_default=True))
        for name, setting in CONNECTION_SETTINGS.items()
        if setting.kind is not Kind.PROPERTY
    ]
    for name in READ_ONLY:
        owner = _of_connection(name, has_default=False) if name in _READ_PER_CONNECTION else _of_server(name)
        entries.append(Entry(name, pythonic(name), None, owner))
    count = ALTERNATE_COUNT
    entries.append(Entry(count.name, count.attribute, count, _of_server(count.name)))
    for name, setting in CERTIFICATE_SETTINGS.items():
        if name != "encoded":
            alternate = f"Alt{setting.name}"
            entries.append(Entry(alternate, name, setting, _of_alternate(alternate)))
    return {entry.name.lower(): entry for entry in entries}


CONFIG: Mapping[str, Entry] = MappingProxyType(_config_names())
"""What each name in Config() means, by the name in lower case."""
