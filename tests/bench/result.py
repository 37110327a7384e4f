"""The figures of a run: raw samples, what is computed from them, and their JSON form."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from .workspace import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OURS = "libsshd"
REFERENCE = "openssh"
FORMAT = 1


@dataclass(frozen=True)
class Sample:
    """One measurement. `values`: "wall" and "cpu" in seconds, or "pss" in KiB, as measured.

    `scale` is how many times less was moved than the row's name says; figures are multiplied by it.
    """

    row: str
    server: str
    round: int
    values: dict[str, float]
    scale: float = 1.0


@dataclass(frozen=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass
class Result:
    """Everything a run has found out."""

    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    options: dict[str, int | str] = field(default_factory=dict)
    negotiated: dict[str, dict[str, str]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def rows(self) -> list[str]:
        """The measured rows, in the order of measurement."""
        return list(dict.fromkeys(sample.row for sample in self.samples))

    def servers(self, row: str) -> list[str]:
        return list(dict.fromkeys(sample.server for sample in self.samples if sample.row == row))

    def series(self, row: str, server: str, metric: str) -> dict[int, float]:
        """Round -> figure, for the full amount of work."""
        return {
            sample.round: sample.values[metric] * sample.scale
            for sample in self.samples
            if sample.row == row and sample.server == server and metric in sample.values
        }

    def scale(self, row: str, server: str) -> float:
        return next((s.scale for s in self.samples if s.row == row and s.server == server), 1.0)

    def spread(self, row: str, server: str, metric: str) -> Spread | None:
        figures = self.series(row, server, metric)
        return Spread.of(list(figures.values())) if figures else None

    def ratio(self, row: str, metric: str, server: str, against: str) -> Spread | None:
        """server/against, from pairs measured in the same round."""
        ours, theirs = self.series(row, server, metric), self.series(row, against, metric)
        pairs = [ours[number] / theirs[number] for number in ours if theirs.get(number, 0.0) > 0.0]
        return Spread.of(pairs) if pairs else None

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Result:
        """Raises BenchError when `path` is not a saved result."""
        try:
            data = json.loads(path.read_text())
            if data.pop("format") != FORMAT:
                raise BenchError(f"{path} was written by another version of the benchmark")
            samples = [Sample(**sample) for sample in data.pop("samples")]
            return cls(samples=samples, **data)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchError(f"{path} is not a result of this benchmark: {error}") from error
