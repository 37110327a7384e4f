"""`libsshd settings`: what `libsshd run --set` can set, printed from the library's own table."""

import argparse
from typing import Any

from libsshd_cli import CommandError
from libsshd_cli.output import write_lines

_WIDTH = 100


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser(
        "settings",
        help="list what can be set beyond the options",
        description="Print the settings that `libsshd run --set NAME=VALUE` takes, with their defaults.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "name", metavar="TEXT", nargs="?", default="", help="only names with TEXT in them (default: all)"
    )
    parser.set_defaults(command=show, parser=parser)


def show(options: argparse.Namespace) -> int:
    """Print the settings whose names contain `options.name`, whatever its case."""
    import textwrap

    from libsshd.settings import CONNECTION_SETTINGS, SETTINGS, Kind, Setting

    tables = [*SETTINGS.values(), *CONNECTION_SETTINGS.values()]
    known = {setting.name: setting for setting in tables if setting.kind is not Kind.PROPERTY}
    chosen = [known[name] for name in sorted(known, key=str.lower) if options.name.lower() in name.lower()]
    if not chosen:
        raise CommandError(f"no setting has {options.name!r} in its name; `libsshd settings` lists all")
    lines: list[str] = []
    for setting in chosen:
        lines.append(f"{setting.name}={Setting.format(setting.default)}")
        lines += textwrap.wrap(setting.doc, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    write_lines(*lines)
    return 0
