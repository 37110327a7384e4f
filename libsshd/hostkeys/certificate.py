"""What a certificate store gives: keys, with or without a certificate."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from libsshd.hostkeys.key import HostKey


class Unusable(ValueError):  # noqa: N818 -- names the store, not the handling
    """Why a store gives no host key: the rest of a sentence that begins with the store."""


@dataclass(frozen=True)
class Certificate:
    """A private key of a store and the certificate beside it.

    `subject` is the certificate's full subject, "" for a bare key; `encoded` its PEM text, b"" for none.
    """

    key: HostKey
    subject: str = ""
    encoded: bytes = b""


def require(module: str) -> Any:
    """A module of this package that stands on the libraries of the extra "keys". Raises Unusable without them."""
    try:
        return import_module(f"libsshd.hostkeys.{module}")
    except ImportError as error:
        library = (error.name or "a library").partition(".")[0]
        raise Unusable(f'needs {library}, which is not installed; use: pip install "libsshd[keys]"') from None
