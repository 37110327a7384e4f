"""When a fault happens: rules, by what is asked, of which file, by whom, and how often."""

import os
import random
import threading
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from libsshd.testing.exchange import ANY, CONNECT, EXTENSION, INIT, LOGIN, REQUESTS, UNKNOWN, Exchange, Occasion
from libsshd.testing.faults import FAULTS, Around, Faulty, Proceed

_IN_PYTHON = ("call", "reply")
"""Faults that take what no file can hold."""
_OTHERS = (INIT, CONNECT, LOGIN, EXTENSION, UNKNOWN)


def occasion_name(text: str) -> str:
    """As the tables have it. Raises ValueError for a name that is none."""
    name = text.upper().replace("_", "-").removeprefix("SSH-FXP-")
    known = (*REQUESTS, *_OTHERS, ANY)
    if name not in known:
        near = get_close_matches(name, known) or known
        raise ValueError(f"there is no request {text!r}; there is {', '.join(near)}")
    return name


class Rule(Faulty):
    """Which occasions its faults are about, and which of those that match. Made by `Rules.on`.

    `nth`: from the nth match on, and that one alone unless `times` says how many. `probability`: each of them by the
    throw of a die that `seed` fixes. All counts begin with the rule.
    """

    def __init__(
        self, on: str | None = None, *, path: str | bytes | None = None, user: str | None = None,
        connection: int | None = None, upload: int | None = None, download: int | None = None,
        offset: int | None = None, nth: int | None = None, times: int | None = None, probability: float = 1.0,
        seed: int = 0,
    ) -> None:  # fmt: skip
        """Raises ValueError for what can never match."""
        if not 0 <= probability <= 1:
            raise ValueError("a probability is 0 to 1")
        if any(number is not None and number < 1 for number in (connection, upload, download, nth, times)):
            raise ValueError("connections, uploads, downloads and matches are counted from 1")
        self._on = None if on is None else occasion_name(on)
        self._path = None if path is None else _pattern(path)
        self._exact = {"user": user, "connection": connection, "upload": upload, "download": download}
        self._offset = offset
        self._first = nth or 1
        self._times = 1 if nth is not None and times is None else times
        self._probability = probability
        self._dice = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self._arounds: list[tuple[str, Around]] = []
        self._lock = threading.Lock()
        self.matched = 0
        """How many occasions it was about."""
        self.fired = 0
        """How often its faults happened."""

    def add(self, name: str, around: Around) -> None:
        if self._on is None:
            self._on = FAULTS[name]
        self._arounds.append((name, around))

    def fires(self, occasion: Occasion) -> bool:
        """Whether its faults happen now; counts it."""
        if not self._arounds or not self._is_about(occasion):
            return False
        with self._lock:
            self.matched += 1
            if self.matched < self._first or (self._times is not None and self.fired >= self._times):
                return False
            if self._probability < 1 and self._dice.random() >= self._probability:
                return False
            self.fired += 1
            return True

    def around(self, occasion: Occasion, proceed: Proceed) -> Proceed:
        """What happens in place of `proceed`."""
        for name, around in reversed(self._arounds):
            occasion.faults.insert(0, name)
            proceed = partial(around, occasion, proceed)
        return proceed

    def _is_about(self, o: Occasion) -> bool:
        if not self._is_named(o):
            return False
        if any(wanted is not None and getattr(o, name) != wanted for name, wanted in self._exact.items()):
            return False
        if self._path is not None and not self._is_path(o):
            return False
        return self._offset is None or _covers(o, self._offset)

    def _is_named(self, o: Occasion) -> bool:
        if self._on == ANY:
            return isinstance(o, Exchange)
        wanted = REQUESTS.get(self._on or "")
        return o.name == self._on or (wanted is not None and isinstance(o.request, wanted))

    def _is_path(self, o: Occasion) -> bool:
        paths = (path.decode("utf-8", "surrogateescape") for path in (o.path, o.new_path) if path is not None)
        return any(matches(path, self._path or "") for path in paths)

    def __repr__(self) -> str:
        faults = ", ".join(name for name, _ in self._arounds)
        return f"<Rule on {self._on}: {faults or 'nothing'}; matched {self.matched}, fired {self.fired}>"


