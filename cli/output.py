"""Results on standard output, complete or refused in one sentence."""

import os
import sys

from libsshd_cli import CommandError


def write_lines(*lines: str) -> None:
    """Print the lines at once; CommandError when nobody can read them."""
    try:
        print(*lines, sep="\n", flush=True)
    except OSError as error:
        _abandon_stdout()
        raise CommandError(f"standard output cannot be written: {error.strerror}") from None


def _abandon_stdout() -> None:
    # What is still buffered would fail once more, with a message of the interpreter, at exit.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
