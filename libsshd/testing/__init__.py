"""A server that does what a test of an SFTP client needs, and fails as it is told.

`server` starts one; the fixtures of the pytest plugin are `sftpserver` and `sftpserver_factory`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libsshd.constants import Status
    from libsshd.testing.case import SFTPServerMixin
    from libsshd.testing.exchange import Exchange
    from libsshd.testing.harness import Harness, Server, server
    from libsshd.testing.log import Log, Record
    from libsshd.testing.network import Network
    from libsshd.testing.recording import Recording
    from libsshd.testing.replay import rerun
    from libsshd.testing.rule import Rule, Rules

__all__ = [
    "Exchange",
    "Harness",
    "Log",
    "Network",
    "Record",
    "Recording",
    "Rule",
    "Rules",
    "SFTPServerMixin",
    "Server",
    "Status",
    "rerun",
    "server",
]

_HOMES = {
    "Exchange": "libsshd.testing.exchange",
    "Harness": "libsshd.testing.harness",
    "Log": "libsshd.testing.log",
    "Network": "libsshd.testing.network",
    "Record": "libsshd.testing.log",
    "Recording": "libsshd.testing.recording",
    "Rule": "libsshd.testing.rule",
    "Rules": "libsshd.testing.rule",
    "SFTPServerMixin": "libsshd.testing.case",
    "Server": "libsshd.testing.harness",
    "Status": "libsshd.constants",
    "rerun": "libsshd.testing.replay",
    "server": "libsshd.testing.harness",
}
"""Loaded when they are first asked for: pytest loads the plugin in every run, also where nobody wants a server."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
