"""What can go wrong on purpose: one method per fault, which are the names that rules in files have, too.

A fault stands around what would happen without it: `proceed` makes that happen, and the fault decides whether it is
called, when, and what becomes of its result. Faults of one rule stand around each other, the first outermost.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeAlias

from libsshd.constants import Packet, Status
from libsshd.hostkeys import HostKey
from libsshd.testing.exchange import ANY, CONNECT, INIT, LOGIN, Exchange, Occasion
from libsshd.wire.buffer import string, u8, u32
from libsshd.wire.codec import encode_version
from libsshd.wire.messages import Attributes, Entry, Read, Write
from libsshd.wire.replies import AttrsReply, DataReply, NameReply, StatusReply, decode_reply

if TYPE_CHECKING:
    from libsshd.testing.rule import Rule

Proceed = Callable[[], Any]
Around = Callable[[Any, Proceed], Any]
"""From an Occasion and what would happen, to what happens."""
Moment = Literal["before", "during", "after"]

_P = ParamSpec("_P")

FAULTS: dict[str, str] = {}
"""The occasion that a fault is about where a rule names none, by the fault's name."""

_HEAD = 4
"""Bytes of a packet's length field."""
_ID = slice(5, 9)
_FIRST_ATTRIBUTES_BIT = 0xFFFFFFFF


_Maker: TypeAlias = Callable[Concatenate[Any, _P], Around]
_Method: TypeAlias = Callable[Concatenate[Any, _P], "Rule"]


def _fault(natural: str = ANY) -> Callable[[_Maker[_P]], _Method[_P]]:
    """Enters a fault in the table, and has its method return the rule."""

    def enter(make: _Maker[_P]) -> _Method[_P]:
        name = make.__name__
        FAULTS[name] = natural

        @wraps(make)
        def method(self: "Rule", /, *args: _P.args, **kwargs: _P.kwargs) -> "Rule":
            self.add(name, make(self, *args, **kwargs))
            return self

        return method

    return enter


