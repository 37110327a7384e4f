"""Where the server can be reached: as a URL for programs and as a line to paste for people."""

import re
import shlex
from collections.abc import Sequence
from urllib.parse import quote

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - these are looked for, not listened on
_PLAIN_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def bracketed(host: str) -> str:
    """Return the host as it stands before a colon and a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def url(user: str, host: str, port: int) -> str:
    """Return sftp://USER@HOST:PORT, all ASCII; the user is percent-encoded, and an IPv6 zone (RFC 6874)."""
    address = bracketed(host.replace("%", "%25"))
    return f"sftp://{quote(user, safe='', errors='surrogateescape')}@{address}:{port}"


def is_everywhere(host: str) -> bool:
    """Tell whether `host` means every address of this machine."""
    return host in _EVERYWHERE


def sftp_command(user: str, host: str, port: int, identities: Sequence[str] = ()) -> str:
    """Return a command for a shell that opens OpenSSH's client; `identities` are paths of private keys."""
    host = _EVERYWHERE.get(host, host)
    words = ["sftp", "-P", str(port), *(word for path in identities for word in ("-i", path))]
    if _PLAIN_USER.fullmatch(user):
        words += [f"{user}@{bracketed(host)}"]
    else:
        escaped = user.replace("\\", "\\\\").replace('"', '\\"')
        words += ["-o", f'User="{escaped}"', bracketed(host)]
    return shlex.join(words)
