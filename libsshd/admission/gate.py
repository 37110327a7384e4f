"""How many may come in at once, how many of them that have not logged in, and who makes room for whom.

Theory of operation. A connection that has not logged in is a start-up. When a newcomer finds `max_startups` of them,
one has to go; and from `startups_begin` on the lot says whether one has to, with the probability at which OpenSSH
turns newcomers away (MaxStartups start:rate:full). The two differ in who goes. OpenSSH turns away whoever comes last,
and so the honest with the others. Here it is the oldest that has not finished its key exchange, which a peer that
only holds its place never does. An honest client is through in a moment, but
under a flood a moment is long, so there is an order among those who may have to go:

Rule 1: the lot never hits who has had less than `FAIR_CHANCE` seconds, for a burst of honest logins is no attack.
Rule 2: first goes who has had that long; then whose site was put out or turned away before or has many places.
Rule 3: where there is no place left, a newcomer that is worse than everybody inside is turned away itself.
Rule 4: among equals that were marked before, places change hands at a limited rate: who comes back as soon as it is
put out costs an accept(2) and no more.
Rule 5: where everybody inside has exchanged keys, only one whose site is worse than the newcomer's goes: a few
of them cannot hold all places for as long as a login may take, and a person who types a password is left alone.
"""

import enum
import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from .clients import ClientList
from .penalties import Outcome, Penalties, PenaltyRules
from .source import NOWHERE, source_of
from .standing import Standing

FAIR_CHANCE = 5.0
"""Seconds that a key exchange may take before the lot can hit it."""
_LATE = 100
"""Added to the rank of who has had it: more than any source earns."""
_EXAMINED = 256
"""Start-ups among which the one that goes is looked for, from the oldest on."""
_SITE_BITS = 48
"""Of an IPv6 address, what a site is given (RFC 6177): whoever has one has 65,536 sources of 64 bits."""
_CHANGES_PER_SECOND, _CHANGES_AT_ONCE = 100.0, 200.0
"""Of places between equals that were marked before."""
_REFUSED = 0.02
"""Seconds for which who is no better than somebody that was turned away is so, too, without another look."""


class Refusal(enum.Enum):
    """Why somebody is not let in."""

    CONNECTIONS = "too many connections"
    STARTUPS = "too many connections without a login"
    SOURCE = "too many connections without a login from this address"
    PENALTY = "penalty"


class Guest(Protocol):
    """A connection, as far as admission knows it."""

    def evict(self) -> None:
        """Ends the connection soon: it has to make room. From any thread, without waiting."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed; 0 is no limit. `startups_rate` is percent, the bits are those that make one source."""

    max_connections: int = 0
    max_startups: int = 0
    startups_begin: int = 0
    startups_rate: int = 30
    startups_per_source: int = 0
    ipv4_bits: int = 32
    ipv6_bits: int = 64
    penalties: PenaltyRules = field(default_factory=PenaltyRules)
    exempt: ClientList = field(default_factory=lambda: ClientList(""))

    def drop_rate(self, startups: int) -> float:
        """The probability, 0 to 1, at which a newcomer costs a place while there are so many start-ups."""
        begin, full, rate = self.startups_begin, self.max_startups, self.startups_rate
        if not 0 < begin <= startups or full <= 0:
            return 0.0
        if startups >= full:
            return 1.0
        return (rate + (100 - rate) * (startups - begin) / (full - begin)) / 100


@dataclass(slots=True, eq=False)
class Place:
    """What a connection has that was let in. `guest` is told to go; set it with `taken_by`.

    The `source` is what limits and penalties are about; when places are short, those of one `site` count together.
    """

    address: str
    source: str
    site: str
    since: float
    is_evicted: bool = False
    guest: Guest | None = None

    def taken_by(self, guest: Guest) -> None:
        """Rule: whoever is put out before this is told now."""
        self.guest = guest
        if self.is_evicted:
            guest.evict()

    def evict(self) -> None:
        self.is_evicted = True
        if self.guest is not None:
            self.guest.evict()


