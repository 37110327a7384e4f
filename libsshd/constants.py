"""Numbers of the protocols, under the names their specifications give them.

SFTP: draft-ietf-secsh-filexfer-02 (version 3) up to -13 (version 6). SSH: RFC 4250. What settings and events of the
documented component count by stands at the end.
"""

from enum import IntEnum, IntFlag, StrEnum


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


class Disposition(IntEnum):
    """SSH_FXF_CREATE_NEW and so on: what OPEN does about a file that exists or does not (on the wire from version 5
    on; draft-13, section 8.1.1.3).
    """

    CREATE_NEW = 0
    CREATE_TRUNCATE = 1
    OPEN_EXISTING = 2
    OPEN_OR_CREATE = 3
    TRUNCATE_EXISTING = 4


class OpenModes(IntFlag):
    """SSH_FXF_*: what OPEN asks for besides OpenFlags, in the form of version 6 (draft-13, section 8.1.1.3).

    BLOCK has its masks from here as well.
    """

    APPEND_DATA_ATOMIC = 0x10
    BLOCK_READ = 0x40
    BLOCK_WRITE = 0x80
    BLOCK_DELETE = 0x100
    BLOCK_ADVISORY = 0x200
    NOFOLLOW = 0x400
    DELETE_ON_CLOSE = 0x800
    ACCESS_AUDIT_ALARM_INFO = 0x1000
    ACCESS_BACKUP = 0x2000
    BACKUP_STREAM = 0x4000
    OVERRIDE_OWNER = 0x8000


class AccessMask(IntFlag):
    """ACE4_*: what a client wants to do with what it opens (draft-13, section 7.8; on the wire from version 5 on).

    Of a directory, the lowest three bits are LIST_DIRECTORY, ADD_FILE and ADD_SUBDIRECTORY.
    """

    READ_DATA = 0x1
    LIST_DIRECTORY = READ_DATA
    WRITE_DATA = 0x2
    ADD_FILE = WRITE_DATA
    APPEND_DATA = 0x4
    ADD_SUBDIRECTORY = APPEND_DATA
    READ_NAMED_ATTRS = 0x8
    WRITE_NAMED_ATTRS = 0x10
    EXECUTE = 0x20
    DELETE_CHILD = 0x40
    READ_ATTRIBUTES = 0x80
    WRITE_ATTRIBUTES = 0x100
    DELETE = 0x10000
    READ_ACL = 0x20000
    WRITE_ACL = 0x40000
    WRITE_OWNER = 0x80000
    SYNCHRONIZE = 0x100000


class AttribBits(IntFlag):
    """SSH_FILEXFER_ATTR_FLAGS_*: marks on a file (draft-13, section 7.9; on the wire from version 5 on)."""

    READONLY = 0x1
    SYSTEM = 0x2
    HIDDEN = 0x4
    CASE_INSENSITIVE = 0x8
    ARCHIVE = 0x10
    ENCRYPTED = 0x20
    COMPRESSED = 0x40
    SPARSE = 0x80
    APPEND_ONLY = 0x100
    IMMUTABLE = 0x200
    SYNC = 0x400
    TRANSLATION_ERR = 0x800


class AttributeFlags(IntFlag):
    """SSH_FILEXFER_ATTR_*: the attributes present or wanted (draft-13, section 7.1; version 4 ends at
    SUBSECOND_TIMES, version 5 at BITS). Version 3 has numbers of its own.
    """

    SIZE = 0x1
    PERMISSIONS = 0x4
    ACCESSTIME = 0x8
    CREATETIME = 0x10
    MODIFYTIME = 0x20
    ACL = 0x40
    OWNERGROUP = 0x80
    SUBSECOND_TIMES = 0x100
    BITS = 0x200
    ALLOCATION_SIZE = 0x400
    TEXT_HINT = 0x800
    MIME_TYPE = 0x1000
    LINK_COUNT = 0x2000
    UNTRANSLATED_NAME = 0x4000
    CTIME = 0x8000
    EXTENDED = 0x80000000


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
    PROTOCOL_VERSION_NOT_SUPPORTED = 8
    BY_APPLICATION = 11
    TOO_MANY_CONNECTIONS = 12
    NO_MORE_AUTH_METHODS_AVAILABLE = 14


