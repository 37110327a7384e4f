"""A server whose system calls on files fail on demand (faults.c)."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct

import pytest

from tests.support.rawsftp import PipeStream, RawSFTP

SHORT = 10_000
"""As the error: the call moves half of the bytes."""

_SOURCE = Path(__file__).with_name("faults.c")
_HEAD = Struct("=5i")  # armed, at, error, seen, fired
_CALLS_MAX, _NAME_SIZE = 200, 24
_SIZE = _HEAD.size + _CALLS_MAX * _NAME_SIZE
_NOTHING = (0, -1, 0, 0, 0)


def build(directory: Path) -> Path:
    """The library. Skips where there is no compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler here")
    library = directory / "faults.so"
    subprocess.run([compiler, "-std=c11", "-O1", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True)
    return library


class FaultyServer:
    """One session in a process of its own, and what its calls meet."""

    def __init__(self, library: Path, root: Path, mode: str, version: int = 3) -> None:
        control = library.with_name(f"control-{mode}-{version}")
        control.write_bytes(_HEAD.pack(*_NOTHING) + bytes(_SIZE - _HEAD.size))
        with open(control, "r+b") as file:
            self._control = mmap.mmap(file.fileno(), _SIZE)
        self.root = root
        self.mode = mode
        environment = ["env", f"LD_PRELOAD={library}", f"FAULTS={control}"]
        self._stream = PipeStream([*environment, sys.executable, "-m", "tests.support.served", str(root), mode])
        self.client = RawSFTP(self._stream).init(version)

    @contextmanager
    def watched(self, at: int = -1, error: int = 0) -> Iterator[None]:
        """The call with the number `at` fails; -1: none."""
        _HEAD.pack_into(self._control, 0, 1, at, error, 0, 0)
        try:
            yield
        finally:
            self._control[:4] = bytes(4)

    @property
    def calls(self) -> list[str]:
        """What was called while it was watched last."""
        seen = min(_HEAD.unpack_from(self._control)[3], _CALLS_MAX)
        names = (self._control[at : at + _NAME_SIZE] for at in range(_HEAD.size, _SIZE, _NAME_SIZE))
        return [name.rstrip(b"\0").decode() for name, _ in zip(names, range(seen), strict=False)]

    @property
    def fired(self) -> bool:
        """Whether a call has failed."""
        return bool(_HEAD.unpack_from(self._control)[4])

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self._stream.process.pid}/fd"))

    def alive(self) -> bool:
        return self._stream.process.poll() is None

    def stop(self) -> int:
        """Hangs up; the exit status."""
        self._stream.close()
        self._control.close()
        return self._stream.process.returncode
