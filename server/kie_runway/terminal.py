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

INDENT = 10  # of facts behind their names
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


def wrapped(console: Console, text: str, indent: int, style: str = "") -> Sequence[Text]:
    """
    Running text in lines that fit behind an indent; what may be unsafe to print is escaped.

    What has no space to break at, such as a path, stays whole.
    """
    width = max(console.width - indent, 20)
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
    """Prints a headline and facts behind their names."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def head(self, kind: Mark, text: str) -> None:
        """A headline with its mark."""
        first, *rest = wrapped(self._console, text, 2, "bold")
        self._console.print(Text.assemble(mark(self._console, kind), " ", first))
        for line in rest:
            self._console.print(Text.assemble("  ", line))

    def tell(self, name: str, value: str, *, is_literal: bool = False) -> None:
        """A fact; what is literal, such as a path, is meant to be copied, and so never broken."""
        if is_literal:
            lines: Sequence[Text] = [Text(escaped(value))]
        else:
            lines = wrapped(self._console, value, INDENT)
        for line in lines:
            self._console.print(Text.assemble((f"  {name:{INDENT - 2}}", "dim"), line))
            name = ""
