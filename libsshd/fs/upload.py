"""Files that get their name when they are complete: a temporary one beside it until then.

Rules:
- A temporary belongs to whoever holds flock(2) on it: kill -9 lets go of it, and what nobody holds is nobody's.
- Everything is done from the directory's own descriptor, so a directory that is moved takes its uploads along.
- What has the temporary's name is touched only while it is still the file that was written.
- Until it has its name, nothing else is changed; the name changes its file in one step.
"""

import fcntl
import os
import re
from contextlib import suppress
from errno import EACCES, EEXIST, EINVAL, ELOOP, ENOLCK, ENOTSUP, EPERM, ESTALE, EWOULDBLOCK
from typing import NamedTuple

from libsshd._native import path as native

PARTIAL = b".libsshd-partial-"
"""What the names of uploads that can be resumed begin with; the name that the file is to have follows."""
_UPLOAD, _COPY = b".libsshd-upload-", b".libsshd-copy-"
_NUMBER_SIZE = 12
_TEMPORARY = re.compile(rb"\.libsshd-(?:upload|copy)-[0-9a-f]{24}")
_NAME_MAX = 255
_LINKS_MAX = 40
_ATTEMPTS = 8
_WHILE_PRIVATE = 0o600
_UNLOCKABLE = {ENOLCK, ENOTSUP, EINVAL}
"""What flock(2) says where there are no such locks: then nobody takes anything for unlocked either."""
_EXTENDED = ("user.", "system.posix_acl_access")
"""Extended attributes that a file keeps when it is replaced, by what their names begin with."""


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _drop(fd: int) -> None:
    """Closes what nothing was written through, or whose end is told already: how that goes is of no interest."""
    with suppress(OSError):
        os.close(fd)


def is_temporary(name: bytes) -> bool:
    """Whether the name is one of those given here to files that nobody resumes."""
    return _TEMPORARY.fullmatch(name) is not None


def resumed_name(name: bytes) -> bytes | None:
    """The name that an upload is to have whose file is called `name` until then; None if it is no such."""
    target = name[len(PARTIAL) :] if name.startswith(PARTIAL) else b""
    return None if target in (b"", b".", b"..") else target


def lock(fd: int) -> bool:
    """Takes the lock by which a temporary belongs to somebody; False if it does. Raises OSError."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == EWOULDBLOCK:
            return False
        raise
    return True


class Place(NamedTuple):
    """Where a file is to be: its directory, open and the owner's to close, and its name there."""

    directory: int
    name: bytes
    rules: int

    def open(self, name: bytes, flags: int, mode: int = 0) -> int:
        """A regular file beside it, never behind a link. Raises OSError."""
        return native.open_file(self.directory, name, flags | os.O_NOFOLLOW, mode, rules=self.rules)

    def leads_to(self, name: bytes, fd: int) -> bool:
        """Raises OSError, but not for a name that is missing."""
        try:
            found = native.stat(self.directory, name, follow=False, rules=self.rules)
        except FileNotFoundError:
            return False
        return found[:2] == native.file_stat(fd)[:2]


class Upload:
    """A file under its temporary name, open as `fd`, which stays the caller's. `publish` or `withdraw` ends it.

    `exclusive`: nothing may have its name. `durable`: it must outlive a loss of power. `is_new`: it replaces nothing,
    and continues nothing. `spared`: stays under its temporary name when it is withdrawn, as only what is `resumable`
    should.
    """

    __slots__ = ("_durable", "_exclusive", "_place", "_temporary", "fd", "is_new", "resumable", "spared")

    def __init__(
        self, place: Place, temporary: bytes, fd: int, *, exclusive: bool, durable: bool, is_new: bool = True,
        resumable: bool = False,
    ) -> None:  # fmt: skip
        self._place = place
        self._temporary = temporary
        self._exclusive = exclusive
        self._durable = durable
        self.fd = fd
        self.is_new = is_new
        self.resumable = resumable
        self.spared = False

    @property
    def is_over(self) -> bool:
        """Whether it was published or withdrawn."""
        return self._place.directory < 0

    def publish(self) -> None:
        """Gives the file its name.

        Raises OSError. Then it has not got it and is still to be withdrawn, unless it was the directory that could
        not be written to the disk: the name is new, but may be the old one after a loss of power.
        """
        place = self._place
        if self._durable:
            os.fsync(self.fd)
        if not place.leads_to(self._temporary, self.fd):
            raise _error(ESTALE)
        native.rename(place.directory, self._temporary, place.name, replace=not self._exclusive, rules=place.rules)
        try:
            if self._durable:
                self._sync_name()
        finally:
            self._let_go()

    def _sync_name(self) -> None:
        """A directory that may not be read cannot be opened for this; its change goes with that of the file then."""
        readable = not fcntl.fcntl(self._place.directory, fcntl.F_GETFL) & os.O_PATH
        try:
            os.fsync(self._place.directory if readable else self.fd)
        except OSError as error:
            if error.errno != EINVAL:  # some file systems have no fsync for directories
                raise

    def withdraw(self) -> None:
        """Removes the temporary, if it is still there and not to be spared. Raises nothing: nobody could help it."""
        if self.is_over:
            return
        with suppress(OSError):
            if not self.spared and self._place.leads_to(self._temporary, self.fd):
                native.remove(self._place.directory, self._temporary, rules=self._place.rules)
        self._let_go()

    def _let_go(self) -> None:
        _drop(self._place.directory)
        self._place = self._place._replace(directory=-1)