class ChannelOpenFailure(IntEnum):
    """SSH_OPEN_*: why a channel is refused (RFC 4254, section 5.1)."""

    ADMINISTRATIVELY_PROHIBITED = 1
    CONNECT_FAILED = 2
    UNKNOWN_CHANNEL_TYPE = 3
    RESOURCE_SHORTAGE = 4


class CertStoreType(IntEnum):
    """What SSHCertStoreType says about SSHCertStore: a file's name (FILE) or its content (BLOB), and the format.

    The two editions of the documented component give security keys different numbers, SECURITY_KEY and PKCS11.
    """

    USER = 0
    MACHINE = 1
    PFX_FILE = 2
    PFX_BLOB = 3
    JKS_FILE = 4
    JKS_BLOB = 5
    PEM_KEY_FILE = 6
    PEM_KEY_BLOB = 7
    PUBLIC_KEY_FILE = 8
    PUBLIC_KEY_BLOB = 9
    SSH_PUBLIC_KEY_BLOB = 10
    P7B_FILE = 11
    P7B_BLOB = 12
    SSH_PUBLIC_KEY_FILE = 13
    PPK_FILE = 14
    PPK_BLOB = 15
    XML_FILE = 16
    XML_BLOB = 17
    JWK_FILE = 18
    JWK_BLOB = 19
    SECURITY_KEY = 20
    BCFKS_FILE = 21
    BCFKS_BLOB = 22
    PKCS11 = 23
    AUTO = 99


class LogLevel(IntEnum):
    """What LogLevel lets through to Log: each level and those below it."""

    NONE = 0
    INFO = 1
    VERBOSE = 2
    DEBUG = 3


class StrictKex(IntEnum):
    """UseStrictKeyExchange: what becomes of clients without it. REJECT_AFFECTED turns away those that the Terrapin
    attack (CVE-2023-48795) could work on.
    """

    DISABLED = 0
    ENABLED = 1
    REJECT_AFFECTED = 2
    REQUIRED = 3


class UseIPv6(IntEnum):
    """UseIPv6: the kinds of addresses to listen on."""

    IPV4_ONLY = 0
    IPV6_ONLY = 1
    IPV6_AND_IPV4 = 2


class AuthMethod(StrEnum):
    """AuthMethod of SSHUserAuthRequest (RFC 4252, RFC 4256); the answer to prompt n is `keyboard-interactive-n`.

    SIGSTATUS is no method of the protocol: it tells what came of checking a signature (FireAuthRequestAfterSig).
    """

    NONE = "none"
    PASSWORD = "password"  # noqa: S105 - a name, no secret
    PUBLICKEY = "publickey"
    KEYBOARD_INTERACTIVE = "keyboard-interactive"
    SIGSTATUS = "sigstatus"


class KeyAlgorithm(StrEnum):
    """KeyAlgorithm of SSHUserAuthRequest: how a client signs. Others may come, and not all of these are accepted."""

    SSH_ED25519 = "ssh-ed25519"
    SSH_RSA = "ssh-rsa"
    RSA_SHA2_256 = "rsa-sha2-256"
    RSA_SHA2_512 = "rsa-sha2-512"
    SSH_DSS = "ssh-dss"
    ECDSA_SHA2_NISTP256 = "ecdsa-sha2-nistp256"
    ECDSA_SHA2_NISTP384 = "ecdsa-sha2-nistp384"
    ECDSA_SHA2_NISTP521 = "ecdsa-sha2-nistp521"
    X509V3_SIGN_RSA = "x509v3-sign-rsa"
    X509V3_SIGN_DSS = "x509v3-sign-dss"