class Admission:
    """All methods may be called from any thread. `clock` is in seconds, `chance` gives numbers from 0 to below 1."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:  # fmt: skip
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._places: set[Place] = set()
        self._exchanging: dict[Place, None] = {}  # in order of arrival
        self._logging_in: dict[Place, None] = {}
        self._by_source: dict[str, int] = {}  # start-ups
        self._by_site: dict[str, int] = {}
        self._penalties = Penalties()
        self._standing = Standing()
        self._changes = _CHANGES_AT_ONCE
        self._changed = clock()
        self._best_refused = 0
        self._refused_until = 0.0

    # --- coming ---

    def enter(self, address: str, limits: Limits) -> Place | Refusal:
        """A place for a client from a numeric address, "" for none; somebody else may have had to leave it."""
        source = source_of(address, limits.ipv4_bits, limits.ipv6_bits)
        held_against = self._held_against(source, limits)
        if held_against is not None and not limits.exempt.matches(address):
            return held_against
        with self._lock:
            if 0 < limits.max_connections <= len(self._places):
                return Refusal.CONNECTIONS
            newcomer = Place(address, source, _site_of(address, limits), self._clock())
            goes = self._who_goes(newcomer, limits)
            if goes is newcomer:
                self._standing.mark(newcomer.site, newcomer.since)
                return Refusal.STARTUPS
            if goes is not None:
                self._end_startup(goes)
                self._standing.mark(goes.site, newcomer.since)
            self._take(newcomer)
        if goes is not None:
            self._penalise(goes, Outcome.NO_AUTH, limits)
            goes.evict()
        return newcomer

    def insist(self, address: str, limits: Limits) -> Place:
        """A place for somebody who would not be let in, but a handler wants him."""
        source = source_of(address, limits.ipv4_bits, limits.ipv6_bits)
        with self._lock:
            place = Place(address, source, _site_of(address, limits), self._clock())
            self._take(place)
        return place

    def _held_against(self, source: str, limits: Limits) -> Refusal | None:
        with self._lock:
            if source == NOWHERE:
                return None
            if self._penalties.refuse(source, self._clock()):
                return Refusal.PENALTY
            return Refusal.SOURCE if 0 < limits.startups_per_source <= self._by_source.get(source, 0) else None

    def _take(self, place: Place) -> None:
        self._places.add(place)
        self._exchanging[place] = None
        for counts, key in self._counts(place):
            counts[key] = counts.get(key, 0) + 1

    def _counts(self, place: Place) -> tuple[tuple[dict[str, int], str], ...]:
        return (self._by_source, place.source), (self._by_site, place.site)

    # --- making room ---

    def _who_goes(self, newcomer: Place, limits: Limits) -> Place | None:
        """One of those inside, the newcomer itself, or nobody."""
        startups = len(self._exchanging) + len(self._logging_in)
        full = 0 < limits.max_startups <= startups
        if not full and not self._chance() < limits.drop_rate(startups):
            return None
        now = newcomer.since
        mine = self._rank(newcomer, newcomer)
        if full and now < self._refused_until and mine >= self._best_refused:
            return newcomer
        goes = self._worst(mine, newcomer, now if full else now - FAIR_CHANCE)
        if full and goes is None:
            goes = self._greediest(mine, newcomer) or newcomer
        if goes is newcomer:
            self._best_refused, self._refused_until = mine, now + _REFUSED
        return goes

    def _worst(self, mine: int, newcomer: Place, before: float) -> Place | None:
        """Rules 1 to 4: who makes room for a newcomer of that rank, of those that came before an instant."""
        examined = [place for place in itertools.islice(self._exchanging, _EXAMINED) if place.since <= before]
        if not examined:
            return None
        worst = max(examined, key=lambda place: self._rank(place, newcomer))  # the oldest of them
        rank = self._rank(worst, newcomer)
        if rank > mine or (rank == mine and (mine == 0 or self._may_change(newcomer.since))):
            return worst
        return None

    def _greediest(self, mine: int, newcomer: Place) -> Place | None:
        """Rule 5: who makes room although it has exchanged keys."""
        examined = list(itertools.islice(self._logging_in, _EXAMINED))
        worst = max(examined, key=lambda place: self._source_rank(place, newcomer), default=None)
        return worst if worst is not None and self._source_rank(worst, newcomer) > mine else None

    def _rank(self, place: Place, newcomer: Place) -> int:
        """How soon somebody has to go, were the newcomer inside: 0 is last."""
        late = _LATE if place.since <= newcomer.since - FAIR_CHANCE else 0
        return late + self._source_rank(place, newcomer)

    def _source_rank(self, place: Place, newcomer: Place) -> int:
        site = place.site
        places = self._by_site.get(site, 0) + (site == newcomer.site)
        return self._standing.rank(site, newcomer.since) + max(0, places.bit_length() - 1)

    def _may_change(self, now: float) -> bool:
        earned = (now - self._changed) * _CHANGES_PER_SECOND
        self._changes = min(self._changes + earned, _CHANGES_AT_ONCE)
        self._changed = now
        if self._changes < 1:
            return False
        self._changes -= 1
        return True

    # --- moving on ---

    def keys_exchanged(self, place: Place) -> None:
        with self._lock:
            if place in self._exchanging:
                del self._exchanging[place]
                self._logging_in[place] = None

    def logged_in(self, place: Place) -> None:
        with self._lock:
            self._end_startup(place)
            self._standing.clear(place.site)

    def leave(self, place: Place, outcome: Outcome | None, limits: Limits) -> None:
        """The connection is over; if nobody has logged in on it, the outcome costs its source a penalty."""
        with self._lock:
            self._places.discard(place)
            was_startup = self._end_startup(place)
        if was_startup and outcome is not None:
            self._penalise(place, outcome, limits)

    def _penalise(self, place: Place, outcome: Outcome, limits: Limits) -> None:
        """Without the lock for as long as the name service may take."""
        if place.source == NOWHERE or not limits.penalties.seconds(outcome) or limits.exempt.matches(place.address):
            return
        with self._lock:
            self._penalties.add(place.source, outcome, limits.penalties, self._clock())

    def _end_startup(self, place: Place) -> bool:
        """Whether it was one."""
        if place not in self._exchanging and place not in self._logging_in:
            return False
        self._exchanging.pop(place, None)
        self._logging_in.pop(place, None)
        for counts, key in self._counts(place):
            counts[key] -= 1
            if not counts[key]:
                del counts[key]
        return True


def _site_of(address: str, limits: Limits) -> str:
    return source_of(address, limits.ipv4_bits, min(limits.ipv6_bits, _SITE_BITS))
