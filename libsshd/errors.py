"""What goes wrong, in the three vocabularies of this server.

Errno is what the file system says, Status is what an SFTP client is told, ErrorCode is what the program that
embeds the server is told.
"""

import errno as _errno
import socket
from enum import IntEnum
from typing import Self

from libsshd.constants import Status


class ErrorCode(IntEnum):
    """Documented codes of SFTPServerError, of the Error event and of the StatusCode of Connected and Disconnected.

    Codes from 10004 on keep the numbers Windows gives to failures of sockets and names, on every system.
    `description` is a sentence for people, and what to do where something can be done.
    """

    description: str

    def __new__(cls, code: int, description: str = "") -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.description = description
        return member

    REMOTE_PORT_LOCKED = 100, "The remote port cannot change while connected; disconnect first."
    REMOTE_HOST_LOCKED = 101, "The remote host cannot change while connected; disconnect first."
    REMOTE_HOST_INVALID = 102, "0.0.0.0 is nobody's address; name the host to connect to."
    ALREADY_LISTENING = 104, "The server is listening already; stop it before starting it again."
    LOCAL_PORT_LOCKED = 106, "The local port cannot change while the server listens; stop it first."
    LOCAL_HOST_LOCKED = 107, "The local host cannot change while the server listens; stop it first."
    MAX_CONNECTIONS_LOCKED = 108, "The connection limit cannot change while the server listens; stop it first."
    MAX_LINE_LENGTH_LOCKED = 112, "The longest line cannot change while connected; disconnect first."
    REMOTE_PORT_INVALID = 116, "Nobody listens on port 0; name the port to connect to."
    FIREWALL_FAILED = 118, "The firewall did not let the connection through."
    UNKNOWN_CONNECTION = 126, "There is no such connection; it may have ended meanwhile."
    WOULD_BLOCK = 135, "The operation would have to wait; repeat it later."

    FORWARDED_CONNECTION_FAILED = 1201, "A connection could not be forwarded."
    FORWARDED_DATA_FAILED = 1202, "The data of a forwarded connection or channel got lost."
    AUTHENTICATION_FAILED = 1300, "The client failed to authenticate."
    HOST_KEY_UNUSABLE = 1301, "There is no usable host key; set one that includes its private key."

    INVALID_PATH = 2001, "The path is not usable; name an existing, accessible directory."
    IO_FAILURE = 2002, "A file could not be read or written."
    ATTRIBUTES_NOT_CHANGED = 2003, "The attributes of a file could not be changed."

    INTERRUPTED = 10004, "A signal interrupted the call; repeat it."
    BAD_DESCRIPTOR = 10009, "The file or socket is not open any more."
    ACCESS_DENIED = 10013, "This is not allowed here; ports below 1024 often need privileges."
    BAD_ADDRESS = 10014, "The system was given memory it cannot use."
    INVALID_ARGUMENT = 10022, "The system does not accept one of the values."
    TOO_MANY_OPEN_FILES = 10024, "Too many files are open; raise the limit or allow fewer connections."
    SOCKET_WOULD_BLOCK = 10035, "The socket is not ready; repeat the call later."
    IN_PROGRESS = 10036, "The operation goes on in the background."
    ALREADY_IN_PROGRESS = 10037, "The operation is under way already; wait for its end."
    NOT_A_SOCKET = 10038, "This is no socket."
    DESTINATION_MISSING = 10039, "The message needs an address to go to."
    MESSAGE_TOO_LONG = 10040, "The message is longer than the network carries in one piece."
    WRONG_PROTOCOL = 10041, "The protocol does not suit this type of socket."
    BAD_OPTION = 10042, "The protocol has no such option."
    PROTOCOL_NOT_SUPPORTED = 10043, "This system does not have the protocol."
    SOCKET_TYPE_NOT_SUPPORTED = 10044, "This system does not have that type of socket."
    OPERATION_NOT_SUPPORTED = 10045, "The socket cannot do this."
    PROTOCOL_FAMILY_NOT_SUPPORTED = 10046, "This system does not have the family of protocols."
    ADDRESS_FAMILY_NOT_SUPPORTED = (
        10047,
        "There is no address of the kind that UseIPv6 asks for; change that or the host.",
    )
    ADDRESS_IN_USE = 10048, "The port is taken; choose another, or stop the program that has it."
    ADDRESS_NOT_AVAILABLE = 10049, "This machine does not have the address; name one of its own, or none for all."
    NETWORK_DOWN = 10050, "The network is down."
    NETWORK_UNREACHABLE = 10051, "There is no way to that network."
    NETWORK_RESET = 10052, "The network dropped the connection."
    CONNECTION_ABORTED = 10053, "This machine gave the connection up."
    CONNECTION_RESET = 10054, "The other side broke the connection off."
    NO_BUFFER_SPACE = 10055, "The system has no memory left for this."
    ALREADY_CONNECTED = 10056, "The socket is connected already."
    NOT_CONNECTED = 10057, "The socket is not connected."
    SHUT_DOWN = 10058, "Nothing can be sent after the end was announced."
    TOO_MANY_REFERENCES = 10059, "Too many references are held."
    TIMED_OUT = 10060, "The other side did not answer in time."
    CONNECTION_REFUSED = 10061, "Nobody listens at that address."
    LINK_LOOP = 10062, "Symbolic links lead in a circle."
    NAME_TOO_LONG = 10063, "The name is too long."
    HOST_DOWN = 10064, "The other machine is down."
    HOST_UNREACHABLE = 10065, "There is no way to the other machine."
    DIRECTORY_NOT_EMPTY = 10066, "The directory is not empty."
    TOO_MANY_PROCESSES = 10067, "Too many processes are running."
    TOO_MANY_USERS = 10068, "Too many users are at work."
    QUOTA_EXCEEDED = 10069, "The disk quota is used up."
    STALE_HANDLE = 10070, "The file is no longer on its file server."
    TOO_REMOTE = 10071, "The path leads over too many machines."
    NETWORK_NOT_READY = 10091, "The network system of Windows is not ready."
    NETWORK_VERSION_UNSUPPORTED = 10092, "The network system of Windows has another version."
    NETWORK_NOT_INITIALISED = 10093, "The network system of Windows was not initialised."

    HOST_NOT_FOUND = 11001, "There is no host of that name; check its spelling."
    NAME_SERVER_SILENT = 11002, "No name server answered; try again later, or check the name service."
    NAME_SERVER_FAILED = 11003, "The name service failed for good; check its configuration."
    NO_ADDRESS = 11004, "The name has no address of the wanted kind; check its entries in the name service."


