"""Lists of requests on the command line."""

from libsshd.serve.policy import unknown_request
from libsshd_cli import CommandError


def check_requests(option: str, text: str) -> None:
    """Raises CommandError for a name that is no request's."""
    unknown = unknown_request(text)
    if unknown is not None:
        raise CommandError(f"{option}: {unknown!r} is no request; libsshd sftp-server -Q requests lists what is")
