"""One packet of a client, what is known of it, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from libsshd.constants import OpenFlags, Packet, Status
from libsshd.serve.interception import HangUp, Line
from libsshd.serve.operations import OPERATIONS
from libsshd.serve.session import ProtocolError, Session
from libsshd.wire.buffer import Malformed, Unsupported, string, u8, u32, u64
from libsshd.wire.codec import Codec
from libsshd.wire.messages import Open, Write

_WRITE = int(OpenFlags.WRITE)
_LONG_AGO = 365 * 24 * 3600.0

REQUESTS: dict[str, type] = {operation.name.upper(): request for request, operation in OPERATIONS.items()}
"""The names of requests, as rules and the log have them."""
_NAMES = {request: name for name, request in REQUESTS.items()}
INIT, UNKNOWN, EXTENSION = "INIT", "UNKNOWN", "EXTENSION"
CONNECT, LOGIN, DISCONNECT = "CONNECT", "LOGIN", "DISCONNECT"
ANY = "*"
"""Every request, INIT among them."""


@dataclass(slots=True, kw_only=True)
class Occasion:
    """Something that happens on a connection, and that a fault may meet. `connection` counts from 1."""

    name: str
    line: Line
    connection: int
    user: str = ""
    request: Any = None
    path: bytes | None = None
    new_path: bytes | None = None
    offset: int | None = None
    length: int | None = None
    upload: int | None = None
    """Which of the files that were opened for writing it is about, counted from 1 over all connections."""
    download: int | None = None
    """The same for files that were opened for nothing but reading."""
    event: Any = None
    """Of LOGIN: the SSHUserAuthRequest."""
    faults: list[str] = field(default_factory=list)
    """Names of the faults that it met."""

    def pause(self, seconds: float) -> None:
        """Lets time pass. Raises HangUp when nobody waits for its end any more."""
        self.line.pause(seconds)

    def stall(self) -> None:
        """Raises HangUp when the client leaves, or the server ends."""
        while True:
            self.pause(_LONG_AGO)

    def hang_up(self) -> None:
        """Raises HangUp: the connection ends without a word."""
        raise HangUp


@dataclass(slots=True, kw_only=True)
class Exchange(Occasion):
    """A packet of SFTP without its length field, and its reply: one packet, several, a part, or nothing."""

    session: Session
    channel: int
    packet: bytes
    handle: bytes | None = None
    reply: bytes = b""
    seconds: float = 0.0
    """Between the packet and its reply."""
    lost: bool = False
    """Whether a fault ended the channel or the connection in it."""
    dead_handles: set[bytes]
    """Those of the channel that a fault has made invalid."""
    held: list[bytes]
    """Replies of the channel that come behind the next one."""

    @property
    def codec(self) -> Codec:
        """Of the version that is spoken now."""
        return self.session.codec

    @property
    def request_id(self) -> int | None:
        """None for INIT, and for a packet that ends before its number."""
        if self.packet[:1] in (b"", u8(Packet.INIT)) or len(self.packet) < 5:
            return None
        return int.from_bytes(self.packet[1:5], "big")

    @property
    def opens_for_writing(self) -> bool:
        """Whether it is an OPEN that begins an upload."""
        return isinstance(self.request, Open) and bool(self.request.flags & _WRITE)

    def replace_data(self, data: bytes) -> None:
        """Has a WRITE carry other bytes."""
        r = self.request
        assert isinstance(r, Write)
        self.request = Write(r.request_id, r.handle, r.offset, data)
        self.packet = u8(Packet.WRITE) + u32(r.request_id) + string(r.handle) + u64(r.offset) + string(data)

    # --- what a fault may do ---

    def send(self, data: bytes) -> None:
        """Hands bytes to the client at once, as far as it takes them."""
        self.reply += data
        self.session.reply(data)
        self.session.flush()

    def pause(self, seconds: float) -> None:
        """Lets time pass; what is owed for earlier requests has left. Raises HangUp."""
        self.session.flush()
        self.line.pause(seconds)

    def hold(self, reply: bytes) -> None:
        """Has a reply come behind the next one."""
        self.held.append(reply)

    def dead_reply(self) -> bytes:
        """What a request gets for a handle that is not valid."""
        return self.codec.status(self.request.request_id, Status.INVALID_HANDLE)

    def end_channel(self, why: str) -> None:
        """Raises ProtocolError: the channel ends, the connection does not."""
        raise ProtocolError(why)


class Watcher:
    """Makes exchanges of the packets of one channel."""

    def __init__(self, line: Line, connection: int, channel: int, session: Session) -> None:
        self._line = line
        self._connection = connection
        self._channel = channel
        self._session = session
        self._is_first = True
        self.dead_handles: set[bytes] = set()
        self.held: list[bytes] = []

    def exchange(self, packet: bytes) -> Exchange:
        name, request = self._read(packet)
        made = Exchange(
            name=name,
            line=self._line,
            connection=self._connection,
            channel=self._channel,
            user=self._line.user,
            session=self._session,
            packet=packet,
            request=request,
            dead_handles=self.dead_handles,
            held=self.held,
        )
        if request is not None:
            _describe(made)
        return made

    def _read(self, packet: bytes) -> tuple[str, Any]:
        """Name and message. A session answers what it cannot read by itself."""
        if self._is_first:
            self._is_first = False
            return INIT, None
        try:
            request = self._session.codec.decode(packet)
        except Unsupported as error:
            return (EXTENSION if error.extension else UNKNOWN), None
        except Malformed:
            return UNKNOWN, None
        return _NAMES[type(request)], request


_PATHS = ("path", "old_path", "link_path")
_HANDLES = ("handle", "read_handle")


def _describe(exchange: Exchange) -> None:
    """What rules ask for, from the request's own fields."""
    request = exchange.request
    exchange.handle = _first(request, _HANDLES)
    exchange.path = _first(request, _PATHS)
    if exchange.path is not None:
        exchange.path = _normalised(exchange.session, exchange.path)
    elif exchange.handle is not None:
        exchange.path = exchange.session.path_behind(exchange.handle)
    exchange.new_path = getattr(request, "target_path", None)  # as it stands
    if (new_path := getattr(request, "new_path", None)) is not None:
        exchange.new_path = _normalised(exchange.session, new_path)
    exchange.offset = getattr(request, "offset", None)
    data = getattr(request, "data", None)
    exchange.length = getattr(request, "length", None) if data is None else len(data)


def _normalised(session: Session, path: bytes) -> bytes:
    try:
        return session.path(path)
    except OSError:  # none that the server would serve
        return path


def _first(request: object, names: tuple[str, ...]) -> bytes | None:
    return next((found for name in names if (found := getattr(request, name, None)) is not None), None)


Respond = Callable[[Exchange], bytes]
"""Answers in place of the session."""
