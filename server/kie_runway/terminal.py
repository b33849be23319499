"""What commands print for people: marks, facts behind their names, lines that fit."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from shutil import get_terminal_size
from typing import Literal, cast

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from kie_runway.shown import escaped, one_line

Mark = Literal["done", "warning", "failed", "none"]

_MARKS: dict[Mark, tuple[str, str, str]] = {
    "done": ("✓", "+", "green"),
    "warning": ("!", "!", "yellow"),
    "failed": ("✗", "x", "red"),
    "none": ("·", "-", "dim"),
}


def open_console() -> Console:
    """Stdout with colours where it is a terminal that wants them; never fails on a character."""
    # Not every terminal or pipe can take every character.
    cast(TextIOWrapper, sys.stdout).reconfigure(errors="backslashreplace")
    console = Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        console.size = get_terminal_size()  # rich takes dumb ones for 80 wide
    return console


def refuse(reason: str, code: int) -> int:
    """Say on stderr why nothing was done; returns the exit code."""
    sys.stderr.write(f"{escaped(reason)}\n")
    return code


def mark(console: Console, kind: Mark) -> Text:
    """One character, or its likeness in ASCII where the output takes no other."""
    sign, plain, style = _MARKS[kind]
    try:
        sign.encode(console.encoding)
    except (LookupError, UnicodeEncodeError):
        sign = plain
    return Text(sign, style)


def wrapped(
    console: Console, text: str, indent: int, style: str = "", *, breaks_words: bool = False
) -> Sequence[Text]:
    """
    Running text in lines that fit behind an indent; what may be unsafe to print is escaped.

    What has no space to break at stays whole, for it may be a path, unless `breaks_words`: not
    all languages have spaces.
    """
    width = max(console.width - indent, 20)
    if breaks_words:
        folded = Text(one_line(text), style).wrap(console, width)
        for part in folded:
            part.rstrip()
        return list(folded)
    line, *words = one_line(text).split(" ")
    lines: list[Text] = []
    for word in words:
        if cell_len(line) + 1 + cell_len(word) > width:
            lines.append(Text(line, style))
            line = word
        else:
            line = f"{line} {word}"
    return [*lines, Text(line, style)]


class Facts:
    """
    Prints a headline and facts behind their names; nothing where there is nothing to say.

    Args:
        console: Where to.
        margin: Columns before the names.
        indent: Columns before the facts.
        breaks_words: Whether words break that are longer than a line.
    """

    def __init__(
        self, console: Console, *, margin: int = 2, indent: int = 10, breaks_words: bool = False
    ) -> None:
        self._console = console
        self._breaks_words = breaks_words
        self._margin = " " * margin
        self._indent = indent

    def head(self, kind: Mark, text: str) -> None:
        """A headline with its mark."""
        first, *rest = wrapped(self._console, text, 2, "bold")
        self._console.print(Text.assemble(mark(self._console, kind), " ", first))
        for line in rest:
            self._console.print(Text.assemble("  ", line))

    def tell(
        self, name: str, value: str | None, *, style: str = "", is_literal: bool = False
    ) -> None:
        """A fact; what is literal, such as a path, is meant to be copied, and so never broken."""
        if not value:
            return
        if is_literal:
            lines: Sequence[Text] = [Text(escaped(value), style)]
        else:
            lines = wrapped(
                self._console, value, self._indent, style, breaks_words=self._breaks_words
            )
        for line in lines:
            label = f"{self._margin}{escaped(name)}".ljust(self._indent)
            self._console.print(Text.assemble((label, "dim"), line))
            name = ""
