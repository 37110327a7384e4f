"""The documented surface as tables: what every member is called, its type, default, values and access.

Names are in the documented spelling, types are those of the manual: bool, int, int64, string and bytes. A default
is what the manual says or, where it is silent, what we take; DEVIATIONS says where this server starts differently.
"""

from typing import NamedTuple

from libsshd.version import __version__

TYPES: dict[str, type[bool | int | str | bytes]] = {
    "bool": bool,
    "int": int,
    "int64": int,
    "string": str,
    "bytes": bytes,
}

Value = bool | int | str | bytes


class Property(NamedTuple):
    """`indexed` names what the array is indexed by; empty for a plain property."""

    name: str
    type: str
    default: Value
    access: str = "rw"
    indexed: str = ""


class Method(NamedTuple):
    """`params` are pairs of name and type; `returns` is empty for nothing."""

    name: str
    params: tuple[tuple[str, str], ...] = ()
    returns: str = ""


class Param(NamedTuple):
    """A parameter of an event: "ro" is input, "rw" is what the handler may set."""

    name: str
    type: str
    access: str


class Event(NamedTuple):
    """`before_after` events fire twice, before and after the operation; their BeforeExec tells which it is."""

    name: str
    params: list[Param]
    before_after: bool


class Setting(NamedTuple):
    """A setting of Config(): `range` is the documented one; a default of None is a text that nobody can foretell."""

    name: str
    type: str
    default: Value | None
    range: str = ""
    indexed: str = ""
    access: str = "rw"


def _event(name: str, text: str) -> Event:
    """An event and its parameters as text: `Name type` for input, `Name type rw` for what may be set."""
    params = [Param(param, kind, *(access or ["ro"])) for param, kind, *access in map(str.split, text.split(","))]
    return Event(name, params, before_after="BeforeExec" in {param.name for param in params})


ALGORITHMS = {
    "kex": [
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group1-sha1",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group-exchange-sha1",
        "ecdh-sha2-nistp256",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
    ],
    "ciphers": [
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
        "aes256-cbc",
        "aes192-cbc",
        "aes128-cbc",
        "3des-ctr",
        "3des-cbc",
        "blowfish-cbc",
        "arcfour256",
        "arcfour128",
        "arcfour",
        "cast128-cbc",
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ],
    "macs": [
        "hmac-sha2-256",
        "hmac-sha2-512",
        "hmac-sha1",
        "hmac-md5",
        "hmac-ripemd160",
        "hmac-sha1-96",
        "hmac-md5-96",
        "hmac-sha2-256-96",
        "hmac-sha2-512-96",
        "hmac-ripemd160-96",
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
    ],
    "compression": [
        "none",
        "zlib",
    ],
    "hostkey": [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-256",
        "rsa-sha2-512",
        "ssh-rsa",
        "ssh-dss",
        "x509v3-sign-rsa",
        "x509v3-sign-dss",
    ],
    "pubkey_sig": [
        "ssh-rsa",
        "rsa-sha2-256",
        "rsa-sha2-512",
        "x509v3-sign-rsa",
        "ssh-dss",
        "x509v3-sign-dss",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-ed25519",
    ],
}
"""The documented default lists, in their order."""

ALGORITHMS_BESIDE_DEFAULTS = {
    "kex": [
        "gss-group14-sha256-toWM5Slw5Ew8Mqkay+al2g==",
        "gss-group16-sha512-toWM5Slw5Ew8Mqkay+al2g==",
        "gss-nistp256-sha256-toWM5Slw5Ew8Mqkay+al2g==",
        "gss-curve25519-sha256-toWM5Slw5Ew8Mqkay+al2g==",
        "gss-group14-sha1-toWM5Slw5Ew8Mqkay+al2g==",
        "gss-gex-sha1-toWM5Slw5Ew8Mqkay+al2g==",
    ],
    "macs": [
        "umac-64@openssh.com",
        "umac-64-etm@openssh.com",
        "umac-128@openssh.com",
        "umac-128-etm@openssh.com",
    ],
    "compression": [
        "zlib@openssh.com",
    ],
}
"""Documented as supported but in no default."""


