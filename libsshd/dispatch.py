"""Calling handlers: at once on the thread where the event happens, or inside do_events() on the thread that polls.

Rules:
- `_call` is the one place that runs user code, and no lock is held there.
- While polled, handlers run one at a time, and whoever waits for one waits a limited time.
- What waits for do_events() is decided about once, under the lock: it is run, or handed back when handlers run at
  once again, or withdrawn with its connection.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from traceback import format_tb
from typing import Any, Protocol

from libsshd.errors import ErrorCode
from libsshd.events import Error, Event, EventHooks, Hook, Log, SSHStatus, SSHUserAuthRequest

_LOGGER = logging.getLogger("libsshd")
_NEWS = (Log, SSHStatus, Error)
"""Events that only inform: where a program does not poll, the oldest make room."""
_NEWS_MOST = 10_000
_OTHERS_MOST = 10_000
"""Other events that wait; with more, the program takes no part any longer."""
_DEEPEST = 4
"""Handlers whose work is told of to handlers again: a handler of Log that logs must end some time."""

Outcome = Callable[[bool], object]


class HandlerTimeout(Exception):  # noqa: N818 - what happened is that time ran out
    """Nobody ran the handler in time: the connection it is about is to be given up."""


class Withdrawn(HandlerTimeout):
    """The connection was told to end before anybody began to run the handler."""


class Asker(Protocol):
    """Who waits for handlers: a connection."""

    @property
    def is_leaving(self) -> bool:
        """Whether it was told to end."""

    @property
    def is_abandoned(self) -> bool:
        """Whether it is the parent's, in the child of a fork."""


class _Fate(Enum):
    OPEN = 0
    CARRIED_OUT = 1
    HANDED_BACK = 2
    WITHDRAWN = 3


class _Job:
    """An event that waits for its handlers to be run; with an asker, somebody waits for that.

    With `keep` the handlers are run even when the asker waits no longer. `then` is called behind them.
    """

    __slots__ = ("asker", "decided", "event", "fate", "hook", "is_news", "keep", "ok", "then")

    def __init__(
        self, hook: Hook[Any], event: Event, asker: Asker | None = None, *, keep: bool = False,
        then: Outcome | None = None,
    ) -> None:  # fmt: skip
        self.hook = hook
        self.event = event
        self.asker = asker
        self.keep = keep
        self.then = then
        self.is_news = isinstance(event, _NEWS)
        self.decided = threading.Event() if asker is not None else None
        self.fate = _Fate.OPEN
        self.ok = False

    def decide(self, fate: _Fate) -> None:
        """Ends the wait of the asker."""
        self.fate = fate
        if self.decided is not None:
            self.decided.set()


