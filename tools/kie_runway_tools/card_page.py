"""The card as one page: what `card/` holds, put together when somebody reads it."""

import re
from functools import cache
from pathlib import Path

_PART = re.compile(r'<link rel="stylesheet" href="(\w+\.css)" />|<script src="(\w+\.js)"></script>')
# Comments and indentation, which are half of it; the sources hold neither inside strings.
_FOR_READERS = re.compile(r"/\*.*?\*/\s*|^\s*//[^\n]*\n|^\s+", re.DOTALL | re.MULTILINE)


@cache
def card_page() -> str:
    """The HTML of the card, which names no other file."""
    folder = Path(__file__).with_name("card")

    def text(name: str) -> str:
        return _FOR_READERS.sub("", folder.joinpath(name).read_text(encoding="utf-8"))

    def part(found: re.Match[str]) -> str:
        style, script = found.groups()
        return f"<style>\n{text(style)}</style>" if style else f"<script>\n{text(script)}</script>"

    return _PART.sub(part, text("page.html"))