def _pattern(path: str | bytes) -> str:
    return path if isinstance(path, str) else path.decode("utf-8", "surrogateescape")


def matches(text: str, pattern: str) -> bool:
    """As the shell: a pattern without a slash is about the last part of a path, and one without a leading slash may
    begin anywhere.
    """
    if "/" not in pattern:
        return fnmatchcase(text.rpartition("/")[2], pattern)
    return fnmatchcase(text, pattern) or (pattern[0] != "/" and fnmatchcase(text, "*/" + pattern))


def _covers(o: Occasion, offset: int) -> bool:
    return o.offset is not None and o.offset <= offset < o.offset + (o.length or 0)


class Rules:
    """The rules of a server, in the order in which they were made: the first stands around all others."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []  # replaced, never changed: connections go through it at any time

    def on(
        self, request: str | None = None, *, path: str | bytes | None = None, user: str | None = None,
        connection: int | None = None, upload: int | None = None, download: int | None = None,
        offset: int | None = None, nth: int | None = None, times: int | None = None, probability: float = 1.0,
        seed: int = 0,
    ) -> Rule:  # fmt: skip
        """A new rule, which does nothing until a fault is added: `rules.on("READDIR").delay(2)`.

        `request` is the name of a request (`"WRITE"`, `"POSIX-RENAME"`), `"INIT"`, `"CONNECT"` before anything is
        said, `"LOGIN"` for each attempt, or `"*"`; without it what the fault is about by itself. `path` is a pattern
        of the shell, `offset` a position in a file that a READ or WRITE covers. `upload` and `download` say which
        file it is about: the nth that was opened for writing, or for nothing but reading. See Rule for the rest.
        Raises ValueError.
        """
        rule = Rule(
            request, path=path, user=user, connection=connection, upload=upload, download=download, offset=offset,
            nth=nth, times=times, probability=probability, seed=seed,
        )  # fmt: skip
        self._rules = [*self._rules, rule]
        return rule

    def add(self, rule: Mapping[str, Any]) -> Rule:
        """A rule as files have it: the keywords of `on`, its request as "on", and under "do" the faults by name, each
        with its arguments: `{"on": "READDIR", "do": {"delay": {"seconds": 2}}}`. Raises ValueError.
        """
        selection = {key: value for key, value in rule.items() if key not in ("on", "do")}
        faults = rule.get("do", {})
        if not isinstance(faults, Mapping) or not faults:
            raise ValueError('a rule says under "do" which faults happen')
        unknown = [name for name in faults if name not in FAULTS or name in _IN_PYTHON]
        if unknown:
            raise ValueError(f"there is no fault {unknown[0]!r}; there are {', '.join(sorted(FAULTS))}")
        try:
            made = Rule(rule.get("on"), **selection)
            for name, arguments in faults.items():
                getattr(made, name)(**arguments)
        except TypeError as error:
            raise ValueError(f"a rule is wrong: {error}") from None
        self._rules = [*self._rules, made]
        return made

    def load(self, path: str | os.PathLike[str]) -> None:
        """Adds the rules of a file: TOML with a table [[rule]] for each, as `add` takes it.

        A file that is wrong adds nothing. Raises OSError, ValueError.
        """
        with open(path, "rb") as file:
            tables = tomllib.load(file)
        rules = tables.pop("rule", None)
        if not isinstance(rules, list) or tables:
            raise ValueError("a file of faults consists of tables [[rule]]")
        checked = Rules()
        for rule in rules:
            checked.add(rule)
        self._rules = [*self._rules, *checked]

    def remove(self, rule: Rule) -> None:
        """From now on it does nothing. What happens already goes on."""
        self._rules = [other for other in self._rules if other is not rule]

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._rules = []

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __len__(self) -> int:
        return len(self._rules)

    def surround(self, occasion: Occasion, proceed: Proceed) -> Proceed:
        """What happens in place of `proceed`, by the rules as they are now."""
        for rule in reversed([rule for rule in self._rules if rule.fires(occasion)]):
            proceed = rule.around(occasion, proceed)
        return proceed
