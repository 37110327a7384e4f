"""Who may connect."""

from libsshd.admission import Admission


class Visitor:
    def __init__(self) -> None:
        self.evicted = False

    def evict(self) -> None:
        self.evicted = True


def test_there_is_room_until_the_limit_and_again_after_somebody_left() -> None:
    admission = Admission(max_connections=2, max_startups=0)
    first, second, third = Visitor(), Visitor(), Visitor()
    assert admission.enter(first)
    assert admission.enter(second)
    assert not admission.enter(third)
    admission.leave(first)
    assert admission.enter(third)


def test_zero_is_no_limit() -> None:
    admission = Admission(0, 0)
    assert all(admission.enter(Visitor()) for _ in range(1000))


def test_the_oldest_unfinished_key_exchange_makes_room() -> None:
    admission = Admission(0, max_startups=2)
    first, second, third = Visitor(), Visitor(), Visitor()
    assert admission.enter(first)
    assert admission.enter(second)
    assert admission.enter(third)
    assert (first.evicted, second.evicted, third.evicted) == (True, False, False)


def test_who_has_finished_the_key_exchange_is_not_evicted() -> None:
    admission = Admission(0, max_startups=2)
    first, second, third = Visitor(), Visitor(), Visitor()
    admission.enter(first)
    admission.keys_exchanged(first)
    admission.enter(second)
    assert admission.enter(third)
    assert (first.evicted, second.evicted) == (False, True)


def test_when_all_are_logging_in_the_newcomer_is_turned_away() -> None:
    admission = Admission(0, max_startups=1)
    first = Visitor()
    admission.enter(first)
    admission.keys_exchanged(first)
    assert not admission.enter(Visitor())


def test_who_is_logged_in_takes_no_start_up() -> None:
    admission = Admission(0, max_startups=1)
    first, second = Visitor(), Visitor()
    admission.enter(first)
    admission.keys_exchanged(first)
    admission.logged_in(first)
    assert admission.enter(second)
    assert not first.evicted


def test_leaving_twice_or_unknown_does_no_harm() -> None:
    admission = Admission(1, 1)
    visitor = Visitor()
    admission.enter(visitor)
    admission.leave(visitor)
    admission.leave(visitor)
    assert admission.enter(Visitor())
