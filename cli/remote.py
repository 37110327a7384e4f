"""A live server as `libsshd check` and `libsshd bench` reach it: the target, its host key, the login."""

import argparse
import getpass
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from libsshd_cli import CommandError
from libsshd_cli.escaping import one_line

_PORT = 22
_PASSWORD = "LIBSSHD_PASSWORD"  # noqa: S105 - the name of a variable


class Target(NamedTuple):
    """Where, and as whom."""

    host: str
    port: int
    user: str


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add the server and the ways to know it and to be known to it."""
    add = parser.add_argument
    add("target", metavar="HOST", help="the server: HOST, USER@HOST or sftp://USER@HOST:PORT")
    add("--port", metavar="N", type=int, help="port (default: that of the URL, else 22)")
    add("--user", metavar="NAME", help="user name (default: that of the URL, else yours)")
    add("--password-file", metavar="FILE", help="file with the password in one line; only you may be able to open it")
    add("--identity", metavar="FILE", help="private key to log in with; one with a passphrase belongs into an agent")
    add("--known-hosts", metavar="FILE", default="~/.ssh/known_hosts",
        help="host keys, as of OpenSSH (default: ~/.ssh/known_hosts)")  # fmt: skip
    add("--fingerprint", metavar="SHA256:...", help="the host key must have this fingerprint")
    add("--insecure", action="store_true", help="take any host key")
    add("--directory", metavar="DIR", default=".", help="where to make the scratch directory (default: .)")
    add("--timeout", metavar="S", type=_seconds, default=20.0, help="seconds that an answer may take (default: 20)")
    add("--json", action="store_true", help="print one JSON object in place of a table")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, more than 0 and at most 3600")
    return seconds


def target_of(options: argparse.Namespace) -> Target:
    """Return what the arguments name; CommandError when that is nothing."""
    text: str = options.target
    parts = urlsplit(text if "://" in text else f"sftp://{text}")
    try:
        port = options.port or parts.port or _PORT
    except ValueError:
        port = 0
    if parts.scheme != "sftp" or not parts.hostname or not 0 < port < 65536:
        raise CommandError(f"{text!r} names no server; write HOST, USER@HOST or sftp://USER@HOST:PORT")
    return Target(parts.hostname, port, options.user or unquote(parts.username or "") or getpass.getuser())


def need_extra() -> None:
    """Raise CommandError when what these commands stand on is not installed."""
    missing = [name for name in ("rich", "ssh2") if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(f"{missing[0]} is missing; install it by: pip install 'libsshd[check]'")


class Remote:
    """Makes connections to the target, logged in. The first asks for what is needed, the others need nothing more."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.target = target_of(options)
        self._options = options
        self._log_in: Callable[[Any], None] | None = None

    def connect(self) -> Any:
        """Return a libsshd.testing.client.Connection; CommandError says why there is none."""
        from ssh2.exceptions import SSH2Error

        from libsshd.testing.client import Connection

        host, port, user = self.target
        try:
            connection = Connection(host, port, self._options.timeout)
        except (OSError, SSH2Error) as error:
            raise CommandError(f"{host} port {port} cannot be reached by SSH: {_reason(error)}") from None
        try:
            self._check_host_key(connection)
            if self._log_in is not None:
                self._log_in(connection.session)
            else:
                self._log_in = self._find_login(connection.session)
        except BaseException as error:
            connection.close()
            if isinstance(error, SSH2Error):
                raise CommandError(f"{user} cannot log in to {host} port {port}: {_reason(error)}") from None
            raise
        return connection

    # --- the host key ---

    def _check_host_key(self, connection: Any) -> None:
        options = self._options
        shown = f"{connection.host_key_type} {connection.fingerprint}"
        if options.fingerprint is not None:
            if options.fingerprint != connection.fingerprint:
                raise CommandError(f"the host key is {shown}, which is not the one asked for")
        elif not options.insecure:
            self._look_up(connection, shown)

    def _look_up(self, connection: Any, shown: str) -> None:
        from ssh2 import knownhost
        from ssh2.exceptions import KnownHostCheckMisMatchError, SSH2Error

        path = os.path.expanduser(self._options.known_hosts)
        hosts = connection.session.knownhost_init()
        how = knownhost.LIBSSH2_KNOWNHOST_TYPE_PLAIN | knownhost.LIBSSH2_KNOWNHOST_KEYENC_RAW
        try:
            hosts.readfile(path)
            hosts.checkp(self.target.host.encode(), self.target.port, connection.host_key, how)
        except KnownHostCheckMisMatchError:
            raise CommandError(f"the host key {shown} is not the one in {path}: somebody may be in between") from None
        except SSH2Error:
            raise CommandError(
                f"the host key {shown} is not in {path}; if it is right, add --fingerprint {connection.fingerprint}"
            ) from None

    # --- the login ---

    def _find_login(self, session: Any) -> Callable[[Any], None]:
        """Log in by what there is; return how that went. Raises SSH2Error."""
        user, options = self.target.user, self._options
        if options.identity is not None:
            path = os.path.expanduser(options.identity)
            return _done(lambda s: s.userauth_publickey_fromfile(user, path), session)
        password = self._password()
        if password is None and os.environ.get("SSH_AUTH_SOCK"):
            return _done(lambda s: s.agent_auth(user), session)
        if password is None:
            password = self._asked_password()
        return _done(lambda s: s.userauth_password(user, password), session)

    def _password(self) -> str | None:
        from libsshd.authentication import read_password_file

        path = self._options.password_file
        if path is None:
            return os.environ.get(_PASSWORD)
        try:
            return read_password_file(path)
        except OSError as error:
            raise CommandError(f"the password file {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise CommandError(str(error)) from None

    def _asked_password(self) -> str:
        if not sys.stdin.isatty():
            raise CommandError(f"there is no way to log in; use --identity, --password-file or {_PASSWORD}=...")
        return getpass.getpass(f"Password of {self.target.user} at {self.target.host}: ", sys.stderr)


def _done(log_in: Callable[[Any], None], session: Any) -> Callable[[Any], None]:
    log_in(session)
    return log_in


def _reason(error: Exception) -> str:
    """A sentence; libssh2's errors have names alone."""
    text = getattr(error, "strerror", None) or str(error)
    name = type(error).__name__.removesuffix("Error")
    return one_line(text or name) if not isinstance(error, TimeoutError) else "no answer within the time-out"


def scratch_name() -> bytes:
    """Return a name that nobody has."""
    return f".libsshd-check-{os.urandom(6).hex()}".encode()


def encoded(path: str) -> bytes:
    """Return a remote path as bytes."""
    return os.fsencode(Path(path).as_posix() if path not in ("", ".") else ".")
