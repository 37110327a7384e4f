"""Who stands between the server and its clients: sees every packet, and may answer in its place.

The harness for testing clients is one. Rules:
- Everything but `accepted` is called on the thread of the connection that it is about; `accepted` on the listener's.
- While an interceptor waits, its connection waits: it does so by `Line.pause`, which the end of the server ends.
"""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from libsshd._native import Key
from libsshd.events import SSHUserAuthRequest

if TYPE_CHECKING:
    from .session import Session

Answer = Callable[[bytes], bytes]
"""From an SFTP packet without its length field to what is sent for it: a reply, several, a part of one, nothing."""


class HangUp(Exception):  # noqa: N818 - it is no error
    """Ends the connection without a word to the client; what was flushed has left."""


class Line(Protocol):
    """A connection, as an interceptor sees it."""

    uid: int
    """Its number, never used twice in a process."""

    @property
    def user(self) -> str:
        """Who is logged in, "" until then."""

    @property
    def deserted(self) -> bool:
        """Whether the client has left, or the connection was told to end."""

    def pause(self, seconds: float) -> None:
        """Lets time pass. Raises HangUp when the client leaves meanwhile, or the server ends."""

    def exchange_keys(self) -> None:
        """Starts an exchange of keys, once the packet at hand is answered."""


class Interceptor(Protocol):
    """Belongs to one server."""

    def accepted(self, uid: int, sock: socket.socket) -> socket.socket:
        """The socket to serve in place of one that was just accepted, which it may be itself. Must not wait.

        `uid` is the number that the Line of this connection will have.
        """

    def begins(self, line: Line) -> Key | None:
        """Nothing was said yet. A host key to show in place of the server's; None for that. Raises HangUp."""

    def logs_in(self, line: Line, event: SSHUserAuthRequest, ask: Callable[[], bool]) -> bool:
        """Somebody tries to log in; `ask` runs the handlers and tells whether they did not fail. Raises HangUp."""

    def opens(self, line: Line, session: "Session", answer: Answer) -> Answer:
        """A session begins, which would answer by `answer`. What it raises besides: HangUp, ProtocolError."""

    def ended(self, line: Line) -> None:
        """The connection is over."""

    def failed(self, error: BaseException) -> None:
        """A handler or the server itself raised what nobody expected. On any thread."""
