"""A recording played again: as a server that answers the same, or as a client that asks another server the same."""

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from libsshd.constants import Packet, Status
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
        if exchange.name == INIT:
            return recorded.reply
        shift = (exchange.request_id or 0) - recorded.request_id
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
    otherwise. Of attributes sizes, types and permissions count, with `strict` owners and times too; of listings the
    names, in any order. What a fault had a part in is left out.

    Needs the extra libsshd[check]. The host key is not looked at: it is for servers of one's own. Raises OSError, and
    ssh2.exceptions.SSH2Error for what goes wrong with SSH.
    """
    found = recording if isinstance(recording, Recording) else Recording.load(recording)
    if found.masked:
        raise ValueError("the contents of this recording are masked: there is nothing to compare")
    differences: list[Difference] = []
    with closing(Connection(host, port, timeout)) as connection:
        connection.session.userauth_password(user, password)
        channels: dict[tuple[int, int], _Client] = {}
        for recorded in found.exchanges:
            key = recorded.connection, recorded.channel
            if key not in channels:
                channels[key] = _Client(Channel(connection.session), strict=strict)
            differences += channels[key].repeat(recorded)
    return differences


class _Client:
    """One channel, and the handles that it got in place of those in the recording."""

    def __init__(self, channel: Channel, *, strict: bool) -> None:
        self._channel = channel
        self._strict = strict
        self._handles: dict[bytes, bytes] = {}
        self._codec: Codec = codec_for(3)
        self._recorded_codec: Codec = self._codec

    def repeat(self, recorded: Recorded) -> Sequence[Difference]:
        packets = split_packets(recorded.reply)
        if len(packets) != 1 or recorded.lost:
            return ()
        expected = _decoded(self._recorded_codec, packets[0])
        reply = self._channel.ask(with_handles(recorded.packet, self._handles))
        found = _decoded(self._codec, reply)
        if isinstance(expected, VersionReply) and isinstance(found, VersionReply):
            self._recorded_codec, self._codec = codec_for(expected.version), codec_for(found.version)
        if isinstance(expected, HandleReply) and isinstance(found, HandleReply):
            self._handles[expected.handle] = found.handle
        shown = _shown(expected, self._strict), _shown(found, self._strict)
        if shown[0] == shown[1]:
            return ()
        return (Difference(recorded.number, recorded.request, recorded.path, *shown),)


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
    names = ["size", "file_type", "permissions"]
    if strict:
        names += ["uid", "gid", "owner", "group", "atime", "mtime"]
    return " ".join(f"{name}={getattr(a, name)}" for name in names if getattr(a, name) is not None)
