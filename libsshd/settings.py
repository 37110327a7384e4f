"""One table of what can be set: every property and every Config() setting of the server.

A field's name is the attribute, `name` in its metadata the documented one; its type, default, range and meaning stand
beside it, and the pages of the documentation are made from them.
"""

import base64
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from libsshd._native import supported_algorithms
from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.version import __version__
from libsshd.wire.codepage import codec_name


class Kind(Enum):
    """Where a member comes from: the manual's properties, its Config() settings, or this project."""

    PROPERTY = "property"
    SETTING = "setting"
    ADDED = "added"


@dataclass(slots=True, frozen=True)
class Setting:
    """What the table says of one member. `type` is bool, int, float, str or bytes; `locked` forbids changes while
    the server listens; `check` judges a value of the right type and range and returns what is kept, or raises
    ValueError with the end of a sentence that begins with the name.
    """

    attribute: str
    name: str
    kind: Kind
    type: type
    default: Any
    doc: str
    least: float | None = None
    most: float | None = None
    locked: ErrorCode | None = None
    check: Callable[[Any], Any] | None = None

    def accept(self, value: object) -> Any:
        """The value as it is kept. Raises SFTPServerError (10022) for one that cannot be."""
        try:
            return self._accept(value)
        except ValueError as error:
            raise SFTPServerError(ErrorCode.INVALID_ARGUMENT, f"{self.name} {error}.") from None

    def _accept(self, value: object) -> Any:
        if self.type is bytes and isinstance(value, str):
            value = value.encode()
        if self.type is float and isinstance(value, int):
            value = float(value)
        if not isinstance(value, self.type) or (isinstance(value, bool) and self.type is not bool):
            raise ValueError(f"takes {_TYPE_NAMES[self.type]}, not {type(value).__name__}")  # it may be a secret
        if isinstance(value, str) and "\0" in value:
            raise ValueError("cannot hold a NUL character")
        if self.type in (int, float):
            self._check_range(value)
        return value if self.check is None else self.check(value)

    def _check_range(self, value: Any) -> None:
        least = -math.inf if self.least is None else self.least
        most = math.inf if self.most is None else self.most
        if not least <= value <= most:  # what is no number at all is not between them either
            bounds = f"{self.least} or more" if self.most is None else f"{self.least} to {self.most}"
            raise ValueError(f"is {bounds}, not {value}")

    def parse(self, text: str) -> Any:
        """The value that a text in Config() stands for. Raises SFTPServerError (10022)."""
        try:
            value = _PARSERS[self.type](text)
        except (ValueError, KeyError):
            raise SFTPServerError(
                ErrorCode.INVALID_ARGUMENT, f"{self.name} takes {_TYPE_NAMES[self.type]}, not {text!r}."
            ) from None
        return self.accept(value)

    @staticmethod
    def format(value: object) -> str:
        """The text that Config() returns for a value; of bytes that are no text, Base64."""
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                return base64.b64encode(value).decode()
        return f"{value:.12g}" if isinstance(value, float) else str(value)


_TYPE_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", bytes: "bytes"}
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_PARSERS: dict[type, Callable[[str], Any]] = {
    bool: lambda text: _BOOLEANS[text.strip().lower()],
    int: lambda text: int(text.strip()),
    float: lambda text: float(text.strip()),
    str: lambda text: text,
    bytes: lambda text: text.encode("utf-8", "surrogateescape"),
}


class Prompt(NamedTuple):
    """One question of keyboard-interactive authentication (RFC 4256): its text, and whether the answer is shown."""

    prompt: str
    echo: bool = False


def parse_prompts(text: str) -> tuple[Prompt, ...]:
    """The prompts in `text,echo=bool;text,echo=bool`. Raises ValueError for an echo that is no boolean."""
    return tuple(_prompt(part) for part in text.split(";") if part)


