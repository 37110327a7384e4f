"""libsshd: an SFTP server on libssh, as a command and as a component of threaded programs."""

from importlib import import_module
from typing import TYPE_CHECKING

from libsshd.version import __version__

if TYPE_CHECKING:
    from libsshd._native import library_versions
    from libsshd.connections import SFTPConnection
    from libsshd.constants import (
        AccessMask,
        AttribBits,
        AuthMethod,
        CertStoreType,
        FileType,
        KeyAlgorithm,
        LogLevel,
        OpenFlags,
        RealpathControl,
        RenameFlags,
        Status,
        StrictKex,
        UseIPv6,
    )
    from libsshd.errors import ErrorCode, SFTPServerError
    from libsshd.events import (
        Connected,
        ConnectionRequest,
        DirCreate,
        DirList,
        DirRemove,
        Disconnected,
        Error,
        Event,
        Extended,
        FileAborted,
        FileClose,
        FileCopy,
        FileHash,
        FileLock,
        FileOpen,
        FileRead,
        FileRemove,
        FileRename,
        FileSync,
        FileUnlock,
        FileWrite,
        GetAttributes,
        LinkCreate,
        LinkRead,
        Log,
        ResolvePath,
        SetAttributes,
        SpaceQuery,
        SSHStatus,
        SSHUserAuthRequest,
    )
    from libsshd.hostkeys import HostKey
    from libsshd.server import SFTPServer

__all__ = [
    "AccessMask",
    "AttribBits",
    "AuthMethod",
    "CertStoreType",
    "Connected",
    "ConnectionRequest",
    "DirCreate",
    "DirList",
    "DirRemove",
    "Disconnected",
    "Error",
    "ErrorCode",
    "Event",
    "Extended",
    "FileAborted",
    "FileClose",
    "FileCopy",
    "FileHash",
    "FileLock",
    "FileOpen",
    "FileRead",
    "FileRemove",
    "FileRename",
    "FileSync",
    "FileType",
    "FileUnlock",
    "FileWrite",
    "GetAttributes",
    "HostKey",
    "KeyAlgorithm",
    "LinkCreate",
    "LinkRead",
    "Log",
    "LogLevel",
    "OpenFlags",
    "RealpathControl",
    "RenameFlags",
    "ResolvePath",
    "SFTPConnection",
    "SFTPServer",
    "SFTPServerError",
    "SSHStatus",
    "SSHUserAuthRequest",
    "SetAttributes",
    "SpaceQuery",
    "Status",
    "StrictKex",
    "UseIPv6",
    "__version__",
    "library_versions",
]

_HOMES = {
    "HostKey": "libsshd.hostkeys",
    "SFTPConnection": "libsshd.connections",
    "SFTPServer": "libsshd.server",
    "library_versions": "libsshd._native",
    **dict.fromkeys(("ErrorCode", "SFTPServerError"), "libsshd.errors"),
    **dict.fromkeys(
        (
            "AccessMask", "AttribBits", "AuthMethod", "CertStoreType", "FileType", "KeyAlgorithm", "LogLevel",
            "OpenFlags", "RealpathControl", "RenameFlags", "Status", "StrictKex", "UseIPv6",
        ),
        "libsshd.constants",
    ),
}  # fmt: skip
"""Where names come from that are no events. Each is loaded when it is first asked for: so a session on standard input
and output starts faster, and pytest, which loads the plugin of the harness in every run.
"""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES.get(name, "libsshd.events")), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
