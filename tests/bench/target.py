"""What libsshd has to reach, and how far an earlier run was."""

from __future__ import annotations

from dataclasses import dataclass

from .result import OURS, REFERENCE, Result

PEERS = ("asyncssh", "paramiko")
FALL = 1.05  # a ratio that grew by more than this factor is a fall


@dataclass(frozen=True)
class Target:
    """`limit` for ours/OpenSSH; `per_second` when it was set as a multiple of OpenSSH's throughput."""

    row: str
    metric: str
    limit: float
    per_second: bool = False

    def wanted(self) -> str:
        if self.metric == "pss":
            return f"<= {self.limit:.0f} KiB"
        return f">= {1 / self.limit:.2f} x" if self.per_second else f"<= {self.limit:.2f} x"

    def shown(self, figure: float) -> str:
        if self.metric == "pss":
            return f"{figure:.0f} KiB"
        return f"{1 / figure:.2f} x" if self.per_second else f"{figure:.2f} x"

    def name(self) -> str:
        if self.metric == "wall":
            return "throughput" if self.per_second else "wall time"
        return {"cpu": "server CPU", "pss": "PSS per session"}[self.metric]

    def figure(self, result: Result) -> float | None:
        """What was reached; None when it was not measured."""
        if self.metric == "pss":
            spread = result.spread(self.row, OURS, "pss")
        else:
            spread = result.ratio(self.row, self.metric, OURS, REFERENCE)
        return spread.median if spread else None


TARGETS = (
    Target("get-1g-gcm", "wall", 1 / 1.4, per_second=True),
    Target("get-1g-gcm", "cpu", 0.60),
    Target("put-1g-gcm", "wall", 1 / 1.4, per_second=True),
    Target("put-1g-gcm", "cpu", 0.66),
    Target("get-1g-chacha", "wall", 1 / 1.35, per_second=True),
    Target("get-1g-chacha", "cpu", 0.50),
    Target("put-1g-chacha", "wall", 1 / 1.35, per_second=True),
    Target("put-1g-chacha", "cpu", 0.55),
    Target("get-small", "wall", 1.0),
    Target("put-small", "wall", 0.8),
    Target("get-small-8", "wall", 1.0),
    Target("put-small-8", "wall", 1.0),
    Target("get-1g-watched", "cpu", 1.00),
    Target("ls-10k", "wall", 0.65),
    Target("login-16", "wall", 1.0),
    Target("login-16", "cpu", 0.33),
    Target("idle", "pss", 115),
    Target("idle-moved", "pss", 130),
)


@dataclass(frozen=True)
class Verdict:
    row: str
    subject: str
    wanted: str
    reached: str
    met: bool


def judge_targets(result: Result) -> list[Verdict]:
    """One verdict per target that was measured."""
    verdicts = []
    for target in TARGETS:
        figure = target.figure(result)
        if figure is not None:
            met = figure <= target.limit
            verdicts.append(Verdict(target.row, target.name(), target.wanted(), target.shown(figure), met))
    return verdicts


def judge_peers(result: Result) -> list[Verdict]:
    """asyncssh and paramiko have to be beaten in every row, in every metric."""
    verdicts = []
    for row in result.rows():
        for peer in PEERS:
            for metric, name in (("wall", "wall time"), ("cpu", "server CPU"), ("pss", "PSS per session")):
                ratio = result.ratio(row, metric, OURS, peer)
                if ratio is not None:
                    shown = f"{ratio.median:.2f} x"
                    verdicts.append(Verdict(row, f"{name} / {peer}", "< 1.00 x", shown, ratio.median < 1.0))
    return verdicts


def compare(result: Result, earlier: Result) -> list[Verdict]:
    """The CPU ratios to OpenSSH (memory: the KiB themselves) beside those of an earlier run."""
    verdicts = []
    for row in result.rows():
        for metric in ("cpu", "pss"):
            before, now = decisive(earlier, row, metric), decisive(result, row, metric)
            if before and now:
                change = now / before
                unit = "KiB" if metric == "pss" else "x"
                reached = f"{now:.2f} {unit} ({change - 1:+.1%})"
                verdicts.append(Verdict(row, metric, f"{before:.2f} {unit}", reached, change <= FALL))
    return verdicts


def decisive(result: Result, row: str, metric: str) -> float | None:
    """The figure that decides on a row: for CPU the ratio to OpenSSH, for memory our own KiB."""
    spread = result.spread(row, OURS, metric) if metric == "pss" else result.ratio(row, metric, OURS, REFERENCE)
    return spread.median if spread else None
