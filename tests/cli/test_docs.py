"""docs/cli.md says what the command says: every table in it is the one the parser yields."""

import argparse
import re
from pathlib import Path

import pytest

from libsshd_cli.__main__ import build_parser

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
_DEFAULT = re.compile(r" \(default: (.*)\)$")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return every parser of the command line by its name on the page."""
    parser = build_parser()
    found = {"libsshd": parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {f"libsshd {name}": command for name, command in action.choices.items()}
    return found


def table(parser: argparse.ArgumentParser) -> str:
    """Return the table of a parser's arguments, in their order, in Markdown."""
    rows = ["| Argument | Meaning | Default |", "|---|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        words = [*action.option_strings[:1], *([str(action.metavar)] if action.nargs != 0 else [])]
        help_text = (action.help or "").replace("%%", "%")  # as argparse prints it
        default = _DEFAULT.search(help_text)
        meaning = _DEFAULT.sub("", help_text)
        meaning = meaning[:1].upper() + meaning[1:]
        cells = [f"`{' '.join(words)}`".replace("|", "\\|"), meaning, default[1] if default else ""]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("name", parsers())
def test_the_page_has_the_table_of_each_command(name: str) -> None:
    expected = table(parsers()[name])
    _, _, section = PAGE.read_text().partition(f"\n## `{name}`\n")
    found = re.search(r"^(\|.*\n)+", section, re.MULTILINE)
    assert found, f"a section ## `{name}` with a table is missing"
    assert found[0] == expected, f"the table is to be:\n{expected}"


def test_the_page_names_no_option_that_does_not_exist() -> None:
    known = {word for parser in parsers().values() for action in parser._actions for word in action.option_strings}
    ours = re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE.read_text())
    assert set(ours) - known == set()


def test_every_default_in_the_help_is_the_real_one() -> None:
    for action in parsers()["libsshd run"]._actions:
        stated = _DEFAULT.search(action.help or "")
        if stated and isinstance(action.default, str | int | float) and action.default != ".":
            value = action.default
            assert stated[1] == (f"{value:g}" if isinstance(value, float) else str(value))


def test_every_event_on_the_page_is_one_that_is_logged() -> None:
    root = PAGE.parents[1]
    sources = "".join(path.read_text() for folder in ("libsshd", "cli") for path in (root / folder).rglob("*.py"))
    rows = re.findall(r"^\| (`[^|]*) \| [a-z]+ \|", PAGE.read_text(), re.MULTILINE)
    events = {name for row in rows for name in row.split("`")[1::2]}
    assert len(events) > 5
    assert {event for event in events if f'"{event}"' not in sources} == set()