class SFTPServerError(Exception):
    """The error every public method raises.

    `code` is a documented number (see ErrorCode), `description` a sentence that says what to do; without one,
    the code's own sentence is used. As text it is "[code] description".
    """

    def __init__(self, code: int, description: str = "") -> None:
        self.code = int(code)
        self.description = description or _describe(self.code)
        super().__init__(self.code, self.description)

    def __str__(self) -> str:
        return f"[{self.code}] {self.description}"


def _describe(code: int) -> str:
    try:
        return ErrorCode(code).description
    except ValueError:
        return f"Error {code}."


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


class UnsettableError(StatusError):
    """Attributes that cannot be set: programs learn of them by an Error event, as of every failure to set some.

    `unknown` are the names of users and groups that do not exist, which some versions tell their client.
    """

    def __init__(self, status: Status, message: str = "", unknown: tuple[bytes, ...] = ()) -> None:
        super().__init__(status, message)
        self.unknown = unknown


_CODE_OF_ERRNO: dict[int, ErrorCode] = {
    _errno.EINTR: ErrorCode.INTERRUPTED,
    _errno.EBADF: ErrorCode.BAD_DESCRIPTOR,
    _errno.EACCES: ErrorCode.ACCESS_DENIED,
    _errno.EPERM: ErrorCode.ACCESS_DENIED,
    _errno.EFAULT: ErrorCode.BAD_ADDRESS,
    _errno.EINVAL: ErrorCode.INVALID_ARGUMENT,
    _errno.EMFILE: ErrorCode.TOO_MANY_OPEN_FILES,
    _errno.ENFILE: ErrorCode.TOO_MANY_OPEN_FILES,
    _errno.EAGAIN: ErrorCode.SOCKET_WOULD_BLOCK,
    _errno.EINPROGRESS: ErrorCode.IN_PROGRESS,
    _errno.EALREADY: ErrorCode.ALREADY_IN_PROGRESS,
    _errno.ENOTSOCK: ErrorCode.NOT_A_SOCKET,
    _errno.EDESTADDRREQ: ErrorCode.DESTINATION_MISSING,
    _errno.EMSGSIZE: ErrorCode.MESSAGE_TOO_LONG,
    _errno.EPROTOTYPE: ErrorCode.WRONG_PROTOCOL,
    _errno.ENOPROTOOPT: ErrorCode.BAD_OPTION,
    _errno.EPROTONOSUPPORT: ErrorCode.PROTOCOL_NOT_SUPPORTED,
    _errno.ESOCKTNOSUPPORT: ErrorCode.SOCKET_TYPE_NOT_SUPPORTED,
    _errno.EOPNOTSUPP: ErrorCode.OPERATION_NOT_SUPPORTED,
    _errno.EPFNOSUPPORT: ErrorCode.PROTOCOL_FAMILY_NOT_SUPPORTED,
    _errno.EAFNOSUPPORT: ErrorCode.ADDRESS_FAMILY_NOT_SUPPORTED,
    _errno.EADDRINUSE: ErrorCode.ADDRESS_IN_USE,
    _errno.EADDRNOTAVAIL: ErrorCode.ADDRESS_NOT_AVAILABLE,
    _errno.ENETDOWN: ErrorCode.NETWORK_DOWN,
    _errno.ENETUNREACH: ErrorCode.NETWORK_UNREACHABLE,
    _errno.ENETRESET: ErrorCode.NETWORK_RESET,
    _errno.ECONNABORTED: ErrorCode.CONNECTION_ABORTED,
    _errno.ECONNRESET: ErrorCode.CONNECTION_RESET,
    _errno.EPIPE: ErrorCode.CONNECTION_RESET,
    _errno.ENOBUFS: ErrorCode.NO_BUFFER_SPACE,
    _errno.ENOMEM: ErrorCode.NO_BUFFER_SPACE,
    _errno.EISCONN: ErrorCode.ALREADY_CONNECTED,
    _errno.ENOTCONN: ErrorCode.NOT_CONNECTED,
    _errno.ESHUTDOWN: ErrorCode.SHUT_DOWN,
    _errno.ETOOMANYREFS: ErrorCode.TOO_MANY_REFERENCES,
    _errno.ETIMEDOUT: ErrorCode.TIMED_OUT,
    _errno.ECONNREFUSED: ErrorCode.CONNECTION_REFUSED,
    _errno.ELOOP: ErrorCode.LINK_LOOP,
    _errno.ENAMETOOLONG: ErrorCode.NAME_TOO_LONG,
    _errno.EHOSTDOWN: ErrorCode.HOST_DOWN,
    _errno.EHOSTUNREACH: ErrorCode.HOST_UNREACHABLE,
    _errno.ENOTEMPTY: ErrorCode.DIRECTORY_NOT_EMPTY,
    _errno.EUSERS: ErrorCode.TOO_MANY_USERS,
    _errno.EDQUOT: ErrorCode.QUOTA_EXCEEDED,
    _errno.ESTALE: ErrorCode.STALE_HANDLE,
    _errno.EREMOTE: ErrorCode.TOO_REMOTE,
}


