"""Finding what a killed server left: temporaries under names of ours that nobody holds."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from libsshd.fs.upload import Place, is_temporary, remove_unlocked

_DEEPEST = 200
"""Directories below each other; each costs a descriptor, and who makes more has something else in mind."""
_UNASKED = 1000
"""Entries of one directory that are looked at before somebody is asked whether to go on."""
_HOW = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Swept:
    """What became of it: temporaries removed, entries of directories looked at, and whether these were all."""

    removed: int = 0
    entries: int = 0
    complete: bool = True


def sweep(root: int, rules: int, most: int, go_on: Callable[[Swept], bool]) -> Swept:
    """Looks at up to `most` entries below the directory `root`, on its file system alone, and follows no link.

    `go_on` is called before each directory, and now and then in a large one; when it says no, that was all. What is
    too deep is left out. Raises OSError only if `root` cannot be read.
    """
    swept = Swept()
    device = os.fstat(root).st_dev
    open_ones = [_Visit(os.open(".", _HOW, dir_fd=root))]
    try:
        goes_on = True
        while open_ones and goes_on:
            here = open_ones[-1]
            entry = here.next()
            if entry is None:
                swept.complete = swept.complete and not here.failed
                open_ones.pop().close()
                continue
            swept.entries += 1
            due = swept.entries % _UNASKED == 0
            if is_temporary(os.fsencode(entry.name)):
                swept.removed += _removed(Place(here.fd, os.fsencode(entry.name), rules))
            elif _is_directory(entry):
                if len(open_ones) >= _DEEPEST:
                    swept.complete = False
                elif (below := _entered(here.fd, entry.name, device)) is not None:
                    open_ones.append(below)
                    due = True
            if due and (swept.entries >= most or not go_on(swept)):
                swept.complete = goes_on = False
    finally:
        for visit in open_ones:
            visit.close()
    return swept


class _Visit:
    """A directory that is being read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.failed = False
        self.entries: Iterator[os.DirEntry[str]] = iter(())
        with suppress(OSError):
            self.entries = os.scandir(fd)

    def next(self) -> "os.DirEntry[str] | None":
        """None behind the last one, and behind the last that could be read."""
        try:
            return next(self.entries, None)
        except OSError:
            self.failed = True
            return None

    def close(self) -> None:
        close = getattr(self.entries, "close", None)
        if close is not None:
            close()
        os.close(self.fd)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _entered(parent: int, name: str, device: int) -> _Visit | None:
    """None for what cannot be read, or is another file system."""
    try:
        fd = os.open(name, _HOW, dir_fd=parent)
    except OSError:
        return None
    if os.fstat(fd).st_dev != device:
        os.close(fd)
        return None
    return _Visit(fd)


def _removed(place: Place) -> bool:
    """Only what is ours; root may have given it to somebody else, as the owner of what it is to replace."""
    try:
        owner = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False).st_uid
        return os.geteuid() in (owner, 0) and remove_unlocked(place, place.name)
    except OSError:
        return False