class Faulty:
    """The faults; a rule says when."""

    def add(self, name: str, around: Around) -> None:
        """Has the rule do one more thing."""
        raise NotImplementedError

    # --- at any time ---

    @_fault()
    def delay(self, seconds: float) -> Around:
        """Lets so many seconds pass first; nothing else of the connection goes on meanwhile."""
        _check(seconds >= 0, "a delay is 0 seconds or more")

        def around(o: Occasion, proceed: Proceed) -> Any:
            o.pause(seconds)
            return proceed()

        return around

    @_fault()
    def stall(self) -> Around:
        """Nothing comes any more on this connection, which stays open until the client gives up."""
        return lambda o, _: o.stall()

    @_fault()
    def disconnect(self, when: Moment = "before") -> Around:
        """The connection is gone, before the request is served, in the middle of its reply, or behind that."""
        _check_moment(when)

        def around(o: Exchange, proceed: Proceed) -> Any:
            if when != "before" and isinstance(o, Exchange):
                _send(o, proceed(), when)
            o.hang_up()

        return around

    @_fault()
    def call(self, function: Callable[[Any, Proceed], Any]) -> Around:
        """`function(exchange, proceed)` makes the reply: what `proceed()` returns, another one, or b"" for none."""
        return function

    # --- before anybody is in ---

    @_fault(CONNECT)
    def wrong_host_key(self) -> Around:
        """Shows a host key that is not the server's."""
        key = HostKey.generate().native

        def around(_: Occasion, proceed: Proceed) -> Any:
            proceed()
            return key

        return around

    @_fault(LOGIN)
    def refuse_login(self) -> Around:
        """Nobody gets in, whatever they know."""

        def around(o: Occasion, proceed: Proceed) -> Any:
            proceed()
            o.event.preset(accept=False, partial_success=False)
            return True

        return around

    @_fault(LOGIN)
    def partial_login(self, methods: str = "keyboard-interactive,password,publickey") -> Around:
        """What would be enough is the first step only: partial success, and these methods to go on with."""

        def around(o: Occasion, proceed: Proceed) -> Any:
            result = proceed()
            if o.event.accept:
                o.event.preset(accept=False, partial_success=True, available_methods=methods)
            return result

        return around

    # --- in place of what a request does ---

    @_fault()
    def fail(self, status: Status | str | int = Status.FAILURE, message: str = "") -> Around:
        """Answers with a status and a text, and does nothing. A status that the version lacks becomes its nearest."""
        code = _status(status)
        return lambda o, _: b"" if o.request_id is None else o.codec.status(o.request_id, code, message)

    @_fault()
    def no_reply(self) -> Around:
        """Does what is asked for and never answers."""

        def around(_: Exchange, proceed: Proceed) -> bytes:
            proceed()
            return b""

        return around

    @_fault("READ")
    def short_read(self, length: int | None = None) -> Around:
        """A READ gives so many bytes at most, half of what there is by default, although the file goes on."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            found = _data(o, reply)
            return reply if found is None else _data_reply(o, found[: max(1, _share(len(found), length))])

        return around

    @_fault("WRITE")
    def short_write(self, length: int | None = None) -> Around:
        """A WRITE stores so many bytes at most, half of them by default, and says that all is well."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            if isinstance(o.request, Write):
                o.replace_data(o.request.data[: _share(len(o.request.data), length)])
            return proceed()

        return around

    @_fault()
    def corrupt(self, at: int | None = None, mask: int = 0xFF) -> Around:
        """Flips bits of one byte of what is read or written: the one at this offset of the file, if it is there, else
        the first.
        """
        _check(0 < mask < 256, "a mask is 1 to 255")

        def around(o: Exchange, proceed: Proceed) -> Any:
            if isinstance(o.request, Write):
                o.replace_data(_flipped(o.request.data, _position(o, at), mask))
                return proceed()
            reply = proceed()
            found = _data(o, reply)
            return reply if not found else _data_reply(o, _flipped(found, _position(o, at), mask))

        return around

    @_fault("WRITE")
    def disk_full(self, after: int = 0) -> Around:
        """There is room for so many bytes; what goes beyond them is NO_SPACE_ON_FILESYSTEM, in version 3 FAILURE."""
        left = after

        def around(o: Exchange, proceed: Proceed) -> Any:
            nonlocal left
            if not isinstance(o.request, Write):
                return proceed()
            wanted = len(o.request.data)
            if wanted <= left:
                left -= wanted
                return proceed()
            if left:  # a disk takes what fits
                o.replace_data(o.request.data[:left])
                left = 0
                proceed()
            return o.codec.status(o.request.request_id, Status.NO_SPACE_ON_FILESYSTEM, "No space left on device")

        return around

    @_fault()
    def kill_handle(self) -> Around:
        """The handle is not valid any more, from this request on, whatever is done with it."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            if o.handle is None:
                return proceed()
            o.dead_handles.add(o.handle)
            return o.dead_reply()

        return around

    @_fault("READ")
    def rekey(self) -> Around:
        """The server begins an exchange of keys as soon as this request is answered."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            o.line.exchange_keys()
            return reply

        return around

    # --- replies that are wrong ---

    @_fault()
    def close_channel(self, when: Moment = "before") -> Around:
        """The channel ends, and the connection stays open: before the request is served, in the middle of its reply,
        or behind that.
        """
        _check_moment(when)

        def around(o: Exchange, proceed: Proceed) -> Any:
            if when != "before":
                _send(o, proceed(), when)
            o.end_channel("a fault ends the channel")

        return around

    @_fault()
    def truncate(self, length: int | None = None) -> Around:
        """Of the reply come so many bytes, by default half of it, and then the end of the channel."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            o.send(reply[: _share(len(reply), length)])
            o.end_channel("a fault cuts the reply")

        return around

    @_fault()
    def wrong_id(self, shift: int = 1000) -> Around:
        """The reply is that of a request which was never made: its number is larger by so much."""

        def around(_: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            number = int.from_bytes(reply[_ID], "big")
            return reply[: _ID.start] + u32((number + shift) % 2**32) + reply[_ID.stop :] if reply else reply

        return around

    @_fault()
    def duplicate(self) -> Around:
        """The reply comes twice."""

        def around(_: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            return reply + reply

        return around

    @_fault()
    def reorder(self) -> Around:
        """The reply comes behind that of the next request; who makes none before he has it waits for ever."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            o.hold(proceed())
            return b""

        return around

    @_fault()
    def reply(self, packet: bytes) -> Around:
        """Answers with exactly these bytes, the packet's length field among them, and does nothing."""
        return lambda _o, _p: packet

    @_fault("READDIR")
    def oversize_name(self, length: int = 70_000) -> Around:
        """The first name of the reply has so many bytes."""

        def spoil(entry: Entry) -> Entry:
            name = (entry.name + b"x" * length)[:length]
            return Entry(name, entry.longname + b"x" * (length - len(entry.name)), entry.attributes)

        def around(o: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            found = _decoded(o, reply)
            if not isinstance(found, NameReply) or not found.entries:
                return reply
            entries = [spoil(found.entries[0]), *found.entries[1:]]
            return o.codec.names(
                found.request_id, len(entries), b"".join(map(o.codec.entry, entries)), bool(found.at_end)
            )

        return around

    @_fault("STAT")
    def bad_attributes(self) -> Around:
        """Attributes claim every field there is, and then end."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            found = _decoded(o, reply)
            head = reply[_HEAD : _ID.stop]
            if isinstance(found, AttrsReply):
                return string(head + u32(_FIRST_ATTRIBUTES_BIT))
            if isinstance(found, NameReply) and found.entries:
                return string(head + u32(1) + string(found.entries[0].name) + u32(_FIRST_ATTRIBUTES_BIT))
            return reply

        return around

    @_fault("STAT")
    def skew_clock(self, seconds: int) -> Around:
        """Times in attributes are later by so much; a negative number makes them earlier."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            found = _decoded(o, reply)
            if isinstance(found, AttrsReply):
                return o.codec.attrs(found.request_id, _skewed(found.attributes, seconds))
            if not isinstance(found, NameReply):
                return reply
            entries = [Entry(e.name, e.longname, _skewed(e.attributes, seconds)) for e in found.entries]
            return o.codec.names(
                found.request_id, len(entries), b"".join(map(o.codec.entry, entries)), bool(found.at_end)
            )

        return around

    @_fault()
    def no_eof(self) -> Around:
        """The end is never told: in its place READ gives no bytes, and READDIR no names."""

        def around(o: Exchange, proceed: Proceed) -> Any:
            reply = proceed()
            found = _decoded(o, reply)
            if not isinstance(found, StatusReply) or found.status != Status.EOF:
                return reply
            if isinstance(o.request, Read):
                return o.codec.data(found.request_id, b"")
            return o.codec.names(found.request_id, 0, b"")

        return around

    @_fault(INIT)
    def refuse_version(self, version: int = 2) -> Around:
        """Answers INIT with a version that nobody speaks."""

        def around(_: Exchange, proceed: Proceed) -> Any:
            proceed()
            return encode_version(version, ())

        return around


# --- helpers ---


def _check(right: bool, sentence: str) -> None:
    if not right:
        raise ValueError(sentence)


def _check_moment(when: str) -> None:
    _check(when in ("before", "during", "after"), f"{when!r} is no moment; there are before, during and after")


def _status(status: Status | str | int) -> Status:
    """Raises ValueError for one that does not exist."""
    if isinstance(status, str):
        name = status.upper().replace("-", "_").removeprefix("SSH_FX_")
        _check(name in Status.__members__, f"{status!r} is no status; there are {', '.join(Status.__members__)}")
        return Status[name]
    return Status(status)


def _share(length: int, wanted: int | None) -> int:
    """What is left of so many bytes: as many as wanted, else half."""
    return length // 2 if wanted is None else min(wanted, length)


def _send(o: Exchange, reply: bytes, when: Moment) -> None:
    """The reply, or as much of it as there is in its middle."""
    o.send(reply if when == "after" else reply[: len(reply) // 2])


def _decoded(o: Exchange, reply: bytes) -> object:
    """None where there is no single packet, as when another fault was there before."""
    if len(reply) < _ID.stop or len(reply) != _HEAD + int.from_bytes(reply[:_HEAD], "big"):
        return None
    return decode_reply(o.codec, reply)


def _data(o: Exchange, reply: bytes) -> bytes | None:
    """What a DATA carries; None for another reply."""
    if reply[_HEAD : _HEAD + 1] != u8(Packet.DATA):
        return None
    found = _decoded(o, reply)
    return found.data if isinstance(found, DataReply) else None


def _data_reply(o: Exchange, data: bytes) -> bytes:
    assert o.request_id is not None
    return o.codec.data(o.request_id, data)


def _position(o: Exchange, at: int | None) -> int | None:
    """Where in the data of this request the byte lies that the file has there."""
    return 0 if at is None else at - (o.offset or 0)


def _flipped(data: bytes, position: int | None, mask: int) -> bytes:
    if position is None or not 0 <= position < len(data):
        return data
    return data[:position] + u8(data[position] ^ mask) + data[position + 1 :]


def _skewed(a: Attributes, seconds: int) -> Attributes:
    times = {name: getattr(a, name) for name in ("atime", "mtime", "ctime", "createtime")}
    return replace(a, **{name: value + seconds for name, value in times.items() if value is not None})