def _listed(kind: str) -> str:
    return ",".join(ALGORITHMS[kind])


PROPERTIES = [
    Property("ConnectionBacklog", "int", 5),
    Property("SFTPConnectionCount", "int", 0, access="ro"),
    Property("SFTPConnectionConnected", "bool", False, indexed="connection"),
    Property("SFTPConnectionErrorMessage", "string", "", access="ro", indexed="connection"),
    Property("SFTPConnectionFileData", "bytes", b"", indexed="connection"),
    Property("SFTPConnectionLocalAddress", "string", "", access="ro", indexed="connection"),
    Property("SFTPConnectionProtocolVersion", "int", 3, access="ro", indexed="connection"),
    Property("SFTPConnectionRemoteHost", "string", "", access="ro", indexed="connection"),
    Property("SFTPConnectionRemotePort", "int", 0, access="ro", indexed="connection"),
    Property("SFTPConnectionTimeout", "int", 0, indexed="connection"),
    Property("DefaultAuthMethods", "string", "password,publickey"),
    Property("DefaultTimeout", "int", 60),
    Property("KeyboardInteractiveMessage", "string", ""),
    Property("KeyboardInteractivePromptCount", "int", 0),
    Property("KeyboardInteractivePromptEcho", "bool", False, indexed="prompt"),
    Property("KeyboardInteractivePromptPrompt", "string", "", indexed="prompt"),
    Property("Listening", "bool", False),
    Property("LocalHost", "string", ""),
    Property("LocalPort", "int", 22),
    Property("RootDirectory", "string", ""),
    Property("SSHCertEncoded", "bytes", b""),
    Property("SSHCertStore", "bytes", b"MY"),
    Property("SSHCertStorePassword", "string", ""),
    Property("SSHCertStoreType", "int", 0),
    Property("SSHCertSubject", "string", ""),
    Property("SSHCompressionAlgorithms", "string", _listed("compression")),
    Property("SSHEncryptionAlgorithms", "string", _listed("ciphers")),
]

METHODS = [
    Method("Config", (("ConfigurationString", "string"),), returns="string"),
    Method("Disconnect", (("ConnectionId", "int"),)),
    Method("DoEvents"),
    Method("ExchangeKeys", (("ConnectionId", "int"),)),
    Method("Reset"),
    Method("SetFileList", (("ConnectionId", "int"), ("List", "string"))),
    Method("Shutdown"),
    Method("StartListening"),
    Method("StopListening"),
]

_CONNECTION = "ConnectionId int"
_OF_USER = f"{_CONNECTION}, User string"
_ON_PATH = f"{_OF_USER}, Path string"
_ON_HANDLE = f"{_OF_USER}, Handle string"
_STATUS = "StatusCode int rw"
_TWICE = f"BeforeExec bool, {_STATUS}"
_OUTCOME = "StatusCode int, Description string"
_CERTIFICATE = "CertStoreType int rw, CertStore bytes rw, CertPassword string rw, CertSubject string rw"
_DECISION = "Accept bool rw, PartialSuccess bool rw, AvailableMethods string rw, HomeDir string rw"
_ATTRIBUTES = (
    "FileType int, FileSize int64, FileOwner string, FileGroup string, FilePermissions int, FileATime int64, "
    "FileCreateTime int64, FileMTime int64, FileAttribBits int, FileAttribBitsValid int, OtherAttributes string"
)
_SETTABLE_ATTRIBUTES = _ATTRIBUTES.replace(",", " rw,") + " rw"

