"""The pages people read, taken apart: blocks, inline code, links, headings."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(`{3,})([\w-]*)\n(.*?)^\1$\n?", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ATTRIBUTE = re.compile(r"\b(?:src|srcset|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    code: str


@dataclass(frozen=True)
class Page:
    """One page; what lies in it is found anew from its text, so that a test may change that."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Where it lies in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def blocks(self) -> list[Block]:
        """Its fenced blocks, in order."""
        return [Block(found[2], found[3]) for found in _FENCE.finditer(self.text)]

    @cached_property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return _FENCE.sub("", self.text)

    @cached_property
    def codes(self) -> list[str]:
        """Its inline code, on one line each; in tables `\\|` stands for a bar."""
        found = (match[2].replace("\\|", "|") for match in _INLINE.finditer(self.prose))
        return [" ".join(code.split()) for code in found]

    @cached_property
    def links(self) -> list[str]:
        """Where links and pictures lead, in Markdown and in HTML."""
        plain = _INLINE.sub("", self.prose)
        return _LINK.findall(plain) + _ATTRIBUTE.findall(plain)

    @cached_property
    def anchors(self) -> set[str]:
        """What can follow a `#` in links to this page, as GitHub forms it."""
        headings = (match[1].replace("`", "") for match in _HEADING.finditer(self.prose))
        kept = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
        return {heading.replace(" ", "-") for heading in kept}


def read(path: Path) -> Page:
    """A page as it is now."""
    return Page(path, path.read_text(encoding="utf-8"))


def all_pages() -> list[Page]:
    """Every page that tells people what to type or what exists."""
    paths = [
        *(README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"),
        *(ROOT / "examples" / "README.md", *sorted(DOCS.glob("*.md"))),
    ]
    return [read(path) for path in paths]
