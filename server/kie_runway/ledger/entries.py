"""The rows of the SQLite ledger, each change with its event."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, cast

from kie_runway.errors import LedgerError
from kie_runway.ledger.database import Database
from kie_runway.ledger.records import Entry, Event, Transition
from kie_runway.ledger.rows import COLUMNS, SELECT, marks, to_entry, to_ms, to_row, to_time
from kie_runway.models import TaskState


class EntryTable:
    """Reads and changes rows: in one of the database's threads, changes in a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def _db(self) -> sqlite3.Connection:
        return self._database.connection

    def change(self, transition: Transition) -> Entry | None:
        """
        Compare and set; None when the row stood elsewhere.

        The event's INSERT compares: in one transaction nobody comes between it and the UPDATE.
        """
        stands = f"id = ? AND state IN ({marks(transition.expect)})"
        values: list[object] = [transition.entry_id, *transition.expect]
        if transition.owner is not None:
            stands += " AND owner = ?"
            values.append(transition.owner)
        event = self._db.execute(
            "INSERT INTO events (entry_id, account, at, from_state, to_state, detail)"
            f" SELECT id, account, ?, state, ?, ? FROM entries WHERE {stands}",
            (to_ms(transition.at), transition.to, transition.detail, *values),
        )
        if not event.rowcount:
            return None
        self.set(transition.entry_id, {"state": transition.to.value} | to_row(transition.changes))
        return self.get(transition.entry_id)

    def set(self, entry_id: int, values: Mapping[str, Any]) -> None:
        """Set columns; an event, if one is to tell of it, is the caller's."""
        self._db.execute(
            f"UPDATE entries SET {', '.join(f'{name} = :{name}' for name in values)}"
            " WHERE id = :id",
            {**values, "id": entry_id},
        )

    def insert(self, entry: Entry) -> Entry:
        """Add a row, with its first event."""
        values = to_row({name: getattr(entry, name) for name in COLUMNS if name != "id"})
        cursor = self._db.execute(
            f"INSERT INTO entries ({', '.join(values)})"
            f" VALUES ({', '.join(f':{name}' for name in values)})",
            values,
        )
        entry_id = cast(int, cursor.lastrowid)
        self._db.execute(
            "INSERT INTO events (entry_id, account, at, to_state) VALUES (?, ?, ?, ?)",
            (entry_id, entry.account, to_ms(entry.created_at), entry.state),
        )
        return self.get(entry_id)

    def get(self, entry_id: int) -> Entry:
        """
        A row that is there.

        Raises:
            LedgerError: It is not.
        """
        entry = self.one("WHERE id = ?", entry_id)
        if entry is None:
            raise LedgerError(f"The ledger at {self._database.path} lost row {entry_id}.")
        return entry

    def one(self, where: str, *values: object) -> Entry | None:
        """The first row that a WHERE clause finds."""
        row = self._db.execute(f"{SELECT} {where} LIMIT 1", values).fetchone()
        return None if row is None else to_entry(row)

    def by_request(self, account: str, request_id: str) -> Entry | None:
        """The row that a request_id stands for."""
        return self.one(
            "WHERE account = ? AND request_id = ? AND superseded_at IS NULL", account, request_id
        )

    def by_task(self, account: str, task_id: str) -> Entry | None:
        """The row of one of KIE's task ids."""
        return self.one("WHERE account = ? AND task_id = ?", account, task_id)

    def all(self, where: str, *values: object) -> Sequence[Entry]:
        """Every row that a WHERE clause finds."""
        return [to_entry(row) for row in self._db.execute(f"{SELECT} {where}", values)]

    def history(self, entry_id: int) -> Sequence[Event]:
        """What happened to a row, oldest first."""
        rows = self._db.execute(
            "SELECT at, from_state, to_state, detail FROM events WHERE entry_id = ? ORDER BY id",
            (entry_id,),
        )
        return [
            Event(
                to_time(row["at"]),
                TaskState(row["from_state"]) if row["from_state"] else None,
                TaskState(row["to_state"]),
                row["detail"],
            )
            for row in rows
        ]
