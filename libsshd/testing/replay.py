"""A recording played again: as a server that answers the same, or as a client that asks another server the same."""

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from stat import S_ISDIR
from typing import TypeAlias

from libsshd.constants import FileType, Packet, Status
from libsshd.testing.client import Channel, Connection
from libsshd.testing.exchange import INIT, Exchange
from libsshd.testing.recording import Recorded, Recording, content_masked, with_handles
from libsshd.wire.buffer import Malformed, u32
from libsshd.wire.codec import Codec, codec_for
from libsshd.wire.messages import Attributes
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
    split_packets,
)

_TIMEOUT = 30.0
_NAMES_SHOWN = 5
_CHANGES_BY_ITSELF = {"STATVFS", "FSTATVFS", "SPACE-AVAILABLE"}


class Player:
    """Answers as the recording does, by what is asked and not by when.

    Each channel is played by one of the recording, in turn, and from its beginning: the first answer to a request of
    this content that was not given yet, and at last the same one again. What that channel has not was perhaps asked
    on another one.
    """

    def __init__(self, recording: Recording) -> None:
        self._masked = recording.masked
        self._all: list[Recorded] = list(recording.exchanges)
        self._recorded = list(dict.fromkeys((one.connection, one.channel) for one in self._all))
        self._parts: dict[tuple[int, int], _Part] = {}
        self._lock = threading.Lock()
        self.unexpected: list[str] = []
        """Requests that the recording has no answer to; they got FAILURE."""

    def respond(self, exchange: Exchange) -> bytes:
        """In place of the session's answer."""
        with self._lock:
            recorded = self._part(exchange).answer(self._content(exchange.packet))
            if recorded is None:
                path = (exchange.path or b"").decode("utf-8", "replace")
                self.unexpected.append(f"{exchange.name} {path}".rstrip())
                return exchange.codec.status(exchange.request_id or 0, Status.FAILURE, "Not in the recording")
        shift = 0 if exchange.name == INIT else (exchange.request_id or 0) - recorded.request_id
        reply = b"".join(_shifted(packet, shift) for packet in split_packets(recorded.reply))
        if recorded.lost:
            exchange.send(reply)
            exchange.end_channel("so it was recorded")
        return reply

    def _part(self, exchange: Exchange) -> "_Part":
        key = exchange.connection, exchange.channel
        if key not in self._parts:
            played = self._recorded[len(self._parts) % len(self._recorded)] if self._recorded else None
            first = [one for one in self._all if (one.connection, one.channel) == played]
            others = [one for one in self._all if (one.connection, one.channel) != played]
            self._parts[key] = _Part(self._by_content(first), self._by_content(others))
        return self._parts[key]

    def _by_content(self, exchanges: Iterable[Recorded]) -> "dict[bytes, list[Recorded]]":
        found: _Answers = defaultdict(list)
        for recorded in exchanges:
            found[self._content(recorded.packet)].append(recorded)
        return found

    def _content(self, packet: bytes) -> bytes:
        """What a request is, whatever its number; every INIT is the same."""
        if packet[:1] == bytes([Packet.INIT]):
            return packet[:1]
        return packet[:1] + (content_masked(packet) if self._masked else packet)[5:]


_Answers: TypeAlias = dict[bytes, list[Recorded]]


class _Part:
    """What one channel has still to hear."""

    def __init__(self, first: _Answers, others: _Answers) -> None:
        self._first = first
        self._others = others

    def answer(self, content: bytes) -> Recorded | None:
        answers = self._first.get(content) or self._others.get(content)
        if not answers:
            return None
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _shifted(packet: bytes, shift: int) -> bytes:
    """A reply to a request whose number is larger by so much."""
    if len(packet) < 9:
        return packet
    number = (int.from_bytes(packet[5:9], "big") + shift) % 2**32
    return packet[:5] + u32(number) + packet[9:]


