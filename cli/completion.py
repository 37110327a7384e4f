"""`libsshd completion`: a completion script for the shell, made from the parser itself by shtab."""

import argparse
from collections.abc import Iterator
from typing import Any

from libsshd_cli.output import write_lines

SHELLS = ("bash", "zsh")


def add_parser(commands: Any) -> None:
    """Add the command to the subparsers of the command line."""
    parser = commands.add_parser(
        "completion",
        help="print a completion script for your shell",
        description="Print a completion script for bash or zsh. For bash: source <(libsshd completion bash)",
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="the shell, bash or zsh")
    parser.set_defaults(command=show, parser=parser)


def show(options: argparse.Namespace) -> int:
    """Print the script for `options.shell`."""
    import shtab

    from libsshd_cli.__main__ import build_parser

    parser = build_parser()
    by_metavar = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}
    for action in _actions(parser):
        if isinstance(action.metavar, str) and action.metavar in by_metavar:
            setattr(action, "complete", by_metavar[action.metavar])  # noqa: B010 - shtab's own attribute
    write_lines(shtab.complete(parser, options.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
