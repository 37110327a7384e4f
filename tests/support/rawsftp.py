"""Literal SFTP packets (draft-ietf-secsh-filexfer-02) over a real connection, every reply with a deadline.

Numbers and layouts are written out here and not taken from libsshd: a wrong constant there must be seen.
"""

from __future__ import annotations

import os
import select
import struct
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

import paramiko

DEADLINE = 20.0  # seconds a reply may take


class Type(IntEnum):
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
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Code(IntEnum):
    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


UNKNOWN_PRINCIPAL = 16  # its STATUS goes on after the language
READ, WRITE, APPEND, CREAT, TRUNC, EXCL = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20  # pflags of OPEN


def u32(value: int) -> bytes:
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def string(value: bytes) -> bytes:
    return u32(len(value)) + value


@dataclass
class Attributes:
    """ATTRS of version 3; None is a field that is not sent."""

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    permissions: int | None = None
    atime: int | None = None
    mtime: int | None = None

    def encode(self) -> bytes:
        flags, body = 0, b""
        if self.size is not None:
            flags, body = flags | 1, body + u64(self.size)
        if self.uid is not None and self.gid is not None:
            flags, body = flags | 2, body + u32(self.uid) + u32(self.gid)
        if self.permissions is not None:
            flags, body = flags | 4, body + u32(self.permissions)
        if self.atime is not None and self.mtime is not None:
            flags, body = flags | 8, body + u32(self.atime) + u32(self.mtime)
        return u32(flags) + body


NO_ATTRIBUTES = Attributes().encode()


class Cursor:
    """Reads the fields of a reply; struct.error when it is too short."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, size: int) -> bytes:
        if self.position + size > len(self.data):
            raise struct.error(f"{size} bytes wanted at {self.position} of {len(self.data)}")
        self.position += size
        return self.data[self.position - size : self.position]

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.take(8), "big")

    def string(self) -> bytes:
        return self.take(self.u32())

    def attributes(self) -> Attributes:
        flags, found = self.u32(), Attributes()
        assert flags & ~0x8000000F == 0, f"flags {flags:#x} are not version 3"
        if flags & 1:
            found.size = self.u64()
        if flags & 2:
            found.uid, found.gid = self.u32(), self.u32()
        if flags & 4:
            found.permissions = self.u32()
        if flags & 8:
            found.atime, found.mtime = self.u32(), self.u32()
        if flags & 0x80000000:
            for _ in range(self.u32()):
                self.string(), self.string()
        return found

    def end(self) -> None:
        assert self.position == len(self.data), f"{self.data[self.position :]!r} is left over"


@dataclass(frozen=True)
class Reply:
    """One packet from the server: type, request id, and what follows the id."""

    type: int
    id: int
    body: bytes = field(repr=False)

    def cursor(self, expected: Type) -> Cursor:
        assert self.type == expected, f"{expected.name} expected, got {self.type}: {self.body[:80]!r}"
        return Cursor(self.body)

    @property
    def code(self) -> int:
        cursor = self.cursor(Type.STATUS)
        code, message, _language = cursor.u32(), cursor.string(), cursor.string()
        message.decode("utf-8")
        if code != UNKNOWN_PRINCIPAL:
            cursor.end()
        return code

    @property
    def unknown(self) -> list[bytes]:
        """The names that UNKNOWN_PRINCIPAL is about (versions 5 and 6)."""
        cursor = self.cursor(Type.STATUS)
        assert (cursor.u32(), cursor.string(), cursor.string())[0] == UNKNOWN_PRINCIPAL
        names = []
        while cursor.position < len(cursor.data):
            names.append(cursor.string())
        return names

    @property
    def handle(self) -> bytes:
        cursor = self.cursor(Type.HANDLE)
        handle = cursor.string()
        cursor.end()
        assert 0 < len(handle) <= 256
        return handle

    @property
    def data(self) -> bytes:
        cursor = self.cursor(Type.DATA)
        data = cursor.string()
        cursor.end()
        return data

    @property
    def names(self) -> list[tuple[bytes, bytes, Attributes]]:
        """(file name, long name, attributes) of each entry."""
        cursor = self.cursor(Type.NAME)
        entries = [(cursor.string(), cursor.string(), cursor.attributes()) for _ in range(cursor.u32())]
        cursor.end()
        return entries

    @property
    def attributes(self) -> Attributes:
        cursor = self.cursor(Type.ATTRS)
        attributes = cursor.attributes()
        cursor.end()
        return attributes

    @property
    def extended(self) -> bytes:
        return self.cursor(Type.EXTENDED_REPLY).data


class Stream(Protocol):
    """Where packets go and come from.  `receive` returns b"" at the end of the stream, `abort` does not wait."""

    def send(self, data: bytes) -> None: ...
    def receive(self, limit: int, timeout: float) -> bytes: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class ChannelStream:
    """An `sftp` subsystem on a channel of a paramiko connection."""

    def __init__(self, transport: paramiko.Transport, window: int | None = None) -> None:
        self.channel = transport.open_session(window_size=window, timeout=DEADLINE)
        self.channel.settimeout(DEADLINE)
        self.channel.invoke_subsystem("sftp")

    def send(self, data: bytes) -> None:
        self.channel.sendall(data)

    def receive(self, limit: int, timeout: float) -> bytes:
        self.channel.settimeout(timeout)
        return bytes(self.channel.recv(limit))

    def close(self) -> None:
        self.channel.close()

    def abort(self) -> None:
        self.channel.close()


class PipeStream:
    """An `sftp` subsystem behind the pipes of `ssh -s HOST sftp`; argv is that whole command."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        assert self.process.stdin
        assert self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            ready = select.select([], [self.input], [], DEADLINE)[1]
            if not ready:
                raise TimeoutError("the client takes no more")
            view = view[os.write(self.input.fileno(), view[:4096]) :]

    def receive(self, limit: int, timeout: float) -> bytes:
        if not select.select([self.output], [], [], timeout)[0]:
            raise TimeoutError(f"nothing within {timeout:g} s")
        return os.read(self.output.fileno(), limit)

    def close(self) -> None:
        """End the input and wait for the client to leave by itself."""
        self.input.close()
        try:
            self.process.wait(DEADLINE)
        finally:
            self.abort()

    def abort(self) -> None:
        """Kill the client."""
        self.process.kill()
        self.process.wait(DEADLINE)
        self.input.close()
        self.output.close()


