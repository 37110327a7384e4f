"""One session over two descriptors, such as standard input and output: the whole engine without SSH."""

from dataclasses import dataclass
from errno import ECONNRESET, EPIPE

from libsshd._native import EventKind, Pipe

from .session import ProtocolError, Session, SessionContext, stock_replies


@dataclass(frozen=True)
class Ending:
    """Why serving ended: "eof" or "bad-frame" with its length, "protocol-error" with its text, or "gone".

    The length of "eof" is that of the beginning of a packet whose rest never came.
    """

    kind: str
    length: int = 0
    text: str = ""


def make_pipe(input: int, output: int) -> Pipe:
    """A Pipe with the stock replies that a connection would use. The descriptors stay the caller's."""
    return Pipe(input, output, *stock_replies())


def make_session(pipe: Pipe, context: SessionContext) -> Session:
    return Session(context, pipe.sftp, pipe.flush, deserted=lambda: pipe.hung_up)


def serve(pipe: Pipe, session: Session) -> Ending:
    """Answers until the end, then closes the session and sends what is still queued.

    Raises OSError when reading or writing fails, but for a client that is gone, and what a signal handler raises.
    """
    try:
        try:
            ending = _answer_all(pipe, session)
        finally:
            session.close()
        pipe.flush()
    except OSError as error:
        if error.errno not in (EPIPE, ECONNRESET):
            raise
        return Ending("gone")
    return ending


def _answer_all(pipe: Pipe, session: Session) -> Ending:
    reply = b""
    while True:
        kind = pipe.next(reply)
        if kind == EventKind.EOF:
            return Ending("eof", pipe.length)
        if kind == EventKind.BAD_FRAME:
            return Ending("bad-frame", pipe.length)
        if kind == EventKind.WAKE:
            reply = b""  # handlers of signals have run
            continue
        try:
            reply = _answer(pipe, session, kind)
        except ProtocolError as error:
            return Ending("protocol-error", text=str(error))


def _answer(pipe: Pipe, session: Session, kind: EventKind) -> bytes:
    if kind == EventKind.FAILED:
        return session.failed_in_core(pipe.request_id, pipe.operation, pipe.data, pipe.error)
    assert kind == EventKind.PACKET, f"a pipe has no event {kind.name}"
    return session.answer(pipe.data)
