"""How many may come in, and who makes room for whom. The clock and the lot are the tests'."""

from __future__ import annotations

import pytest

from libsshd.admission import Admission, ClientList, Limits, Outcome, PenaltyRules, Place, Refusal

HOME = "203.0.113.7"


class Visitor:
    def __init__(self) -> None:
        self.evicted = False

    def evict(self) -> None:
        self.evicted = True


class House:
    """An admission whose time stands still, and whose lot is always the same."""

    def __init__(self, **limits: object) -> None:
        self.now = 1000.0
        self.lot = 0.0
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self.admission = Admission(lambda: self.now, lambda: self.lot)

    def enter(self, address: str = HOME) -> Place | Refusal:
        entered = self.admission.enter(address, self.limits)
        if isinstance(entered, Place):
            entered.taken_by(Visitor())
        return entered

    def place(self, address: str = HOME) -> Place:
        entered = self.enter(address)
        assert isinstance(entered, Place)
        return entered

    def leave(self, place: Place, outcome: Outcome | None = None) -> None:
        self.admission.leave(place, outcome, self.limits)


def gone(*places: Place) -> list[bool]:
    """Which of them were told to go."""
    return [isinstance(place.guest, Visitor) and place.guest.evicted for place in places]


# --- limits ---


def test_there_is_room_until_the_limit_and_again_after_somebody_left() -> None:
    house = House(max_connections=2)
    first = house.place()
    house.place()
    assert house.enter() is Refusal.CONNECTIONS
    house.leave(first)
    house.place()


def test_zero_is_no_limit() -> None:
    house = House()
    assert all(isinstance(house.enter(), Place) for _ in range(1000))


def test_the_oldest_unfinished_key_exchange_makes_room() -> None:
    house = House(max_startups=2)
    first, second, third = house.place(), house.place(), house.place()
    assert gone(first, second, third) == [True, False, False]


def test_who_has_finished_the_key_exchange_is_not_evicted() -> None:
    house = House(max_startups=2)
    first = house.place()
    house.admission.keys_exchanged(first)
    second, _ = house.place(), house.place()
    assert gone(first, second) == [False, True]


def test_when_all_are_logging_in_the_newcomer_is_turned_away() -> None:
    house = House(max_startups=1)
    house.admission.keys_exchanged(house.place())
    assert house.enter() is Refusal.STARTUPS


def test_who_has_keys_and_many_places_makes_room_for_who_has_none() -> None:
    house = House(max_startups=4)
    person = house.place("203.0.113.8")
    greedy = [house.place("192.0.2.1") for _ in range(3)]
    for place in (person, *greedy):
        house.admission.keys_exchanged(place)
    assert house.enter("192.0.2.1") is Refusal.STARTUPS
    house.place()
    assert gone(person, *greedy) == [False, True, False, False]


def test_who_is_logged_in_takes_no_start_up() -> None:
    house = House(max_startups=1)
    first = house.place()
    house.admission.keys_exchanged(first)
    house.admission.logged_in(first)
    house.place()
    assert gone(first) == [False]


def test_leaving_twice_does_no_harm() -> None:
    house = House(max_connections=1, max_startups=1)
    place = house.place()
    house.leave(place)
    house.leave(place)
    house.place()


def test_whoever_was_put_out_counts_as_a_connection_until_it_has_ended() -> None:
    house = House(max_connections=2, max_startups=1)
    first, _ = house.place(), house.place()
    assert house.enter() is Refusal.CONNECTIONS
    house.leave(first)
    house.place()


def test_limits_may_change_and_count_for_the_next_one() -> None:
    house = House(max_connections=1)
    first = house.place()
    assert house.enter() is Refusal.CONNECTIONS
    house.limits = Limits(max_connections=2, max_startups=1)
    house.place()
    assert gone(first) == [True]


def test_whoever_is_put_out_before_its_thread_knows_of_it_is_told_then() -> None:
    admission = Admission()
    place = admission.enter(HOME, Limits(max_startups=1))
    admission.enter(HOME, Limits(max_startups=1))
    assert isinstance(place, Place)
    visitor = Visitor()
    place.taken_by(visitor)
    assert visitor.evicted