class Dispatcher:
    """Belongs to one server. `is_polled` tells whether handlers wait for do_events(); asked for each event anew."""

    def __init__(self, hooks: EventHooks, is_polled: Callable[[], bool]) -> None:
        self._hooks = hooks
        self._is_polled = is_polled
        self.failed: Callable[[BaseException], object] = lambda _: None
        """Told of every exception that nobody expected, of handlers and of the server itself."""
        self.begin()

    def begin(self) -> None:
        """Nothing waits and nobody runs handlers: at first, and in the child of a fork."""
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._news = 0
        self._running: int | None = None
        self._helped = False
        self._inside = threading.local()
        self._unreported = 0
        self.dropped = 0

    @property
    def in_handler(self) -> bool:
        """Whether the caller runs inside a handler of this server."""
        return self._depth > 0

    @property
    def _depth(self) -> int:
        depth: int = getattr(self._inside, "depth", 0)
        return depth

    @property
    def is_overfull(self) -> bool:
        """Whether more waits than where somebody polls."""
        return len(self._waiting) - self._news >= _OTHERS_MOST

    # --- from where events happen ---

    def ask(self, hook: Hook[Any], event: Event, asker: Asker | None, timeout: float, *, keep: bool = False) -> bool:
        """Runs the handlers and waits for them; False when one failed.

        Raises:
            HandlerTimeout: nobody was through with them after `timeout` seconds. With `keep` they still run.
            Withdrawn: nobody has begun to run them, and the asker is to end.
        """
        if not hook:
            return True
        if asker is None or self.in_handler or not self._is_polled():
            return self._call(hook, event)
        job = _Job(hook, event, asker, keep=keep)
        if not self._enqueue(job):
            return self._call(hook, event)
        assert job.decided is not None
        if not job.decided.wait(timeout):
            self._take_back(job)
        if job.fate is _Fate.HANDED_BACK:
            return self._call(hook, event)
        if job.fate is _Fate.WITHDRAWN:
            raise Withdrawn
        if job.fate is _Fate.OPEN:
            raise HandlerTimeout
        return job.ok

    def withdraw(self, asker: Asker) -> None:
        """What `asker` waits for and nobody has begun to run shall not be waited for any longer."""
        with self._changed:
            for job in [job for job in self._waiting if job.asker is asker]:
                job.decide(_Fate.WITHDRAWN)
                self._leave_to_itself(job)

    def tell(self, hook: Hook[Any], event: Event, then: Outcome | None = None) -> None:
        """Runs the handlers, or has them run later; nobody waits. `then` is called behind them in any case."""
        ok = True
        if hook and self._depth < _DEEPEST:
            waits = self._is_kept_free or (self._is_polled() and not self.in_handler)
            if waits and self._enqueue(_Job(hook, event, then=then)):
                return
            ok = self._call(hook, event)
        if then is not None:
            then(ok)

    def keep_free(self) -> None:
        """The calling thread has no time for handlers: what it tells of, others run."""
        self._inside.is_kept_free = True

    @property
    def _is_kept_free(self) -> bool:
        return getattr(self._inside, "is_kept_free", False)

    # --- what waits ---

    def _enqueue(self, job: _Job) -> bool:
        """Has a job wait for do_events(), or for the helper; False when handlers run at once."""
        with self._changed:
            polled = self._is_polled()
            if not (polled or self._is_kept_free):
                return False
            if job.is_news:
                self._make_room()
            self._waiting.append(job)
            if job.asker is not None and job.asker.is_leaving:
                job.decide(_Fate.WITHDRAWN)
                self._leave_to_itself(job)
            if polled:
                self._changed.notify_all()
            else:
                self._help_out()
        return True

    def _make_room(self) -> None:
        """For one more event that only informs."""
        if self._news < _NEWS_MOST:
            self._news += 1
            return
        self._waiting.remove(next(job for job in self._waiting if job.is_news))
        self.dropped += 1
        self._unreported += 1

    def _take_back(self, job: _Job) -> None:
        """The asker's patience is over."""
        with self._changed:
            if job.fate is _Fate.OPEN and job in self._waiting:
                self._leave_to_itself(job)

    def _leave_to_itself(self, job: _Job) -> None:
        """Nobody waits for it any longer."""
        job.asker = None
        if not job.keep:
            self._waiting.remove(job)

    def _pop(self) -> _Job:
        job = self._waiting.popleft()
        self._news -= job.is_news
        return job

    def mode_changed(self) -> None:
        """After `is_polled` has changed. What waits for do_events() is not left to wait when handlers run at once."""
        with self._changed:
            if self._is_polled():
                return
            for job in [job for job in self._waiting if job.asker is not None]:
                self._waiting.remove(job)
                job.decide(_Fate.HANDED_BACK)
            self._help_out()
            self._changed.notify_all()

    # --- from the program ---

    def do_events(self, wait: float) -> None:
        """Runs what is pending; when nothing is, waits up to `wait` seconds. Inside a handler it does nothing."""
        if self.in_handler:
            return
        if not self._is_polled():
            time.sleep(wait)
            return
        me = threading.get_ident()
        try:
            pending = self._begin(me, wait)
            self._report_dropped()
            while pending > 0 and (job := self._next()) is not None:
                pending -= 1
                self._carry_out(job)
        finally:
            with self._changed:
                if self._running == me:
                    self._running = None
                    self._changed.notify_all()

    def _begin(self, me: int, wait: float) -> int:
        """Takes the turn as soon as there is something to do and nobody else runs handlers; how much there is."""
        due = time.monotonic() + wait
        with self._changed:
            while self._running is not None or not self._waiting:
                left = due - time.monotonic()
                if left <= 0 or not self._is_polled():
                    return 0
                self._changed.wait(left)
            self._running = me
            return len(self._waiting)

    def _next(self) -> _Job | None:
        with self._changed:
            return self._pop() if self._waiting else None

    def _report_dropped(self) -> None:
        with self._changed:
            dropped, self._unreported = self._unreported, 0
        if dropped:
            _LOGGER.warning("do_events() came too late for %d events of Log, SSHStatus and Error", dropped)

    # --- the helper ---

    def _help_out(self) -> None:
        """A thread for what waits although handlers run at once. Under the lock."""
        if self._waiting and not self._helped:
            try:
                threading.Thread(target=self._help, name="libsshd-events", daemon=True).start()
                self._helped = True
            except RuntimeError:  # there is no thread left; with the next event there may be one
                pass

    def _help(self) -> None:
        while (job := self._next_for_helper()) is not None:
            self._carry_out(job)

    def _next_for_helper(self) -> _Job | None:
        with self._changed:
            if self._waiting and not self._is_polled():
                return self._pop()
            self._helped = False
            return None

    # --- user code ---

    def _carry_out(self, job: _Job) -> None:
        try:
            job.ok = self._call(job.hook, job.event)
        finally:
            job.decide(_Fate.CARRIED_OUT)
            if job.then is not None:
                job.then(job.ok)

    def _call(self, hook: Hook[Any], event: Event) -> bool:
        depth = self._depth
        self._inside.depth = depth + 1
        try:
            for handler in hook.handlers:
                handler(event)
        except Exception as error:  # noqa: BLE001 - whatever user code raises, the server lives on
            self._failed(event, error)
            return False
        except BaseException as error:
            if self._running == threading.get_ident() or threading.current_thread() is threading.main_thread():
                raise  # it is meant for the program, whose thread this is
            self._failed(event, error)
            return False
        finally:
            self._inside.depth = depth
        return True

    def _failed(self, event: Event, error: BaseException) -> None:
        """Logged with its traceback, and told as an Error event unless that is what failed."""
        self.failed(error)
        name, text = type(event).__name__, type(error).__name__
        if isinstance(event, SSHUserAuthRequest):  # what it says may be a password
            _LOGGER.error("a handler of %s failed: %s\n%s", name, text, "".join(format_tb(error.__traceback__)))
        else:
            _LOGGER.error("a handler of %s failed", name, exc_info=error)
            text = f"{text}: {error}"
        hook = self._hooks.on_error
        if hook and not isinstance(event, Error):
            connection_id: int = getattr(event, "connection_id", -1)
            text = f"A handler of {name} failed: {text}"
            self.tell(hook, Error(connection_id=connection_id, error_code=ErrorCode.IO_FAILURE, description=text))