EVENTS = [
    _event("Connected", f"{_CONNECTION}, {_OUTCOME}, {_CERTIFICATE}"),
    _event("ConnectionRequest", "Address string, Port int, Accept bool rw"),
    _event("DirCreate", f"{_ON_PATH}, {_ATTRIBUTES}, {_TWICE}"),
    _event("DirList", f"{_ON_PATH}, {_TWICE}"),
    _event("DirRemove", f"{_ON_PATH}, {_TWICE}"),
    _event("Disconnected", f"{_CONNECTION}, {_OUTCOME}"),
    _event("Error", f"{_CONNECTION}, ErrorCode int, Description string"),
    _event("FileClose", f"{_ON_PATH}, Handle string, {_STATUS}"),
    _event("FileOpen", f"{_ON_PATH}, DesiredAccess int, Flags int, {_ATTRIBUTES}, Handle string rw, {_TWICE}"),
    _event("FileRead", f"{_ON_HANDLE}, FileOffset int64, Length int, {_STATUS}"),
    _event("FileRemove", f"{_ON_PATH}, {_TWICE}"),
    _event("FileRename", f"{_ON_PATH}, NewPath string, Flags int, {_TWICE}"),
    _event("FileWrite", f"{_ON_HANDLE}, FileOffset int64, {_TWICE}"),
    _event("GetAttributes", f"{_ON_PATH}, Flags int, {_SETTABLE_ATTRIBUTES}, {_STATUS}"),
    _event("Log", f"{_CONNECTION}, LogLevel int, Message string, LogType string"),
    _event("ResolvePath", f"{_OF_USER}, OriginalPath string, ControlFlags int, RealPath string rw, {_STATUS}"),
    _event("SetAttributes", f"{_ON_PATH}, {_ATTRIBUTES}, {_TWICE}"),
    _event("SSHStatus", f"{_CONNECTION}, Message string"),
    _event(
        "SSHUserAuthRequest",
        f"{_OF_USER}, Service string, AuthMethod string, AuthParam string, {_DECISION}, KeyAlgorithm string",
    ),
]

CONFIG = [
    Setting("DirListBufferSize", "int", 1, ">=1", indexed="connection"),
    Setting("MaskSensitive", "bool", False),
    Setting("ProtocolVersion", "int", 3, "3..6"),
    Setting("RestrictUserToHomeDir", "bool", False, indexed="connection"),
    Setting("ServerEOL", "string", "CrLF"),
    Setting("SFTPErrorMessage", "string", "", indexed="connection"),
    Setting("UnixStyleDateFormat", "bool", False),
    Setting("UserRootDirectory", "string", "", indexed="connection"),
    Setting("AltSSHCertCount", "int", 0, ">=0"),
    Setting("AltSSHCertStore", "bytes", b"", indexed="i"),
    Setting("AltSSHCertStorePassword", "string", "", indexed="i"),
    Setting("AltSSHCertStoreType", "int", 0, "0..7,14..17", indexed="i"),
    Setting("AltSSHCertSubject", "string", "", indexed="i"),
    Setting("ClientSSHVersionString", "string", "", indexed="connection", access="ro"),
    Setting("FireAuthRequestAfterSig", "bool", False),
    Setting("KeyboardInteractivePrompts", "string", "", indexed="connection"),
    Setting("KeyRenegotiationThreshold", "int64", 1073741824),
    Setting("LogLevel", "int", 1, "0..3"),
    Setting("MaxAuthAttempts", "int", 20),
    Setting("NegotiatedStrictKex", "bool", False, indexed="connection", access="ro"),
    Setting("ServerSSHVersionString", "string", "SSH-2.0-IPWorks SSH Daemon 2016", "must begin with 'SSH-2.0-'"),
    Setting("SSHKeepAliveCountMax", "int", 5),
    Setting("SSHKeepAliveInterval", "int", 0, ">=0"),
    Setting("SSHKeyExchangeAlgorithms", "string", _listed("kex")),
    Setting("SSHMacAlgorithms", "string", _listed("macs")),
    Setting("SSHPubKeyAuthSigAlgorithms", "string", _listed("pubkey_sig")),
    Setting("SSHPublicKeyAlgorithms", "string", _listed("hostkey")),
    Setting("SSHVersionPattern", "string", "*SSH-1.99-*,*SSH-2.0-*"),
    Setting("UserAuthBanner", "string", "", indexed="connection"),
    Setting("UseStrictKeyExchange", "int", 1, "0..3"),
    Setting("AllowedClients", "string", "*"),
    Setting("BindExclusively", "bool", True),
    Setting("BlockedClients", "string", ""),
    Setting("ConnectionUID", "string", None, indexed="connection", access="ro"),
    Setting("DefaultConnectionTimeout", "int", 0, ">=0"),
    Setting("InBufferSize", "int", 0),
    Setting("KeepAliveInterval", "int", 0),
    Setting("KeepAliveRetryCount", "int", 0),
    Setting("KeepAliveTime", "int", 0),
    Setting("MaxConnections", "int", 1000, "..100000"),
    Setting("MaxReadTime", "int", 50),
    Setting("OutBufferSize", "int", 0),
    Setting("TcpNoDelay", "bool", False),
    Setting("UseIOCP", "bool", False),
    Setting("UseIPv6", "int", 0, "0..2"),
    Setting("UseWindowsMessages", "bool", False),
    Setting("BuildInfo", "string", None, access="ro"),
    Setting("CodePage", "int", 65001, "listed code page ids"),
    Setting("LicenseInfo", "string", None, access="ro"),
    Setting("ProcessIdleEvents", "bool", True),
    Setting("SelectWaitMillis", "int", 20),
    Setting("UseFIPSCompliantAPI", "bool", False),
    Setting("UseInternalSecurityAPI", "bool", True),
]

