"""The inbox of callbacks in one SQLite file."""

from datetime import datetime

from kie_runway.errors import LedgerError
from kie_runway.ledger.database import Database
from kie_runway.ledger.entries import EntryTable
from kie_runway.ledger.records import CALLBACKS_PER_ENTRY, Callback, Entry
from kie_runway.ledger.rows import CLOCK_JUMP_MS, to_ms, to_time


class SqliteInbox:
    """The `Inbox` of a `SqliteLedger`."""

    def __init__(self, database: Database, rows: EntryTable) -> None:
        self._database = database
        self._rows = rows

    async def entry_of(self, callback_hash: str) -> Entry | None:
        return await self._database.read(self._rows.one, "WHERE callback_hash = ?", callback_hash)

    async def receive(
        self, entry_id: int, task_id: str, *, signed_at: int | None, now: datetime
    ) -> bool:
        return await self._database.write(self._receive, entry_id, task_id, signed_at, now)

    async def take(self, *, now: datetime, until: datetime) -> Callback | None:
        if await self._database.read(self._next, now) is None:
            return None  # the usual case takes no write lock
        return await self._database.write(self._take, now, until)

    async def settle(self, callback_id: int, outcome: str) -> None:
        await self._database.write(self._settle, callback_id, outcome)

    # Everything below runs in one of the database's threads.

    def _receive(self, entry_id: int, task_id: str, signed_at: int | None, now: datetime) -> bool:
        db = self._database.connection
        values = (entry_id, task_id, signed_at or 0)
        known = db.execute(
            "SELECT id FROM callbacks WHERE entry_id = ? AND task_id = ? AND signed_at = ?", values
        ).fetchone()
        if known is not None:
            return signed_at is None and self._repeat(known["id"], entry_id, now)
        (count,) = db.execute(
            "SELECT count(*) FROM callbacks WHERE entry_id = ?", (entry_id,)
        ).fetchone()
        if count >= CALLBACKS_PER_ENTRY and not self._make_room(entry_id):
            raise LedgerError("The task has too many callbacks that are not confirmed yet.")
        db.execute(
            "INSERT INTO callbacks (entry_id, task_id, signed_at, received_at, due_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (*values, to_ms(now), to_ms(now)),
        )
        return True

    def _make_room(self, entry_id: int) -> bool:
        """Whoever knows an address can send any unsigned callback, and must not keep out KIE's."""
        oldest = "SELECT min(id) FROM callbacks WHERE entry_id = ? AND signed_at = 0"
        cursor = self._database.connection.execute(
            f"DELETE FROM callbacks WHERE id = ({oldest} AND due_at IS NULL)", (entry_id,)
        )
        return cursor.rowcount == 1

    def _repeat(self, callback_id: int, entry_id: int, now: datetime) -> bool:
        """An unsigned callback came again: it may have been too early, or a stranger's, before."""
        db = self._database.connection
        if self._rows.get(entry_id).state.is_terminal:
            return False
        db.execute(
            "UPDATE callbacks SET due_at = ?, received_at = ?, outcome = NULL"
            " WHERE id = ? AND outcome IS NOT NULL",
            (to_ms(now), to_ms(now), callback_id),
        )
        return True

    def _next(self, now: datetime) -> Callback | None:
        row = self._database.connection.execute(
            "SELECT id, entry_id, task_id, received_at FROM callbacks WHERE due_at <= ?"
            " OR (due_at IS NOT NULL AND received_at > ?) ORDER BY due_at LIMIT 1",
            # What was received later than now was so before the clock went back.
            (to_ms(now), to_ms(now) + CLOCK_JUMP_MS),
        ).fetchone()
        if row is None:
            return None
        received_at = to_time(row["received_at"])
        return Callback(row["id"], row["entry_id"], row["task_id"], min(received_at, now))

    def _take(self, now: datetime, until: datetime) -> Callback | None:
        callback = self._next(now)
        if callback is not None:
            self._database.connection.execute(
                "UPDATE callbacks SET due_at = ?, received_at = ? WHERE id = ?",
                (to_ms(until), to_ms(callback.received_at), callback.id),
            )
        return callback

    def _settle(self, callback_id: int, outcome: str) -> None:
        self._database.connection.execute(
            "UPDATE callbacks SET due_at = NULL, outcome = ? WHERE id = ?", (outcome, callback_id)
        )
