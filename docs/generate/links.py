"""Links between Markdown pages, and where they lead."""

import re
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent

_LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def slug(heading: str) -> str:
    """The anchor of a heading, as sites and forges make it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w -]", "", plain.strip().lower()).replace(" ", "-")


def dead_links(pages: Iterable[Path]) -> list[str]:
    """Links of Markdown pages to files that are not there, and to headings that are not in them."""
    dead = []
    for source in pages:
        for target, anchor in _LINK.findall(_FENCED.sub("", source.read_text())):
            path = (source.parent / target) if target else source
            if not path.exists():
                dead.append(f"{source.name}: {target} is not there")
            elif anchor and anchor not in map(slug, _HEADING.findall(_FENCED.sub("", path.read_text()))):
                dead.append(f"{source.name}: {target} has no heading #{anchor}")
    return dead


def written_pages() -> list[Path]:
    """All Markdown pages that users read."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
