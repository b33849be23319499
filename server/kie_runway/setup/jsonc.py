"""JSON with comments and trailing commas, read with where everything stands."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

BOM = "\ufeff"
MAX_DEPTH = 100

_SPACE = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile("|".join(_WORDS))


def is_blank(text: str) -> bool:
    """Whether there is nothing in a text, which is no JSON, but no fault either."""
    return not text.removeprefix(BOM).strip(" \t\r\n")


class JsoncError(Exception):
    """
    The text is no JSON, not even with comments.

    Attributes:
        line: Where it stops being that; the first is 1.
        column: In characters; the first is 1.
    """

    def __init__(self, reason: str, text: str, at: int) -> None:
        before = text[:at].removeprefix(BOM).replace("\r\n", "\n").replace("\r", "\n")
        self.line = before.count("\n") + 1
        self.column = len(before) - (before.rfind("\n") + 1) + 1
        super().__init__(f"line {self.line}, column {self.column}: {reason}")


@dataclass(frozen=True, slots=True)
class Value:
    """A string, number, word, object or array, and where in the text it stands."""

    start: int
    end: int
    plain: object = field(repr=False)
    """The same as `json.loads` would give it; the last of several equal keys counts."""


@dataclass(frozen=True, slots=True)
class Element:
    """A member of an object, or an item of an array."""

    start: int
    """Of the key, where there is one."""
    value: Value
    comma: int | None
    """Where the comma behind it is."""
    key: str | None = None

    @property
    def end(self) -> int:
        return self.value.end


@dataclass(frozen=True, slots=True)
class Container(Value):
    """An object or array."""

    elements: Sequence[Element]

    def members(self, key: str) -> Sequence[Element]:
        """All members of that name: usually one or none."""
        return [element for element in self.elements if element.key == key]


@dataclass(frozen=True, slots=True)
class Document:
    """A text, its value, and where its comments are."""

    text: str = field(repr=False)
    root: Value
    comments: Sequence[tuple[int, int]]
    first_extra: int | None
    """Where it first is more than plain JSON: a comment or a trailing comma."""

    def position(self, at: int) -> tuple[int, int]:
        """Line and column of a place, both from 1."""
        place = JsoncError("", self.text, at)
        return place.line, place.column


def parse(text: str) -> Document:
    """
    Read a whole text; a byte order mark may stand before it.

    Raises:
        JsoncError: It is not JSON with comments, or has over a hundred levels.
    """
    return _Reader(text).document()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = len(BOM) if text.startswith(BOM) else 0
        self._comments: list[tuple[int, int]] = []
        self._trailing_commas: list[int] = []

    def document(self) -> Document:
        self._skip()
        root = self._value(0)
        self._skip()
        if self._at < len(self._text):
            raise self._error("the document has ended before this")
        extras = [*(start for start, _ in self._comments), *self._trailing_commas]
        return Document(self._text, root, self._comments, min(extras, default=None))

    def _skip(self) -> None:
        """Go on to what is neither space nor comment."""
        while True:
            self._at = _end(_SPACE, self._text, self._at)
            if not self._text.startswith("/", self._at):
                return
            comment = _COMMENT.match(self._text, self._at)
            if comment is None:
                raise self._error(
                    "a comment does not end" if self._next("/*") else "unexpected character"
                )
            self._comments.append(comment.span())
            self._at = comment.end()

    def _next(self, start: str) -> bool:
        return self._text.startswith(start, self._at)

    def _value(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise self._error("nested too deeply")
        start = self._at
        if self._next("{"):
            members = self._elements("}", depth)
            whole = {member.key: member.value.plain for member in members}
            return Container(start, self._at, whole, members)
        if self._next("["):
            items = self._elements("]", depth)
            return Container(start, self._at, [item.value.plain for item in items], items)
        if self._next('"'):
            string = self._string()
            return Value(start, self._at, string)
        for pattern in (_NUMBER, _WORD):
            if found := pattern.match(self._text, start):
                self._at = found.end()
                word = found[0]
                return Value(start, self._at, _WORDS[word] if word in _WORDS else _number(word))
        raise self._error("a value is missing")

    def _elements(self, close: str, depth: int) -> Sequence[Element]:
        elements: list[Element] = []
        self._at += 1
        self._skip()
        while not self._next(close):
            if elements and elements[-1].comma is None:
                raise self._error(f"a comma or {close} is missing")
            start, key = self._at, None
            if close == "}":
                if not self._next('"'):
                    raise self._error("a name in double quotes is missing")
                key = self._string()
                self._skip()
                if not self._next(":"):
                    raise self._error("a colon is missing")
                self._at += 1
                self._skip()
            value = self._value(depth + 1)
            self._skip()
            comma = self._at if self._next(",") else None
            if comma is not None:
                self._at += 1
                self._skip()
            elements.append(Element(start, value, comma, key))
        if elements and (trailing := elements[-1].comma) is not None:
            self._trailing_commas.append(trailing)
        self._at += 1
        return elements

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            raise self._error("a string does not end, or holds a character that must be escaped")
        self._at = found.end()
        return str(json.loads(found[0]))

    def _error(self, reason: str) -> JsoncError:
        return JsoncError(reason, self._text, self._at)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _number(text: str) -> float:
    # Python refuses to read integers of thousands of digits; others read them as this.
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 300 else float(text)


def as_object(value: object) -> Mapping[str, object]:
    """A plain value's members; none when it is no object."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_array(value: object) -> Sequence[object]:
    """A plain value's items; none when it is no array."""
    return cast("list[object]", value) if isinstance(value, list) else []
