"""What is remembered of sources while there is not room for all: who had to give way before."""

_REMEMBERED = 30.0
"""Seconds after which a source that has not come again is as good as any."""
_SOURCES = 65_536
_WORST = 4


class Standing:
    """How often sources were put out or turned away lately. Not for several threads."""

    def __init__(self) -> None:
        self._marks: dict[str, tuple[int, float]] = {}  # in order of the last one

    def mark(self, source: str, now: float) -> None:
        """The source was put out, or turned away."""
        count, last = self._marks.pop(source, (0, now))
        if last < now - _REMEMBERED:
            count = 0
        self._marks[source] = count + 1, now
        oldest = next(iter(self._marks))
        if len(self._marks) > _SOURCES or self._marks[oldest][1] < now - _REMEMBERED:
            del self._marks[oldest]

    def clear(self, source: str) -> None:
        """Somebody from there has logged in."""
        self._marks.pop(source, None)

    def rank(self, source: str, now: float) -> int:
        """From 0, for who was always served, to 4: one more whenever the number of marks doubles."""
        count, last = self._marks.get(source, (0, 0.0))
        return min(count.bit_length(), _WORST) if last > now - _REMEMBERED else 0
