"""What `libsshd check` does: the checks, one after the other, in a scratch directory."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ssh2.exceptions import SSH2Error

from libsshd.constants import Packet
from libsshd.testing.client import Channel, RefusedError, Sftp, WrongAnswerError
from libsshd.wire.buffer import Malformed
from libsshd_cli import CommandError
from libsshd_cli.checks import CHECKS, Check, Failure, NotOffered, Trial
from libsshd_cli.escaping import one_line
from libsshd_cli.remote import Remote, encoded, scratch_name
from libsshd_cli.report import Report

ALL_WELL, SOMETHING_FAILED = 0, 1
_BROKEN = (OSError, EOFError, Malformed, SSH2Error)


def check(options: argparse.Namespace) -> int:
    """Try what `options` ask for; CommandError says why that is not possible."""
    chosen = _chosen(options.only)
    remote = Remote(options)
    report = Report("check", len(chosen), as_json=options.json)
    connection = remote.connect()
    try:
        sftp = _begin(connection)
        report.tell(
            server=connection.version_line,
            host_key=f"{connection.host_key_type} {connection.fingerprint}",
            version=sftp.version,
            extensions=sorted(name.decode("ascii", "backslashreplace") for name in sftp.extensions),
        )
        with report, scratch_of(sftp, options.directory) as (home, scratch):
            trial = Trial(connection, sftp, home, scratch, options)
            for one in chosen:
                report.add(*_outcome(one, trial))
    finally:
        connection.close()
    report.show()
    return SOMETHING_FAILED if report.failed else ALL_WELL


def _chosen(names: list[str]) -> list[Check]:
    known = {check.name: check for check in CHECKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CommandError(f"there is no check {unknown[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(CHECKS)


def _begin(connection: Any) -> Sftp:
    try:
        return Sftp(Channel(connection.session))
    except _BROKEN as error:
        raise CommandError(f"the server does not begin SFTP: {named(error)}") from None


def _outcome(check: Check, trial: Trial) -> tuple[str, str, str, str, float]:
    """Name, what it proves, outcome, a sentence about it, and seconds."""
    began = time.monotonic()
    outcome, text = "ok", ""
    try:
        check.run(trial)
    except NotOffered as error:
        outcome, text = "skipped", str(error)
    except (Failure, RefusedError, WrongAnswerError, Malformed) as error:
        outcome, text = ("failed" if check.required else "no"), str(error)
    except _BROKEN as error:
        outcome, text = "failed", f"the session broke: {named(error)}"
    return check.name, check.proves, outcome, text, time.monotonic() - began


@contextmanager
def scratch_of(sftp: Sftp, directory: str) -> Iterator[tuple[bytes, bytes]]:
    """Where the login begins, and a directory of our own, which is removed with what is in it."""
    try:
        home = sftp.name(Packet.REALPATH, b".")
        scratch = sftp.name(Packet.REALPATH, encoded(directory)).rstrip(b"/") + b"/" + scratch_name()
        sftp.mkdir(scratch)
    except _BROKEN as error:
        raise CommandError(f"no scratch directory can be made in {directory}: {named(error)}") from None
    try:
        yield home, scratch
    finally:
        with suppress(*_BROKEN):
            _remove(sftp, scratch)


def _remove(sftp: Sftp, path: bytes) -> None:
    for entry in sftp.entries(path):
        below = path + b"/" + entry.name
        if (entry.attributes.permissions or 0) & 0o170000 == 0o040000:
            _remove(sftp, below)
        else:
            sftp.change(Packet.REMOVE, below)
    sftp.change(Packet.RMDIR, path)


def named(error: Exception) -> str:
    """What an error says, or what it is called: libssh2's say nothing."""
    return one_line(str(error)) or type(error).__name__.removesuffix("Error")
