"""
Puts a member into a JSON text, or takes it out, and leaves every other byte alone.

`take` undoes `put` exactly, by the text alone. For that, an object or array that `put` had to make
must be told from one that it found empty: in the latter, a space stands before the first line
break, which nobody sees, but whoever made the object would not have put there.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from kie_runway.setup.jsonc import (
    BOM,
    Container,
    Document,
    Element,
    JsoncError,
    as_object,
    is_blank,
    parse,
)

DEFAULT_UNIT = "  "

_INDENTED = re.compile(r'^(\t|[ ]{1,8})["{\[]', re.MULTILINE)
_SPACES = " \t\r\n"


@dataclass(frozen=True)
class Item:
    """A step to the item of an array whose member `key` is a certain text."""

    key: str
    value: str


Path = Sequence[str | Item]
"""Names of members from the outside to the inside; the last step may be an item of an array."""


def put(text: str, path: Path, value: object) -> str:
    """
    The text with a value at a path; what is missing on the way is made.

    What is there already is replaced if it differs. A blank text becomes a document.

    Raises:
        JsoncError: The text is no JSON with comments, something on the way is no object (or no
            array, for an item), or has two members of that name.
    """
    if is_blank(text):
        layout = _Layout("\n", DEFAULT_UNIT)
        return f"{BOM * text.startswith(BOM)}{_write(_made(path, value), layout, '')}\n"
    document = parse(text)
    found = _find(document, path)
    layout = _Layout.of(text)
    if found.element is None:
        return _insert(document, found.containers[-1], found.missing, value, layout)
    there = found.element.value
    if _same(there.plain, value):
        return text
    if _is_on_one_line(text, found.containers[-1]):
        new = json.dumps(value, ensure_ascii=False)
    else:
        new = _write(value, layout, _indent(text, found.element.start))
    return text[: there.start] + new + text[there.end :]


def get(document: Document, path: Path) -> Element | None:
    """What stands at a path. Raises as `put` does."""
    return _find(document, path).element


def take(text: str, path: Path) -> str:
    """
    The text without what stands at a path, and without the objects that `put` made for it.

    Returns:
        The same text if there is nothing; an empty one if nothing else was in it.

    Raises:
        JsoncError: As for `put`.
    """
    document = parse(text)
    found = _find(document, path)
    if found.element is None:
        return text
    element, containers = found.element, list(found.containers)
    while containers and _is_made_for(document, containers[-1], element):
        inner = containers.pop()
        if not containers:
            return ""
        element = next(it for it in containers[-1].elements if it.value is inner)
    return _remove(document, containers[-1], element)


@dataclass(frozen=True)
class _Found:
    """How far a path leads: the containers on it, and what is at its end, or what is missing."""

    containers: Sequence[Container]
    element: Element | None
    missing: Path


def _find(document: Document, path: Path) -> _Found:
    containers: list[Container] = []
    at = document.root
    element = None
    for number, step in enumerate(path):
        wanted, name = (list, "array") if isinstance(step, Item) else (dict, "object")
        if not isinstance(at, Container) or not isinstance(at.plain, wanted):
            raise JsoncError(f"an {name} should stand here", document.text, at.start)
        containers.append(at)
        if isinstance(step, Item):
            matching = [it for it in at.elements if _is_item(it, step)]
        else:
            matching = list(at.members(step))
        if len(matching) > 1:
            raise JsoncError(f"{step} stands here twice", document.text, matching[1].start)
        if not matching:
            return _Found(containers, None, path[number:])
        element = matching[0]
        at = element.value
    return _Found(containers, element, ())


def _is_item(element: Element, step: Item) -> bool:
    return as_object(element.value.plain).get(step.key) == step.value


def _made(missing: Path, value: object) -> object:
    """What is missing on the way, with the value in it."""
    for step in reversed(missing):
        value = [value] if isinstance(step, Item) else {step: value}
    return value


@dataclass(frozen=True)
class _Layout:
    """How a text breaks its lines, and by how much it indents them."""

    newline: str
    unit: str

    @classmethod
    def of(cls, text: str) -> "_Layout":
        line_end = text.find("\n")
        newline = "\r\n" if line_end > 0 and text[line_end - 1] == "\r" else "\n"
        indented = _INDENTED.search(text)
        return cls(newline, indented[1] if indented else DEFAULT_UNIT)


def _insert(
    document: Document, container: Container, missing: Path, value: object, layout: _Layout
) -> str:
    """Put a new element behind all others."""
    text = document.text
    step, *inner = missing
    new = _made(inner, value)
    name = "" if isinstance(step, Item) else f"{json.dumps(step, ensure_ascii=False)}: "
    last = container.elements[-1] if container.elements else None
    if last is None:
        behind = container.start + 1
    else:
        behind = last.end if last.comma is None else last.comma + 1
    at, is_line_comment = _behind_comments(document, behind, container.end)
    before, between, after = text[:behind], text[behind:at], text[at:]
    indent = _indent(text, container.start)
    if last is None:
        child = indent + layout.unit
        space = " " if at == behind else ""
        closing = "" if is_line_comment else layout.newline + indent
        written = _write(new, layout, child)
        return f"{before}{between}{space}{layout.newline}{child}{name}{written}{closing}{after}"
    if _is_on_one_line(text, container):
        lead = f"{layout.newline}{indent}{layout.unit}" if is_line_comment else " "
        written = json.dumps(new, ensure_ascii=False)
    else:
        child = _indent(text, last.start)
        lead = layout.newline + child
        written = _write(new, layout, child)
    if last.comma is None:
        return f"{before},{between}{lead}{name}{written}{after}"
    return f"{before}{between}{lead}{name}{written},{after}"


def _remove(document: Document, container: Container, element: Element) -> str:
    text = document.text
    number = container.elements.index(element)
    start = _space_before(document, element.start)
    end = element.end
    if element.comma is not None:
        return text[:start] + text[end : element.comma] + text[element.comma + 1 :]
    if number > 0:
        comma = container.elements[number - 1].comma
        assert comma is not None  # or it would not have been read
        return text[:comma] + text[comma + 1 : start] + text[end:]
    if "\n" in text[start : element.start]:
        newline = "\r\n" if "\r\n" in text[start : element.start] else "\n"
        closing = newline + _indent(text, container.start)
        if text.startswith(closing, end) and not _ends_in_line_comment(document, start):
            end += len(closing)
    return text[:start] + text[end:]


def _is_made_for(document: Document, container: Container, element: Element) -> bool:
    """Whether a container looks as `put` makes it for this one element."""
    text = document.text
    if len(container.elements) != 1 or element.comma is not None:
        return False
    before = text[container.start + 1 : element.start]
    after = text[element.end : container.end - 1]
    if (before, after) == ("", ""):
        return True
    newline = "\r\n" if before.startswith("\r\n") else "\n"
    return (
        before.startswith(newline)
        and not before.strip(_SPACES)
        and after == newline + _indent(text, container.start)
    )


def _behind_comments(document: Document, start: int, end: int) -> tuple[int, bool]:
    """Behind the last comment from a place on, and whether that one ends with its line."""
    at, is_line_comment = start, False
    for first, last in document.comments:
        if start <= first < end:
            at, is_line_comment = last, document.text.startswith("//", first)
    return at, is_line_comment


def _ends_in_line_comment(document: Document, at: int) -> bool:
    """Whether what stands before a place is a comment that ends with its line."""
    return any(
        end == at and document.text.startswith("//", start) for start, end in document.comments
    )


def _is_on_one_line(text: str, container: Container) -> bool:
    """Whether its last element does not begin a line."""
    start = container.elements[-1].start
    return text[_line_start(text, start) : start].strip(_SPACES + BOM) != ""


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _indent(text: str, at: int) -> str:
    """The white space that the line of a place begins with."""
    start = _line_start(text, at)
    line = text[start:at].removeprefix(BOM)
    return line[: len(line) - len(line.lstrip(" \t"))]


def _space_before(document: Document, at: int) -> int:
    """Where the white space before a place begins; what a comment ends with is no part of it."""
    while at > 0 and document.text[at - 1] in _SPACES and not _ends_in_line_comment(document, at):
        at -= 1
    return at


def _write(value: object, layout: _Layout, indent: str) -> str:
    """A value over several lines, the first of which stands behind something."""
    written = json.dumps(value, indent=layout.unit, ensure_ascii=False)
    return written.replace("\n", layout.newline + indent)


def _same(one: object, other: object) -> bool:
    """As JSON sees it, where 1 is not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
