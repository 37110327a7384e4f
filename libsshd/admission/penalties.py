"""Penalties as OpenSSH has them (PerSourcePenalties of sshd_config): who misbehaves is not served for a while."""

import enum
import heapq
from dataclasses import dataclass


class Outcome(enum.Enum):
    """How a connection ended that nobody had logged in on."""

    CRASH = "crash"
    AUTH_FAILED = "failed authentication"
    NO_AUTH = "no authentication"
    GRACE_EXCEEDED = "login deadline exceeded"


@dataclass(frozen=True, slots=True)
class PenaltyRules:
    """Seconds for each outcome, 0 for none. They add up to `most`, and count once they are more than `least`."""

    crash: float = 0.0
    auth_failed: float = 0.0
    no_auth: float = 0.0
    grace_exceeded: float = 0.0
    least: float = 15.0
    most: float = 600.0
    sources: int = 65_536

    def seconds(self, outcome: Outcome) -> float:
        """What an outcome costs."""
        name: str = outcome.name.lower()
        return float(getattr(self, name))


class Penalties:
    """The penalties of all sources. Times are seconds of one clock that never goes back; not for several threads."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._enforced: set[str] = set()
        self._queue: list[tuple[float, str]] = []  # when each ends; a penalty that grew has older entries, too

    def __len__(self) -> int:
        return len(self._until)

    def add(self, source: str, outcome: Outcome, rules: PenaltyRules, now: float) -> None:
        """Adds what the outcome costs. Where no room is left, whoever would be free first is let off."""
        seconds = rules.seconds(outcome)
        if seconds <= 0:
            return
        self._expire(now)
        if source not in self._until and len(self._until) >= rules.sources:
            self._let_off()
        until = min(max(self._until.get(source, now), now) + seconds, now + rules.most)
        self._until[source] = until
        if until - now > rules.least:
            self._enforced.add(source)
        heapq.heappush(self._queue, (until, source))
        if len(self._queue) > 2 * len(self._until) + 64:
            self._queue = sorted((until, source) for source, until in self._until.items())

    def refuse(self, source: str, now: float) -> bool:
        """Whether a source is not served now."""
        return source in self._enforced and self._until[source] > now

    def _expire(self, now: float) -> None:
        while self._queue and self._queue[0][0] <= now:
            self._drop(*heapq.heappop(self._queue))

    def _let_off(self) -> None:
        while self._queue and not self._drop(*heapq.heappop(self._queue)):
            pass

    def _drop(self, until: float, source: str) -> bool:
        """Forgets a penalty if that is when it ends; whether it was so."""
        if self._until.get(source) != until:
            return False
        del self._until[source]
        self._enforced.discard(source)
        return True
