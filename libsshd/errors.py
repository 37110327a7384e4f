"""What goes wrong, in the three vocabularies of this server.

Errno is what the file system says, Status is what an SFTP client is told, ErrorCode is what the program that
embeds the server is told.
"""

import errno as _errno
from enum import IntEnum

from libsshd.constants import Status


class ErrorCode(IntEnum):
    """Documented codes of SFTPServerError and of the Error event."""

    ALREADY_LISTENING = 104
    LOCAL_PORT_LOCKED = 106
    LOCAL_HOST_LOCKED = 107
    MAX_CONNECTIONS_LOCKED = 108
    UNKNOWN_CONNECTION = 126
    AUTHENTICATION_FAILED = 1300
    HOST_KEY_UNUSABLE = 1301
    INVALID_PATH = 2001
    IO_FAILURE = 2002
    ATTRIBUTES_NOT_CHANGED = 2003


_DESCRIPTIONS: dict[int, str] = {
    ErrorCode.ALREADY_LISTENING: "The server is listening already; stop it before starting it again.",
    ErrorCode.LOCAL_PORT_LOCKED: "The local port cannot change while the server listens; stop it first.",
    ErrorCode.LOCAL_HOST_LOCKED: "The local host cannot change while the server listens; stop it first.",
    ErrorCode.MAX_CONNECTIONS_LOCKED: ("The connection limit cannot change while the server listens; stop it first."),
    ErrorCode.UNKNOWN_CONNECTION: "There is no such connection; it may have ended meanwhile.",
    ErrorCode.AUTHENTICATION_FAILED: "The client failed to authenticate.",
    ErrorCode.HOST_KEY_UNUSABLE: "There is no usable host key; set one that includes its private key.",
    ErrorCode.INVALID_PATH: "The path is not usable; name an existing, accessible directory.",
    ErrorCode.IO_FAILURE: "A file could not be read or written.",
    ErrorCode.ATTRIBUTES_NOT_CHANGED: "The attributes of a file could not be changed.",
}


class SFTPServerError(Exception):
    """The error every public method raises.

    `code` is a documented number (see ErrorCode), `description` a sentence that says what to do; without one,
    the code's own sentence is used.
    """

    def __init__(self, code: int, description: str = "") -> None:
        self.code = int(code)
        self.description = description or _DESCRIPTIONS.get(code, f"Error {int(code)}.")
        super().__init__(self.code, self.description)

    def __str__(self) -> str:
        return f"[{self.code}] {self.description}"


class StatusError(Exception):
    """Raised by an operation to end its request with `status`.

    `message` is for the person at the client; empty means the status's stock text.
    """

    def __init__(self, status: Status, message: str = "") -> None:
        self.status = status
        self.message = message
        super().__init__(status, message)

    def __str__(self) -> str:
        return self.message or status_text(self.status)


_STATUS_OF_ERRNO: dict[int, Status] = {
    _errno.ENOENT: Status.NO_SUCH_FILE,
    _errno.EACCES: Status.PERMISSION_DENIED,
    _errno.EPERM: Status.PERMISSION_DENIED,
    _errno.EEXIST: Status.FILE_ALREADY_EXISTS,
    _errno.EISDIR: Status.FILE_IS_A_DIRECTORY,
    _errno.ENOTDIR: Status.NOT_A_DIRECTORY,
    _errno.ENOTEMPTY: Status.DIR_NOT_EMPTY,
    _errno.ENOSPC: Status.NO_SPACE_ON_FILESYSTEM,
    _errno.EDQUOT: Status.QUOTA_EXCEEDED,
    _errno.ELOOP: Status.LINK_LOOP,
    _errno.ENAMETOOLONG: Status.INVALID_FILENAME,
    _errno.EROFS: Status.WRITE_PROTECT,
}


def status_for_errno(errno: int) -> Status:
    """The status for a failed system call, in the vocabulary of version 6; a codec maps it down."""
    return _STATUS_OF_ERRNO.get(errno, Status.FAILURE)


_STATUS_TEXTS: dict[int, str] = {
    Status.OK: "Success",
    Status.EOF: "End of file",
    Status.NO_SUCH_FILE: "No such file or directory",
    Status.PERMISSION_DENIED: "Permission denied",
    Status.FAILURE: "Failure",
    Status.BAD_MESSAGE: "Malformed request",
    Status.NO_CONNECTION: "No connection",
    Status.CONNECTION_LOST: "Connection lost",
    Status.OP_UNSUPPORTED: "Operation not supported",
    Status.INVALID_HANDLE: "Invalid handle",
    Status.NO_SUCH_PATH: "No such path",
    Status.FILE_ALREADY_EXISTS: "File already exists",
    Status.WRITE_PROTECT: "Read-only file system",
    Status.NO_MEDIA: "No medium in the drive",
    Status.NO_SPACE_ON_FILESYSTEM: "No space left",
    Status.QUOTA_EXCEEDED: "Quota exceeded",
    Status.UNKNOWN_PRINCIPAL: "Unknown user or group",
    Status.LOCK_CONFLICT: "File is locked by someone else",
    Status.DIR_NOT_EMPTY: "Directory not empty",
    Status.NOT_A_DIRECTORY: "Not a directory",
    Status.INVALID_FILENAME: "Invalid file name",
    Status.LINK_LOOP: "Too many levels of symbolic links",
    Status.CANNOT_DELETE: "Cannot be deleted",
    Status.INVALID_PARAMETER: "Invalid parameter",
    Status.FILE_IS_A_DIRECTORY: "Is a directory",
    Status.BYTE_RANGE_LOCK_CONFLICT: "Byte range is locked by someone else",
    Status.BYTE_RANGE_LOCK_REFUSED: "Byte range lock refused",
    Status.DELETE_PENDING: "File is about to be deleted",
    Status.FILE_CORRUPT: "File is corrupt",
    Status.OWNER_INVALID: "Invalid owner",
    Status.GROUP_INVALID: "Invalid group",
    Status.NO_MATCHING_BYTE_RANGE_LOCK: "No such byte range lock",
}


def status_text(status: int) -> str:
    """The stock text of a status, as sent when nothing better is known; of FAILURE for a number above 31."""
    return _STATUS_TEXTS.get(status, _STATUS_TEXTS[Status.FAILURE])