def _prompt(part: str) -> Prompt:
    head, found, tail = part.rpartition(",echo=")
    if not found:
        return Prompt(part)
    try:
        return Prompt(head, _BOOLEANS[tail.strip().lower()])
    except KeyError:
        raise ValueError(f"has echo={tail} where only True or False can stand") from None


# --- checks ---


def _version_string(value: str) -> str:
    if not value.startswith("SSH-2.0-") or not value.isascii() or not value.isprintable() or len(value) > 200:
        raise ValueError("begins with SSH-2.0- and has at most 200 printable ASCII characters")
    return value


LINE_ENDS = {"CRLF": b"\r\n", "LF": b"\n", "CR": b"\r"}
"""Bytes of what ServerEOL holds."""
_LINE_ENDS = {"crlf": "CRLF", "\r\n": "CRLF", "lf": "LF", "\n": "LF", "cr": "CR", "\r": "CR"}


def _line_end(value: str) -> str:
    try:
        return _LINE_ENDS[value.lower()]
    except KeyError:
        raise ValueError("is CRLF, LF or CR") from None


DIRECT, ATOMIC, ATOMIC_KEEP = UPLOAD_MODES = ("direct", "atomic", "atomic-keep")
"""What UploadMode may be."""


def _upload_mode(value: str) -> str:
    if value.lower() not in UPLOAD_MODES:
        raise ValueError(f"is {', '.join(UPLOAD_MODES[:-1])} or {UPLOAD_MODES[-1]}")
    return value.lower()


def _prompts(value: str) -> str:
    parse_prompts(value)
    return value


def _code_page(value: int) -> int:
    try:
        codec_name(value)
    except ValueError:
        raise ValueError(f"is the Windows number of a fixed encoding, such as 65001 (UTF-8), not {value}") from None
    return value


def _not_fips(value: bool) -> bool:
    if value:
        raise ValueError("cannot be True: there is no validated library underneath")
    return value


_METHODS = ("none", "password", "publickey", "keyboard-interactive")


def _methods(value: str) -> str:
    names = [name.strip() for name in value.split(",") if name.strip()]
    unknown = [name for name in names if name not in _METHODS]
    if unknown:
        raise ValueError(f"knows {', '.join(_METHODS)}, not {unknown[0]!r}")
    return ",".join(names)


_LOGGER = logging.getLogger("libsshd")
_REPORTED: set[str] = set()
"""Names of algorithms that were complained about; once is enough."""


