"""SSH packets over TCP, in the clear or encrypted, sent and received one by one."""

from __future__ import annotations

import select
import socket
import struct
import time
from enum import IntEnum
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.support.rawsftp import string, u32

DEADLINE = 20.0  # seconds that anything expected may take
HOST = "127.0.0.1"
_BLOCK = 16
_TAG = 16
_PADDING_LEAST = 4


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


class Sealing(Protocol):
    """Turns the length field and the body (padding length, payload, padding) into what goes over the wire."""

    block: int
    aligns_length: bool

    def seal(self, length: bytes, body: bytes, sequence: int) -> bytes: ...


class Direction:
    """One direction of aes128-gcm@openssh.com or aes256-gcm@openssh.com (RFC 5647, section 7.1)."""

    block = _BLOCK
    aligns_length = False

    def __init__(self, key: bytes, iv: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fixed, self._counter = iv[:4], int.from_bytes(iv[4:12], "big")

    def _nonce(self) -> bytes:
        nonce = self._fixed + struct.pack(">Q", self._counter & (2**64 - 1))
        self._counter += 1
        return nonce

    def seal(self, length: bytes, body: bytes, sequence: int) -> bytes:
        return length + self._cipher.encrypt(self._nonce(), body, length)

    def open(self, length: bytes, body: bytes) -> bytes:
        return self._cipher.decrypt(self._nonce(), body, length)


class Wire:
    """Packets over TCP, in the clear until keys are set."""

    def __init__(self, port: int, *, receive_buffer: int | None = None, source: str | None = None) -> None:
        self.sock = socket.socket()
        self.sock.settimeout(DEADLINE)
        if source is not None:
            self.sock.bind((source, 0))
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            self.sock.connect((HOST, port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in: Direction | None = None
        self._out: Sealing | None = None
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
        aligned = 5 + len(payload) if self._out is None or self._out.aligns_length else 1 + len(payload)
        block = self._out.block if self._out else 8
        padding = block - aligned % block
        if padding < _PADDING_LEAST:
            padding += block
        body = bytes([padding]) + payload + bytes(padding)
        length = u32(len(body))
        sequence, self.sequence = self.sequence, (self.sequence + 1) % 2**32
        return self._out.seal(length, body, sequence) if self._out else length + body

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

    def _recv(self) -> bytes:
        return self.sock.recv(256 * 1024)

    def _fill(self, size: int, end: float) -> None:
        while len(self._buffer) < size:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                more = self._recv()
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

    def set_keys(self, outgoing: Sealing | None, incoming: Direction | None) -> None:
        self._out = outgoing or self._out
        self._in = incoming or self._in
