"""An SSH client that does what it is told and nothing else: no thread, no reply of its own accord.

One exchange method (curve25519-sha256), one host key type (ssh-ed25519), one cipher (aes128-gcm@openssh.com),
so that every byte on the wire is a test's decision (RFC 4253, RFC 5647, RFC 8731).
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.rawsftp import Cursor, string, u32

DEADLINE = 20.0  # seconds that anything expected may take
HOST = "127.0.0.1"
VERSION = b"SSH-2.0-hostile_1"
SIGNED_WITH = b"ssh-ed25519"
_STRICT = b"kex-strict-c-v00@openssh.com"
_BLOCK = 16
_TAG = 16
_PADDING_LEAST = 4
_CHUNK = 32 * 1024


class Message(IntEnum):
    """RFC 4250, section 4.1.2."""

    DISCONNECT = 1
    IGNORE = 2
    UNIMPLEMENTED = 3
    DEBUG = 4
    SERVICE_REQUEST = 5
    SERVICE_ACCEPT = 6
    EXT_INFO = 7
    KEXINIT = 20
    NEWKEYS = 21
    ECDH_INIT = 30
    ECDH_REPLY = 31
    USERAUTH_REQUEST = 50
    USERAUTH_FAILURE = 51
    USERAUTH_SUCCESS = 52
    USERAUTH_BANNER = 53
    USERAUTH_PK_OK = 60
    USERAUTH_INFO_RESPONSE = 61
    GLOBAL_REQUEST = 80
    REQUEST_SUCCESS = 81
    REQUEST_FAILURE = 82
    CHANNEL_OPEN = 90
    CHANNEL_OPEN_CONFIRMATION = 91
    CHANNEL_OPEN_FAILURE = 92
    CHANNEL_WINDOW_ADJUST = 93
    CHANNEL_DATA = 94
    CHANNEL_EXTENDED_DATA = 95
    CHANNEL_EOF = 96
    CHANNEL_CLOSE = 97
    CHANNEL_REQUEST = 98
    CHANNEL_SUCCESS = 99
    CHANNEL_FAILURE = 100


_NEWS = {Message.IGNORE, Message.DEBUG, Message.EXT_INFO}
"""What a server may say at any time and no test waits for."""


class Gone(Exception):  # noqa: N818 -- what a test expects is no error
    """The server ended the connection; `reason` and `text` are those of its DISCONNECT, None without one."""

    def __init__(self, reason: int | None = None, text: bytes = b"") -> None:
        super().__init__(f"the server is gone: {reason} {text!r}")
        self.reason = reason
        self.text = text


def message(number: int, *fields: bytes) -> bytes:
    """An SSH payload."""
    return bytes([number]) + b"".join(fields)


def mpint(value: bytes) -> bytes:
    """RFC 4251, section 5: an unsigned big-endian number."""
    value = value.lstrip(b"\0")
    return string(b"\0" + value if value[:1] >= b"\x80" else value)


class _Direction:
    """One direction of aes128-gcm@openssh.com (RFC 5647, section 7.1)."""

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fixed, self._counter = iv[:4], int.from_bytes(iv[4:12], "big")

    def _nonce(self) -> bytes:
        nonce = self._fixed + struct.pack(">Q", self._counter & (2**64 - 1))
        self._counter += 1
        return nonce

    def seal(self, length: bytes, body: bytes) -> bytes:
        return length + self._cipher.encrypt(self._nonce(), body, length)

    def open(self, length: bytes, body: bytes) -> bytes:
        return self._cipher.decrypt(self._nonce(), body, length)


class Wire:
    """Packets over TCP, in the clear until keys are set."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(DEADLINE)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect((HOST, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in: _Direction | None = None
        self._out: _Direction | None = None
        self._buffer = bytearray()
        self._waiting = b""  # sealed already: must leave before anything else
        self.sequence = 0  # of the next packet we send

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Closes without a farewell: the server gets RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def seal(self, payload: bytes) -> bytes:
        """The bytes of a packet; every packet that is sealed must be sent, in this order."""
        aligned = 1 + len(payload) if self._out else 5 + len(payload)
        block = _BLOCK if self._out else 8
        padding = block - aligned % block
        if padding < _PADDING_LEAST:
            padding += block
        body = bytes([padding]) + payload + bytes(padding)
        length = u32(len(body))
        self.sequence = (self.sequence + 1) % 2**32
        return self._out.seal(length, body) if self._out else length + body

    def send_bytes(self, data: bytes) -> None:
        """Raises Gone when the server is."""
        try:
            self.sock.sendall(self._waiting + data)
        except (ConnectionError, BrokenPipeError):
            raise Gone from None
        self._waiting = b""

    def send(self, *payloads: bytes) -> None:
        self.send_bytes(b"".join(map(self.seal, payloads)))

    def flood(self, payload: bytes, size: int, *, patience: float = 0.5) -> bool:
        """Sends `payload` until `size` bytes have left; False when the server took nothing for `patience` seconds."""
        batch = max(1, (64 * 1024) // (len(payload) + 32))
        while size > 0:
            data = self._waiting + b"".join(self.seal(payload) for _ in range(batch))
            sent = self._send_some(data, patience)
            self._waiting = data[sent:]
            size -= sent
            if self._waiting:
                return False
        return True

    def _send_some(self, data: bytes, patience: float) -> int:
        sent = 0
        while sent < len(data) and select.select([], [self.sock], [], patience)[1]:
            try:
                sent += self.sock.send(data[sent:], socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except ConnectionError:
                raise Gone from None
        return sent

    def _fill(self, size: int, end: float) -> None:
        while len(self._buffer) < size:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                more = self.sock.recv(256 * 1024)
            except TimeoutError:
                raise
            except ConnectionError:
                more = b""
            finally:
                self.sock.settimeout(DEADLINE)
            if not more:
                raise Gone
            self._buffer += more

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def receive_line(self, timeout: float = DEADLINE) -> bytes:
        end = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            self._fill(len(self._buffer) + 1, end)
        return self._take(self._buffer.index(b"\n") + 1)

    def receive_any(self, timeout: float = DEADLINE) -> bytes:
        """The next payload. Raises TimeoutError, and Gone at the end of the stream."""
        end = time.monotonic() + timeout
        self._fill(4, end)
        size = int.from_bytes(self._buffer[:4], "big") + (_TAG if self._in else 0)
        self._fill(4 + size, end)
        length, body = self._take(4), self._take(size)
        if self._in:
            body = self._in.open(length, body)
        return body[1 : len(body) - body[0]]

    def set_keys(self, outgoing: _Direction | None, incoming: _Direction | None) -> None:
        self._out = outgoing or self._out
        self._in = incoming or self._in


class Peer(Wire):
    """A connection, brought by its methods as far as a test wants it."""

    def __init__(self, port: int, *, strict: bool = True, receive_buffer: int | None = None) -> None:
        super().__init__(port, receive_buffer=receive_buffer)
        self.strict = strict
        self.server_version = b""
        self.session_id = b""
        self.host_key = b""
        self.channels: dict[int, Channel] = {}
        self.inbox: list[bytes] = []
        self._our_init = b""
        self._their_init = b""

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- receiving ---

    def receive(self, timeout: float = DEADLINE) -> bytes:
        """The next payload that means something. Raises Gone with the reason of a DISCONNECT."""
        end = time.monotonic() + timeout
        while True:
            payload = self.receive_any(max(0.001, end - time.monotonic()))
            if payload[0] == Message.DISCONNECT:
                cursor = Cursor(payload[1:])
                raise Gone(cursor.u32(), cursor.string())
            if payload[0] not in _NEWS:
                return payload

    def expect(self, *numbers: int, timeout: float = DEADLINE) -> Cursor:
        """The fields of the next message, which must be one of these; messages about channels are filed."""
        end = time.monotonic() + timeout
        while True:
            payload = self.receive(max(0.001, end - time.monotonic()))
            if payload[0] in numbers:
                return Cursor(payload[1:])
            assert self._file(payload), f"message {payload[0]} instead of {numbers}"

    def end(self, timeout: float = DEADLINE) -> Gone:
        """Reads until the server is gone; how it went. Raises TimeoutError."""
        end = time.monotonic() + timeout
        try:
            while True:
                self._file(self.receive(max(0.001, end - time.monotonic())))
        except Gone as gone:
            return gone

    def end_of_stream(self, timeout: float = DEADLINE) -> bool:
        """Whether the server closes the connection in time, whatever it sends before that, encrypted or not."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(256 * 1024):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def pump(self, condition: Callable[[], bool], what: str, timeout: float = DEADLINE) -> None:
        """Receives until the condition holds; what belongs to no channel is kept in `inbox`."""
        end = time.monotonic() + timeout
        while not condition():
            try:
                payload = self.receive(max(0.001, end - time.monotonic()))
            except TimeoutError:
                raise TimeoutError(f"after {timeout:g} s still not: {what}") from None
            if not self._file(payload):
                self.inbox.append(payload)

    def _file(self, payload: bytes) -> bool:
        if Message.CHANNEL_WINDOW_ADJUST <= payload[0] <= Message.CHANNEL_FAILURE:
            channel = self.channels.get(int.from_bytes(payload[1:5], "big"))
            if channel is not None:
                channel.file(payload[0], Cursor(payload[5:]))
                return True
        return False

    # --- key exchange ---

    def greet(self) -> Peer:
        """Both version lines."""
        self.send_bytes(VERSION + b"\r\n")
        self.server_version = self.receive_line().rstrip(b"\r\n")
        return self

    def send_kexinit(self) -> None:
        names = [b"curve25519-sha256" + (b"," + _STRICT if self.strict else b""), SIGNED_WITH]
        names += [b"aes128-gcm@openssh.com"] * 2 + [b"hmac-sha2-256"] * 2 + [b"none"] * 2 + [b""] * 2
        body = os.urandom(16) + b"".join(map(string, names)) + b"\0" + u32(0)
        self._our_init = message(Message.KEXINIT, body)
        self.send(self._our_init)

    def await_kexinit(self) -> None:
        """The server's KEXINIT; data of channels may come before it."""
        self._their_init = message(Message.KEXINIT, self.expect(Message.KEXINIT).data)

    def exchange(self, *, before_newkeys: Iterable[bytes] = ()) -> Peer:
        """A whole key exchange, the first or another; `before_newkeys` is sent just ahead of our NEWKEYS."""
        self.send_kexinit()
        self.await_kexinit()
        return self.finish_exchange(before_newkeys=before_newkeys)

    def finish_exchange(self, *, before_newkeys: Iterable[bytes] = ()) -> Peer:
        """What follows both KEXINITs."""
        private = X25519PrivateKey.generate()
        ours = private.public_key().public_bytes_raw()
        self.send(message(Message.ECDH_INIT, string(ours)))
        reply = self.expect(Message.ECDH_REPLY)
        self.host_key, theirs, signature = reply.string(), reply.string(), reply.string()
        secret = mpint(private.exchange(X25519PublicKey.from_public_bytes(theirs)))
        versions = string(VERSION) + string(self.server_version)
        inits = string(self._our_init) + string(self._their_init)
        digest = hashlib.sha256(
            versions + inits + string(self.host_key) + string(ours) + string(theirs) + secret
        ).digest()
        self._check_signature(signature, digest)
        self.session_id = self.session_id or digest
        self.send(*before_newkeys)
        self.send(message(Message.NEWKEYS))
        self.sequence = 0 if self.strict else self.sequence
        self.set_keys(self._direction(secret + digest, b"AC"), None)
        self.expect(Message.NEWKEYS)
        self.set_keys(None, self._direction(secret + digest, b"BD"))
        return self

    def _check_signature(self, signature: bytes, digest: bytes) -> None:
        key, proof = Cursor(self.host_key), Cursor(signature)
        assert key.string() == proof.string() == SIGNED_WITH
        Ed25519PublicKey.from_public_bytes(key.string()).verify(proof.string(), digest)

    def _direction(self, secret: bytes, letters: bytes) -> _Direction:
        iv, key = (hashlib.sha256(secret + bytes([one]) + self.session_id).digest() for one in letters)
        return _Direction(key[:16], iv)

    # --- authentication ---

    def connect(self) -> Peer:
        """Up to the end of the first key exchange."""
        return self.greet().exchange()

    def service(self, name: bytes = b"ssh-userauth") -> Peer:
        self.send(message(Message.SERVICE_REQUEST, string(name)))
        self.expect(Message.SERVICE_ACCEPT)
        return self

    def login(self, user: bytes = b"alice", password: bytes = b"Open-Sesame.7") -> Peer:
        """Everything up to a successful login by password."""
        self.connect().service()
        assert self.attempt(password_request(user, password)) == Message.USERAUTH_SUCCESS
        return self

    def attempt(self, request: bytes) -> int:
        """Sends an authentication request; the number of the answer."""
        self.send(request)
        return self.answer()[0]

    def answer(self) -> bytes:
        """The server's answer to an authentication request."""
        payload = self.receive()
        assert Message.USERAUTH_REQUEST < payload[0] <= Message.USERAUTH_INFO_RESPONSE, payload
        return payload

    # --- channels ---

    def open_channel(self, *, window: int = 1 << 31, packet: int = 64 * 1024) -> Channel:
        number = len(self.channels)
        channel = self.channels[number] = Channel(self, number, window)
        self.send(message(Message.CHANNEL_OPEN, string(b"session"), u32(number), u32(window), u32(packet)))
        reply = self.expect(Message.CHANNEL_OPEN_CONFIRMATION)
        assert reply.u32() == number
        channel.remote, channel.window_out, channel.packet_out = reply.u32(), reply.u32(), reply.u32()
        return channel

    def sftp(self, *, window: int = 1 << 31, packet: int = 64 * 1024) -> Channel:
        """A channel with the subsystem running; RawSFTP(channel) speaks on it."""
        channel = self.open_channel(window=window, packet=packet)
        assert channel.ask(b"subsystem", string(b"sftp"))
        return channel


@dataclass
class Channel:
    """Our side of a channel; a stream for RawSFTP. Windows are opened by nobody but the test."""

    peer: Peer
    number: int
    window_in: int  # what the server may still send
    remote: int = 0
    window_out: int = 0
    packet_out: int = 0
    data: bytes = b""
    eof: bool = False
    closed: bool = False
    exit_status: int | None = None
    granted: int = 0
    refused: int = 0

    def file(self, number: int, fields: Cursor) -> None:
        """What arrived for this channel, without the channel's number."""
        if number == Message.CHANNEL_WINDOW_ADJUST:
            self.window_out += fields.u32()
        elif number == Message.CHANNEL_DATA:
            self._file_data(fields.string())
        elif number == Message.CHANNEL_EOF:
            self.eof = True
        elif number == Message.CHANNEL_CLOSE:
            self.closed = True
        elif number == Message.CHANNEL_REQUEST and fields.string() == b"exit-status":
            assert fields.take(1) == b"\0", "exit-status wants no reply"
            self.exit_status = fields.u32()
        elif number == Message.CHANNEL_SUCCESS:
            self.granted += 1
        elif number == Message.CHANNEL_FAILURE:
            self.refused += 1

    def _file_data(self, data: bytes) -> None:
        assert not self.eof, "data after EOF"
        assert not self.closed, "data after CLOSE"
        assert len(data) <= self.window_in, "the server exceeds the window"
        self.window_in -= len(data)
        self.data += data

    def message(self, number: int, *fields: bytes) -> bytes:
        return message(number, u32(self.remote), *fields)

    def post(self, name: bytes, data: bytes = b"", *, want_reply: bool = True) -> None:
        """A channel request."""
        self.peer.send(self.message(Message.CHANNEL_REQUEST, string(name), bytes([want_reply]), data))

    def ask(self, name: bytes, data: bytes = b"") -> bool:
        """A channel request; whether it was granted."""
        answered, granted = self.granted + self.refused, self.granted
        self.post(name, data)
        self.peer.pump(lambda: self.granted + self.refused > answered, f"an answer to {name!r}")
        return self.granted > granted

    def adjust(self, more: int) -> None:
        """Opens the server's window."""
        self.window_in += more
        self.peer.send(self.message(Message.CHANNEL_WINDOW_ADJUST, u32(more)))

    def send(self, data: bytes) -> None:
        """Sends data as far as our window goes, and waits for more of it."""
        while data:
            self.peer.pump(lambda: self.window_out > 0, "room in the window")
            size = min(len(data), self.window_out, _CHUNK)
            self.window_out -= size
            self.peer.send(self.message(Message.CHANNEL_DATA, string(data[:size])))
            data = data[size:]

    def receive(self, limit: int, timeout: float) -> bytes:
        """Data that came, b"" at the end."""
        self.peer.pump(lambda: bool(self.data) or self.eof or self.closed, "data", timeout)
        taken, self.data = self.data[:limit], self.data[limit:]
        return taken

    def close(self) -> None:
        self.peer.send(self.message(Message.CHANNEL_CLOSE))


# --- authentication requests (RFC 4252) ---


def auth_request(user: bytes, method: bytes, *fields: bytes, service: bytes = b"ssh-connection") -> bytes:
    return message(Message.USERAUTH_REQUEST, string(user), string(service), string(method), *fields)


def password_request(user: bytes, password: bytes) -> bytes:
    return auth_request(user, b"password", b"\0", string(password))


def key_blob(key: Ed25519PrivateKey) -> bytes:
    return string(SIGNED_WITH) + string(key.public_key().public_bytes_raw())


def offer(user: bytes, algorithm: bytes, blob: bytes) -> bytes:
    """Asks whether a key could be used (section 7)."""
    return auth_request(user, b"publickey", b"\0", string(algorithm), string(blob))


def signed_request(
    session_id: bytes,
    user: bytes,
    key: Ed25519PrivateKey,
    *,
    blob: bytes | None = None,
    algorithm: bytes = SIGNED_WITH,
    signed_user: bytes | None = None,
    damage: int = 0,
) -> bytes:
    """Proves a key. `blob` names another key than the one that signs, `signed_user` another user than is named;
    `damage` is XORed into the last byte of the signature."""

    def head(name: bytes) -> bytes:
        return auth_request(name, b"publickey", b"\1", string(algorithm), string(blob or key_blob(key)))

    proof = key.sign(string(session_id) + head(user if signed_user is None else signed_user))
    proof = proof[:-1] + bytes([proof[-1] ^ damage])
    return head(user) + string(string(algorithm) + string(proof))
