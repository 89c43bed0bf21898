"""What the documents point to exists: files, headings, and the tests that they name."""

import re
import unicodedata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"var", "dist", "node_modules"}
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TEST = re.compile(r"`(test_[a-z0-9_]+)`")
_DEFINED = re.compile(r"def (test_\w+)\(")


def documents() -> list[Path]:
    """Every Markdown file of the repository, what tools and runs leave aside."""
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*.md"))
    return sorted(path for path in found if not any(part in LEFT_OUT or part[0] == "." for part in path.parts))


def prose(path: Path) -> str:
    """A document's text without its code blocks."""
    return _FENCE.sub("", (ROOT / path).read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """What a heading is called in a link: lower case, words joined by hyphens, punctuation left out."""
    return {_slug(heading) for heading in _HEADING.findall(prose(path))}


def _slug(heading: str) -> str:
    kept = (
        character for character in heading.lower() if character in " -_" or unicodedata.category(character)[0] in "LN"
    )
    return "".join(kept).replace(" ", "-")


@pytest.mark.parametrize("path", documents(), ids=str)
def test_every_relative_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(path)):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / path.parent / file).resolve() if file else ROOT / path
        known = target.is_relative_to(ROOT) and target.exists()
        if not known or (anchor and anchor not in anchors(target.relative_to(ROOT))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", documents(), ids=str)
def test_every_test_that_a_document_names_exists(path: Path) -> None:
    defined = {name for file in (ROOT / "tests").rglob("test_*.py") for name in _DEFINED.findall(file.read_text())}
    assert set(_TEST.findall(prose(path))) <= defined
