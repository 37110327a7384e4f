"""`libsshd check`: tries a live server; what is tried is in checking.py."""

import argparse
from typing import Any

from libsshd_cli.remote import add_target_options


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser(
        "check",
        help="try a live SFTP server",
        description="Try what SFTP clients need of a live server, inside a scratch directory that is removed again.",
        epilog="Exit status: 0 if what clients rely on works, 1 if something does not, 2 if it could not be tried.",
        allow_abbrev=False,
    )
    add_target_options(parser)
    add = parser.add_argument
    add("--only", metavar="NAME", action="append", default=[], help="only this check, may be repeated")
    add("--listing", metavar="N", type=int, default=500, help="files in the big listing (default: 500)")
    add("--size", metavar="BYTES", type=int, default=4194304, help="size of the large file (default: 4194304)")
    parser.set_defaults(command=_check, parser=parser)


def _check(options: argparse.Namespace) -> int:
    from libsshd_cli.remote import need_extra

    need_extra()
    from libsshd_cli.checking import check

    return check(options)
