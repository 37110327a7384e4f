"""Makes system calls of this process fail, as an older kernel, a sandbox or another file system would."""

import ctypes
import os
import platform
import struct

OPENAT2, RENAMEAT2, UTIMENSAT, FCHMODAT2, STATX = 437, 316, 280, 452, 332  # x86-64
SUPPORTED = platform.machine() == "x86_64" and os.uname().sysname == "Linux"

_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
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
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _SET_SECCOMP, _FILTER_MODE, ctypes.byref(_Program(len(program), code)), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "seccomp")