# --- the lot ---

OPENSSH = Limits(max_startups=100, startups_begin=10, startups_rate=30)


@pytest.mark.parametrize(
    ("startups", "rate"), [(0, 0), (9, 0), (10, 0.3), (55, 0.65), (99, 0.992), (100, 1), (101, 1)]
)
def test_10_30_100_begins_at_10_with_30_percent_and_ends_at_100_with_all(startups: int, rate: float) -> None:
    assert OPENSSH.drop_rate(startups) == pytest.approx(rate, abs=0.001)


def test_without_a_beginning_there_is_no_lot() -> None:
    assert Limits(max_startups=100).drop_rate(99) == 0


def test_the_lot_hits_the_oldest_that_has_had_its_chance() -> None:
    house = House(max_startups=10, startups_begin=2, startups_rate=30)
    first, second = house.place(), house.place("203.0.113.8")
    house.now += 6
    house.lot = 0.31
    third = house.place("203.0.113.9")
    assert gone(first, second, third) == [False, False, False]
    house.lot = 0.29
    house.place("203.0.113.10")
    assert gone(first, second, third) == [True, False, False]


def test_the_lot_spares_a_burst_of_honest_logins() -> None:
    house = House(max_startups=100, startups_begin=10, startups_rate=100)
    places = [house.place(f"203.0.113.{number}") for number in range(40)]
    places += [house.place(HOME) for _ in range(60)]
    assert not any(gone(*places))


# --- who goes ---


def test_who_was_put_out_before_goes_before_the_oldest() -> None:
    house = House(max_startups=2)
    house.place("192.0.2.1")
    left, oldest = house.place("192.0.2.2"), house.place("192.0.2.3")  # which puts 192.0.2.1 out
    house.leave(left)
    known = house.place("192.0.2.1")
    honest = house.place(HOME)
    assert gone(known, oldest, honest) == [True, False, False]


def test_who_has_had_its_chance_goes_before_who_was_put_out() -> None:
    house = House(max_startups=2)
    house.place("192.0.2.1")
    silent, _ = house.place("192.0.2.2"), house.place("192.0.2.3")
    assert house.enter("192.0.2.1") is Refusal.STARTUPS, "nobody inside is worse"
    house.now += 6
    house.place("192.0.2.1")
    assert gone(silent) == [True]


def test_a_source_with_many_places_makes_room_before_older_ones_with_one() -> None:
    house = House(max_startups=4)
    oldest = house.place("192.0.2.1")
    greedy = [house.place("192.0.2.2") for _ in range(3)]
    house.place(HOME)
    assert gone(oldest, *greedy) == [False, True, False, False]


def test_a_login_clears_the_name_of_its_source() -> None:
    house = House(max_startups=2)
    house.place("192.0.2.1")
    left, oldest = house.place("192.0.2.2"), house.place("192.0.2.3")
    house.leave(left)
    house.admission.logged_in(house.place("192.0.2.1"))
    again = house.place("192.0.2.1")
    house.place(HOME)
    assert gone(oldest, again) == [True, False]


def test_who_comes_back_as_soon_as_it_is_put_out_is_turned_away_after_a_while() -> None:
    house = House(max_startups=10)
    for number in range(2000):
        house.enter(f"192.0.2.{number % 100}")
    assert [house.enter(f"192.0.2.{number}") for number in range(100)] == [Refusal.STARTUPS] * 100
    honest = house.place(HOME)
    for number in range(2000):
        house.enter(f"192.0.2.{number % 100}")
    assert gone(honest) == [False], "nobody who was put out before pushes out who was not"
    house.now += 31
    assert isinstance(house.enter("192.0.2.1"), Place), "half a minute later that is forgotten"


# --- sources ---


def test_one_source_has_so_many_places_and_others_are_not_concerned() -> None:
    house = House(startups_per_source=2)
    first = house.place()
    house.place()
    assert house.enter() is Refusal.SOURCE
    house.place("203.0.113.8")
    house.admission.logged_in(first)
    house.place()


