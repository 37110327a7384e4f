"""`libsshd hostkey`: makes a host key or shows the one there is."""

import argparse
import os
from typing import Any

from libsshd_cli import CommandError
from libsshd_cli.output import write_lines

TYPES = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-", "rsa": "ssh-rsa"}
"""Names of key types on the command line, and how the names of their keys begin."""


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser(
        "hostkey",
        help="make a host key, or show the fingerprint of one",
        description="Print fingerprint and public line of the host key in FILE; without FILE, make it.",
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="the private key; a new one can be read by you alone")
    kinds = f"type of a new key: {', '.join(TYPES)} (default: ed25519)"
    parser.add_argument("--type", choices=TYPES, metavar="TYPE", help=kinds)
    parser.set_defaults(command=show, parser=parser)


def show(options: argparse.Namespace) -> int:
    """Print the key in `options.file`, which is made when it is missing."""
    from libsshd_cli import keyfile

    key = None if os.path.lexists(options.file) else keyfile.make(options.file, options.type or "ed25519")
    key = key or keyfile.load(options.file)
    if options.type and not key.type.startswith(TYPES[options.type]):
        raise CommandError(f"{options.file} holds a key of type {key.type} already; name another file")
    write_lines(f"{key.fingerprint} ({key.type})", key.public_line)
    return 0