def usable_algorithms(kind: str, text: str) -> str:
    """The names of a comma list that libssh has. Raises ValueError when there is none."""
    supported = supported_algorithms()[kind]
    usable = [name for name in _names(text) if name in supported]
    if not usable:
        raise ValueError(f"holds no algorithm that is supported; these are: {', '.join(supported)}")
    return ",".join(usable)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _algorithm_check(kind: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        unknown = set(_names(text)) - set(_names(usable_algorithms(kind, text))) - _REPORTED
        if unknown:
            _REPORTED.update(unknown)
            _LOGGER.warning("not supported and never offered: %s", ", ".join(sorted(unknown)))
        return text

    return check


# --- the table ---


def _field(kind: Kind, name: str, default: Any, doc: str, **rules: Any) -> Any:
    return field(default=default, metadata={"name": name, "kind": kind, "doc": doc, **rules})


def _property(name: str, default: Any, doc: str, **rules: Any) -> Any:
    return _field(Kind.PROPERTY, name, default, doc, **rules)


def _setting(name: str, default: Any, doc: str, **rules: Any) -> Any:
    return _field(Kind.SETTING, name, default, doc, **rules)


def _added(name: str, default: Any, doc: str, **rules: Any) -> Any:
    return _field(Kind.ADDED, name, default, doc, **rules)


@dataclass(kw_only=True, eq=False, repr=False)
class Settings:
    """What a server is told once for all its connections. A change counts for connections that begin after it.

    Times are seconds and sizes bytes unless stated. Algorithm lists are comma lists in order of preference; names
    that are not supported may stand beside supported ones and are never offered.
    """

    root_directory: str = _property(
        "RootDirectory", "", "Directory of this machine that clients see as `/`; empty: handlers answer everything."
    )
    local_host: str = _property(
        "LocalHost",
        "",
        "Address or name of the interface to listen on; empty: all.",
        locked=ErrorCode.LOCAL_HOST_LOCKED,
    )
    local_port: int = _property(
        "LocalPort", 22, "Port to listen on; 0: any free one, to be read here once the server listens.",
        least=0, most=65535, locked=ErrorCode.LOCAL_PORT_LOCKED,
    )  # fmt: skip
    connection_backlog: int = _property(
        "ConnectionBacklog", 128, "Connections that the system keeps until they are accepted.", least=1, most=65535
    )
    default_timeout: int = _property(
        "DefaultTimeout", 60,
        "Seconds without a byte moved after which a connection that has work in hand is given up; first value of "
        "each connection's timeout. 0: no limit.", least=0, most=2**31 - 1,
    )  # fmt: skip
    default_auth_methods: str = _property(
        "DefaultAuthMethods", "password,publickey",
        "Methods offered to every client: none, password, publickey, keyboard-interactive.", check=_methods,
    )  # fmt: skip
    keyboard_interactive_message: str = _property(
        "KeyboardInteractiveMessage", "", "Instruction shown above the prompts of keyboard-interactive."
    )
    ssh_compression_algorithms: str = _property(
        "SSHCompressionAlgorithms",
        "none",
        "Compression: none, zlib, zlib@openssh.com (after login only).",
        check=_algorithm_check("compression"),
    )
    ssh_encryption_algorithms: str = _property(
        "SSHEncryptionAlgorithms",
        "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr",
        "Ciphers, for both directions.",
        check=_algorithm_check("ciphers"),
    )

    allowed_clients: str = _setting(
        "AllowedClients", "*",
        "Addresses and names, with `*` anywhere, that presets Accept of ConnectionRequest to True.",
    )  # fmt: skip
    blocked_clients: str = _setting(
        "BlockedClients",
        "",
        "As AllowedClients, for those whose Accept begins as False; it wins.",
    )
    max_connections: int = _setting(
        "MaxConnections", 1000, "Connections at once; whoever comes on top is closed at once.",
        least=1, most=100_000, locked=ErrorCode.MAX_CONNECTIONS_LOCKED,
    )  # fmt: skip
    bind_exclusively: bool = _setting(
        "BindExclusively", True, "False: other sockets of this machine may share the port."
    )
    use_ipv6: int = _setting("UseIPv6", 0, "0: IPv4 only, 1: IPv6 only, 2: both.", least=0, most=2)
    tcp_no_delay: bool = _setting("TcpNoDelay", True, "Sends small packets at once.")
    in_buffer_size: int = _setting(
        "InBufferSize", 0, "Receive buffer of accepted sockets; 0: the system's.", least=0, most=2**31 - 1
    )
    out_buffer_size: int = _setting(
        "OutBufferSize", 0, "Send buffer of accepted sockets; 0: the system's.", least=0, most=2**31 - 1
    )
    keep_alive_time: int = _setting(
        "KeepAliveTime", 0, "Milliseconds of silence before TCP asks for a sign of life; 0: the system's.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    keep_alive_interval: int = _setting(
        "KeepAliveInterval", 0, "Milliseconds between two such TCP probes; 0: the system's.", least=0, most=2**31 - 1
    )
    keep_alive_retry_count: int = _setting(
        "KeepAliveRetryCount", 0, "Unanswered TCP probes that end a connection; 0: the system's.", least=0, most=127
    )
    default_connection_timeout: int = _setting(
        "DefaultConnectionTimeout", 0,
        "Seconds of silence allowed to a client during its first key exchange; 0: no limit of its own.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    max_read_time: int = _setting(
        "MaxReadTime", 50, "Milliseconds one connection is served before others get their turn.", least=1, most=60_000
    )
    select_wait_millis: int = _setting(
        "SelectWaitMillis",
        20,
        "Milliseconds that do_events() waits when nothing is pending.",
        least=0,
        most=2**31 - 1,
    )
    process_idle_events: bool = _setting(
        "ProcessIdleEvents", True,
        "True: handlers run at once, on the thread of their connection. False: only inside do_events().",
    )  # fmt: skip

    server_ssh_version_string: str = _setting(
        "ServerSSHVersionString", f"SSH-2.0-libsshd_{__version__}", "Identification sent to clients.",
        check=_version_string,
    )  # fmt: skip
    ssh_version_pattern: str = _setting(
        "SSHVersionPattern", "*SSH-1.99-*,*SSH-2.0-*",
        "Patterns with `*`; a client whose identification matches none is dropped.",
    )  # fmt: skip
    ssh_key_exchange_algorithms: str = _setting(
        "SSHKeyExchangeAlgorithms",
        "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,"
        "curve25519-sha256,curve25519-sha256@libssh.org,"
        "diffie-hellman-group18-sha512,diffie-hellman-group16-sha512",
        "Key exchange methods, post-quantum first.",
        check=_algorithm_check("kex"),
    )
    ssh_mac_algorithms: str = _setting(
        "SSHMacAlgorithms",
        "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512",
        "Message authentication codes, for ciphers that do not bring their own.",
        check=_algorithm_check("macs"),
    )
    ssh_public_key_algorithms: str = _setting(
        "SSHPublicKeyAlgorithms",
        "ssh-ed25519,ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256",
        "Host key algorithms; those without a key are left out.",
        check=_algorithm_check("host_keys"),
    )
    ssh_pub_key_auth_sig_algorithms: str = _setting(
        "SSHPubKeyAuthSigAlgorithms",
        "ssh-ed25519,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,"
        "ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256",
        "Signature algorithms that users may log in with.",
        check=_algorithm_check("public_keys"),
    )
    use_strict_key_exchange: int = _setting(
        "UseStrictKeyExchange", 1,
        "0: never, 1: with clients that can, 2: also refuses others where the Terrapin attack would work, 3: refuses "
        "all others.", least=0, most=3,
    )  # fmt: skip
    key_renegotiation_threshold: int = _setting(
        "KeyRenegotiationThreshold", 1 << 30, "Bytes of both directions after which new keys are made; 0: never.",
        least=0, most=2**63 - 1,
    )  # fmt: skip
    ssh_keep_alive_interval: int = _setting(
        "SSHKeepAliveInterval", 0, "Seconds of silence before the client is asked for a sign of life; 0: never.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    ssh_keep_alive_count_max: int = _setting(
        "SSHKeepAliveCountMax",
        5,
        "Unanswered questions of that kind that end the connection.",
        least=1,
        most=2**31 - 1,
    )
    max_auth_attempts: int = _setting(
        "MaxAuthAttempts", 6, "Failed attempts to log in that end a connection; 0: no limit.", least=0, most=2**31 - 1
    )
    fire_auth_request_after_sig: bool = _setting(
        "FireAuthRequestAfterSig", False,
        "Fires SSHUserAuthRequest once more, with `sigstatus`, after the signature of a public key was checked.",
    )  # fmt: skip

    protocol_version: int = _setting("ProtocolVersion", 3, "Highest SFTP version spoken.", least=3, most=6)
    server_eol: str = _setting(
        "ServerEOL", "CRLF", "Line end announced to clients of SFTP 4 and later: CRLF, LF or CR.", check=_line_end
    )
    unix_style_date_format: bool = _setting(
        "UnixStyleDateFormat", False,
        "True: listing lines show the time of day for dates of the last six months; False: always the year.",
    )  # fmt: skip
    code_page: int = _setting(
        "CodePage", 65001, "Windows code page of names in SFTP 3 and of users; 65001 is UTF-8.", least=0, most=65535,
        check=_code_page,
    )  # fmt: skip
    log_level: int = _setting(
        "LogLevel", 1, "Messages of Log: 0 none, 1 info, 2 packets too, 3 their bytes too.", least=0, most=3
    )
    mask_sensitive: bool = _setting("MaskSensitive", True, "Keeps passwords and other secrets out of Log.")
    use_fips_compliant_api: bool = _setting("UseFIPSCompliantAPI", False, "Only False is possible.", check=_not_fips)
    use_internal_security_api: bool = _setting("UseInternalSecurityAPI", True, "Kept without effect on Linux.")
    use_iocp: bool = _setting("UseIOCP", False, "Kept without effect on Linux.")
    use_windows_messages: bool = _setting("UseWindowsMessages", False, "Kept without effect on Linux.")

    read_only: bool = _added("ReadOnly", False, "Refuses whatever would change a file.")
    upload_mode: str = _added(
        "UploadMode", DIRECT,
        "direct: a file is written in its place. atomic: a new or emptied one gets its name when it is closed and on "
        "the disk, and not at all if it is never closed. atomic-keep: what was not closed can be resumed.",
        check=_upload_mode,
    )  # fmt: skip
    sweep: bool = _added(
        "Sweep", True, "Looks at start, in the background, for temporary files that a killed server left."
    )
    deny_requests: str = _added(
        "DenyRequests", "", "Names of requests that nobody may send, as `libsshd sftp-server -Q requests` lists them."
    )
    allow_requests: str = _added(
        "AllowRequests", "", "Names of the only requests that are answered, less DenyRequests; empty: all."
    )
    allow_links: bool = _added(
        "AllowLinks", False,
        "Lets clients make symbolic and hard links, which give names that handlers deny an alias.",
    )  # fmt: skip
    max_startups: int = _added(
        "MaxStartups", 0,
        "Connections at once without a login; the oldest that has not exchanged keys makes room. 0: no limit.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    max_startups_begin: int = _added(
        "MaxStartupsBegin", 0,
        "So many of MaxStartups from which a newcomer costs a place by lot; 0: only when there is none left.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    max_startups_rate: int = _added(
        "MaxStartupsRate", 30, "Percent of newcomers that cost one at MaxStartupsBegin; all do at MaxStartups.",
        least=1, most=100,
    )  # fmt: skip
    max_startups_per_source: int = _added(
        "MaxStartupsPerSource", 0, "As MaxStartups, from one source; who comes on top is turned away. 0: no limit.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    source_bits_ipv4: int = _added(
        "SourceBitsIPv4", 32, "First bits of an IPv4 address that make one source.", least=1, most=32
    )
    source_bits_ipv6: int = _added(
        "SourceBitsIPv6", 64, "First bits of an IPv6 address that make one source.", least=1, most=128
    )
    exempt_clients: str = _added(
        "ExemptClients", "", "As AllowedClients, those to whom neither MaxStartupsPerSource nor penalties apply."
    )
    penalty_crash: float = _added(
        "PenaltyCrash", 0.0, "Seconds of penalty for a source whose connection made the server fail; 0: none.",
        least=0, most=1e9,
    )  # fmt: skip
    penalty_auth_failed: float = _added(
        "PenaltyAuthFailed", 0.0, "As PenaltyCrash, for a connection on which every attempt to log in failed.",
        least=0, most=1e9,
    )  # fmt: skip
    penalty_no_auth: float = _added(
        "PenaltyNoAuth", 0.0, "As PenaltyCrash, for a connection without an attempt to log in.", least=0, most=1e9
    )
    penalty_grace_exceeded: float = _added(
        "PenaltyGraceExceeded", 0.0, "As PenaltyCrash, for a connection that LoginTimeout ended.", least=0, most=1e9
    )
    penalty_least: float = _added(
        "PenaltyLeast", 15.0, "Seconds that penalties of a source add up to before it is turned away.",
        least=0, most=1e9,
    )  # fmt: skip
    penalty_most: float = _added(
        "PenaltyMost", 600.0, "Seconds that penalties of a source add up to at most.", least=0, most=1e9
    )
    penalty_sources: int = _added(
        "PenaltySources", 65_536, "Sources whose penalties are kept; who would be free first is let off beyond them.",
        least=1, most=1 << 24,
    )  # fmt: skip
    login_timeout: float = _added(
        "LoginTimeout", 60.0, "Seconds from accept to login; 0: no limit.", least=0, most=1e9
    )
    idle_timeout: float = _added(
        "IdleTimeout", 0.0,
        "Seconds without a request of SFTP after which a client is disconnected; keep-alives are none. 0: no limit.",
        least=0, most=1e9,
    )  # fmt: skip
    max_bytes_before_version: int = _added(
        "MaxBytesBeforeVersion", 4096, "Bytes that may come before the client's identification is complete; 0: any.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    max_packet_before_login: int = _added(
        "MaxPacketBeforeLogin", 65_536, "Bytes of one packet of a client that is not logged in; 0: as after it.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    max_bytes_before_login: int = _added(
        "MaxBytesBeforeLogin", 1 << 20, "Bytes that a client may send before it is logged in; 0: any.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    failure_delay: float = _added(
        "FailureDelay", 0.3, "Seconds that the answer to a failed login takes at least.", least=0, most=3600
    )
    max_handles_per_channel: int = _added(
        "MaxHandlesPerChannel", 256, "Files and directories open at once in one SFTP session.", least=1, most=1 << 20
    )
    max_handles_per_connection: int = _added(
        "MaxHandlesPerConnection", 1024, "As MaxHandlesPerChannel, for all sessions of a connection.",
        least=1, most=1 << 20,
    )  # fmt: skip
    max_idle_requests: int = _added(
        "MaxIdleRequests", 1000,
        "Global requests, channels and requests on them at once, or a fifth as many exchanges of keys for nothing, "
        "that end a connection; a tenth comes back every second. 0: no limit.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    max_handles: int = _added(
        "MaxHandles", 16_384, "As MaxHandlesPerChannel, for all connections; each takes a few at once.",
        least=1, most=1 << 30,
    )  # fmt: skip
    max_bytes_in_flight: int = _added(
        "MaxBytesInFlight", 1 << 32,
        "Bytes that all clients together may have under way or waiting here, as their windows promise them: 384 KiB "
        "for a channel, 2 MiB where a transfer runs. Beyond them no channel is opened and none gets faster.",
        least=1 << 20, most=2**62,
    )  # fmt: skip


@dataclass(slots=True, eq=False, repr=False)
class ConnectionSettings:
    """What is set for one connection; its first values are those of the server's Config() without an index."""

    timeout: int = _property(
        "SFTPConnectionTimeout", 0, "Seconds without a byte moved after which work in hand is given up; 0: no limit.",
        least=0, most=2**31 - 1,
    )  # fmt: skip
    dir_list_buffer_size: int = _setting(
        "DirListBufferSize", 0, "Entries in one answer to READDIR; 0: as many as fit.", least=0, most=2**31 - 1
    )
    restrict_user_to_home_dir: bool = _setting(
        "RestrictUserToHomeDir", False, "Denies whatever lies outside the home directory."
    )
    user_root_directory: str = _setting(
        "UserRootDirectory", "", "Directory below the root that this client sees as `/` instead."
    )
    sftp_error_message: str = _setting(
        "SFTPErrorMessage", "", "Text that goes with the status of the event in progress."
    )
    keyboard_interactive_prompts: str = _setting(
        "KeyboardInteractivePrompts", "", "Prompts for this client: `text,echo=bool;text,echo=bool`.", check=_prompts
    )
    user_auth_banner: str = _setting(
        "UserAuthBanner", "", "Text shown to the user before the answer to the login request in progress."
    )


@dataclass(slots=True, eq=False, repr=False)
class CertificateSettings:
    """Where one host key comes from; the server's own is SSHCert..., its alternates are AltSSHCert...[i]."""

    store_type: int = _property(
        "SSHCertStoreType", 0, "Form of the store: a number of CertStoreType.", least=0, most=99
    )
    store: bytes = _property("SSHCertStore", b"MY", "File name or content of the store, as its type says.")
    store_password: str = _property("SSHCertStorePassword", "", "What opens an encrypted store.")
    subject: str = _property(
        "SSHCertSubject", "",
        "Set last, loads the key: the certificate with this subject, else with this text in it; `*`: the first.",
    )  # fmt: skip
    encoded: bytes = _property(
        "SSHCertEncoded", b"", "A certificate, PEM or Base64, whose key is then looked up in the store."
    )


@dataclass(slots=True, eq=False, repr=False)
class PromptSettings:
    """One of the questions of keyboard-interactive that every client is asked."""

    prompt: str = _property("KeyboardInteractivePromptPrompt", "", "Text of the question.")
    echo: bool = _property(
        "KeyboardInteractivePromptEcho", False, "Whether the answer is shown while it is typed."
    )  # fmt: skip


PROMPT_COUNT = Setting(
    "keyboard_interactive_prompt_count", "KeyboardInteractivePromptCount", Kind.PROPERTY, int, 0,
    "How many prompts there are.", least=0, most=1000,
)  # fmt: skip
ALTERNATE_COUNT = Setting(
    "alt_ssh_cert_count", "AltSSHCertCount", Kind.SETTING, int, 0, "How many alternate host keys there are.",
    least=0, most=1000,
)  # fmt: skip

READ_ONLY = MappingProxyType(
    {
        "BuildInfo": "Name and version of this build.",
        "LicenseInfo": "Five lines about the licence.",
        "ClientSSHVersionString": "Identification that the client sent.",
        "ConnectionUID": "Identifier of the connection that is never used again in this process.",
        "NegotiatedStrictKex": "Whether strict key exchange was agreed on.",
    }
)
"""Settings of Config() that can only be read, and what they tell."""


def _entry(entry: Field[Any]) -> Setting:
    assert isinstance(entry.type, type)
    return Setting(attribute=entry.name, type=entry.type, default=entry.default, **entry.metadata)


def _table(holder: type) -> Mapping[str, Setting]:
    return MappingProxyType({entry.name: _entry(entry) for entry in fields(holder) if "name" in entry.metadata})


SETTINGS = _table(Settings)
"""Members of the server, by attribute."""

CONNECTION_SETTINGS = _table(ConnectionSettings)
"""Members of each connection, by attribute."""

CERTIFICATE_SETTINGS = _table(CertificateSettings)
"""Members of a host key's store, by attribute."""

PROMPT_SETTINGS = _table(PromptSettings)
"""Members of a prompt, by attribute."""

ALGORITHMS = MappingProxyType(
    {
        "ssh_key_exchange_algorithms": "kex",
        "ssh_encryption_algorithms": "ciphers",
        "ssh_mac_algorithms": "macs",
        "ssh_public_key_algorithms": "host_keys",
        "ssh_pub_key_auth_sig_algorithms": "public_keys",
        "ssh_compression_algorithms": "compression",
    }
)
"""The algorithm lists, and what libssh's own lists are called."""


_INDEXED = re.compile(r"\s*(\w+)\s*(?:\[\s*(-?\d+)\s*\])?\s*\Z")


class Reference(NamedTuple):
    """A name in Config(), in lower case, with the number in brackets if there is one."""

    name: str
    number: int | None


def parse_reference(text: str) -> Reference:
    """Reads `NAME` or `NAME[index]`. Raises SFTPServerError (10022)."""
    match = _INDEXED.match(text)
    if match is None:
        raise SFTPServerError(
            ErrorCode.INVALID_ARGUMENT, f"{text.strip()!r} is no setting; write NAME or NAME[index]."
        )
    name, index = match.groups()
    return Reference(name.lower(), None if index is None else int(index))
