"""Between an `Entry` and a row of SQLite: times as epoch milliseconds, structures as JSON."""

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from kie_runway.ledger.records import Entry
from kie_runway.models import ErrorInfo, TaskKind, TaskState

CLOCK_JUMP_MS = 60_000  # times further ahead than this were written before the clock went back
COLUMNS = tuple(field.name for field in fields(Entry))
SELECT = f"SELECT {', '.join(COLUMNS)} FROM entries"
_TIMES = (*(name for name in COLUMNS if name.endswith("_at")), "lease_until", "save_after")


def to_ms(at: datetime) -> int:
    """An aware time as epoch milliseconds."""
    return round(at.timestamp() * 1000)


def to_time(ms: int) -> datetime:
    """Epoch milliseconds as an aware time."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def to_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of an entry's fields as SQLite takes them."""

    def convert(value: Any) -> Any:
        if isinstance(value, datetime):
            return to_ms(value)
        if isinstance(value, ErrorInfo):
            return value.model_dump_json(exclude_none=True)
        if isinstance(value, Mapping):
            return json.dumps(value, ensure_ascii=False)
        return value

    return {name: convert(value) for name, value in values.items()}


def to_entry(row: sqlite3.Row) -> Entry:
    """A row of all `COLUMNS`, in order, as an entry."""
    values: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    for name in _TIMES:
        if values[name] is not None:
            values[name] = to_time(values[name])
    values["kind"] = TaskKind(values["kind"])
    values["state"] = TaskState(values["state"])
    values["arguments"] = json.loads(values["arguments"])
    if values["error"] is not None:
        values["error"] = ErrorInfo.model_validate_json(values["error"])
    return Entry(**values)


def marks(values: Collection[object]) -> str:
    """As many `?` as a list in SQL needs."""
    return ", ".join("?" * len(values))
