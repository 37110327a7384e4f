"""Sessions in files: JSON lines, one for each request and its reply.

The first line is {"libsshd-recording": 1, "server": ..., "masked": ...}. In each other line "packet" and "reply" are
Base64: the request without its length field, and all that was sent for it, so that a replay is exact. The other
fields are for people. Passwords and keys are never there: they are no part of SFTP.
"""

import base64
import binascii
import json
import os
import threading
import time
from dataclasses import dataclass
from typing import IO, Any

from libsshd.constants import Packet
from libsshd.testing.exchange import Exchange
from libsshd.testing.log import record_of
from libsshd.version import __version__
from libsshd.wire.buffer import Malformed, Reader, string, u8
from libsshd.wire.replies import split_packets

FORMAT = 1
_HEAD = "libsshd-recording"


def content_masked(packet: bytes) -> bytes:
    """A WRITE, without its length field, whose content is zeros, even if it is cut; other packets as they are."""
    if packet[:1] != u8(Packet.WRITE):
        return packet
    try:
        r = Reader(packet, 5)
        r.string()
        r.u64()
        length = r.u32()
    except Malformed:
        return packet
    content = packet[r.position : r.position + length]
    return packet[: r.position] + bytes(len(content)) + packet[r.position + length :]


def _reply_masked(reply: bytes) -> bytes:
    return b"".join(map(_data_masked, split_packets(reply)))


def _data_masked(packet: bytes) -> bytes:
    return packet[:13] + bytes(len(packet[13:])) if packet[4:5] == u8(Packet.DATA) else packet


class Recorder:
    """Writes to `file`, which is its own, until it is closed. With `mask_data` contents become zeros."""

    def __init__(self, file: IO[str], *, mask_data: bool = False) -> None:
        self._file = file
        self._mask = mask_data
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._number = 0
        self._write({_HEAD: FORMAT, "server": f"libsshd {__version__}", "masked": mask_data})

    def add(self, exchange: Exchange) -> None:
        packet, reply = exchange.packet, exchange.reply
        if self._mask:
            packet, reply = content_masked(packet), _reply_masked(reply)
        with self._lock:
            if self._file.closed:
                return
            self._number += 1
            record = record_of(exchange, self._number, time.monotonic() - self._began)
            shown = {
                "number": record.number,
                "time": round(record.time, 6),
                "connection": record.connection,
                "channel": record.channel,
                "user": record.user,
                "request": record.name,
                "path": record.path,
                "new_path": record.new_path,
                "offset": record.offset,
                "length": record.length,
                "status": None if record.status is None else record.status.name,
                "faults": list(record.faults) or None,
                "lost": record.lost or None,
                "packet": base64.b64encode(packet).decode(),
                "reply": base64.b64encode(reply).decode(),
            }
            self._write({name: value for name, value in shown.items() if value is not None})

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        with self._lock:
            self._file.close()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request and what was sent for it; see Recorder."""

    number: int
    connection: int
    channel: int
    request: str
    path: str | None
    packet: bytes
    reply: bytes
    lost: bool = False
    faults: tuple[str, ...] = ()

    @property
    def request_id(self) -> int:
        return int.from_bytes(self.packet[1:5], "big")


@dataclass(frozen=True, slots=True)
class Recording:
    """All of a file."""

    exchanges: tuple[Recorded, ...]
    masked: bool = False

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Recording":
        """Raises OSError, and ValueError with the number of a line that is damaged."""
        with open(path, encoding="utf-8") as file:
            number, found, masked = 0, [], False
            try:
                for number, line in enumerate(file, start=1):
                    fields = json.loads(line)
                    if number == 1:
                        masked = _checked_head(fields)
                    else:
                        found.append(_recorded(fields))
            except (ValueError, KeyError, TypeError, binascii.Error) as error:
                raise ValueError(f"line {number} of {os.fspath(path)} is wrong: {error}") from None
        if not number:
            raise ValueError(f"{os.fspath(path)} is empty")
        return cls(tuple(found), masked)


def _checked_head(fields: dict[str, Any]) -> bool:
    if fields[_HEAD] != FORMAT:
        raise ValueError(f"the format is {fields[_HEAD]!r}, known is {FORMAT}")
    return bool(fields["masked"])


def _recorded(fields: dict[str, Any]) -> Recorded:
    return Recorded(
        number=int(fields["number"]),
        connection=int(fields["connection"]),
        channel=int(fields["channel"]),
        request=str(fields["request"]),
        path=fields.get("path"),
        packet=base64.b64decode(fields["packet"], validate=True),
        reply=base64.b64decode(fields["reply"], validate=True),
        lost=bool(fields.get("lost", False)),
        faults=tuple(fields.get("faults", ())),
    )


_HANDLE_FIRST = {
    Packet.CLOSE, Packet.READ, Packet.WRITE, Packet.FSTAT, Packet.FSETSTAT, Packet.READDIR, Packet.BLOCK,
    Packet.UNBLOCK,
}  # fmt: skip
_EXTENSIONS_WITH_HANDLE = {
    b"fstatvfs@openssh.com", b"fsync@openssh.com", b"check-file-handle", b"check-file", b"md5-hash-handle",
    b"text-seek", b"ranges@asyncssh.com", b"copy-data",
}  # fmt: skip


def with_handles(packet: bytes, handles: dict[bytes, bytes]) -> bytes:
    """A request with other handles in the place of those that it carries. Raises Malformed."""
    r = Reader(packet)
    kind = r.u8()
    if kind in _HANDLE_FIRST:
        return _replaced(packet, 5, handles)
    if kind != Packet.EXTENDED:
        return packet
    r.u32()
    name = r.string()
    if name not in _EXTENSIONS_WITH_HANDLE:
        return packet
    if name != b"copy-data":
        return _replaced(packet, r.position, handles)
    first, offset, length, second, rest = r.string(), r.u64(), r.u64(), r.string(), r.rest()
    numbers = offset.to_bytes(8, "big") + length.to_bytes(8, "big")
    pair = handles.get(first, first), handles.get(second, second)
    return packet[:5] + string(name) + string(pair[0]) + numbers + string(pair[1]) + rest


def _replaced(packet: bytes, at: int, handles: dict[bytes, bytes]) -> bytes:
    r = Reader(packet, at)
    handle = r.string()
    return packet[:at] + string(handles.get(handle, handle)) + packet[r.position :]
