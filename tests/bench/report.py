"""A result as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .result import REFERENCE, Result, Spread
from .target import Verdict, compare, judge_peers, judge_targets

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell; the first two to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = []
    for row in (header, ["-" * width for width in widths], *rows):
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def digits(figure: float) -> str:
    """Three significant digits without an exponent."""
    if figure >= 100:
        return f"{figure:.0f}"
    return f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}" if figure >= 1 else f"{figure:.3f}"


def spread_text(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{digits(spread.median)} [{digits(spread.low)}-{digits(spread.high)}]"


def ratio_text(spread: Spread | None) -> str:
    return f"{spread.median:.2f} x" if spread else "-"


def figures(result: Result) -> str:
    """Rows with time, then rows with memory."""
    timed, memory = [], []
    for row in result.rows():
        for server in result.servers(row):
            scale = result.scale(row, server)
            name = server if scale == 1.0 else f"{server} (1/{scale:g}, scaled)"
            count = str(len([s for s in result.samples if s.row == row and s.server == server]))
            pss = result.spread(row, server, "pss")
            if pss is not None:
                ratio = ratio_text(result.ratio(row, "pss", server, REFERENCE))
                memory.append([row, name, count, spread_text(pss), ratio])
                continue
            cells = [spread_text(result.spread(row, server, metric)) for metric in ("wall", "cpu")]
            cells += [ratio_text(result.ratio(row, metric, server, REFERENCE)) for metric in ("wall", "cpu")]
            timed.append([row, name, count, *cells])
    parts = []
    if timed:
        header = ["row", "server", "n", "wall s [min-max]", "CPU s [min-max]", "wall/OpenSSH", "CPU/OpenSSH"]
        parts.append(table(header, timed))
    if memory:
        parts.append(table(["row", "server", "n", "KiB per session [min-max]", "/OpenSSH"], memory))
    return "\n\n".join(parts)


def verdict_table(header: Sequence[str], verdicts: Sequence[Verdict], good: str, bad: str) -> str:
    rows = [[v.row, v.subject, v.wanted, v.reached, good if v.met else bad] for v in verdicts]
    return table(header, rows)


def report(result: Result, earlier: Result | None = None) -> str:
    """The whole report; `earlier` adds a comparison with another run."""
    parts = ["\n".join(f"{name}: {text}" for name, text in (result.machine | result.versions).items())]
    if result.samples:
        parts.append(figures(result))
    if targets := judge_targets(result):
        parts.append(verdict_table(["row", "libsshd", "target", "reached", ""], targets, "pass", "MISS"))
    if peers := judge_peers(result):
        beaten = sum(v.met for v in peers)
        parts.append(f"asyncssh and paramiko: beaten in {beaten} of {len(peers)} comparisons")
        parts.append(verdict_table(["row", "libsshd", "target", "reached", ""], peers, "pass", "MISS"))
    if earlier is not None and (changes := compare(result, earlier)):
        parts.append(verdict_table(["row", "metric", "before", "now", ""], changes, "", "WORSE"))
    if result.notes:
        parts.append("\n".join(result.notes))
    if result.failures:
        parts.append("\n".join(f"FAILED {failure}" for failure in result.failures))
    return "\n\n".join(parts)
