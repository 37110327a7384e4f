"""`libsshd run`: its options; what they lead to is in serving.py."""

import argparse
import math
from typing import Any

from libsshd_cli.algorithms import PROFILES
from libsshd_cli.umask import umask

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")
UPLOAD_MODES = ("direct", "atomic", "atomic-keep")


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser(
        "run",
        help="serve a directory over SFTP",
        description="Serve a directory over SFTP until Ctrl-C or SIGTERM. Everything has a default.",
        epilog="The first line on standard output, sftp://USER@HOST:PORT, comes when clients can connect.",
        allow_abbrev=False,
    )
    _add_service_options(parser)
    _add_login_options(parser)
    _add_process_options(parser)
    _add_limit_options(parser)
    _add_harness_options(parser)
    _add_log_options(parser)
    parser.set_defaults(command=_serve, parser=parser)


def _add_service_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is served, and where")
    add = group.add_argument
    add(
        "--root",
        metavar="DIR",
        default=".",
        help="directory that clients see as / (default: the current one)",
    )
    add("--host", metavar="ADDR", type=_host, default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    add("--port", metavar="N", type=_port, default=2222, help="port, 0 for any free one (default: 2222)")
    add("--read-only", action="store_true", help="refuse everything that would change a file")
    add(
        "--upload-mode",
        metavar="MODE",
        choices=UPLOAD_MODES,
        default="direct",
        help="direct: files are written in their place; atomic: they get their names when they are closed and on the "
        "disk; atomic-keep: and what was cut off can be resumed (default: direct)",
    )
    add(
        "--deny-requests",
        metavar="LIST",
        default="",
        help="SFTP requests to refuse, by the names that `libsshd sftp-server -Q requests` lists",
    )
    add(
        "--allow-requests",
        metavar="LIST",
        default="",
        help="the only SFTP requests to answer, less those of --deny-requests; without it all",
    )
    add(
        "--host-key",
        metavar="FILE",
        action="append",
        default=[],
        help="private host key, may be repeated (default: an ed25519 key, made on first use)",
    )
    add(
        "--algorithms",
        metavar="PROFILE",
        choices=PROFILES,
        default="default",
        help="lists of algorithms: default, or strict, for clients of today only (default: default)",
    )


def _add_login_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may log in")
    add = group.add_argument
    add("--user", metavar="NAME", help="the user name (default: that of --run-as, else yours)")
    secret = group.add_mutually_exclusive_group()
    secret.add_argument(
        "--password",
        metavar="TEXT",
        help="the password; other users see it in `ps`, so prefer --password-file",
    )
    secret.add_argument(
        "--password-file",
        metavar="FILE",
        help="file with the password in one line; only you may be able to open it",
    )
    add(
        "--authorized-keys",
        metavar="FILE",
        action="append",
        default=[],
        help="public keys as in OpenSSH, may be repeated (default: none; a password is made up and shown)",
    )


def _add_process_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the process")
    add = group.add_argument
    add("--run-as", metavar="NAME", help="user to become, for root, once the port and the keys are had")
    add("--umask", metavar="UMASK", type=umask, help="umask of new files, octal (default: inherited)")
    add("--no-landlock", action="store_true", help="do not have the kernel lock away the files outside the root")


def _add_limit_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("limits")
    add = group.add_argument
    add(
        "--max-connections",
        metavar="N",
        type=_count,
        default=1000,
        help="connections at once (default: 1000)",
    )
    add(
        "--max-startups",
        metavar="N|START:RATE:FULL",
        type=_startups,
        default=(10, 30, 100),
        help="connections at once that have not logged in yet; from START on, RATE percent of those that come cost "
        "one its place, rising to all at FULL (default: 10:30:100)",
    )
    add(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="any setting that `libsshd settings` lists, may be repeated",
    )
    add(
        "--drain-timeout",
        metavar="S",
        type=_seconds,
        default=30.0,
        help="seconds that clients get to finish when the server stops (default: 30)",
    )


def _add_harness_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("for tests of clients")
    add = group.add_argument
    add("--memory", action="store_true", help="serve a tree in memory, empty at first, in place of a directory")
    add("--faults", metavar="FILE", help="rules by which things go wrong, in TOML; docs/testing.md has them")
    add("--record", metavar="FILE", help="file to write what is asked and answered to, one JSON object a line")
    add("--control", metavar="PATH", help="Unix socket at which tests change tree and faults and read the log")


def _add_log_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("log, on standard error")
    group.add_argument(
        "--log-level",
        metavar="L",
        choices=LOG_LEVELS,
        default="info",
        help="least level to show: debug, info, warning or error (default: info)",
    )
    group.add_argument(
        "--log-format",
        metavar="text|json",
        choices=LOG_FORMATS,
        default="text",
        help="how a line looks; json is one object per line (default: text)",
    )


def _host(text: str) -> str:
    if not text.strip():  # an empty variable must not open the server to the world
        raise argparse.ArgumentTypeError("an address is needed; 0.0.0.0 or :: is every one")
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port number, 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 31):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def _startups(text: str) -> tuple[int, int, int]:
    """Return start, rate and full; a start of 0 is none."""
    begin, *more = text.split(":")
    if not more:
        return 0, 30, _count(text)
    if len(more) != 2 or not 1 <= _count(more[0]) <= 100 or _count(begin) > _count(more[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not N or START:RATE:FULL, such as 10:30:100")
    return _count(begin), _count(more[0]), _count(more[1])


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def _serve(options: argparse.Namespace) -> int:
    from libsshd_cli.serving import serve

    return serve(options)