ERRORS = [
    *(100, 101, 102, 104, 106, 107, 108, 112, 116, 118, 126, 135),
    *(1201, 1202, 1300, 1301, 2001, 2002, 2003),
    *(10004, 10009, 10013, 10014, 10022, 10024),
    *range(10035, 10072),
    *(10091, 10092, 10093),
    *(11001, 11002, 11003, 11004),
]

CONSTANTS: dict[str, dict[str, int]] = {
    "SSH_FX": {
        "SSH_FX_OK": 0,
        "SSH_FX_EOF": 1,
        "SSH_FX_NO_SUCH_FILE": 2,
        "SSH_FX_PERMISSION_DENIED": 3,
        "SSH_FX_FAILURE": 4,
        "SSH_FX_BAD_MESSAGE": 5,
        "SSH_FX_NO_CONNECTION": 6,
        "SSH_FX_CONNECTION_LOST": 7,
        "SSH_FX_OP_UNSUPPORTED": 8,
        "SSH_FX_INVALID_HANDLE": 9,
        "SSH_FX_NO_SUCH_PATH": 10,
        "SSH_FX_FILE_ALREADY_EXISTS": 11,
        "SSH_FX_WRITE_PROTECT": 12,
        "SSH_FX_NO_MEDIA": 13,
        "SSH_FX_NO_SPACE_ON_FILESYSTEM": 14,
        "SSH_FX_QUOTA_EXCEEDED": 15,
        "SSH_FX_UNKNOWN_PRINCIPAL": 16,
        "SSH_FX_LOCK_CONFLICT": 17,
        "SSH_FX_DIR_NOT_EMPTY": 18,
        "SSH_FX_NOT_A_DIRECTORY": 19,
        "SSH_FX_INVALID_FILENAME": 20,
        "SSH_FX_LINK_LOOP": 21,
        "SSH_FX_CANNOT_DELETE": 22,
        "SSH_FX_INVALID_PARAMETER": 23,
        "SSH_FX_FILE_IS_A_DIRECTORY": 24,
        "SSH_FX_BYTE_RANGE_LOCK_CONFLICT": 25,
        "SSH_FX_BYTE_RANGE_LOCK_REFUSED": 26,
        "SSH_FX_DELETE_PENDING": 27,
        "SSH_FX_FILE_CORRUPT": 28,
        "SSH_FX_OWNER_INVALID": 29,
        "SSH_FX_GROUP_INVALID": 30,
        "SSH_FX_NO_MATCHING_BYTE_RANGE_LOCK": 31,
    },
    "SSH_FXF": {
        "SSH_FXF_READ": 1,
        "SSH_FXF_WRITE": 2,
        "SSH_FXF_APPEND": 4,
        "SSH_FXF_CREAT": 8,
        "SSH_FXF_TRUNC": 16,
        "SSH_FXF_EXCL": 32,
    },
    "ACE4": {
        "ACE4_READ_DATA": 1,
        "ACE4_LIST_DIRECTORY": 1,
        "ACE4_WRITE_DATA": 2,
        "ACE4_ADD_FILE": 2,
        "ACE4_APPEND_DATA": 4,
        "ACE4_ADD_SUBDIRECTORY": 4,
        "ACE4_READ_NAMED_ATTRS": 8,
        "ACE4_WRITE_NAMED_ATTRS": 16,
        "ACE4_EXECUTE": 32,
        "ACE4_DELETE_CHILD": 64,
        "ACE4_READ_ATTRIBUTES": 128,
        "ACE4_WRITE_ATTRIBUTES": 256,
        "ACE4_DELETE": 65536,
        "ACE4_READ_ACL": 131072,
        "ACE4_WRITE_ACL": 262144,
        "ACE4_WRITE_OWNER": 524288,
        "ACE4_SYNCHRONIZE": 1048576,
    },
    "FILEXFER_TYPE": {
        "SSH_FILEXFER_TYPE_REGULAR": 1,
        "SSH_FILEXFER_TYPE_DIRECTORY": 2,
        "SSH_FILEXFER_TYPE_SYMLINK": 3,
        "SSH_FILEXFER_TYPE_SPECIAL": 4,
        "SSH_FILEXFER_TYPE_UNKNOWN": 5,
        "SSH_FILEXFER_TYPE_SOCKET": 6,
        "SSH_FILEXFER_TYPE_CHAR_DEVICE": 7,
        "SSH_FILEXFER_TYPE_BLOCK_DEVICE": 8,
        "SSH_FILEXFER_TYPE_FIFO": 9,
    },
    "FILEXFER_ATTR_FLAGS": {
        "SSH_FILEXFER_ATTR_FLAGS_READONLY": 1,
        "SSH_FILEXFER_ATTR_FLAGS_SYSTEM": 2,
        "SSH_FILEXFER_ATTR_FLAGS_HIDDEN": 4,
        "SSH_FILEXFER_ATTR_FLAGS_CASE_INSENSITIVE": 8,
        "SSH_FILEXFER_ATTR_FLAGS_ARCHIVE": 16,
        "SSH_FILEXFER_ATTR_FLAGS_ENCRYPTED": 32,
        "SSH_FILEXFER_ATTR_FLAGS_COMPRESSED": 64,
        "SSH_FILEXFER_ATTR_FLAGS_SPARSE": 128,
        "SSH_FILEXFER_ATTR_FLAGS_APPEND_ONLY": 256,
        "SSH_FILEXFER_ATTR_FLAGS_IMMUTABLE": 512,
        "SSH_FILEXFER_ATTR_FLAGS_SYNC": 1024,
        "SSH_FILEXFER_ATTR_FLAGS_TRANSLATION_ERR": 2048,
    },
    "RENAME": {
        "SSH_FXF_RENAME_OVERWRITE": 1,
        "SSH_FXF_RENAME_ATOMIC": 2,
        "SSH_FXF_RENAME_NATIVE": 4,
    },
    "REALPATH": {
        "SSH_FXP_REALPATH_NO_CHECK": 1,
        "SSH_FXP_REALPATH_STAT_IF": 2,
        "SSH_FXP_REALPATH_STAT_ALWAYS": 3,
    },
    "CERT_STORE_TYPE": {
        "cstUser": 0,
        "cstMachine": 1,
        "cstPFXFile": 2,
        "cstPFXBlob": 3,
        "cstJKSFile": 4,
        "cstJKSBlob": 5,
        "cstPEMKeyFile": 6,
        "cstPEMKeyBlob": 7,
        "cstPublicKeyFile": 8,
        "cstPublicKeyBlob": 9,
        "cstSSHPublicKeyBlob": 10,
        "cstP7BFile": 11,
        "cstP7BBlob": 12,
        "cstSSHPublicKeyFile": 13,
        "cstPPKFile": 14,
        "cstPPKBlob": 15,
        "cstXMLFile": 16,
        "cstXMLBlob": 17,
        "cstJWKFile": 18,
        "cstJWKBlob": 19,
        "cstSecurityKey": 20,
        "cstBCFKSFile": 21,
        "cstBCFKSBlob": 22,
        "cstPKCS11": 23,
        "cstAuto": 99,
    },
    "LOG_LEVEL": {
        "None": 0,
        "Info": 1,
        "Verbose": 2,
        "Debug": 3,
    },
    "STRICT_KEX": {
        "Disabled": 0,
        "Enabled": 1,
        "RejectAffected": 2,
        "Required": 3,
    },
    "USE_IPV6": {
        "IPv4Only": 0,
        "IPv6Only": 1,
        "IPv6AndIPv4": 2,
    },
}

