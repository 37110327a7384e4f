"""What tests of uploads have in common."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.rawsftp import Code, RawSFTP

from .asking import CREAT, TRUNC, W

PUT = W | CREAT | TRUNC
OLD = b"0123456789"
"""What the fixture `root` has in "file"."""


def names(root: Path) -> set[str]:
    return set(os.listdir(root))


def temporary(root: Path) -> Path:
    """The one file that is on its way."""
    (found,) = (name for name in names(root) if name.startswith(".libsshd-"))
    return root / found


def put(client: RawSFTP, path: bytes, data: bytes, flags: int = PUT) -> int:
    """The status of the CLOSE; everything before it is in order."""
    handle = client.open(path, flags)
    assert client.write(handle, 0, data) == Code.OK
    return client.shut(handle)
