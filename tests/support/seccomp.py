"""Makes system calls of this process fail, as an older kernel, a sandbox or another file system would."""

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Sequence
from errno import ENOSYS

OPENAT2, RENAMEAT2, UTIMENSAT, FCHMODAT2, STATX = 437, 316, 280, 452, 332  # x86-64
_EXECVE, _EXECVEAT, _FORK, _VFORK, _CLONE, _CLONE3 = 59, 322, 57, 58, 56, 435
_BEGINNINGS = (_EXECVE, _EXECVEAT, _FORK, _VFORK)
_CLONE_THREAD = 0x10000
FSYNC = 74
SUPPORTED = platform.machine() == "x86_64" and os.uname().sysname == "Linux"

_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_ARGUMENTS = 16  # offset of args[] in struct seccomp_data


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def deny(number: int, errno: int, argument: tuple[int, int] | None = None) -> None:
    """From now on the call fails with errno; with (index, value) only where that argument has that value."""
    index, value = argument or (0, 0)
    condition = [(_LOAD, 0, 0, _ARGUMENTS + 8 * index), (_JUMP_EQUAL, 0, 1, value)] if argument else []
    program = [
        (_LOAD, 0, 0, 0),
        (_JUMP_EQUAL, 0, len(condition) + 1, number),
        *condition,
        (_RETURN, 0, 0, _ERRNO | errno),
        (_RETURN, 0, 0, _ALLOW),
    ]
    _install(program)


def die_of_programs() -> None:
    """From now on the process is killed (SIGSYS) when it forks or executes a program; threads may start."""
    deny(_CLONE3, ENOSYS)  # its flags lie in memory, where no filter looks; libc falls back on clone
    _install([
        (_LOAD, 0, 0, 0),
        *((_JUMP_EQUAL, 6 - index, 0, number) for index, number in enumerate(_BEGINNINGS)),
        (_JUMP_EQUAL, 0, 3, _CLONE),
        (_LOAD, 0, 0, _ARGUMENTS),
        (_JUMP_SET, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _KILL),
        (_RETURN, 0, 0, _ALLOW),
    ])  # fmt: skip


def _install(program: Sequence[tuple[int, int, int, int]]) -> None:
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _SET_SECCOMP, _FILTER_MODE, ctypes.byref(_Program(len(program), code)), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp")


_WITHOUT = {"openat2": (OPENAT2, ENOSYS), "fsync": (FSYNC, 0)}


def without(names: Sequence[str], command: Sequence[str]) -> list[str]:
    """The command as it runs where the kernel has no openat2, so paths are walked, or where fsync does nothing."""
    return [sys.executable, "-I", __file__, ",".join(names), *command] if names else list(command)


if __name__ == "__main__":
    for name in sys.argv[1].split(","):
        deny(*_WITHOUT[name])
    os.execvp(sys.argv[2], sys.argv[2:])