# --- beginning one ---


def upload(
    root: int, path: bytes, flags: int, mode: int, *, rules: int, nofollow: bool, resumable: bool
) -> Upload | None:
    """What an OPEN with these O_* flags, one of them for writing, writes to; None for one that needs no temporary.

    A file that is to be replaced gives its mode, owner and access list to the new one. Raises OSError, as the OPEN
    would without all this.
    """
    exclusive = bool(flags & os.O_EXCL)
    if not (exclusive or nofollow):
        path = _followed(root, path, rules)
    place = _place(root, path, rules)
    if place is None:
        return None
    try:
        begun = _begin(place, flags, mode, resumable=resumable)
    except BaseException:
        _drop(place.directory)
        raise
    if begun is None:
        _drop(place.directory)
    return begun


def copy(root: int, path: bytes, mode: int, *, rules: int, exclusive: bool, durable: bool) -> Upload:
    """A new file to write, which is to replace even a link of that name. Raises OSError."""
    place = _place(root, path, rules)
    if place is None:
        raise _error(EEXIST)
    try:
        temporary, fd = _new(place, _COPY, os.O_WRONLY, mode)
    except BaseException:
        _drop(place.directory)
        raise
    return Upload(place, temporary, fd, exclusive=exclusive, durable=durable)


def _followed(root: int, path: bytes, rules: int) -> bytes:
    """The path of what stands behind links of that name. It is not normalised: ".." there is the kernel's."""
    for _ in range(_LINKS_MAX):
        try:
            target = native.readlink(root, path, rules=rules)
        except OSError as error:
            if error.errno == EINVAL or isinstance(error, FileNotFoundError):
                return path
            raise
        if target[:1] == b"/" and rules & native.BENEATH:
            raise _error(EACCES)
        path = target if target[:1] == b"/" else path[: path.rindex(b"/") + 1] + target
    raise _error(ELOOP)


def _place(root: int, path: bytes, rules: int) -> Place | None:
    """None for a path that ends in no name."""
    parent, _, name = path.rpartition(b"/")
    if name in (b"", b".", b".."):
        return None
    flags = os.O_DIRECTORY | os.O_CLOEXEC
    try:
        directory = native.resolve(root, parent or b"/", flags | os.O_RDONLY, rules=rules)
    except PermissionError:
        directory = native.resolve(root, parent or b"/", flags | os.O_PATH, rules=rules)
    return Place(directory, name, rules)


def _begin(place: Place, flags: int, mode: int, *, resumable: bool) -> Upload | None:
    target = resumed_name(place.name) if resumable else None
    if target is not None:
        return _resumed(place, place._replace(name=target), flags, mode)
    return _from_start(place, flags, mode, resumable=resumable)


def _from_start(place: Place, flags: int, mode: int, *, resumable: bool) -> Upload | None:
    how = flags & (os.O_ACCMODE | os.O_APPEND)
    if flags & os.O_EXCL:
        return _fresh(place, how, mode, exclusive=True, resumable=resumable) if _is_free(place) else None
    try:
        old = place.open(place.name, os.O_WRONLY)
    except FileNotFoundError:
        return _fresh(place, how, mode, exclusive=False, resumable=resumable) if flags & os.O_CREAT else None
    try:
        if not flags & os.O_TRUNC:
            return None
        return _fresh(place, how, _WHILE_PRIVATE, exclusive=False, resumable=resumable, old=old)
    finally:
        _drop(old)


def _is_free(place: Place) -> bool:
    try:
        native.stat(place.directory, place.name, follow=False, rules=place.rules)
    except FileNotFoundError:
        return True
    return False