WORDS = {
    "AUTH_METHOD": [
        "none",
        "password",
        "publickey",
        "keyboard-interactive",
    ],
    "AUTH_METHOD_EVENT_ONLY": [
        "keyboard-interactive-<n>",
        "sigstatus",
    ],
    "KEY_ALGORITHM": [
        "ssh-rsa",
        "rsa-sha2-256",
        "rsa-sha2-512",
        "ssh-dss",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "x509v3-sign-rsa",
        "x509v3-sign-dss",
    ],
    "CERT_SUBJECT_FIELDS": [
        "CN",
        "O",
        "OU",
        "L",
        "S",
        "C",
        "E",
    ],
    "CERT_STORE_NAMES_WINDOWS": [
        "MY",
        "CA",
        "ROOT",
    ],
}
"""Texts with a meaning; <n> counts from 1."""

OTHER_ATTRIBUTES = {
    "MIMEType": "string",
    "AllocationSize": "int64",
    "ATimeNS": "int",
    "CreateTimeNS": "int",
    "MTimeNS": "int",
    "TextHint": "int8",
    "LinkCount": "int",
    "UntranslatedName": "string",
}
"""Names and types of what the text OtherAttributes may hold."""

DEVIATIONS: dict[str, Value] = {
    "TcpNoDelay": True,
    "DirListBufferSize": 0,
    "MaskSensitive": True,
    "ConnectionBacklog": 128,
    "MaxAuthAttempts": 6,
    "ServerSSHVersionString": f"SSH-2.0-libsshd_{__version__}",
    "SSHCompressionAlgorithms": "none",
    "SSHEncryptionAlgorithms": (
        "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr"
    ),
    "SSHKeyExchangeAlgorithms": (
        "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,"
        "curve25519-sha256,curve25519-sha256@libssh.org,diffie-hellman-group18-sha512,diffie-hellman-group16-sha512"
    ),
    "SSHMacAlgorithms": "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512",
    "SSHPublicKeyAlgorithms": (
        "ssh-ed25519,ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"
    ),
    "SSHPubKeyAuthSigAlgorithms": (
        "ssh-ed25519,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,"
        "ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"
    ),
}
"""Where this server's default is not the documented one, which can be set all the same."""
