"""Which documented members a test shows the effect of."""

from collections.abc import Callable
from typing import TypeVar

_F = TypeVar("_F", bound=Callable[..., object])


def covers(*members: str) -> Callable[[_F], _F]:
    """Marks a test: `@covers("SSHKeepAliveInterval", "SSHKeepAliveCountMax")`."""

    def mark(test: _F) -> _F:
        test.__dict__["covers"] = members
        return test

    return mark
