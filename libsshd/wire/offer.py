"""What a server can do, as far as VERSION tells clients of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


def _everything(_: bytes) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Offer:
    """`last_version` is the highest that may be spoken, `newline` the end of a line in text files, `read_size` the
    bytes that a READ may ask for, `product` and `product_version` who this is.

    `announces` tells by its name whether clients hear of an extension.
    """

    last_version: int = 3
    newline: bytes = b"\r\n"
    read_size: int = 0
    product: bytes = b""
    product_version: bytes = b""
    announces: Callable[[bytes], bool] = _everything


Announcement: TypeAlias = Callable[[Offer, tuple[bytes, ...]], bytes | None]
"""Data of an extension in VERSION, from the offer and the names of all extensions a client can ask; None for none."""
