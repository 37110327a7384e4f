"""The process as a whole: what it gives up, once, before its first thread; a program's business, not the server's."""

import os
import stat
from collections.abc import Mapping
from enum import IntFlag

from ._core import lib
from .sftp import check


class FileAccess(IntFlag):
    """What Landlock distinguishes, as in linux/landlock.h; looking at names and attributes is free to all."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13  # renames and links from one directory to another
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


class Scope(IntFlag):
    """What a process inside reaches of those outside, unless it is cut off."""

    ABSTRACT_UNIX_SOCKET = 1 << 0
    SIGNAL = 1 << 1


_OF_A_FILE = (
    FileAccess.EXECUTE | FileAccess.WRITE_FILE | FileAccess.READ_FILE | FileAccess.TRUNCATE | FileAccess.IOCTL_DEV
)
"""What a rule for something that is no directory may allow."""

_KNOWN_SINCE = {1: (1 << 13) - 1, 2: FileAccess.REFER, 3: FileAccess.TRUNCATE, 5: FileAccess.IOCTL_DEV}
"""Accesses by the version of Landlock that brought them; those of the first go up to MAKE_SYM."""
_SCOPES_SINCE = 6
_USABLE_SINCE = 2
"""The first version denies every rename from one directory to another."""


def conceal() -> None:
    """Keeps /proc and ptrace of its own user away from the memory of this process, and core dumps off the disk.

    For a server of files under /proc, /proc/self/mem would be a way to run code. Raises OSError.
    """
    check(lib.sshd_process_conceal())


def renounce_privileges() -> None:
    """From now on no program that this process runs has more rights than it has itself. Raises OSError."""
    check(lib.sshd_process_no_new_privileges())


def drop_capabilities() -> None:
    """Parts with every right of root that the process holds or could take up again. Raises OSError."""
    check(lib.sshd_process_drop_capabilities())


def landlock_version() -> int:
    """The version of Landlock that the kernel has, 0 without one that a server of files can live with."""
    version: int = lib.sshd_landlock_version()
    return version if version >= _USABLE_SINCE else 0


def known_access(version: int) -> FileAccess:
    """What that version of Landlock can deny."""
    return FileAccess(sum(bits for since, bits in _KNOWN_SINCE.items() if since <= version))


def restrict(allowed: Mapping[int, FileAccess], version: int) -> None:
    """From now on this thread, and those it starts, may do to files only what is allowed below a descriptor.

    Nor do they reach other processes by signals or abstract sockets. What is open already stays usable. It cannot be
    taken back. `version` is of landlock_version(), or less. Raises OSError, EPERM without renounce_privileges().
    """
    known = known_access(version)
    scopes = Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL if version >= _SCOPES_SINCE else Scope(0)
    ruleset = check(lib.sshd_landlock_ruleset(known, scopes))
    try:
        for fd, access in allowed.items():
            applicable = known if stat.S_ISDIR(os.stat(fd).st_mode) else known & _OF_A_FILE
            check(lib.sshd_landlock_allow(ruleset, fd, access & applicable))
        check(lib.sshd_landlock_enforce(ruleset))
    finally:
        os.close(ruleset)
