"""What stands behind the handles of a session."""

import fcntl
import os
from dataclasses import dataclass, field
from errno import EFBIG, EIO

from libsshd._native import HandleAccess
from libsshd.constants import Status
from libsshd.errors import StatusError
from libsshd.fs.base import Content, Directory, Draft

from . import textfile
from .locks import Lock, unlock_all

FILE_END = 2**63
"""No file reaches so far: what lies there is behind its end for READ, too big for WRITE."""

# Plain integers: an operation on IntFlag members costs more than most requests.
_CAN_READ, _CAN_WRITE = int(HandleAccess.READ), int(HandleAccess.WRITE)


@dataclass(slots=True)
class OpenFile:
    """A file behind a handle; READ and WRITE on it are mostly served in C.

    `access` are HandleAccess bits; bytes and the first errno of a WRITE count what Python served itself. A file that
    only handlers know has `fd` -1. Of `text` the descriptor's own position says where READ and WRITE go on;
    `doomed` is to be removed with its handle, what `upload` has begun to be published with it. READ and WRITE go
    through `content`, if there is one.
    """

    path: bytes
    fd: int
    access: int
    opened: float
    text: bool = False
    doomed: bool = False
    bytes_read: int = 0
    bytes_written: int = 0
    error: int = 0
    locks: list[Lock] = field(default_factory=list)
    upload: Draft | None = None
    content: Content | None = None

    @property
    def native_access(self) -> int:
        """What C may serve by itself: it knows nothing but descriptors, and no positions."""
        return 0 if self.text or self.fd < 0 or self.content is not None else self.access

    @property
    def readable(self) -> bool:
        return bool(self.access & _CAN_READ)

    @property
    def writable(self) -> bool:
        return bool(self.access & _CAN_WRITE)

    @property
    def appends(self) -> bool:
        """WRITE is at the end, whatever its offset."""
        return bool(fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_APPEND)

    def fileno(self) -> int:
        return self.fd

    def note(self, error: OSError) -> None:
        """Has CLOSE tell of it, unless there is an earlier one."""
        self.error = self.error or error.errno or EIO

    def close(self) -> None:
        """Its locks end too, even if a child of this process has the descriptor as well, and an upload that was not
        published is none any more.
        """
        if self.fd < 0:
            return
        try:
            if self.upload is not None:
                self.upload.withdraw()
            if self.locks:
                unlock_all(self.fd)
        finally:
            os.close(self.fd)


@dataclass(slots=True)
class OpenDirectory:
    """A directory behind a handle; `pending` are encoded entries that did not fit the last reply."""

    path: bytes
    directory: Directory
    pending: list[bytes]
    native_access: int = 0

    def fileno(self) -> int:
        return self.directory.fileno()

    def close(self) -> None:
        self.directory.close()


def descriptor(opened: OpenFile | OpenDirectory) -> int:
    """Raises StatusError for what only handlers know, where there is no handler."""
    fd = opened.fileno()
    if fd < 0:
        raise StatusError(Status.OP_UNSUPPORTED)
    return fd


def check_readable(file: OpenFile) -> None:
    """Raises StatusError for a file that was opened for something else."""
    if not file.readable:
        raise StatusError(Status.PERMISSION_DENIED, "The file is not open for reading")


def check_writable(file: OpenFile) -> None:
    """Raises StatusError for a file that was opened for something else."""
    if not file.writable:
        raise StatusError(Status.PERMISSION_DENIED, "The file is not open for writing")


def read_bytes(file: OpenFile, length: int, offset: int) -> bytes:
    """What READ gives: b"" at the end of the file. Raises StatusError, OSError."""
    check_readable(file)
    if not file.text:
        return read_at(file, length, offset)
    data = textfile.read(descriptor(file), length)
    file.bytes_read += len(data)
    return data


def read_at(file: OpenFile, length: int, offset: int) -> bytes:
    """What the file has there; b"" at its end. Raises StatusError, OSError."""
    data = b""
    if offset + length < FILE_END:
        data = _pread(file, length, offset)
    file.bytes_read += len(data)
    return data


def _pread(file: OpenFile, length: int, offset: int) -> bytes:
    if file.content is not None:
        return file.content.read(length, offset)
    return os.pread(descriptor(file), length, offset)


def write_bytes(file: OpenFile, data: bytes, offset: int) -> None:
    """Writes all of it; the first errno stays with the file for its CLOSE. Raises StatusError, OSError."""
    check_writable(file)
    fd = descriptor(file)
    view = memoryview(data)
    try:
        if not file.text and offset + len(view) >= FILE_END:
            if not file.appends:
                raise OSError(EFBIG, os.strerror(EFBIG))
            offset = 0
        while view:
            count = textfile.write(fd, view) if file.text else _pwrite(file, view, offset)
            view, offset = view[count:], offset + count
            file.bytes_written += count
    except OSError as error:
        file.note(error)
        raise


def _pwrite(file: OpenFile, data: memoryview, offset: int) -> int:
    return pwrite(file.fd, data, offset) if file.content is None else file.content.write(data, offset)


def pwrite(fd: int, data: memoryview, offset: int) -> int:
    """How many bytes were written, at least one. Raises OSError."""
    count = os.pwrite(fd, data, offset)
    if not count:
        raise OSError(EIO, os.strerror(EIO))  # or it would be tried for ever
    return count


def sync(file: OpenFile) -> None:
    """Has all that was written on the disk. What could not be stays an error: the kernel tells it but once."""
    try:
        os.fsync(descriptor(file))
    except OSError as error:
        file.note(error)
        raise
