"""Where the harness stands between server and clients: every occasion passes here, to its faults and into the log."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from libsshd._native import Key
from libsshd.constants import Packet, Status
from libsshd.dispatch import HandlerTimeout
from libsshd.events import SSHUserAuthRequest
from libsshd.serve.interception import Answer, HangUp, Line
from libsshd.serve.session import ProtocolError, Session
from libsshd.testing.exchange import CONNECT, DISCONNECT, INIT, LOGIN, Exchange, Occasion, Respond, Watcher
from libsshd.testing.log import Log
from libsshd.testing.network import Network
from libsshd.testing.recording import Recorder
from libsshd.testing.rule import Rules
from libsshd.wire.buffer import Malformed
from libsshd.wire.codec import codec_for
from libsshd.wire.replies import VersionReply, decode_reply
from libsshd.wire.reply import handle_of

_TYPE = 4
"""Where the type of a reply stands."""


class Switchboard:
    """Implements Interceptor. `respond` answers in place of the sessions, if there is one."""

    def __init__(self, log: Log, rules: Rules, network: Network) -> None:
        self.log = log
        self.rules = rules
        self.network = network
        self.respond: Respond | None = None
        self.recorder: Recorder | None = None
        self.errors: list[BaseException] = []
        """What handlers and the server raised that nobody expected."""
        self._lock = threading.Lock()
        self._numbers: dict[int, int] = {}
        self._channels: dict[int, int] = {}
        self._connections = self._uploads = self._downloads = 0

    def reset(self) -> None:
        """Counts begin anew."""
        with self._lock:
            self._connections = self._uploads = self._downloads = 0
        self.respond = None
        self.errors = []

    # --- connections ---

    def accepted(self, uid: int, sock: socket.socket) -> socket.socket:
        with self._lock:
            self._connections += 1
            self._numbers[uid] = self._connections
        return self.network.carry(sock)

    def begins(self, line: Line) -> Key | None:
        occasion = self._occasion(CONNECT, line)
        proceed = self.rules.surround(occasion, lambda: None)
        self.log.note(CONNECT, occasion.connection, faults=tuple(occasion.faults))
        return proceed()  # type: ignore[no-any-return]

    def logs_in(self, line: Line, event: SSHUserAuthRequest, ask: Callable[[], bool]) -> bool:
        occasion = self._occasion(LOGIN, line, event)
        try:
            return bool(self.rules.surround(occasion, ask)())
        finally:
            outcome = "partial" if event.partial_success else "accepted" if event.accept else "refused"
            self.log.note(
                LOGIN, occasion.connection, user=event.user, method=event.auth_method, outcome=outcome,
                faults=tuple(occasion.faults),
            )  # fmt: skip

    def ended(self, line: Line) -> None:
        self.log.note(DISCONNECT, self._number(line), user=line.user)
        with self._lock:
            self._numbers.pop(line.uid, None)
            self._channels.pop(line.uid, None)

    def failed(self, error: BaseException) -> None:
        self.errors.append(error)

    def _number(self, line: Line) -> int:
        return self._numbers.get(line.uid, 0)

    def _occasion(self, name: str, line: Line, event: SSHUserAuthRequest | None = None) -> Occasion:
        user = line.user if event is None else event.user
        return Occasion(name=name, line=line, connection=self._number(line), user=user, event=event)

    # --- sessions ---

    def opens(self, line: Line, session: Session, answer: Answer) -> Answer:
        with self._lock:
            channel = self._channels[line.uid] = self._channels.get(line.uid, 0) + 1
        return Conversation(self, Watcher(line, self._number(line), channel, session), answer).answer

    def next_upload(self) -> int:
        return self._uploads + 1

    def next_download(self) -> int:
        return self._downloads + 1

    def opened(self, *, for_writing: bool) -> None:
        """A file was opened: the next is another one."""
        with self._lock:
            if for_writing:
                self._uploads += 1
            else:
                self._downloads += 1


class Conversation:
    """One channel."""

    def __init__(self, board: Switchboard, watcher: Watcher, answer: Answer) -> None:
        self._board = board
        self._watcher = watcher
        self._answer = answer
        self._uploads: dict[bytes, int] = {}
        self._downloads: dict[bytes, int] = {}

    def answer(self, packet: bytes) -> bytes:
        """Raises HangUp, ProtocolError, HandlerTimeout."""
        exchange = self._watcher.exchange(packet)
        began = time.monotonic()
        try:
            self._count(exchange)
            exchange.reply = self._replied(exchange)
        except (HangUp, ProtocolError, HandlerTimeout):
            exchange.lost = True
            raise
        except Exception as error:  # noqa: BLE001 - of a function of the test: it fails that, not the connection
            self._board.failed(error)
            exchange.reply = _failure(exchange)
        finally:
            exchange.seconds = time.monotonic() - began
            if not exchange.lost:
                exchange.reply = self._with_held(exchange)
            self._board.log.add(exchange)
            recorder = self._board.recorder
            if recorder is not None:
                recorder.add(exchange)
        return exchange.reply

    def _count(self, exchange: Exchange) -> None:
        """Which upload or download it is about."""
        if exchange.name == "OPEN":
            if exchange.opens_for_writing:
                exchange.upload = self._board.next_upload()
            else:
                exchange.download = self._board.next_download()
        elif exchange.handle is not None:
            exchange.upload = self._uploads.get(exchange.handle)
            exchange.download = self._downloads.get(exchange.handle)

    def _replied(self, exchange: Exchange) -> bytes:
        if exchange.handle is not None and exchange.handle in exchange.dead_handles:
            return exchange.dead_reply()
        reply: bytes = self._board.rules.surround(exchange, partial(self._proceed, exchange))()
        return reply

    def _proceed(self, exchange: Exchange) -> bytes:
        respond = self._board.respond
        reply = self._answer(exchange.packet) if respond is None else respond(exchange)
        if respond is not None and exchange.name == INIT:
            _speak(exchange, reply)
        if exchange.name == "OPEN":
            self._note_opened(exchange, reply)
        elif exchange.name == "CLOSE" and exchange.handle is not None:
            self._uploads.pop(exchange.handle, None)
            self._downloads.pop(exchange.handle, None)
        return reply

    def _note_opened(self, exchange: Exchange, reply: bytes) -> None:
        if reply[_TYPE : _TYPE + 1] != bytes([Packet.HANDLE]):
            return
        handle = handle_of(reply)
        if exchange.upload is not None:
            self._uploads[handle] = exchange.upload
        elif exchange.download is not None:
            self._downloads[handle] = exchange.download
        self._board.opened(for_writing=exchange.opens_for_writing)

    @staticmethod
    def _with_held(exchange: Exchange) -> bytes:
        """Behind a reply come those that a fault has held back; never behind none."""
        if not exchange.reply:
            return b""
        held = b"".join(exchange.held)
        exchange.held.clear()
        return exchange.reply + held


def _failure(exchange: Exchange) -> bytes:
    number = exchange.request_id
    return b"" if number is None else exchange.codec.status(number, Status.FAILURE, "A function of the test failed")


def _speak(exchange: Exchange, reply: bytes) -> None:
    """The session goes by the version that was answered in its place."""
    with suppress(Malformed, ValueError):
        answered = decode_reply(exchange.codec, reply)
        if isinstance(answered, VersionReply):
            exchange.session.codec = codec_for(answered.version)