def code_for_errno(errno: int) -> ErrorCode:
    """The documented code for a failed system call on a socket; one that has none is INVALID_ARGUMENT (10022)."""
    return _CODE_OF_ERRNO.get(errno, ErrorCode.INVALID_ARGUMENT)


_CODE_OF_RESOLVER: dict[int, ErrorCode] = {
    socket.EAI_NONAME: ErrorCode.HOST_NOT_FOUND,
    socket.EAI_AGAIN: ErrorCode.NAME_SERVER_SILENT,
    socket.EAI_NODATA: ErrorCode.NO_ADDRESS,
    socket.EAI_ADDRFAMILY: ErrorCode.ADDRESS_FAMILY_NOT_SUPPORTED,
    socket.EAI_FAMILY: ErrorCode.ADDRESS_FAMILY_NOT_SUPPORTED,
    socket.EAI_MEMORY: ErrorCode.NO_BUFFER_SPACE,
}


def socket_error(error: OSError, what: str) -> SFTPServerError:
    """The documented form of a failed system call or of a name that was not resolved.

    `what` begins the description: "Cannot listen on *:22". What has no code of its own keeps the system's words.
    """
    number = error.errno or 0
    if isinstance(error, socket.gaierror):
        code = _CODE_OF_RESOLVER.get(number, ErrorCode.NAME_SERVER_FAILED)
    elif isinstance(error, TimeoutError):
        code = ErrorCode.TIMED_OUT
    elif number in _CODE_OF_ERRNO:
        code = _CODE_OF_ERRNO[number]
    else:
        return SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"{what}: {error.strerror or error}.")
    return SFTPServerError(code, f"{what}: {code.description}")


_STATUS_OF_ERRNO: dict[int, Status] = {
    _errno.ENOENT: Status.NO_SUCH_FILE,
    _errno.EACCES: Status.PERMISSION_DENIED,
    _errno.EPERM: Status.PERMISSION_DENIED,
    _errno.EEXIST: Status.FILE_ALREADY_EXISTS,
    _errno.EINVAL: Status.INVALID_PARAMETER,
    _errno.EBADF: Status.INVALID_HANDLE,
    _errno.EISDIR: Status.FILE_IS_A_DIRECTORY,
    _errno.ENOTDIR: Status.NOT_A_DIRECTORY,
    _errno.ENOTEMPTY: Status.DIR_NOT_EMPTY,
    _errno.ENOSPC: Status.NO_SPACE_ON_FILESYSTEM,
    _errno.EDQUOT: Status.QUOTA_EXCEEDED,
    _errno.ELOOP: Status.LINK_LOOP,
    _errno.ENAMETOOLONG: Status.INVALID_FILENAME,
    _errno.EROFS: Status.WRITE_PROTECT,
    _errno.EOPNOTSUPP: Status.OP_UNSUPPORTED,
}


def status_for_errno(errno: int) -> Status:
    """The status for a failed system call, in the vocabulary of version 6; a codec maps it down."""
    return _STATUS_OF_ERRNO.get(errno, Status.FAILURE)


def status_for_error(error: OSError | StatusError) -> Status:
    """The status a failed operation ends with."""
    return error.status if isinstance(error, StatusError) else status_for_errno(error.errno or 0)


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
