"""A directory of one test's own inside the root of a running server."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that differ at every offset, the same on every run."""
    return random.Random(seed).randbytes(size)


def sha256(file: Path | bytes) -> str:
    """Hash of a file's content."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Place:
    """`path` is the directory on disk, `remote` the same directory as clients name it."""

    path: Path
    remote: bytes

    def at(self, name: bytes | str) -> bytes:
        """The name clients use for an entry of this directory."""
        return self.remote + b"/" + os.fsencode(name)

    def text(self, name: str) -> str:
        """Like `at`, as text."""
        return os.fsdecode(self.at(name))

    def local(self, name: bytes | str) -> bytes:
        """The path on disk of an entry, as bytes."""
        return os.fsencode(self.path) + b"/" + os.fsencode(name)

    def write(self, name: bytes | str, data: bytes) -> bytes:
        """Put a file on disk; return the name clients use."""
        with open(self.local(name), "wb") as stream:
            stream.write(data)
        return self.at(name)

    def read(self, name: bytes | str) -> bytes:
        with open(self.local(name), "rb") as stream:
            return stream.read()

    def names(self) -> set[bytes]:
        """What is in the directory on disk."""
        return set(os.listdir(os.fsencode(self.path)))
