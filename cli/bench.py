"""`libsshd bench`: measures a live server; what is measured is in measuring.py."""

import argparse
from typing import Any

from libsshd_cli.remote import add_target_options


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser(
        "bench",
        help="measure a live SFTP server",
        description="Measure a live server that you are responsible for, inside a scratch directory that is removed "
        "again, with one client that does one thing at a time.",
        allow_abbrev=False,
    )
    add_target_options(parser)
    add = parser.add_argument
    add("--size", metavar="BYTES", type=int, default=67108864, help="size of the large file (default: 67108864)")
    add("--files", metavar="N", type=int, default=200, help="number of small files (default: 200)")
    add("--logins", metavar="N", type=int, default=10, help="number of logins (default: 10)")
    add("--repeat", metavar="N", type=int, default=5, help="how often each is measured (default: 5)")
    parser.set_defaults(command=_bench, parser=parser)


def _bench(options: argparse.Namespace) -> int:
    from libsshd_cli.remote import need_extra

    need_extra()
    from libsshd_cli.measuring import bench

    return bench(options)
