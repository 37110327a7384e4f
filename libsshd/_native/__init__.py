"""The C core and thin typed wrappers: the only package that sees `ffi` and `lib`."""

from . import interpreter  # noqa: F401 - it comes first, and says where nothing below may be imported
from .connection import Algorithms, Bind, Budget, Connection, ConnectionInfo, library_versions, supported_algorithms
from .hostkey import Key
from .pipe import Pipe
from .process import FileAccess, conceal, drop_capabilities, landlock_version, renounce_privileges, restrict
from .sftp import Adopted, EventKind, EventView, HandleAccess, HandleCounts, HandleStats, Sftp, Watch

__all__ = [
    "Adopted",
    "Algorithms",
    "Bind",
    "Budget",
    "Connection",
    "ConnectionInfo",
    "EventKind",
    "EventView",
    "FileAccess",
    "HandleAccess",
    "HandleCounts",
    "HandleStats",
    "Key",
    "Pipe",
    "Sftp",
    "Watch",
    "conceal",
    "drop_capabilities",
    "landlock_version",
    "library_versions",
    "renounce_privileges",
    "restrict",
    "supported_algorithms",
]
