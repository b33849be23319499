"""Looks for secrets in everything a test brought forth: outputs, logs, files."""

import base64
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote_to_bytes

PREFIX_CHARS = 6  # whoever finds a longer piece has found this one, too


class Trail:
    """What left the server during a test; each piece with where it was seen."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, bytes]] = []
        self.tokens: list[str] = []
        """Of callback addresses, as they are given out."""

    def note(self, where: str, what: object) -> None:
        """Keep a piece of output; it is turned into text at once, before it can change."""
        raw = what if isinstance(what, bytes) else str(what).encode("utf-8", "backslashreplace")
        self.pieces.append((where, raw))

    def note_files(self, folder: Path) -> None:
        """Keep every file below a folder, whatever its name or kind."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                with suppress(FileNotFoundError):  # a part that got its name just now
                    self.note(f"file {path.name}", path.read_bytes())

    def leaks(self, key: str) -> list[str]:
        """Where a piece of the key is, and in which form."""
        return [f"{where}: {form}" for where, raw in self.pieces for form in leaks_in(raw, key)]

    def token_leaks(self) -> list[str]:
        """The same for the tokens; what the sandbox and strangers log of their own requests is
        no word of the server's."""
        leaks = [leak for token in self.tokens for leak in self.leaks(token)]
        return [leak for leak in leaks if not leak.startswith("log httpx:")]


class TrailHandler(logging.Handler):
    """Keeps every record as text: its message, its arguments, its extras and its traceback."""

    def __init__(self, trail: Trail) -> None:
        super().__init__(logging.NOTSET)
        self._trail = trail
        self._plain = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the record as a whole."""
        where = f"log {record.name}"
        self._trail.note(where, self._plain.format(record))
        self._trail.note(where, {name: repr(value) for name, value in vars(record).items()})


def leaks_in(raw: bytes, key: str) -> list[str]:
    """The forms in which the key, or six characters of its beginning, occurs in some bytes."""
    unquoted = unquote_to_bytes(raw) if b"%" in raw else raw
    return [form for form, piece in _forms(key) if piece in raw or piece in unquoted]


def _forms(key: str) -> Iterator[tuple[str, bytes]]:
    head = key[:PREFIX_CHARS].encode()
    yield "plain", head
    yield "hex", head.hex().encode()
    yield "upper-case hex", head.hex().upper().encode()
    yield "UTF-16", head.decode().encode("utf-16-le")
    for offset in range(3):
        # Base64 depends on where in a triple the key begins; only whole characters of it count.
        encoded = base64.b64encode(bytes(offset) + head)
        whole = encoded[-(-offset * 8 // 6) : (offset + len(head)) * 8 // 6]
        yield f"base64 at offset {offset}", whole
        yield f"URL-safe base64 at offset {offset}", whole.translate(_URL_SAFE)


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
