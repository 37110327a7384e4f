"""dispatch.py: who runs handlers, when, and what becomes of those who wait for them."""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from libsshd.dispatch import Dispatcher, HandlerTimeout, Withdrawn
from libsshd.events import DirList, Disconnected, Error, Event, EventHooks, Log
from tests.support.command import wait_until

LONG = 60.0
"""Seconds that nothing here is meant to take."""


class Asker:
    """A connection, as far as the dispatcher knows it."""

    is_leaving = False
    is_abandoned = False


class Work:
    """Something that runs on a thread of its own; `outcome` is what it returned or raised."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.outcome: object = None
        self._act = act
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._act()
        except BaseException as error:  # noqa: BLE001 - it is looked at
            self.outcome = error

    def end(self) -> Any:
        self.thread.join(20)
        assert not self.thread.is_alive(), "it hangs"
        return self.outcome


class Mode:
    """Whether handlers wait for do_events()."""

    def __init__(self) -> None:
        self.polled = True


@pytest.fixture
def hooks() -> EventHooks:
    return EventHooks()


@pytest.fixture
def mode() -> Mode:
    return Mode()


@pytest.fixture
def dispatcher(hooks: EventHooks, mode: Mode) -> Dispatcher:
    return Dispatcher(hooks, lambda: mode.polled)


def listing(number: int = 0) -> DirList:
    return DirList(connection_id=number, user="", path="/")


def log(number: int = 0) -> Log:
    return Log(connection_id=-1, log_level=1, message=str(number))


def end_of(number: int) -> Disconnected:
    return Disconnected(connection_id=number, status_code=0, description="OK")


def waiting(dispatcher: Dispatcher, count: int) -> None:
    wait_until(lambda: len(dispatcher._waiting) == count, f"{count} events that wait")


# --- handlers at once ---


def test_handlers_at_once_run_on_the_thread_of_the_event(
    hooks: EventHooks, mode: Mode, dispatcher: Dispatcher
) -> None:
    mode.polled = False
    threads: list[int] = []
    hooks.on_dir_list = lambda _: threads.append(threading.get_ident())
    asked = Work(lambda: dispatcher.ask(hooks.on_dir_list, listing(), Asker(), LONG))
    assert asked.end() is True
    assert threads == [asked.thread.ident]


def test_a_thread_without_time_for_handlers_runs_none(hooks: EventHooks, mode: Mode, dispatcher: Dispatcher) -> None:
    mode.polled = False
    hold, threads = threading.Event(), []

    @hooks.on_log
    def stuck(_: Log) -> None:
        threads.append(threading.current_thread())
        hold.wait(LONG)

    def tell() -> None:
        dispatcher.keep_free()
        for _ in range(3):
            dispatcher.tell(hooks.on_log, log())

    teller = Work(tell)
    assert teller.end() is None
    hold.set()
    wait_until(lambda: len(threads) == 3, "three events")
    assert teller.thread not in threads
    wait_until(lambda: not any(thread.is_alive() for thread in threads), "the end of the thread that helped out")


def test_a_handler_that_leaves_its_thread_has_failed_and_the_thread_goes_on(
    hooks: EventHooks, mode: Mode, dispatcher: Dispatcher
) -> None:
    mode.polled = False
    errors: list[str] = []
    hooks.on_error = lambda e: errors.append(e.description)
    hooks.on_dir_list = lambda _: sys.exit()
    assert Work(lambda: dispatcher.ask(hooks.on_dir_list, listing(), Asker(), LONG)).end() is False
    assert errors == ["A handler of DirList failed: SystemExit: "]


def test_a_handler_of_log_that_logs_ends(hooks: EventHooks, mode: Mode, dispatcher: Dispatcher) -> None:
    mode.polled = False
    calls: list[str] = []

    @hooks.on_log
    def again(e: Log) -> None:
        calls.append(e.message)
        dispatcher.tell(hooks.on_log, log())

    dispatcher.tell(hooks.on_log, log())
    assert 1 < len(calls) < 10


# --- do_events() ---


def test_do_events_returns_when_nothing_is_pending(dispatcher: Dispatcher) -> None:
    dispatcher.do_events(0)


def test_do_events_waits_for_the_first_event(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    hooks.on_dir_list = lambda _: None
    poll = Work(lambda: dispatcher.do_events(LONG))
    assert dispatcher.ask(hooks.on_dir_list, listing(), Asker(), LONG)
    poll.end()


def test_do_events_runs_everything_pending_in_order(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    seen: list[Event] = []
    hooks.on_log = hooks.on_disconnected = hooks.on_dir_list = seen.append
    told = [log(1), end_of(2), log(3)]
    dispatcher.tell(hooks.on_log, told[0])
    dispatcher.tell(hooks.on_disconnected, told[1])
    dispatcher.tell(hooks.on_log, told[2])
    asked = Work(lambda: dispatcher.ask(hooks.on_dir_list, listing(4), Asker(), LONG))
    waiting(dispatcher, 4)
    dispatcher.do_events(0)
    assert asked.end() is True
    assert seen[:3] == told
    assert len(seen) == 4


def test_do_events_returns_however_much_comes_meanwhile(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    calls: list[str] = []

    @hooks.on_log
    def more(e: Log) -> None:
        calls.append(e.message)
        assert len(calls) < 10
        assert Work(lambda: dispatcher.tell(hooks.on_log, log())).end() is None

    dispatcher.tell(hooks.on_log, log())
    dispatcher.do_events(0)
    dispatcher.do_events(0)
    assert len(calls) == 2


def test_do_events_inside_a_handler_does_nothing(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    seen: list[str] = []

    @hooks.on_log
    def poll(e: Log) -> None:
        dispatcher.do_events(LONG)
        seen.append(e.message)

    dispatcher.tell(hooks.on_log, log(1))
    dispatcher.tell(hooks.on_log, log(2))
    dispatcher.do_events(0)
    assert seen == ["1", "2"]


def test_two_threads_that_poll_run_one_handler_at_a_time(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    inside, most, threads = [0], [0], set()

    @hooks.on_dir_list
    def note(_: DirList) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threads.add(threading.get_ident())
        threading.Event().wait(0.001)  # others may come in here
        inside[0] -= 1

    over = threading.Event()

    def poll() -> None:
        while not over.is_set():
            dispatcher.do_events(0.01)

    pollers = [Work(poll) for _ in range(2)]

    def ask() -> bool:
        return all(dispatcher.ask(hooks.on_dir_list, listing(), Asker(), LONG) for _ in range(50))

    askers = [Work(ask) for _ in range(4)]
    assert [asker.end() for asker in askers] == [True] * 4
    over.set()
    assert [poller.end() for poller in pollers] == [None] * 2
    assert most[0] == 1
    assert threads <= {poller.thread.ident for poller in pollers}


def test_an_interruption_reaches_the_program_and_the_next_call_works(
    hooks: EventHooks, dispatcher: Dispatcher
) -> None:
    seen: list[str] = []

    @hooks.on_log
    def interrupted(e: Log) -> None:
        seen.append(e.message)
        if len(seen) == 1:
            raise KeyboardInterrupt

    dispatcher.tell(hooks.on_log, log(1))
    dispatcher.tell(hooks.on_log, log(2))
    with pytest.raises(KeyboardInterrupt):
        dispatcher.do_events(0)
    dispatcher.do_events(0)
    assert seen == ["1", "2"]


# --- who waits for do_events() ---


def test_who_waits_too_long_gives_up_and_the_handler_does_not_run_later(
    hooks: EventHooks, dispatcher: Dispatcher
) -> None:
    seen: list[Event] = []
    hooks.on_dir_list = seen.append
    with pytest.raises(HandlerTimeout):
        dispatcher.ask(hooks.on_dir_list, listing(), Asker(), 0.01)
    dispatcher.do_events(0)
    assert seen == []


def test_a_handler_to_be_kept_runs_later(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    seen: list[Event] = []
    hooks.on_dir_list = seen.append
    with pytest.raises(HandlerTimeout):
        dispatcher.ask(hooks.on_dir_list, listing(), Asker(), 0.01, keep=True)
    dispatcher.do_events(0)
    assert len(seen) == 1


def test_a_late_answer_is_dropped(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    begun, hold = threading.Event(), threading.Event()

    @hooks.on_dir_list
    def slow(_: DirList) -> None:
        begun.set()
        hold.wait(LONG)

    poll = Work(lambda: dispatcher.do_events(LONG))
    with pytest.raises(HandlerTimeout):
        dispatcher.ask(hooks.on_dir_list, listing(), Asker(), 0.2)
    assert begun.is_set()
    hold.set()
    poll.end()


def test_who_is_told_to_end_waits_no_longer(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    seen: list[Event] = []
    hooks.on_dir_list = seen.append
    leaving, staying = Asker(), Asker()
    first = Work(lambda: dispatcher.ask(hooks.on_dir_list, listing(1), leaving, LONG))
    second = Work(lambda: dispatcher.ask(hooks.on_dir_list, listing(2), staying, LONG))
    waiting(dispatcher, 2)
    dispatcher.withdraw(leaving)
    assert isinstance(first.end(), Withdrawn)
    dispatcher.do_events(0)
    assert second.end() is True
    assert len(seen) == 1


def test_who_was_told_to_end_before_does_not_begin_to_wait(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    hooks.on_dir_list = lambda _: None
    leaving = Asker()
    leaving.is_leaving = True
    with pytest.raises(Withdrawn):
        dispatcher.ask(hooks.on_dir_list, listing(), leaving, LONG)


# --- what waits for a program that does not poll ---


def test_of_news_the_newest_10000_wait_and_the_others_are_counted(
    hooks: EventHooks, dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    ends: list[int] = []
    hooks.on_log = lambda e: seen.append(e.message)
    hooks.on_disconnected = lambda e: ends.append(e.connection_id)
    dispatcher.tell(hooks.on_disconnected, end_of(7))
    for number in range(10_003):
        dispatcher.tell(hooks.on_log, log(number))
    assert dispatcher.dropped == 3
    with caplog.at_level(logging.WARNING, "libsshd"):
        dispatcher.do_events(0)
    assert ends == [7], "the end of a connection is no news"
    assert seen == [str(number) for number in range(3, 10_003)]
    assert "3 events" in caplog.text


def test_what_follows_an_event_follows_its_handler(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    order: list[str] = []
    hooks.on_disconnected = lambda _: order.append("handler")
    dispatcher.tell(hooks.on_disconnected, end_of(0), lambda _: order.append("then"))
    assert order == []
    dispatcher.do_events(0)
    assert order == ["handler", "then"]


def test_a_program_that_never_polls_is_found_out(hooks: EventHooks, dispatcher: Dispatcher) -> None:
    hooks.on_disconnected = lambda _: None
    for number in range(10_000):
        assert not dispatcher.is_overfull
        dispatcher.tell(hooks.on_disconnected, end_of(number))
    assert dispatcher.is_overfull
    dispatcher.do_events(0)
    assert not dispatcher.is_overfull


# --- from one mode to the other ---


def test_who_waits_runs_the_handler_himself_when_handlers_run_at_once_again(
    hooks: EventHooks, mode: Mode, dispatcher: Dispatcher
) -> None:
    threads: list[int] = []
    hooks.on_dir_list = lambda _: threads.append(threading.get_ident())
    asked = Work(lambda: dispatcher.ask(hooks.on_dir_list, listing(), Asker(), LONG))
    waiting(dispatcher, 1)
    mode.polled = False
    dispatcher.mode_changed()
    assert asked.end() is True
    assert threads == [asked.thread.ident]


def test_what_was_told_is_not_left_over_when_handlers_run_at_once_again(
    hooks: EventHooks, mode: Mode, dispatcher: Dispatcher
) -> None:
    order: list[str] = []
    hooks.on_error = lambda e: order.append(e.description)
    hooks.on_disconnected = lambda _: order.append("end")
    dispatcher.tell(hooks.on_error, Error(connection_id=0, error_code=1, description="error"))
    dispatcher.tell(hooks.on_disconnected, end_of(0), lambda _: order.append("then"))
    mode.polled = False
    dispatcher.mode_changed()
    wait_until(lambda: len(order) == 3, "all of it")
    assert order == ["error", "end", "then"]


def test_do_events_returns_when_handlers_run_at_once_again(mode: Mode, dispatcher: Dispatcher) -> None:
    poll = Work(lambda: dispatcher.do_events(LONG))
    mode.polled = False
    dispatcher.mode_changed()
    poll.end()
