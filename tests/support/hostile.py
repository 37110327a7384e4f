"""An SSH client that does what it is told and nothing else: no thread, no reply of its own accord.

One exchange method (curve25519-sha256), one host key type (ssh-ed25519), one cipher (aes128-gcm@openssh.com unless
it is to send with another), so that every byte on the wire is a test's decision (RFC 4253, RFC 5647, RFC 8731).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tests.support.rawsftp import Cursor, string, u32
from tests.support.sshcipher import sealing
from tests.support.sshwire import DEADLINE, Direction, Gone, Message, Wire, message, mpint

VERSION = b"SSH-2.0-hostile_1"
SIGNED_WITH = b"ssh-ed25519"
_STRICT = b"kex-strict-c-v00@openssh.com"
_GCM = "aes128-gcm@openssh.com"
_CHUNK = 32 * 1024
_NEWS = {Message.IGNORE, Message.DEBUG, Message.EXT_INFO}
"""What a server may say at any time and no test waits for."""


class Peer(Wire):
    """A connection, brought by its methods as far as a test wants it."""

    compression = b"none"
    """What it wants for its own direction."""

    def __init__(
        self, port: int, *, strict: bool = True, receive_buffer: int | None = None, source: str | None = None
    ) -> None:
        self.version = VERSION
        super().__init__(port, receive_buffer=receive_buffer, source=source)
        self.strict = strict
        self.cipher, self.mac = _GCM, "hmac-sha2-256"  # of what we send
        self.server_version = b""
        self.session_id = b""
        self.host_key = b""
        self.channels: dict[int, Channel] = {}
        self.inbox: list[bytes] = []
        self._our_init = b""
        self._their_init = b""

    def __enter__(self) -> Self:
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
        self.send_bytes(self.version + b"\r\n")
        self.server_version = self.receive_line().rstrip(b"\r\n")
        return self

    def send_kexinit(self) -> None:
        names = [b"curve25519-sha256" + (b"," + _STRICT if self.strict else b""), SIGNED_WITH]
        names += [self.cipher.encode(), _GCM.encode(), self.mac.encode(), b"hmac-sha2-256"]
        names += [self.compression, b"none"] + [b""] * 2
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
        versions = string(self.version) + string(self.server_version)
        inits = string(self._our_init) + string(self._their_init)
        digest = hashlib.sha256(
            versions + inits + string(self.host_key) + string(ours) + string(theirs) + secret
        ).digest()
        self._check_signature(signature, digest)
        self.session_id = self.session_id or digest
        self.send(*before_newkeys)
        self.send(message(Message.NEWKEYS))
        self.sequence = 0 if self.strict else self.sequence
        derive = partial(self._derive, secret + digest)
        self.set_keys(sealing(self.cipher, self.mac, derive), None)
        self.expect(Message.NEWKEYS)
        self.set_keys(None, Direction(derive("D", 16), derive("B", 12)))
        return self

    def _check_signature(self, signature: bytes, digest: bytes) -> None:
        key, proof = Cursor(self.host_key), Cursor(signature)
        assert key.string() == proof.string() == SIGNED_WITH
        Ed25519PublicKey.from_public_bytes(key.string()).verify(proof.string(), digest)

    def _derive(self, secret: bytes, letter: str, size: int) -> bytes:
        """RFC 4253, section 7.2."""
        found = hashlib.sha256(secret + letter.encode() + self.session_id).digest()
        while len(found) < size:
            found += hashlib.sha256(secret + found).digest()
        return found[:size]

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

    def round_trip(self) -> None:
        """Returns when the server has dealt with everything that was sent before."""
        self.send(message(Message.GLOBAL_REQUEST, string(b"none@example.com"), b"\1"))
        self.expect(Message.REQUEST_FAILURE)

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
    largest: int = 0  # data of one packet

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
        self.largest = max(self.largest, len(data))

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

    def abort(self) -> None:
        self.peer.close()


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
