"""One SSH connection in C, and the keys and algorithms it starts with."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from ._core import ffi, lib
from .hostkey import Key
from .sftp import EventKind, EventView, Sftp, check

_BLOB_MAX = 64 * 1024
_next = lib.sshd_connection_next


def _text(value: object) -> str:
    return bytes(ffi.string(value)).decode("utf-8", "backslashreplace")


def library_versions() -> dict[str, str]:
    """Versions of the libraries underneath, by name."""
    return {
        "libssh": _text(lib.sshd_libssh_version()).partition("/")[0],
        "OpenSSL": _text(lib.sshd_openssl_version()),
    }


def _supported(number: int) -> tuple[str, ...]:
    return tuple(_text(lib.sshd_supported(number)).split(","))


def supported_algorithms() -> dict[str, tuple[str, ...]]:
    """What a server can be set to offer, also what is off by default: the fields of Algorithms, but `version`.

    Certificates are none of it: only their signatures would be checked. The host has no sk- key either.
    """
    check(lib.sshd_library_init())
    keys = tuple(name for name in _supported(lib.SSHD_LIST_KEYS) if "-cert-v" not in name)
    return {
        "kex": _supported(lib.SSHD_LIST_KEX),
        "ciphers": _supported(lib.SSHD_LIST_CIPHERS),
        "macs": _supported(lib.SSHD_LIST_MACS),
        "host_keys": tuple(name for name in keys if not name.startswith("sk-")),
        "public_keys": keys,
        "compression": _supported(lib.SSHD_LIST_COMPRESSION),
    }


@dataclass(slots=True, frozen=True)
class Algorithms:
    """Comma lists in order of preference (RFC 4253 section 7.1); `version` is what follows "SSH-2.0-"."""

    version: str
    kex: str
    ciphers: str
    macs: str
    host_keys: str
    public_keys: str
    compression: str = "none"


@dataclass(slots=True, frozen=True)
class ConnectionInfo:
    """What was negotiated, and the bytes that crossed the socket."""

    bytes_in: int
    bytes_out: int
    client_version: str
    kex: str
    cipher_in: str
    cipher_out: str
    mac_in: str
    mac_out: str
    compression_in: str
    compression_out: str
    strict_kex: bool


_TEXTS = [field.name for field in fields(ConnectionInfo) if field.type is str]


class Budget:
    """Bytes that clients may have on their way to us or waiting here, over all connections of a server.

    It is what their windows promise them: 384 KiB for each channel, 2 MiB where a transfer runs. Any thread may ask.
    """

    __slots__ = ("_b",)

    def __init__(self, most: int = 1 << 32) -> None:
        budget = lib.sshd_budget_new(most)
        if budget == ffi.NULL:
            raise MemoryError
        self._b = ffi.gc(budget, lib.sshd_budget_free)

    def limit(self, most: int) -> None:
        """From now on; what was promised stays so."""
        lib.sshd_budget_limit(self._b, most)

    @property
    def used(self) -> int:
        return int(lib.sshd_budget_used(self._b))


class Bind:
    """Host keys and algorithms shared by the connections of one server."""

    __slots__ = ("_b", "budget")

    def __init__(self, keys: Iterable[Key], algorithms: Algorithms, budget: Budget | None = None) -> None:
        """Without a `budget` it has one of its own.

        Raises ValueError for a list with nothing libssh knows, or a second key of one type.
        """
        check(lib.sshd_library_init())
        self.budget = budget or Budget()
        bind = lib.sshd_bind_new(self.budget._b)
        if bind == ffi.NULL:
            raise MemoryError
        self._b = ffi.gc(bind, lib.sshd_bind_free)
        kinds: set[str] = set()
        for key in keys:
            kind = key.type.partition("-nistp")[0]
            if kind in kinds:
                raise ValueError(
                    f"there is a second host key of the kind {kind}; one RSA, ECDSA and Ed25519 key each"
                )
            kinds.add(kind)
            if lib.sshd_bind_add_key(self._b, key._k) < 0:
                raise ValueError(f"host key of type {key.type} cannot be used: {self._error()}")
        self._set(algorithms)

    def _error(self) -> str:
        return _text(lib.sshd_bind_error(self._b))

    def _set(self, algorithms: Algorithms) -> None:
        names = ("version", "kex", "ciphers", "macs", "host_keys", "public_keys", "compression")
        texts = {name: ffi.new("char[]", getattr(algorithms, name).encode()) for name in names}
        if lib.sshd_bind_algorithms(self._b, ffi.new("sshd_algorithms *", texts)) < 0:
            raise ValueError(f"algorithm list cannot be used: {self._error()}")


class Connection(EventView):
    """A connection on an accepted socket. Only `wake()` may be called from other threads."""

    __slots__ = ("_bind", "_c")

    def __init__(self, bind: Bind, fd: int, *, strict: int = 1) -> None:
        """Takes over `fd`, also when it fails.

        `strict` is the use of strict key exchange: 0 never, 1 when the client wants it, 2 demanded of clients whose
        cipher and MAC are open to the Terrapin attack without it, 3 demanded of all.

        Raises:
            OSError: the descriptor is unusable, or memory is short.
        """
        super().__init__()
        connection = lib.sshd_connection_new(bind._b, fd, strict)
        if connection == ffi.NULL:
            error = ffi.errno
            raise OSError(error, f"the connection could not be set up: {os.strerror(error)}")
        self._bind = bind
        self._c = connection

    def free(self) -> None:
        """Closes the socket at once and frees everything. Nothing may be called after it."""
        lib.sshd_connection_free(self._c)

    def abandon(self) -> None:
        """In the child of a fork: closes this process's copy of the socket, and says nothing to anybody."""
        lib.sshd_connection_abandon(self._c)

    def next(self, reply: bytes = b"") -> int:
        """Queues `reply` on the channel of the last packet and waits for the next event (an EventKind)."""
        e = self._e
        result = _next(self._c, reply, len(reply), e)
        if result < 0:
            check(result)
        return e.kind  # type: ignore[no-any-return]

    def flush(self) -> None:
        """Sends what is queued as far as the peer takes it now, without waiting."""
        check(lib.sshd_connection_flush(self._c))

    @property
    def hung_up(self) -> bool:
        """Whether the peer has closed its side, whatever it sent before that and we have not read yet."""
        return lib.sshd_connection_hung_up(self._c) != 0  # type: ignore[no-any-return]

    def close(self, reason: int, text: str) -> None:
        """Sends what is owed and DISCONNECT (RFC 4253 section 11.1), at most for a few seconds."""
        message = text.encode()
        lib.sshd_connection_close(self._c, reason, message, len(message))

    def wake(self) -> None:
        """Makes `next()` return WAKE soon. From any thread."""
        lib.sshd_connection_wake(self._c)

    def announce_banner(self) -> None:
        """`next()` returns BANNER once, when the client's identification is known and nothing else of it was read."""
        lib.sshd_connection_announce_banner(self._c)

    def set_deadline(self, seconds: float | None) -> None:
        """`next()` returns DEADLINE once, that many seconds from now; None for never."""
        lib.sshd_connection_deadline(self._c, -1.0 if seconds is None else seconds)

    def set_inactivity_limit(self, seconds: float) -> None:
        """`next()` returns STALLED when the peer owes something and nothing moved for so long; 0 for never.

        Before login it owes its next message, later the rest of a packet that has begun to arrive, and always to
        take what we send; for that only bytes that leave count as movement. A quiet client that is logged in owes
        nothing. Time passes only while `next()` waits for the peer, not while a handler runs.
        """
        lib.sshd_connection_inactivity_limit(self._c, seconds)

    def set_idle_limit(self, seconds: float) -> None:
        """`next()` returns IDLE when a client that is logged in has sent no SFTP request for so long; 0 for never.

        What it is still taking counts like a request; keep-alives do not. Time passes as in `set_inactivity_limit`.
        """
        lib.sshd_connection_idle_limit(self._c, seconds)

    def set_login_limits(self, version: int, packet: int, everything: int) -> None:
        """Bytes that a peer may send before login; `next()` returns GONE with EPROTO beyond them. 0 is no limit.

        `version` counts until its identification line is complete, `packet` for each packet, `everything` for all.
        """
        lib.sshd_connection_login_limits(self._c, version, packet, everything)

    def set_keep_alive(self, seconds: float, count_max: int) -> None:
        """After so long without traffic a logged-in client is asked whether it lives (keepalive@openssh.com).

        When `count_max` questions in a row were followed by that much silence, `next()` returns GONE with
        ETIMEDOUT; with 0 it never does. 0 seconds ask nothing.
        """
        lib.sshd_connection_keep_alive(self._c, seconds, count_max)

    def set_read_time(self, seconds: float) -> None:
        """How long this connection may read and serve before others come first; 0 for no end.

        Its thread then leaves the processor to those that wait. Its own channels take turns, and what is owed
        leaves, after as much at most and never after more than 10 ms.
        """
        lib.sshd_connection_read_time(self._c, seconds)

    def rekey(self) -> None:
        """Starts a key exchange. Raises OSError(EBUSY) before login or while one is running."""
        check(lib.sshd_connection_rekey(self._c))

    def set_rekey_threshold(self, size: int) -> None:
        """A key exchange begins after so many bytes in both directions together; 0 leaves it to libssh's limits."""
        lib.sshd_connection_rekey_threshold(self._c, size)

    def send(self, payload: bytes) -> None:
        """Sends an SSH message, its number first. Raises BrokenPipeError when the connection is over."""
        check(lib.sshd_connection_send(self._c, payload, len(payload)))

    @property
    def error_text(self) -> str:
        """What libssh says about the last failure."""
        return _text(lib.sshd_connection_error(self._c))

    def _farewell(self) -> tuple[int, str]:
        text, length = ffi.new("const uint8_t **"), ffi.new("size_t *")
        reason = lib.sshd_connection_farewell(self._c, text, length)
        said = bytes(ffi.buffer(text[0], length[0])) if length[0] else b""
        return reason, said.decode("utf-8", "backslashreplace")

    @property
    def peer_reason(self) -> int:
        """The reason in the peer's DISCONNECT (RFC 4253 section 11.1), 0 when it sent none."""
        return self._farewell()[0]

    @property
    def peer_text(self) -> str:
        """The description in the peer's DISCONNECT, 255 bytes of it at most; whatever the peer liked to send."""
        return self._farewell()[1]

    def _info(self) -> Any:
        info = ffi.new("sshd_connection_info *")
        lib.sshd_connection_describe(self._c, info)
        return info

    @property
    def client_version(self) -> str:
        """The client's identification line, "" until it is known."""
        return _text(self._info().client_version)

    @property
    def strict_kex(self) -> bool:
        """Whether strict key exchange was agreed on."""
        return self._info().strict_kex != 0  # type: ignore[no-any-return]

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent so far."""
        info = self._info()
        return info.bytes_in, info.bytes_out

    def describe(self) -> ConnectionInfo:
        info = self._info()
        texts = {name: _text(getattr(info, name)) for name in _TEXTS}
        return ConnectionInfo(
            bytes_in=info.bytes_in, bytes_out=info.bytes_out, strict_kex=info.strict_kex != 0, **texts
        )

    def verify(self, payload: bytes, signed_length: int, blob: bytes, signature: bytes) -> bool:
        """Whether the key in `blob` signed the session id and payload[:signed_length] (RFC 4252 section 7)."""
        n = lib.sshd_connection_verify(self._c, payload, signed_length, blob, len(blob), signature, len(signature))
        return check(n) == 1

    def host_key(self) -> bytes:
        """The public blob of the host key that this connection was set up with."""
        buffer = ffi.new("uint8_t[]", _BLOB_MAX)
        length = check(lib.sshd_connection_host_key(self._c, buffer, _BLOB_MAX))
        return bytes(ffi.buffer(buffer, length))

    def authenticated(self) -> None:
        """Sends USERAUTH_SUCCESS; channels may be opened from now on. Raises BrokenPipeError."""
        check(lib.sshd_connection_authenticated(self._c))

    def open_channel(self, remote_id: int, window: int, max_packet: int) -> int:
        """Confirms a channel; its local number. Raises OSError, EBUSY when there are enough, ENOBUFS when
        the budget is spent, and BrokenPipeError."""
        return check(lib.sshd_connection_open_channel(self._c, remote_id, window, max_packet))

    def start_sftp(self, channel: int, ok: bytes, eof: bytes) -> Sftp:
        """Starts the engine of a channel; `ok` and `eof` are the encoded replies it fills in by itself."""
        check(lib.sshd_connection_start_sftp(self._c, channel, ok, len(ok), eof, len(eof)))
        return Sftp(self, lib.sshd_connection_sftp(self._c, channel))

    def remote_id(self, channel: int) -> int | None:
        """The peer's number of a channel that is still open, else None."""
        out = ffi.new("uint32_t *")
        return None if lib.sshd_connection_remote_id(self._c, channel, out) < 0 else int(out[0])

    def finish_channel(self, channel: int, exit_status: int | None) -> None:
        """Closes a channel once its replies are sent, after exit-status if one is given."""
        lib.sshd_connection_finish_channel(self._c, channel, -1 if exit_status is None else exit_status)


__all__ = [
    "Algorithms",
    "Bind",
    "Budget",
    "Connection",
    "ConnectionInfo",
    "EventKind",
    "library_versions",
    "supported_algorithms",
]
