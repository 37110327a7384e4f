"""The documented KeyboardInteractivePrompt... members: the questions every client is asked."""

from collections.abc import Callable

from libsshd.items import Items
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


class KeyboardInteractivePrompts(Items[KeyboardInteractivePrompt]):
    """The prompts by index; `resize()` and `add()` change how many there are."""

    __slots__ = ()

    def __init__(self, changed: Callable[[], object]) -> None:
        super().__init__(PROMPT_COUNT, lambda: KeyboardInteractivePrompt(changed), changed)

    def add(self, prompt: str, *, echo: bool = False) -> None:
        """One more prompt behind the others."""
        self._items.append(KeyboardInteractivePrompt(self._changed, prompt, echo=echo))
        self._changed()

    @property
    def values(self) -> tuple[Prompt, ...]:
        """As connections take them."""
        return tuple(Prompt(item.prompt, item.echo) for item in self._items)
