"""libsshd: an SFTP server on libssh, as a command and as a component of threaded programs."""

from libsshd._native import library_versions
from libsshd.constants import OpenFlags, Status
from libsshd.errors import SFTPServerError
from libsshd.events import SSHUserAuthRequest
from libsshd.hostkeys import HostKey
from libsshd.server import SFTPServer
from libsshd.version import __version__

__all__ = [
    "HostKey",
    "OpenFlags",
    "SFTPServer",
    "SFTPServerError",
    "SSHUserAuthRequest",
    "Status",
    "__version__",
    "library_versions",
]
