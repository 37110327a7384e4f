"""Calls of the core and of libssh that fail on demand: only in a test build of the core, see faults.c."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import libsshd._native  # noqa: F401 - loads what is asked for below

_library = ctypes.CDLL(sys.modules["libsshd._native._core"].__file__)
AVAILABLE = hasattr(_library, "sshd_fault_arm")
needed = pytest.mark.skipif(not AVAILABLE, reason="calls fail on demand in ./dev coverage and ./dev test --asan only")

if AVAILABLE:
    _library.sshd_fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]
    _library.sshd_fault_arm.restype = None
    _library.sshd_fault_live.restype = ctypes.c_long


def arm(call: str, nth: int, error: int) -> None:
    """The nth `call` that this thread makes in C fails once with `error`; 0 makes it return 0."""
    _library.sshd_fault_arm(call.encode(), nth, error)


def disarm() -> None:
    arm("", 0, 0)


def fired() -> bool:
    """Whether what this thread armed last has happened."""
    return bool(_library.sshd_fault_fired())


@contextmanager
def failing(call: str, error: int, nth: int = 1) -> Iterator[None]:
    """As `arm`, and it must come to it."""
    arm(call, nth, error)
    try:
        yield
        assert fired(), f"{call} was not called {nth} times"
    finally:
        disarm()


def dump() -> None:
    """Before a process ends by os._exit: what ./dev coverage counted is not lost."""
    if AVAILABLE:
        _library.sshd_fault_dump()


def track() -> None:
    """From now on memory is counted."""
    _library.sshd_fault_track()


def live() -> int:
    """Blocks allocated by our C and libssh since `track`, and not freed."""
    return int(_library.sshd_fault_live())
