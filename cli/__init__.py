"""The command line of libsshd, installed as the package libsshd_cli: one file per command."""

__all__ = ["CommandError"]


class CommandError(Exception):
    """The command cannot do what it was asked; its text is one sentence for the person who asked."""