class RawSFTP:
    """Sends packets as they are given and reads replies one by one."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.buffer = b""
        self.next_id = 1
        self.version = 0
        self.extensions: dict[bytes, bytes] = {}

    def init(self, version: int = 3) -> RawSFTP:
        """INIT and VERSION; the answer is kept in `version` and `extensions`."""
        self.send(bytes([Type.INIT]) + u32(version))
        cursor = Cursor(self.packet())
        assert cursor.take(1)[0] == Type.VERSION
        self.version = cursor.u32()
        while cursor.position < len(cursor.data):
            name = cursor.string()
            self.extensions[name] = cursor.string()
        return self

    def send(self, payload: bytes) -> None:
        """One packet: the length is put in front."""
        self.stream.send(u32(len(payload)) + payload)

    def literal(self, data: bytes) -> None:
        """Bytes as they are, framing included."""
        self.stream.send(data)

    def request(self, type: int, *fields: bytes) -> bytes:
        """The payload of a request with the next id (which is then `self.next_id - 1`)."""
        self.next_id += 1
        return bytes([type]) + u32(self.next_id - 1) + b"".join(fields)

    def post(self, type: int, *fields: bytes) -> int:
        """Send a request, do not wait; returns its id."""
        self.send(self.request(type, *fields))
        return self.next_id - 1

    def post_all(self, requests: Sequence[bytes]) -> None:
        """Send several payloads in one go."""
        self.stream.send(b"".join(u32(len(one)) + one for one in requests))

    def ask(self, type: int, *fields: bytes) -> Reply:
        """Send a request and return its reply, which must carry its id."""
        number = self.post(type, *fields)
        reply = self.reply()
        assert reply.id == number, f"reply to {reply.id} instead of {number}"
        return reply

    def extend(self, name: bytes, *fields: bytes) -> Reply:
        return self.ask(Type.EXTENDED, string(name), *fields)

    def reply(self, timeout: float = DEADLINE) -> Reply:
        packet = self.packet(timeout)
        return Reply(packet[0], int.from_bytes(packet[1:5], "big"), packet[5:])

    def packet(self, timeout: float = DEADLINE) -> bytes:
        """The next packet without its length; EOFError when the stream ends first."""
        size = int.from_bytes(self._take(4, timeout), "big")
        assert 1 <= size <= 1 << 18, f"packet of {size} bytes"
        return self._take(size, timeout)

    def _take(self, size: int, timeout: float) -> bytes:
        end = time.monotonic() + timeout
        while len(self.buffer) < size:
            more = self.stream.receive(1 << 18, max(0.001, end - time.monotonic()))
            if not more:
                raise EOFError(f"{len(self.buffer)} bytes and the end instead of {size}")
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def close(self) -> None:
        self.stream.close()

    # Requests that tests need all the time

    def open(self, path: bytes, flags: int = READ, attributes: bytes = NO_ATTRIBUTES) -> bytes:
        return self.ask(Type.OPEN, string(path), u32(flags), attributes).handle

    def read(self, handle: bytes, offset: int, length: int) -> Reply:
        return self.ask(Type.READ, string(handle), u64(offset), u32(length))

    def write(self, handle: bytes, offset: int, data: bytes) -> int:
        return self.ask(Type.WRITE, string(handle), u64(offset), string(data)).code

    def shut(self, handle: bytes) -> int:
        """CLOSE."""
        return self.ask(Type.CLOSE, string(handle)).code

    def stat(self, path: bytes) -> Attributes:
        return self.ask(Type.STAT, string(path)).attributes

    def listing(self, path: bytes) -> list[tuple[bytes, bytes, Attributes]]:
        """OPENDIR, READDIR until EOF, CLOSE."""
        handle = self.ask(Type.OPENDIR, string(path)).handle
        entries = []
        while (reply := self.ask(Type.READDIR, string(handle))).type == Type.NAME:
            entries += reply.names
        assert reply.code == Code.EOF
        assert self.shut(handle) == Code.OK
        return entries
