"""Checks the pages of the documentation; called by ./dev docs.

    python -m generate            says which pages are stale and which links are dead, with exit status 1
    python -m generate --write    writes docs/reference, docs/examples.md and the tables of docs/protocol.md first

A public member without a word of documentation is an error.
"""

import sys

from .links import dead_links, written_pages
from .pages import stale, write
from .pieces import UndocumentedError


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if arguments:
            write()
        problems = [f"{name} is stale; run ./dev docs --write" for name in stale()]
    except UndocumentedError as error:
        print(f"not documented: {error}", file=sys.stderr)
        return 1
    problems += dead_links(written_pages())
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
