"""What `libsshd check` and `libsshd bench` show: a progress bar on a terminal, and a table or JSON in the end."""

import json
import sys
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from libsshd_cli.escaping import one_line
from libsshd_cli.output import write_lines

_STYLES = {"ok": "green", "failed": "bold red", "no": "yellow", "skipped": "dim"}


class Report:
    """Collects rows of a check: name, what it proves, outcome, sentence, seconds."""

    def __init__(self, title: str, steps: int, *, as_json: bool) -> None:
        self._title = title
        self._as_json = as_json
        self._facts: dict[str, Any] = {}
        self._rows: list[tuple[str, str, str, str, float]] = []
        self._progress = Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        self._task = self._progress.add_task(title, total=steps)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tell(self, **facts: object) -> None:
        """Something worth knowing about the server."""
        self._facts |= facts

    def add(self, name: str, proves: str, outcome: str, text: str, seconds: float) -> None:
        self._rows.append((name, proves, outcome, text, seconds))
        self._progress.update(self._task, advance=1, description=name)

    @property
    def failed(self) -> list[str]:
        """Names of what clients rely on and is not so."""
        return [name for name, _, outcome, _, _ in self._rows if outcome == "failed"]

    def show(self) -> None:
        """Print it; CommandError when nobody can read it."""
        if self._as_json:
            keys = ("name", "proves", "outcome", "text", "seconds")
            rows = [dict(zip(keys, (*row[:4], round(row[4], 3)), strict=True)) for row in self._rows]
            write_lines(json.dumps({**self._facts, "checks": rows, "failed": self.failed}))
            return
        table = Table("check", "what works", "", "seconds", "", box=None, pad_edge=False)
        for name, proves, outcome, text, seconds in self._rows:
            shown = Text(outcome, style=_STYLES[outcome])
            table.add_row(name, proves, shown, f"{seconds:.3f}", Text(one_line(text)))
        write_lines(*self._lines(), *rendered(table))

    def _lines(self) -> list[str]:
        return [f"{name.replace('_', ' ')}: {one_line(_shown(value))}" for name, value in self._facts.items()]


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def rendered(table: Table) -> list[str]:
    """The lines of a table, in colour on a terminal."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]
