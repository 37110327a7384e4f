"""The arithmetic of penalties; the clock is the tests'."""

from __future__ import annotations

import pytest

from libsshd.admission import Outcome, Penalties, PenaltyRules

OPENSSH = PenaltyRules(crash=90, auth_failed=5, no_auth=1, grace_exceeded=10, least=15, most=600, sources=65_536)


def refused_until(penalties: Penalties, source: str, now: float) -> float:
    """The seconds for which a source is turned away from now on, to a tenth."""
    tenths = 0
    while penalties.refuse(source, now + tenths / 10):
        tenths += 1
    return tenths / 10


@pytest.mark.parametrize(
    ("outcome", "times", "seconds"),
    [
        (Outcome.CRASH, 1, 90),
        (Outcome.GRACE_EXCEEDED, 1, 0),
        (Outcome.GRACE_EXCEEDED, 2, 20),
        (Outcome.AUTH_FAILED, 3, 0),
        (Outcome.AUTH_FAILED, 4, 20),
        (Outcome.NO_AUTH, 15, 0),
        (Outcome.NO_AUTH, 16, 16),
        (Outcome.CRASH, 7, 600),
    ],
)
def test_penalties_add_up_count_above_15_seconds_and_end_at_10_minutes(
    outcome: Outcome, times: int, seconds: float
) -> None:
    penalties = Penalties()
    for _ in range(times):
        penalties.add("a", outcome, OPENSSH, 0.0)
    assert refused_until(penalties, "a", 0.0) == seconds
    assert not penalties.refuse("b", 0.0)


def test_time_pays_off_penalties() -> None:
    penalties = Penalties()
    for second in range(0, 1000, 6):
        penalties.add("a", Outcome.AUTH_FAILED, OPENSSH, float(second))
        assert not penalties.refuse("a", float(second))


def test_a_penalty_that_counts_does_so_to_its_end() -> None:
    penalties = Penalties()
    for _ in range(2):
        penalties.add("a", Outcome.GRACE_EXCEEDED, OPENSSH, 0.0)
    assert penalties.refuse("a", 19.9)
    assert not penalties.refuse("a", 20.0)
    penalties.add("a", Outcome.GRACE_EXCEEDED, OPENSSH, 21.0)
    assert not penalties.refuse("a", 21.0), "from then on it begins anew"


def test_what_costs_nothing_is_not_remembered() -> None:
    penalties = Penalties()
    for outcome in Outcome:
        penalties.add("a", outcome, PenaltyRules(), 0.0)
    assert len(penalties) == 0


def test_beyond_the_sources_that_are_kept_the_first_to_be_free_is_let_off() -> None:
    rules = PenaltyRules(crash=90, grace_exceeded=20, sources=2)
    penalties = Penalties()
    penalties.add("least", Outcome.GRACE_EXCEEDED, rules, 0.0)
    penalties.add("worst", Outcome.CRASH, rules, 0.0)
    penalties.add("new", Outcome.CRASH, rules, 0.0)
    assert [penalties.refuse(source, 0.0) for source in ("least", "worst", "new")] == [False, True, True]
    assert len(penalties) == 2


def test_ten_times_as_many_sources_as_are_kept_take_no_more_room() -> None:
    penalties = Penalties()
    for number in range(50_000):
        penalties.add(str(number % 25_000), Outcome.NO_AUTH, PenaltyRules(no_auth=1, sources=1000), number / 1000)
    assert len(penalties) == 1000
    assert len(penalties._queue) <= 3 * 1000


def test_penalties_that_are_over_are_forgotten() -> None:
    penalties = Penalties()
    for number in range(1000):
        penalties.add(str(number), Outcome.NO_AUTH, OPENSSH, 0.0)
    penalties.add("later", Outcome.NO_AUTH, OPENSSH, 2.0)
    assert len(penalties) == 1
