"""What `libsshd sftp-server` does: one session on standard input and output, as the user who runs it."""

import argparse
import logging
import os
import pwd
import re
import signal
from types import FrameType
from typing import NamedTuple, NoReturn

from libsshd.errors import SFTPServerError
from libsshd.fs.base import normalise
from libsshd.fs.rooted import RootedFileSystem
from libsshd.serve import stdio
from libsshd.serve.journal import Journal
from libsshd.serve.policy import NAMES
from libsshd.serve.session import SessionContext, context_without_server
from libsshd.settings import Settings
from libsshd_cli import CommandError, privilege, syslogging
from libsshd_cli.output import write_lines
from libsshd_cli.requests import check_requests

_STDIN, _STDOUT = 0, 1
_DONE, _FAILED, _FATAL = 0, 1, 255
_STATUSES = {"eof": _DONE, "gone": _DONE, "bad-frame": 11, "protocol-error": _FATAL}
"""Exit statuses of OpenSSH's sftp-server, by how serving ended."""
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class _Stopped(BaseException):
    """A signal asks to stop."""

    def __init__(self, number: int) -> None:
        self.number = number


class _Account(NamedTuple):
    name: str
    home: str


def list_requests() -> int:
    """Print the names that the lists of requests take."""
    write_lines(*NAMES)
    return _DONE


def serve(options: argparse.Namespace) -> int:
    """Serve until the client leaves; CommandError says why that is not possible."""
    if options.umask is not None:
        os.umask(options.umask)
    syslogging.configure(options.log_level, options.log_facility, to_stderr=options.to_stderr)
    account = _account()
    with _file_system(options.root) as fs:
        context = _context(options, fs)
        context.passes_for_openssh = True  # its sshd is what clients have talked to
        context.home = _start(options, account, context.journal)
        context.handlers.user = account.name  # whose home "~" is, by name or without
        if options.root is not None:
            privilege.load_everything()
        privilege.confine(
            options.root or "/",
            read_only=options.read_only,
            landlock=not options.no_landlock,
            level=logging.DEBUG,
        )
        who = {"user": account.name, "peer": os.environ.get("SSH_CONNECTION", "UNKNOWN").partition(" ")[0]}
        context.journal.record(logging.INFO, "opened", "session opened", **who)
        try:
            return _converse(context)
        except _Stopped as stopped:
            signum = stopped.number
        finally:
            context.journal.record(logging.INFO, "closed", "session closed", **who)
    signal.raise_signal(signum)  # which ends the process now, for whoever waits for it to see
    return _FATAL


def _converse(context: SessionContext) -> int:
    """The whole session; the exit status."""
    pipe = stdio.make_pipe(_STDIN, _STDOUT)
    pipe.wake_by(_watch_signals())
    try:
        ending = stdio.serve(pipe, stdio.make_session(pipe, context))
    except OSError as error:
        context.journal.record(logging.ERROR, "broken", "reading or writing failed", reason=error.strerror)
        return _FAILED
    if ending.kind == "bad-frame":
        context.journal.record(logging.ERROR, "bad-packet", "bad message", length=ending.length)
    elif ending.kind == "protocol-error":
        context.journal.record(logging.ERROR, "bad-packet", "bad message", reason=ending.text)
    return _STATUSES[ending.kind]


def _watch_signals() -> int:
    """Have signals raise _Stopped; the descriptor that tells of them."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer)
    for number in _SIGNALS:
        signal.signal(number, _stop)
    return reader


def _stop(number: int, _: FrameType | None) -> NoReturn:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_DFL)  # the second signal does not ask
    raise _Stopped(number)


def _account() -> _Account:
    try:
        entry = pwd.getpwuid(os.getuid())
        return _Account(entry.pw_name, entry.pw_dir)
    except KeyError:  # a container's user may have no name
        return _Account(str(os.getuid()), os.environ.get("HOME", "/"))


def _file_system(root: str | None) -> RootedFileSystem:
    try:
        return RootedFileSystem(root or "/")
    except (OSError, ValueError) as error:
        raise CommandError(f"the root {root} cannot be served: {getattr(error, 'strerror', error)}") from None


def _context(options: argparse.Namespace, fs: RootedFileSystem) -> SessionContext:
    check_requests("-P", options.deny_requests)
    check_requests("-p", options.allow_requests)
    settings = Settings(
        protocol_version=options.max_version,
        read_only=options.read_only,
        upload_mode=options.upload_mode,
        deny_requests=options.deny_requests,
        allow_requests=options.allow_requests,
        allow_links=True,
        unix_style_date_format=True,
        server_eol="LF",
    )
    try:
        return context_without_server(settings, fs)
    except SFTPServerError as error:
        raise CommandError(error.description) from None


# --- where the client starts ---


def _start(options: argparse.Namespace, account: _Account, journal: Journal) -> bytes:
    """The virtual path that relative ones begin at; with a root of its own, a directory below that."""
    wanted = None if options.start is None else os.fsencode(_expand(options.start, account))
    if options.root is not None:
        return normalise(wanted or b"/")
    try:
        if wanted is not None:
            os.chdir(wanted)
    except OSError as error:
        journal.record(logging.ERROR, "failed", "no such place to start", path=wanted, reason=error.strerror)
    try:
        return os.getcwdb()
    except OSError:
        return b"/"  # it was removed


def _expand(text: str, account: _Account) -> str:
    """Put what they stand for in place of a leading ~ and of %%, %d and %u. Raises CommandError for another token."""
    tokens = {"%%": "%", "%d": account.home, "%u": account.name}

    def expanded(match: re.Match[str]) -> str:
        if match[0] not in tokens:
            raise CommandError(f"-d knows {', '.join(tokens)}, not {match[0]}")
        return tokens[match[0]]

    return re.sub("%.?", expanded, os.path.expanduser(text))