# --- as a client ---


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that another server answers otherwise."""

    number: int
    request: str
    path: str | None
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.number} {self.request} {self.path or ''}: expected {self.expected}, found {self.found}"


def rerun(
    recording: Recording | str | os.PathLike[str], host: str, port: int, user: str, password: str, *,
    strict: bool = False, timeout: float = _TIMEOUT,
) -> list[Difference]:  # fmt: skip
    """Asks a live server what was asked in a recording, one request after the other, and tells where it answers
    otherwise; each connection of the recording is one of its own. Of attributes sizes, types and permissions count,
    of listings the names, in any order and in packets of any length. With `strict` owners and times count too,
    sizes of directories, and how much room a volume has. What a fault had a part in is left out.

    Needs the extra libsshd[check]. The host key is not looked at: it is for servers of one's own. Raises OSError, and
    ssh2.exceptions.SSH2Error for what goes wrong with SSH.
    """
    found = recording if isinstance(recording, Recording) else Recording.load(recording)
    if found.masked:
        raise ValueError("the contents of this recording are masked: there is nothing to compare")

    def connect() -> Connection:
        connection = Connection(host, port, timeout)
        try:
            connection.session.userauth_password(user, password)
        except BaseException:
            connection.close()
            raise
        return connection

    with closing(_Clients(connect, found.exchanges, strict=strict)) as clients:
        return [difference for recorded in found.exchanges for difference in clients.repeat(recorded)]


class _Clients:
    """The connections of a recording to a live server, each until nothing is left to ask on it."""

    def __init__(self, connect: Callable[[], Connection], exchanges: Iterable[Recorded], *, strict: bool) -> None:
        self._connect = connect
        self._strict = strict
        self._left = Counter(recorded.connection for recorded in exchanges)
        self._connections: dict[int, Connection] = {}
        self._channels: dict[tuple[int, int], _Client] = {}

    def repeat(self, recorded: Recorded) -> Sequence[Difference]:
        found = self._channel(recorded).repeat(recorded)
        self._left[recorded.connection] -= 1
        if not self._left[recorded.connection]:
            self._connections.pop(recorded.connection).close()
        return found

    def _channel(self, recorded: Recorded) -> "_Client":
        key = recorded.connection, recorded.channel
        if key not in self._channels:
            if recorded.connection not in self._connections:
                self._connections[recorded.connection] = self._connect()
            channel = Channel(self._connections[recorded.connection].session)
            self._channels[key] = _Client(channel, strict=self._strict)
        return self._channels[key]

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


@dataclass(slots=True)
class _Listing:
    """The names that one READDIR after the other brought."""

    expected: list[bytes] = field(default_factory=list)
    found: list[bytes] = field(default_factory=list)
    is_whole: bool = True
    """Whether the recorded names are those of the server, not those of a fault."""


class _Client:
    """One channel, and the handles that it got in place of those in the recording."""

    def __init__(self, channel: Channel, *, strict: bool) -> None:
        self._channel = channel
        self._strict = strict
        self._has_ended = False
        self._handles: dict[bytes, bytes] = {}
        self._listings: dict[bytes, _Listing] = defaultdict(_Listing)
        self._codec: Codec = codec_for(3)
        self._recorded_codec: Codec = self._codec

    def repeat(self, recorded: Recorded) -> Sequence[Difference]:
        packets = split_packets(recorded.reply)
        if not packets or recorded.lost or self._has_ended:
            return ()
        expected = _decoded(self._recorded_codec, packets[0])
        try:
            return self._compared(recorded, expected, self._ask(recorded.packet))
        except EOFError:
            self._has_ended = True
            return _difference(recorded, self._shown(recorded, expected), "the end of the channel")

    def _ask(self, packet: bytes) -> Reply | None:
        with suppress(Malformed):  # a damaged request is asked as it is
            packet = with_handles(packet, self._handles)
        return _decoded(self._codec, self._channel.ask(packet))

    def _compared(self, recorded: Recorded, expected: Reply | None, found: Reply | None) -> Sequence[Difference]:
        self._learn(expected, found)
        if recorded.packet[:1] == bytes([Packet.READDIR]):
            return self._listed(recorded, expected, found)
        if recorded.faults:
            return ()
        return _difference(recorded, self._shown(recorded, expected), self._shown(recorded, found))

    def _learn(self, expected: Reply | None, found: Reply | None) -> None:
        if isinstance(expected, VersionReply) and isinstance(found, VersionReply):
            self._recorded_codec, self._codec = codec_for(expected.version), codec_for(found.version)
        if isinstance(expected, HandleReply) and isinstance(found, HandleReply):
            self._handles[expected.handle] = found.handle

    def _listed(self, recorded: Recorded, expected: Reply | None, found: Reply | None) -> Sequence[Difference]:
        """Compares at the end of the recorded listing; how many names come in a packet is up to a server."""
        handle = recorded.packet[5:]
        listing = self._listings[handle]
        listing.is_whole = listing.is_whole and not recorded.faults
        listing.expected += self._names(expected)
        listing.found += self._names(found)
        if isinstance(expected, NameReply) and not expected.at_end:
            return ()
        del self._listings[handle]
        while isinstance(found, NameReply) and found.entries and len(listing.found) <= len(listing.expected):
            found = self._ask(recorded.packet)
            listing.found += self._names(found)
        if not listing.is_whole:
            return ()
        if Counter(listing.expected) != Counter(listing.found):
            return _difference(
                recorded, _only(listing.expected, listing.found), _only(listing.found, listing.expected)
            )
        if isinstance(expected, NameReply) or isinstance(found, NameReply):
            return ()
        return _difference(recorded, self._shown(recorded, expected), self._shown(recorded, found))

    def _names(self, reply: Reply | None) -> list[bytes]:
        """Not every server lists "." and ".."."""
        names = [entry.name for entry in reply.entries] if isinstance(reply, NameReply) else []
        return [name for name in names if self._strict or name not in (b".", b"..")]

    def _shown(self, recorded: Recorded, reply: Reply | None) -> str:
        if not self._strict and recorded.request in _CHANGES_BY_ITSELF and isinstance(reply, ExtendedReply):
            return "EXTENDED_REPLY"
        return _shown(reply, self._strict)


def _difference(recorded: Recorded, expected: str, found: str) -> Sequence[Difference]:
    if expected == found:
        return ()
    return (Difference(recorded.number, recorded.request, recorded.path, expected, found),)


def _only(names: list[bytes], others: list[bytes]) -> str:
    """How many names there are, and some that the others have not."""
    left = sorted((Counter(names) - Counter(others)).elements())
    shown = ", ".join(map(repr, left[:_NAMES_SHOWN]))
    return f"{len(names)} names" + (f", only here {shown}" if left else "")


def _decoded(codec: Codec, packet: bytes) -> Reply | None:
    try:
        return decode_reply(codec, packet)
    except Malformed:
        return None


def _shown(reply: Reply | None, strict: bool) -> str:
    """What of a reply must be the same."""
    if isinstance(reply, VersionReply):
        return f"VERSION {reply.version}"
    if isinstance(reply, StatusReply):
        return f"STATUS {reply.status}"
    if isinstance(reply, HandleReply):
        return "HANDLE"
    if isinstance(reply, DataReply):
        return f"DATA {reply.data!r}"
    if isinstance(reply, NameReply):
        return f"NAME {sorted(entry.name for entry in reply.entries)}"
    if isinstance(reply, AttrsReply):
        return f"ATTRS {_attributes(reply.attributes, strict)}"
    return f"EXTENDED_REPLY {reply.data!r}" if isinstance(reply, ExtendedReply) else "what is no right packet"


def _attributes(a: Attributes, strict: bool) -> str:
    names = ["file_type", "permissions"]
    if strict or not (a.file_type == FileType.DIRECTORY or S_ISDIR(a.permissions or 0)):
        names.insert(0, "size")
    if strict:
        names += ["uid", "gid", "owner", "group", "atime", "mtime"]
    return " ".join(f"{name}={getattr(a, name)}" for name in names if getattr(a, name) is not None)
