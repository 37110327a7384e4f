"""The documented KeyboardInteractivePrompt... members: the questions every client is asked."""

from collections.abc import Callable, Iterator

from libsshd.errors import ErrorCode, SFTPServerError
from libsshd.settings import PROMPT_COUNT, PROMPT_SETTINGS, Prompt, PromptSettings


class KeyboardInteractivePrompt(PromptSettings):
    """One question: its text, and whether the answer is shown. `changed` is called after every change.

    Raises:
        SFTPServerError: what is assigned is no text, or no boolean (10022).
    """

    __slots__ = ("_changed",)

    def __init__(self, changed: Callable[[], object], prompt: str = "", *, echo: bool = False) -> None:
        self._changed: Callable[[], object] = lambda: None
        super().__init__(prompt, echo)
        self._changed = changed

    def __setattr__(self, name: str, value: object) -> None:
        setting = PROMPT_SETTINGS.get(name)
        object.__setattr__(self, name, value if setting is None else setting.accept(value))
        if setting is not None:
            self._changed()


class KeyboardInteractivePrompts:
    """The prompts by index; `resize()` and `add()` change how many there are."""

    __slots__ = ("_changed", "_items")

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._items: list[KeyboardInteractivePrompt] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[KeyboardInteractivePrompt]:
        return iter(self._items)

    def __getitem__(self, index: int) -> KeyboardInteractivePrompt:
        if not 0 <= index < len(self._items):
            raise SFTPServerError(
                ErrorCode.INVALID_ARGUMENT,
                f"There is no prompt {index}; KeyboardInteractivePromptCount is {len(self._items)}.",
            )
        return self._items[index]

    def add(self, prompt: str, *, echo: bool = False) -> None:
        """One more prompt behind the others."""
        self._items.append(KeyboardInteractivePrompt(self._changed, prompt, echo=echo))
        self._changed()

    def resize(self, count: int) -> None:
        """Drops the last ones, or adds empty ones. Raises SFTPServerError (10022) for what is no count."""
        count = PROMPT_COUNT.accept(count)
        del self._items[count:]
        while len(self._items) < count:
            self._items.append(KeyboardInteractivePrompt(self._changed))
        self._changed()

    @property
    def values(self) -> tuple[Prompt, ...]:
        """As connections take them."""
        return tuple(Prompt(item.prompt, item.echo) for item in self._items)
