"""How an operation failed."""

from collections.abc import Callable

import pytest


def code_of(call: Callable[..., object], *arguments: object, **keywords: object) -> int:
    """The errno of an operation that must fail."""
    with pytest.raises(OSError) as caught:
        call(*arguments, **keywords)
    assert caught.value.errno is not None
    assert caught.value.filename is None, "an error must not tell where the root is"
    return caught.value.errno
