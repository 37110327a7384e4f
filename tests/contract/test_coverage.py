"""Every documented member has a test that shows its effect."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from tests import contract
from tests.contract import surface

MEMBERS = {
    member.name for table in (surface.PROPERTIES, surface.METHODS, surface.EVENTS, surface.CONFIG) for member in table
}


def all_tests() -> Iterator[object]:
    for module in pkgutil.iter_modules(contract.__path__, f"{contract.__name__}."):
        if module.name.rpartition(".")[2].startswith("test_"):
            found = vars(importlib.import_module(module.name))
            yield from (test for name, test in found.items() if name.startswith("test_"))


def covered() -> set[str]:
    return {member for test in all_tests() for member in getattr(test, "covers", ())}


def test_every_member_has_a_test_of_its_effect() -> None:
    missing = MEMBERS - covered()
    assert not missing, f"{len(missing)} of {len(MEMBERS)} members: {', '.join(sorted(missing))}"


def test_what_is_covered_is_documented() -> None:
    assert not covered() - MEMBERS
