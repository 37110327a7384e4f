"""The C core and thin typed wrappers: the only package that sees `ffi` and `lib`."""

from . import interpreter  # noqa: F401 - it comes first, and says where nothing below may be imported
from .connection import Algorithms, Bind, Connection, ConnectionInfo, library_versions, supported_algorithms
from .hostkey import Key
from .pipe import Pipe
from .process import conceal
from .sftp import Adopted, EventKind, EventView, HandleAccess, HandleCounts, HandleStats, Sftp, Watch

__all__ = [
    "Adopted",
    "Algorithms",
    "Bind",
    "Connection",
    "ConnectionInfo",
    "EventKind",
    "EventView",
    "HandleAccess",
    "HandleCounts",
    "HandleStats",
    "Key",
    "Pipe",
    "Sftp",
    "Watch",
    "conceal",
    "library_versions",
    "supported_algorithms",
]
