"""Which requests a server answers at all, by their names in the table of operations.

Rules:
- What is denied is denied whatever is allowed; with a list of what is allowed, everything else is denied.
- It is decided before any handler is asked, which has no say in it.
- An extension that would always be refused is not announced.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.settings import Settings

from .operations import OPERATIONS, always

NAMES = tuple(dict.fromkeys(operation.name for operation in OPERATIONS.values()))
"""What the lists may hold, in the order of the table."""
_CHANGING = frozenset(operation.name for operation in OPERATIONS.values() if operation.changes is always)


@dataclass(frozen=True, slots=True)
class Policy:
    """`denied` are names of requests, `hidden` those that nobody needs to hear of."""

    denied: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()

    def announces(self, extension: bytes) -> bool:
        """Whether clients are told of an extension, which is called as its request is, with or without a domain."""
        return extension.partition(b"@")[0].decode("ascii") not in self.hidden


def policy_of(settings: Settings) -> Policy:
    """Raises SFTPServerError (10022) for a name that is no request's."""
    denied = frozenset(_listed("DenyRequests", settings.deny_requests))
    if settings.allow_requests:
        denied |= frozenset(NAMES) - frozenset(_listed("AllowRequests", settings.allow_requests))
    return Policy(denied, denied | _CHANGING if settings.read_only else denied)


def _listed(setting: str, text: str) -> Iterable[str]:
    unknown = unknown_request(text)
    if unknown is not None:
        known = ", ".join(NAMES)
        raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"{setting}: {unknown!r} is no request; there are {known}.")
    return _names(text)


def unknown_request(text: str) -> str | None:
    """The first of a list with commas between them that is no request's name."""
    return next((name for name in _names(text) if name not in NAMES), None)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
