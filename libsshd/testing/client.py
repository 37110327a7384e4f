"""A small client of SFTP version 3 that asks one thing at a time: for replays, and for trying a live server.

SSH is ssh2-python's (the extra libsshd[check]); requests are encoded here, replies decoded by libsshd.wire.replies.
"""

import base64
import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from libsshd.constants import Packet, Status
from libsshd.wire.buffer import string, u8, u32, u64
from libsshd.wire.codec import codec_for
from libsshd.wire.messages import Attributes, Entry
from libsshd.wire.replies import (
    AttrsReply,
    DataReply,
    ExtendedReply,
    HandleReply,
    NameReply,
    Reply,
    StatusReply,
    VersionReply,
    decode_reply,
)

_T = TypeVar("_T")
_VERSION = 3
_CODEC = codec_for(_VERSION)
_CHUNK = 32_768
_PEEK = 255


class RefusedError(OSError):
    """A server answered with a STATUS that is not OK."""

    def __init__(self, status: int, text: str) -> None:
        known = Status(status).name if status in set(Status) else str(status)
        super().__init__(f"{known}: {text}" if text else known)
        self.status = status


class WrongAnswerError(OSError):
    """What a server answers cannot be an answer to what was asked."""


class Connection:
    """SSH as far as the exchange of keys. Raises OSError, and ssh2.exceptions.SSH2Error for what is SSH's."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        from ssh2.session import Session  # noqa: PLC0415 - an extra

        self._sock = socket.create_connection((host, port), timeout=timeout)
        try:
            self.version_line = self._version_line()
            """What the server calls itself."""
            self._sock.settimeout(None)  # from here on it is libssh2 that waits
            self.session: Any = Session()
            self.session.set_timeout(int(timeout * 1000))
            self.session.handshake(self._sock)
            self.host_key: bytes = self.session.hostkey()[0]
        except BaseException:
            self._sock.close()
            raise

    def _version_line(self) -> str:
        """Looked at, and left for libssh2."""
        line = self._sock.recv(_PEEK, socket.MSG_PEEK)
        if not line:
            raise OSError("the server closes the connection before it says a word")
        return line.partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "backslashreplace")

    @property
    def host_key_type(self) -> str:
        length = int.from_bytes(self.host_key[:4], "big")
        return self.host_key[4 : 4 + length].decode("ascii", "backslashreplace")

    @property
    def fingerprint(self) -> str:
        """As OpenSSH prints it."""
        digest = base64.b64encode(hashlib.sha256(self.host_key).digest()).decode()
        return "SHA256:" + digest.rstrip("=")

    def close(self) -> None:
        from ssh2.exceptions import SSH2Error  # noqa: PLC0415

        self.session.set_blocking(False)  # or what libssh2 lets go of later would wait for a peer that may be gone
        with suppress(SSH2Error, OSError):
            self.session.disconnect()
        self._sock.close()


class Channel:
    """A raw SFTP channel."""

    def __init__(self, session: Any) -> None:
        self._channel = session.open_session()
        self._channel.subsystem("sftp")
        self._buffer = b""

    def ask(self, packet: bytes) -> bytes:
        """The reply to a packet that has no length field, with its own. Raises EOFError, SSH2Error."""
        self.send(packet)
        head = self._read(4)
        return head + self._read(int.from_bytes(head, "big"))

    def send(self, packet: bytes) -> None:
        """Asks, and leaves the reply to others. Raises SSH2Error."""
        data = string(packet)
        while data:
            _, count = self._channel.write(data)
            data = data[count:]

    def _read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            size, data = self._channel.read(65536)
            if size <= 0:
                raise EOFError("the server has closed the channel")
            self._buffer += data
        data, self._buffer = self._buffer[:length], self._buffer[length:]
        return data

    def close(self) -> None:
        self._channel.close()


class Sftp:
    """Version 3 on a channel. Every method raises RefusedError, WrongAnswerError, Malformed, EOFError, SSH2Error."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._number = 0
        answer = decode_reply(_CODEC, channel.ask(u8(Packet.INIT) + u32(_VERSION)))
        if not isinstance(answer, VersionReply):
            raise WrongAnswerError("INIT is not answered by VERSION")
        self.version = answer.version
        self.extensions = dict(answer.extensions)

    def request(self, kind: int, body: bytes) -> Reply:
        """The reply to any request; RefusedError is not raised."""
        self._number += 1
        reply = decode_reply(_CODEC, self._channel.ask(u8(kind) + u32(self._number) + body))
        if not isinstance(reply, VersionReply) and reply.request_id != self._number:
            raise WrongAnswerError(f"an answer to request {reply.request_id} came for request {self._number}")
        return reply

    def _expect(self, wanted: type[_T], kind: int, body: bytes) -> _T:
        reply = self.request(kind, body)
        if isinstance(reply, wanted):
            return reply
        if isinstance(reply, StatusReply):
            raise RefusedError(reply.status, reply.text.decode("utf-8", "replace"))
        raise WrongAnswerError(f"a {type(reply).__name__} came where a {wanted.__name__} belongs")

    def _do(self, kind: int, body: bytes) -> None:
        reply = self._expect(StatusReply, kind, body)
        if reply.status != Status.OK:
            raise RefusedError(reply.status, reply.text.decode("utf-8", "replace"))

    # --- files ---

    def open(self, path: bytes, flags: int, attributes: Attributes | None = None) -> bytes:
        body = string(path) + u32(flags) + _CODEC.encode_attributes(attributes or Attributes())
        return self._expect(HandleReply, Packet.OPEN, body).handle

    def close(self, handle: bytes) -> None:
        self._do(Packet.CLOSE, string(handle))

    def read(self, handle: bytes, offset: int, length: int) -> bytes:
        """b"" at the end."""
        reply = self.request(Packet.READ, string(handle) + u64(offset) + u32(length))
        if isinstance(reply, StatusReply) and reply.status == Status.EOF:
            return b""
        if isinstance(reply, DataReply):
            return reply.data
        raise RefusedError(getattr(reply, "status", Status.FAILURE), "")

    def write(self, handle: bytes, offset: int, data: bytes) -> None:
        self._do(Packet.WRITE, string(handle) + u64(offset) + string(data))

    @contextmanager
    def opened(self, path: bytes, flags: int) -> Iterator[bytes]:
        handle = self.open(path, flags)
        try:
            yield handle
        finally:
            self.close(handle)

    def get(self, path: bytes, flags: int) -> bytes:
        """All of a file."""
        data = b""
        with self.opened(path, flags) as handle:
            while part := self.read(handle, len(data), _CHUNK):
                data += part
        return data

    def put(self, path: bytes, data: bytes, flags: int) -> None:
        with self.opened(path, flags) as handle:
            for offset in range(0, len(data), _CHUNK):
                self.write(handle, offset, data[offset : offset + _CHUNK])

    # --- names ---

    def stat(self, path: bytes, kind: int = Packet.STAT) -> Attributes:
        return self._expect(AttrsReply, kind, string(path)).attributes

    def setstat(self, path: bytes, attributes: Attributes) -> None:
        self._do(Packet.SETSTAT, string(path) + _CODEC.encode_attributes(attributes))

    def entries(self, path: bytes) -> list[Entry]:
        """Without "." and ".."."""
        handle = self._expect(HandleReply, Packet.OPENDIR, string(path)).handle
        found: list[Entry] = []
        try:
            while isinstance(reply := self.request(Packet.READDIR, string(handle)), NameReply):
                found += [entry for entry in reply.entries if entry.name not in (b".", b"..")]
        finally:
            self.close(handle)
        if isinstance(reply, StatusReply) and reply.status != Status.EOF:
            raise RefusedError(reply.status, reply.text.decode("utf-8", "replace"))
        return found

    def name(self, kind: int, path: bytes) -> bytes:
        """What REALPATH or READLINK answers."""
        return self._expect(NameReply, kind, string(path)).entries[0].name

    def mkdir(self, path: bytes) -> None:
        self._do(Packet.MKDIR, string(path) + _CODEC.encode_attributes(Attributes()))

    def change(self, kind: int, *paths: bytes) -> None:
        """REMOVE, RMDIR, RENAME, SYMLINK."""
        self._do(kind, b"".join(map(string, paths)))

    def extended(self, name: bytes, body: bytes) -> bytes:
        """What an extension answers, b"" for OK."""
        reply = self.request(Packet.EXTENDED, string(name) + body)
        if isinstance(reply, ExtendedReply):
            return reply.data
        if isinstance(reply, StatusReply) and reply.status == Status.OK:
            return b""
        raise RefusedError(getattr(reply, "status", Status.FAILURE), "")
