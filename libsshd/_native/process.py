"""The process as a whole."""

from ._core import lib
from .sftp import check


def conceal() -> None:
    """Keeps /proc and ptrace of its own user away from the memory of this process, and core dumps off the disk.

    For a server of files under /proc, /proc/self/mem would be a way to run code. Raises OSError.
    """
    check(lib.sshd_process_conceal())
