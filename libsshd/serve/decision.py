"""What handlers say about an operation, before and after it.

Rules:
- Before: a status but 0 denies the request; nothing is done and nothing fires after it.
- After: the status begins as the outcome, and what the handler leaves is final.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from libsshd import events as e
from libsshd.constants import Status
from libsshd.errors import ErrorCode, StatusError, status_for_error

if TYPE_CHECKING:
    from .session import Session

_T = TypeVar("_T")

_WRONG = "The server's program failed"


def text_of(path: bytes) -> str:
    """A path as handlers see it."""
    return path.decode("utf-8", "surrogateescape")


def bytes_of(path: str) -> bytes:
    """A path or handle that a handler gave."""
    return path.encode("utf-8", "surrogateescape")


def override(status: int) -> StatusError:
    """What a handler says; its text, if there is one, goes with every failure of the request."""
    return StatusError(Status(status) if 0 <= status <= Status.NO_MATCHING_BYTE_RANGE_LOCK else Status.FAILURE)


def attempt(act: Callable[[], _T]) -> tuple[_T | None, OSError | StatusError | None]:
    try:
        return act(), None
    except (OSError, StatusError) as error:
        return None, error


def mistake(session: "Session", event: e.Event, what: str) -> StatusError:
    """What the client is told when the program is wrong, which itself learns more from an Error event."""
    session.error(ErrorCode.IO_FAILURE, f"A handler of {type(event).__name__} {what}.")
    return StatusError(Status.FAILURE, _WRONG)


def decide(session: "Session", event: e.FileEvent) -> None:
    """Fires the event. Raises StatusError when a handler fails or leaves what cannot be used, HandlerTimeout."""
    if getattr(event, "before_exec", True):
        with suppress(OSError):  # a client that is gone is noticed elsewhere; what it asked for is done all the same
            session.flush()  # what is owed must not wait for a handler that may be slow
    if not session.handlers.ask(session.handlers.hooks.hook(type(event)), event):
        raise StatusError(Status.FAILURE, _WRONG)
    if what := event.mistake():
        raise mistake(session, event, what)


def before(session: "Session", event: e.BeforeAndAfter) -> None:
    """Raises StatusError when a handler denies the request."""
    decide(session, event)
    if event.status_code:
        raise override(event.status_code)


def after(
    session: "Session", event: e.FileEvent, result: _T | None, failure: OSError | StatusError | None,
    undo: Callable[[_T], object] = lambda _: None,
) -> _T | None:  # fmt: skip
    """The result; None when there is none and a handler says that all is well. Raises what the client is to get."""
    outcome = Status.OK if failure is None else status_for_error(failure)
    event.preset(status_code=int(outcome))
    try:
        decide(session, event)
        if event.status_code not in (outcome, Status.OK):
            raise override(event.status_code)
    except BaseException:
        if result is not None:
            undo(result)
        raise
    if failure is not None and event.status_code == outcome:
        raise failure
    return result


def around(
    session: "Session", event: e.BeforeAndAfter, act: Callable[[], _T], undo: Callable[[_T], object] = lambda _: None
) -> _T | None:
    """Before, the operation, after."""
    before(session, event)
    result, failure = attempt(act)
    event.preset(before_exec=False)
    return after(session, event, result, failure, undo)


def done(session: "Session", request_id: int) -> bytes:
    return session.codec.status(request_id, Status.OK)
