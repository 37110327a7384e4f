"""The root that one user sees instead of the server's."""

import os

from libsshd.fs.base import normalise
from libsshd.fs.rooted import RootedFileSystem


def user_root(root: RootedFileSystem, root_directory: str, path: str) -> RootedFileSystem:
    """`path` below `root`: an absolute path of this machine that lies in `root_directory`, else relative to that.

    Raises OSError when there is no such directory inside the root.
    """
    return root.beneath(normalise(os.fsencode(_inside(os.path.abspath(root_directory), path))))


def _inside(root_directory: str, path: str) -> str:
    """The text decides only how `path` is meant; where it leads is decided when it is resolved below the root."""
    local = os.path.normpath(path)
    if os.path.isabs(local) and os.path.commonpath([root_directory, local]) == root_directory:
        return os.path.relpath(local, root_directory)
    return path
