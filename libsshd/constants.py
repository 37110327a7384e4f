"""Numbers of the protocols, under the names their specifications give them.

SFTP: draft-ietf-secsh-filexfer-02 (version 3) up to -13 (version 6). SSH: RFC 4250.
"""

from enum import IntEnum, IntFlag


class Packet(IntEnum):
    """SSH_FXP_*: the type byte of an SFTP packet (draft-13, section 4.3; BLOCK and later are version 6)."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    SYMLINK = 20
    LINK = 21
    BLOCK = 22
    UNBLOCK = 23
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Status(IntEnum):
    """SSH_FX_*: outcome of an SFTP request (draft-13, section 9.1). Version 3 ends at OP_UNSUPPORTED."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8
    INVALID_HANDLE = 9
    NO_SUCH_PATH = 10
    FILE_ALREADY_EXISTS = 11
    WRITE_PROTECT = 12
    NO_MEDIA = 13
    NO_SPACE_ON_FILESYSTEM = 14
    QUOTA_EXCEEDED = 15
    UNKNOWN_PRINCIPAL = 16
    LOCK_CONFLICT = 17
    DIR_NOT_EMPTY = 18
    NOT_A_DIRECTORY = 19
    INVALID_FILENAME = 20
    LINK_LOOP = 21
    CANNOT_DELETE = 22
    INVALID_PARAMETER = 23
    FILE_IS_A_DIRECTORY = 24
    BYTE_RANGE_LOCK_CONFLICT = 25
    BYTE_RANGE_LOCK_REFUSED = 26
    DELETE_PENDING = 27
    FILE_CORRUPT = 28
    OWNER_INVALID = 29
    GROUP_INVALID = 30
    NO_MATCHING_BYTE_RANGE_LOCK = 31


class OpenFlags(IntFlag):
    """SSH_FXF_*: how OPEN opens, in the form of versions 3 and 4 (TEXT from version 4 on)."""

    READ = 0x01
    WRITE = 0x02
    APPEND = 0x04
    CREAT = 0x08
    TRUNC = 0x10
    EXCL = 0x20
    TEXT = 0x40


class RenameFlags(IntFlag):
    """SSH_FXF_RENAME_*: flags of RENAME (on the wire from version 5 on)."""

    OVERWRITE = 1
    ATOMIC = 2
    NATIVE = 4


class FileType(IntEnum):
    """SSH_FILEXFER_TYPE_*: kind of file (on the wire from version 4 on)."""

    REGULAR = 1
    DIRECTORY = 2
    SYMLINK = 3
    SPECIAL = 4
    UNKNOWN = 5
    SOCKET = 6
    CHAR_DEVICE = 7
    BLOCK_DEVICE = 8
    FIFO = 9


class RealpathControl(IntEnum):
    """SSH_FXP_REALPATH_*: what REALPATH does about a missing file (on the wire in version 6)."""

    NO_CHECK = 1
    STAT_IF = 2
    STAT_ALWAYS = 3


class SSHMessage(IntEnum):
    """SSH_MSG_*: the first byte of an SSH payload (RFC 4250, section 4.1.2; RFC 4252; RFC 4256).

    Number 60 has a meaning per authentication method.
    """

    SERVICE_REQUEST = 5
    SERVICE_ACCEPT = 6
    USERAUTH_REQUEST = 50
    USERAUTH_FAILURE = 51
    USERAUTH_SUCCESS = 52
    USERAUTH_BANNER = 53
    USERAUTH_PK_OK = 60
    USERAUTH_INFO_REQUEST = 60
    USERAUTH_INFO_RESPONSE = 61
    GLOBAL_REQUEST = 80
    REQUEST_SUCCESS = 81
    REQUEST_FAILURE = 82
    CHANNEL_OPEN = 90
    CHANNEL_OPEN_FAILURE = 92
    CHANNEL_REQUEST = 98
    CHANNEL_SUCCESS = 99
    CHANNEL_FAILURE = 100


class DisconnectReason(IntEnum):
    """SSH_DISCONNECT_*: why a connection ends (RFC 4253, section 11.1)."""

    PROTOCOL_ERROR = 2
    SERVICE_NOT_AVAILABLE = 7
    BY_APPLICATION = 11
    TOO_MANY_CONNECTIONS = 12
    NO_MORE_AUTH_METHODS_AVAILABLE = 14


class ChannelOpenFailure(IntEnum):
    """SSH_OPEN_*: why a channel is refused (RFC 4254, section 5.1)."""

    ADMINISTRATIVELY_PROHIBITED = 1
    CONNECT_FAILED = 2
    UNKNOWN_CHANNEL_TYPE = 3
    RESOURCE_SHORTAGE = 4
