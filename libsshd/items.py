"""What the documented arrays whose size a program sets have in common: prompts, and alternate host keys."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.settings import Setting

_T = TypeVar("_T")


class Items(Generic[_T]):
    """Items by index, made by `make`; `resize()` changes how many there are, `changed` is called afterwards."""

    __slots__ = ("_changed", "_count", "_items", "_make")

    def __init__(self, count: Setting, make: Callable[[], _T], changed: Callable[[], object]) -> None:
        self._count = count
        self._make = make
        self._changed = changed
        self._items: list[_T] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[_T]:
        return iter(self._items)

    def __getitem__(self, index: int) -> _T:
        if not 0 <= index < len(self._items):
            raise SFTPServerError(
                ErrorCode.INVALID_ARGUMENT, f"There is no item {index}; {self._count.name} is {len(self._items)}."
            )
        return self._items[index]

    def resize(self, count: int) -> None:
        """Drops the last ones, or adds empty ones. Raises SFTPServerError (10022) for what is no count."""
        count = self._count.accept(count)
        del self._items[count:]
        while len(self._items) < count:
            self._items.append(self._make())
        self._changed()
