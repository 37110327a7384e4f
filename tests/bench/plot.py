"""A result as a picture: every server's wall time, CPU time and memory relative to OpenSSH, as SVG.

Bars start at OpenSSH = 1 on a logarithmic axis: to the left is less than OpenSSH, to the right is more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .result import OURS, REFERENCE, Result
from .row import MEMORY_ROWS, ROWS, TITLES
from .target import PEERS

BAR = 11  # pixels, as all lengths here
GAP = 2
GROUP_GAP = 13
LABEL_WIDTH = 200
PANEL_WIDTH = 350
PANEL_GAP = 0
MARGIN = 24
NUMBER_ROOM = 55  # for a bar's figure outside of it
HEAD = 96
FOOT = 46
CAPTION = "SFTP servers relative to OpenSSH"
SERVERS = (OURS, *PEERS)
TICKS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16, 32)

STYLE = """\
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
.title { font-size: 17px; font-weight: 600; }
.small { font-size: 11px; fill: #59636e; }
.figure { font-size: 11px; }
.ours { font-weight: 700; }
.page { fill: #ffffff; stroke: #d1d9e0; }
.stripe { fill: #f4f6f8; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
.one { stroke: #59636e; stroke-width: 1.5; }
.libsshd { fill: #1a7f37; }
.asyncssh { fill: #8b7bd8; }
.paramiko { fill: #d08b3c; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9198a1; }
  .page { fill: #0d1117; stroke: #3d444d; }
  .stripe { fill: #161b22; }
  .grid { stroke: #30363d; }
  .one { stroke: #9198a1; }
  .libsshd { fill: #3fb950; }
  .asyncssh { fill: #a99bf0; }
  .paramiko { fill: #dba05a; }
}
"""


@dataclass(frozen=True)
class Bar:
    """`ratio` to OpenSSH is its length, `label` stands at its end."""

    server: str
    ratio: float
    label: str


@dataclass(frozen=True)
class Group:
    """One row of the picture: its title, the bars of each panel, and a remark to the right of the first."""

    title: str
    panels: tuple[list[Bar], ...]
    remark: str = ""

    def height(self) -> int:
        bars = max(len(panel) for panel in self.panels)
        return bars * (BAR + GAP) - GAP + GROUP_GAP


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from `low` to `high`, `left` and `width` in pixels."""

    left: float
    width: float
    low: float
    high: float

    def x(self, ratio: float) -> float:
        share = math.log(ratio / self.low) / math.log(self.high / self.low)
        return self.left + min(max(share, 0.0), 1.0) * self.width

    def ticks(self) -> list[float]:
        return [tick for tick in TICKS if self.low <= tick <= self.high]


def bars(result: Result, row: str, metric: str) -> list[Bar]:
    found = []
    for server in SERVERS:
        ratio = result.ratio(row, metric, server, REFERENCE)
        if ratio is not None and ratio.median > 0:
            found.append(Bar(server, ratio.median, label(result, row, metric, server, ratio.median)))
    return found


def label(result: Result, row: str, metric: str, server: str, ratio: float) -> str:
    """The ratio; for memory the figure itself."""
    spread = result.spread(row, server, metric)
    if metric == "pss" and spread is not None:
        return f"{spread.median:,.0f} KiB"
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def remark(result: Result, row: str, metric: str) -> str:
    """For memory: OpenSSH's own figure."""
    spread = result.spread(row, REFERENCE, metric)
    return f"OpenSSH: {spread.median:,.0f} KiB" if metric == "pss" and spread is not None else ""


def groups(result: Result, rows: list[str], metrics: tuple[str, ...]) -> list[Group]:
    """The measured ones among `rows`."""
    made = [
        Group(
            TITLES[row],
            tuple(bars(result, row, metric) for metric in metrics),
            remark(result, row, metrics[0]),
        )
        for row in rows
    ]
    return [group for group in made if any(group.panels)]


def axis(left: float, members: list[Group]) -> Axis:
    """The same bounds for all panels, so that lengths compare; whole powers of two around all figures."""
    ratios = [bar.ratio for group in members for panel in group.panels for bar in panel] or [1.0]
    low, high = min(*ratios, 0.5), max(*ratios, 2.0)
    low, high = 2.0 ** math.floor(math.log2(low)), 2.0 ** math.ceil(math.log2(high))
    return Axis(left + NUMBER_ROOM, PANEL_WIDTH - 2 * NUMBER_ROOM, low, high)


def tick_text(tick: float) -> str:
    return f"{tick:g}\u00d7" if tick >= 1 else f"1/{1 / tick:g}"


def text(x: float, y: float, content: str, style: str = "", anchor: str = "start") -> str:
    marks = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{marks}>{escape(content)}</text>'


def rect(x: float, y: float, width: float, height: float, style: str, radius: float = 0.0) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} class="{style}" rx="{radius:g}"/>'


def line(x: float, top: float, bottom: float, style: str) -> str:
    return f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" class="{style}"/>'


def draw_bar(bar: Bar, scale: Axis, y: float) -> list[str]:
    one, end = scale.x(1.0), scale.x(bar.ratio)
    left, width = min(one, end), max(abs(end - one), 1.0)
    style = "figure ours" if bar.server == OURS else "figure"
    before = bar.ratio < 1.0
    x, anchor = (end - 4, "end") if before else (end + 4, "start")
    return [rect(left, y, width, BAR, bar.server), text(x, y + BAR - 1.5, bar.label, style, anchor)]


def draw_panel(caption: str, number: int, members: list[Group], scale: Axis, top: float) -> list[str]:
    """One column of bars below its caption and tick labels."""
    bottom = top + sum(group.height() for group in members)
    parts = [text(scale.left + scale.width / 2, top - 30, caption, anchor="middle")]
    for tick in scale.ticks():
        parts.append(line(scale.x(tick), top, bottom, "one" if tick == 1 else "grid"))
        parts.append(text(scale.x(tick), top - 8, tick_text(tick), "small", "middle"))
    y = top
    for group in members:
        for place, bar in enumerate(group.panels[number]):
            parts += draw_bar(bar, scale, y + GROUP_GAP / 2 + place * (BAR + GAP))
        y += group.height()
    return parts


def draw_section(members: list[Group], captions: tuple[str, ...], top: float, width: float) -> list[str]:
    """Groups below each other, one panel per caption beside each other."""
    parts = []
    y = top
    for number, group in enumerate(members):
        if number % 2 == 0:
            parts.append(rect(1, y, width - 2, group.height(), "stripe"))
        middle = y + group.height() / 2 + 4.5
        parts.append(text(MARGIN, middle, group.title))
        parts.append(text(MARGIN + LABEL_WIDTH + PANEL_WIDTH, middle, group.remark, "small"))
        y += group.height()
    for number, caption in enumerate(captions):
        left = MARGIN + LABEL_WIDTH + number * (PANEL_WIDTH + PANEL_GAP)
        parts += draw_panel(caption, number, members, axis(left, members), top)
    return parts


def draw_legend(top: float) -> list[str]:
    parts, x = [], float(MARGIN)
    for server in SERVERS:
        parts.append(rect(x, top - 10, 12, 12, server, 2))
        parts.append(text(x + 18, top, server, "ours" if server == OURS else ""))
        x += 100
    parts.append(text(x, top, "OpenSSH is the line at 1; bars to the left of it are better", "small"))
    return parts


def draw(result: Result) -> str:
    """The whole picture as one SVG document. Panels without a figure are left out."""
    timed = groups(result, [row.name for row in ROWS], ("wall", "cpu"))
    memory = groups(result, [row.name for row in MEMORY_ROWS], ("pss",))
    width = 2 * MARGIN + LABEL_WIDTH + 2 * PANEL_WIDTH + PANEL_GAP
    parts, y = [], float(HEAD + 40)
    for members, captions in (
        (timed, ("wall time", "CPU time of the server")),
        (memory, ("memory (PSS) per session",)),
    ):
        if members:
            parts += draw_section(members, captions, y, width)
            y += sum(group.height() for group in members) + 64
    height = y - 64 + FOOT
    names = [result.versions.get(name, name).split(",")[0] for name in (OURS, REFERENCE, *PEERS)]
    size = f'width="{width}" height="{height:.0f}" viewBox="0 0 {width} {height:.0f}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{CAPTION}">',
        f"<style>{STYLE}</style>",
        rect(0.5, 0.5, width - 1, height - 1, "page", 8),
        text(MARGIN, 36, CAPTION, "title"),
        *draw_legend(64),
    ]
    source = " \u00b7 ".join([*names, result.machine.get("machine", "")])
    foot = text(MARGIN, height - 18, source, "small")
    return "\n".join([*head, *parts, foot, "</svg>"]) + "\n"
