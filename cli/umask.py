"""The umask as an option."""

import argparse


def umask(text: str) -> int:
    """Return the mask that `text` is in octal; ArgumentTypeError when it is none."""
    try:
        mask = int(text, 8)
    except ValueError:
        mask = -1
    if not 0 <= mask <= 0o777:
        raise argparse.ArgumentTypeError(f"{text!r} is not an octal number, 0 to 777")
    return mask