@pytest.mark.parametrize(
    ("bits", "other", "same"),
    [
        ({}, "203.0.113.8", False),
        ({"ipv4_bits": 24}, "203.0.113.8", True),
        ({"ipv4_bits": 24}, "203.0.114.7", False),
        ({"ipv4_bits": 24}, "::ffff:203.0.113.9", True),
    ],
)
def test_the_first_bits_of_an_ipv4_address_make_a_source(bits: dict[str, int], other: str, same: bool) -> None:
    house = House(startups_per_source=1, **bits)
    house.place()
    assert (house.enter(other) is Refusal.SOURCE) == same


@pytest.mark.parametrize(
    ("bits", "other", "same"),
    [
        ({}, "2001:db8::ffff:0:0:1", True),
        ({}, "2001:db8:0:1::1", False),
        ({"ipv6_bits": 128}, "2001:db8::2", False),
        ({"ipv6_bits": 48}, "2001:db8:0:1::1", True),
    ],
)
def test_the_first_64_bits_of_an_ipv6_address_make_a_source(bits: dict[str, int], other: str, same: bool) -> None:
    house = House(startups_per_source=1, **bits)
    house.place("2001:db8::1")
    assert (house.enter(other) is Refusal.SOURCE) == same


def test_a_peer_without_an_address_is_no_source() -> None:
    house = House(startups_per_source=1, penalties=PenaltyRules(no_auth=100.0))
    for _ in range(3):
        house.leave(house.place(""), Outcome.NO_AUTH)
        house.place("")


# --- penalties ---


def test_a_source_with_a_penalty_is_turned_away_and_others_are_not() -> None:
    house = House(penalties=PenaltyRules(crash=90.0))
    house.leave(house.place(), Outcome.CRASH)
    assert house.enter() is Refusal.PENALTY
    house.place("203.0.113.8")
    house.now += 91
    house.place()


def test_who_is_exempt_has_neither_penalties_nor_a_limit_of_its_own() -> None:
    exempt = ClientList("203.0.113.*")
    house = House(startups_per_source=1, penalties=PenaltyRules(crash=90.0), exempt=exempt)
    for _ in range(5):
        house.leave(house.place(), Outcome.CRASH)
        house.place()


def test_who_logged_in_gets_no_penalty_however_the_connection_ends() -> None:
    house = House(penalties=PenaltyRules(crash=90.0))
    place = house.place()
    house.admission.keys_exchanged(place)
    house.admission.logged_in(place)
    house.leave(place, Outcome.CRASH)
    house.place()


def test_who_has_to_make_room_has_not_logged_in_and_pays_for_it() -> None:
    house = House(max_startups=1, penalties=PenaltyRules(no_auth=20.0))
    house.place("192.0.2.1")
    house.place()
    assert house.enter("192.0.2.1") is Refusal.PENALTY


def test_a_handler_can_let_in_who_has_a_penalty() -> None:
    house = House(penalties=PenaltyRules(crash=90.0), max_startups=1)
    house.leave(house.place(), Outcome.CRASH)
    place = house.admission.insist(HOME, house.limits)
    house.place("203.0.113.8")
    assert place.is_evicted, "it is a start-up like others"


def test_the_networks_of_one_site_count_together_when_places_are_short() -> None:
    """Whoever has a /48 has 65,536 sources, and could hold every place by exchanging keys and falling silent."""
    house = House(max_startups=8)
    inside = [house.place(f"2001:db8:1:{number:x}::1") for number in range(8)]
    for place in inside:
        house.admission.keys_exchanged(place)
    house.place("2001:db8:2::1")
    assert sum(gone(*inside)) == 1
    assert isinstance(house.enter("2001:db8:1:ffff::1"), Refusal)


def test_the_networks_of_one_site_have_limits_of_their_own() -> None:
    house = House(startups_per_source=1)
    house.place("2001:db8:1:1::1")
    assert house.enter("2001:db8:1:1::2") is Refusal.SOURCE
    house.place("2001:db8:1:2::1")
