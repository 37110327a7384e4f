"""The harness around what `libsshd run` serves: a tree in memory, faults, a recording, remote control."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from libsshd import SFTPServer
from libsshd.testing.control import Control
from libsshd.testing.harness import Harness
from libsshd_cli import CommandError


@contextmanager
def staged(server: SFTPServer, options: argparse.Namespace) -> Iterator[Callable[[], object]]:
    """Put the harness around a server as long as it runs; CommandError says why that is not possible.

    What it yields is to be called when the server listens: it starts the first thread.
    """
    harness = Harness(server)
    with ExitStack() as stack:
        control: Control | None = None
        try:
            if options.faults:
                harness.faults.load(options.faults)
            stack.callback(harness.stop)
            if options.record:
                harness.record(options.record)
            if options.control:
                control = Control(harness, options.control)
                stack.callback(control.stop)
        except OSError as error:
            name, why = error.filename or options.control, error.strerror or error
            raise CommandError(f"{name} cannot be used: {why}") from None
        except ValueError as error:
            raise CommandError(f"the faults in {options.faults} are wrong: {error}") from None
        yield control.start if control is not None else lambda: None
