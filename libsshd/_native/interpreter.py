"""Importing this fails in a sub-interpreter: the C core, cffi and libssh have one state for the whole process."""

from importlib import import_module


def _is_main() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):  # since Python 3.13, and before
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() == interpreters.get_main())
    return True


if not _is_main():
    raise ImportError("libsshd works in the main interpreter only; instead of sub-interpreters, use threads.")
