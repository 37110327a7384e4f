"""The tables of faults and of commands in docs/testing.md."""

import inspect

from libsshd.constants import Status
from libsshd.testing.control import COMMANDS
from libsshd.testing.faults import FAULTS
from libsshd.testing.rule import Rule

from .pieces import table, text_of, with_parts


def faults() -> str:
    """What each fault does, by its method. Raises UndocumentedError."""
    rows = []
    for name, natural in FAULTS.items():
        method = getattr(Rule, name)
        rows.append([f"`{name}({_arguments(method)})`", _one_line(text_of(method, name)), f"`{natural}`"])
    return table(["Fault", "What goes wrong", "About, by itself"], rows)


def commands() -> str:
    """What each command does. Raises UndocumentedError."""
    return table(
        ["`do`", "What it does"],
        ([f"`{name}`", _one_line(text_of(command, name))] for name, command in COMMANDS.items()),
    )


def _arguments(method: object) -> str:
    """Names, and defaults as they are written in files of rules."""
    parameters = list(inspect.signature(method).parameters.values())[1:]  # type: ignore[arg-type]
    return ", ".join(
        entry.name if entry.default is entry.empty else f"{entry.name}={_default(entry.default)}"
        for entry in parameters
    )


def _default(value: object) -> str:
    return repr(value.name if isinstance(value, Status) else value)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def testing_page() -> str:
    """The page as it is, with its tables made anew."""
    return with_parts("testing.md", faults(), commands())