def _resumed(place: Place, target: Place, flags: int, mode: int) -> Upload | None:
    """What is left of an upload, to be continued by its own name. Where nothing is left, it begins anew."""
    try:
        fd = place.open(place.name, flags & (os.O_ACCMODE | os.O_APPEND))
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            return None
        return _from_start(target, flags & ~os.O_EXCL | os.O_TRUNC, mode, resumable=True)
    try:
        if not lock(fd):
            raise _error(EWOULDBLOCK)
        if flags & os.O_EXCL:
            raise _error(EEXIST)
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
    except BaseException:
        _drop(fd)
        raise
    return Upload(target, place.name, fd, exclusive=False, durable=True, is_new=False, resumable=True)


def _fresh(
    place: Place, how: int, mode: int, *, exclusive: bool, resumable: bool,
    old: int | None = None,
) -> Upload:  # fmt: skip
    made = _partial(place, how, mode) if resumable else None
    resumable = made is not None
    temporary, fd = made or _new(place, _UPLOAD, how, mode)
    begun = Upload(place, temporary, fd, exclusive=exclusive, durable=True, is_new=old is None, resumable=resumable)
    try:
        if old is not None:
            _dress(fd, old)
    except BaseException:
        os.unlink(temporary, dir_fd=place.directory)
        _drop(fd)
        raise
    return begun


def _partial(place: Place, how: int, mode: int) -> tuple[bytes, int] | None:
    """A file by whose name the upload can be resumed, in place of what was left of another.

    None when somebody else is just uploading it, for a name that has no room for more, and where that is taken by
    what cannot be removed: such an upload cannot be resumed, but it can be made.
    """
    name = PARTIAL + place.name
    if len(name) > _NAME_MAX:
        return None
    for _ in range(_ATTEMPTS):
        with suppress(FileExistsError):
            if (fd := _made(place, name, how, mode)) is not None:
                return name, fd
        try:
            if not remove_unlocked(place, name):
                return None
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _new(place: Place, prefix: bytes, how: int, mode: int) -> tuple[bytes, int]:
    for _ in range(_ATTEMPTS):
        name = prefix + os.urandom(_NUMBER_SIZE).hex().encode()
        with suppress(FileExistsError):
            if (fd := _made(place, name, how, mode)) is not None:
                return name, fd
    raise _error(EEXIST)


def _made(place: Place, name: bytes, how: int, mode: int) -> int | None:
    """A new file that belongs to us; None if it was taken for nobody's before it did. Raises OSError."""
    flags = how | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, mode, dir_fd=place.directory)  # new, so there is nothing to look at
    try:
        if _held(fd) and place.leads_to(name, fd):
            return fd
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=place.directory)
        _drop(fd)
        raise
    _drop(fd)
    return None


def _held(fd: int) -> bool:
    try:
        return lock(fd)
    except OSError as error:
        if error.errno in _UNLOCKABLE:
            return True
        raise


def remove_unlocked(place: Place, name: bytes) -> bool:
    """Removes a file that nobody holds; False if somebody does. Raises OSError, also if it cannot be opened."""
    try:
        fd = place.open(name, os.O_WRONLY)  # without which NFS gives no such lock
    except PermissionError:
        fd = place.open(name, os.O_RDONLY)
    try:
        if not lock(fd):
            return False
        if place.leads_to(name, fd):
            native.remove(place.directory, name, rules=place.rules)
        return True
    finally:
        _drop(fd)


def _dress(fd: int, old: int) -> None:
    """Mode, owner and what else should not change with the content. Raises OSError.

    An owner that cannot be given stays ours. A group that cannot be given may do no more than everybody: its bits
    were meant for somebody else.
    """
    found = os.fstat(old)
    mode = found.st_mode & 0o1777
    _give(fd, found.st_uid, -1)
    if not _give(fd, -1, found.st_gid):
        mode = mode & ~0o070 | (mode & 0o007) << 3
    os.fchmod(fd, mode)
    with suppress(OSError):  # a file system without them, or one that has no room for them
        for name in os.listxattr(old):
            if name.startswith(_EXTENDED):
                os.setxattr(fd, name, os.getxattr(old, name))


def _give(fd: int, uid: int, gid: int) -> bool:
    """Whether that owner or group could be given. Raises OSError for every other reason than who we are."""
    try:
        os.fchown(fd, uid, gid)
    except OSError as error:
        if error.errno not in (EPERM, EINVAL):  # EINVAL: one that this user namespace has not
            raise
        return False
    return True
