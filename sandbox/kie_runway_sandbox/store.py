"""Persistence: one SQLite table of JSON documents, or nothing at all."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


class Store:
    """
    Keeps documents by collection and id; `path=None` forgets them at once.

    The sandbox lives in memory and reads the store only when it starts. A write is
    safe once `put` returns, also when the process is killed right after it; a power
    cut may lose the last ones.
    """

    def __init__(self, path: Path | None) -> None:
        self._database: sqlite3.Connection | None = None
        if path is not None:
            # check_same_thread: a sandbox may be made in one thread and served in another.
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.executescript(
                """
                PRAGMA journal_mode = WAL;
                PRAGMA synchronous = OFF;
                CREATE TABLE IF NOT EXISTS documents (
                    collection TEXT NOT NULL,
                    id TEXT NOT NULL,
                    json BLOB NOT NULL,
                    PRIMARY KEY (collection, id)
                ) WITHOUT ROWID;
                """
            )

    def put(self, collection: str, identifier: str, adapter: TypeAdapter[T], value: T) -> None:
        """Write one document, new or changed."""
        if self._database is not None:
            self._database.execute(
                "INSERT INTO documents VALUES (?, ?, ?)"
                " ON CONFLICT (collection, id) DO UPDATE SET json = excluded.json",
                (collection, identifier, adapter.dump_json(value)),
            )

    @contextmanager
    def together(self) -> Generator[None]:
        """All writes inside are kept, or none: a killed process leaves no half of them."""
        if self._database is None:
            yield
            return
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            # Also after an error: memory has changed, and the file has to say the same.
            self._database.execute("COMMIT")

    def load(self, collection: str, adapter: TypeAdapter[T]) -> list[T]:
        """All documents of one collection, in the order of their ids."""
        if self._database is None:
            return []
        rows = self._database.execute(
            "SELECT json FROM documents WHERE collection = ? ORDER BY id", (collection,)
        )
        return [adapter.validate_json(json) for (json,) in rows]

    def clear(self) -> None:
        """Forget everything."""
        if self._database is not None:
            self._database.execute("DELETE FROM documents")

    def close(self) -> None:
        """Close the file; the store is unusable afterwards."""
        if self._database is not None:
            self._database.close()
