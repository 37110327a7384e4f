"""The `libsshd` command: finds the subcommand and turns its failure into one sentence and an exit status."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from libsshd_cli import CommandError, bench, check, completion, hostkey, run, settings, sftp_server
from libsshd_cli.escaping import one_line

DONE, INTERRUPTED, MISUSED = 0, 130, 2

_DESCRIPTION = "Serve directories over SFTP."
_EPILOG = "`libsshd run` serves the current directory; `libsshd COMMAND --help` lists what can be set."


class _Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong with the arguments; the usage is a long way off in --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Prints the versions; an action of its own because looking them up loads the native core."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        print(version_line())
        parser.exit(DONE)


def version_line() -> str:
    """Return e.g. "libsshd 0.1.0 (libssh 0.12.2, OpenSSL 3.0.17)"."""
    import libsshd

    # libssh appends the libraries it was built with: 0.12.2/openssl/zlib.
    numbers = {name: version.partition("/")[0] for name, version in libsshd.library_versions().items()}
    return f"libsshd {libsshd.__version__} ({', '.join(f'{name} {number}' for name, number in numbers.items())})"


def build_parser() -> argparse.ArgumentParser:
    """Return the whole command line; nothing but argparse is needed for it, so help comes at once."""
    parser = _Parser("libsshd", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the versions in use and exit")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for command in (run, sftp_server, check, bench, settings, hostkey, completion):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 2 not possible as asked, 130 interrupted."""
    _open_missing_descriptors()
    _open_missing_streams()
    parser = build_parser()
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        vars(options).get("parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if "command" not in options:
        parser.print_help()
        return MISUSED
    try:
        status: int = options.command(options)
    except CommandError as error:
        print(f"libsshd: {one_line(str(error))}", file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _open_missing_descriptors() -> None:
    """Keep 0, 1 and 2 from becoming the numbers of what is opened later: whoever is closed there leads nowhere."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _open_missing_streams() -> None:
    """Give a process that was started with a closed stdout or stderr one that leads nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - stays open


if __name__ == "__main__":
    sys.exit(main())
