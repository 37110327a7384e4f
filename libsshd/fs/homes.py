"""The root that one user sees instead of the server's."""

import os

from libsshd.fs.base import ServedFileSystem, normalise


def user_root(root: ServedFileSystem, root_directory: str, path: str) -> ServedFileSystem:
    """`path` below `root`: an absolute path of this machine that lies in `root_directory`, else relative to that, as
    where no directory of this machine is served.

    Raises OSError when there is no such directory inside the root.
    """
    inside = _inside(os.path.abspath(root_directory), path) if root_directory else path
    return root.beneath(normalise(os.fsencode(inside)))


def _inside(root_directory: str, path: str) -> str:
    """The text decides only how `path` is meant; where it leads is decided when it is resolved below the root."""
    local = os.path.normpath(path)
    if os.path.isabs(local) and os.path.commonpath([root_directory, local]) == root_directory:
        return os.path.relpath(local, root_directory)
    return path
