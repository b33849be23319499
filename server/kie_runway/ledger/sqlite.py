"""The ledger in one SQLite file."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from kie_runway.errors import OutcomeUnknownError, OverBudgetError
from kie_runway.ledger.base import OnChange
from kie_runway.ledger.database import Database
from kie_runway.ledger.entries import EntryTable
from kie_runway.ledger.records import (
    DURATIONS_MAX,
    Entry,
    Event,
    Foreseen,
    Intent,
    Limit,
    Look,
    Opened,
    Transition,
    Turn,
)
from kie_runway.ledger.rows import marks, to_ms, to_row
from kie_runway.ledger.sqlite_inbox import SqliteInbox
from kie_runway.ledger.sqlite_intents import SqliteIntents
from kie_runway.ledger.sqlite_sends import SqliteSends
from kie_runway.ledger.sqlite_uploads import SqliteUploads
from kie_runway.models import AT_KIE, RESULT_LIFETIME, ErrorInfo, TaskKind, TaskState

log = logging.getLogger(__name__)

# Times further ahead than these were written before the clock went back.
LEASE_MAX_MS = 3_600_000
SAVE_AFTER_MAX_MS = 86_400_000

_JOINED = ErrorInfo.of(OutcomeUnknownError("Its task was looked up before its answer came."))


P = ParamSpec("P")
T = TypeVar("T")


class SqliteLedger:
    """The `Ledger` of one machine; any number of processes may share the file."""

    def __init__(self, path: Path, *, daily_credits: float | None = None) -> None:
        self._database = Database(path)
        self._listeners: list[OnChange] = []
        self._rows = EntryTable(self._database)
        self._sends = SqliteSends(self._database, daily_credits)
        self._intents = SqliteIntents(self._rows, self._sends)
        self.inbox = SqliteInbox(self._database, self._rows)
        self.uploads = SqliteUploads(self._database)

    def subscribe(self, listener: OnChange) -> None:
        self._listeners.append(listener)

    async def open(self) -> None:
        await self._database.open()

    async def aclose(self) -> None:
        await self._database.aclose()

    async def open_intent(
        self,
        intent: Intent,
        *,
        now: datetime,
        since: datetime,
        supersede_before: datetime | None = None,
    ) -> Opened:
        return _unless_refused(
            await self._commit(self._intents.open, intent, now, since, supersede_before)
        )

    async def foresee(
        self,
        intent: Intent,
        *,
        now: datetime,
        since: datetime,
        supersede_before: datetime | None = None,
    ) -> Foreseen:
        # Not a read: a clock that went back is mended on the way.
        return _unless_refused(
            await self._database.write(self._intents.foresee, intent, now, since, supersede_before)
        )

    async def take_turn(
        self,
        entry_id: int,
        *,
        owner: str,
        lease: timedelta,
        limit: Limit,
        now: Callable[[], datetime],
        changes: Mapping[str, Any] | None = None,
    ) -> Turn:
        columns = {"owner": owner, **(changes or {})}
        return await self._commit(self._take_turn, entry_id, lease, limit, now, columns)

    async def spent(self, account: str, *, now: datetime) -> float:
        return await self._database.read(self._sends.spent, account, now)

    async def extend_leases(self, owner: str, until: datetime) -> None:
        held = "WHERE state = 'submitting' AND owner = ?"
        if await self._database.read(self._rows.one, held, owner) is not None:
            await self._database.write(self._extend_leases, owner, until)

    async def transition(self, transition: Transition) -> Entry | None:
        return await self._commit(self._rows.change, transition)

    async def take_look(
        self, entry_id: int, *, now: datetime, known: datetime | None
    ) -> Look | None:
        return await self._database.write(self._take_look, entry_id, now, known)

    async def set_file(self, entry_id: int, file: str) -> Entry:
        return await self._commit(self._set_file, entry_id, file)

    async def take_save(self, *, now: datetime, until: datetime) -> Entry | None:
        if await self._database.read(self._unsaved, now) is None:
            return None  # the usual case takes no write lock
        return await self._database.write(self._take_save, now, until)

    async def adopt(self, entry: Entry) -> Entry:
        return await self._commit(self._adopt, entry)

    async def join(self, entry_id: int, task_id: str, *, now: datetime) -> Entry | None:
        return await self._commit(self._join, entry_id, task_id, now)

    async def strand(self, *, now: datetime, error: ErrorInfo) -> Sequence[Entry]:
        ended = "state = 'submitting' AND (lease_until < ? OR lease_until > ?)"
        changes = {"owner": None, "lease_until": None, "error": error}
        values = (to_ms(now), to_ms(now) + LEASE_MAX_MS)
        return await self._sweep(ended, values, TaskState.UNKNOWN, now, changes)

    async def expire(self, *, now: datetime) -> Sequence[Entry]:
        at = (to_ms(now),)
        expired = "state = 'success' AND expires_at <= ?"
        revived = "state = 'expired' AND expires_at > ? AND video_url IS NOT NULL"
        return [
            *await self._sweep(expired, at, TaskState.EXPIRED, now, {}),
            *await self._sweep(revived, at, TaskState.SUCCESS, now, {}),
        ]

    async def get(self, entry_id: int) -> Entry | None:
        return await self._database.read(self._rows.one, "WHERE id = ?", entry_id)

    async def find(self, account: str, any_id: str) -> Entry | None:
        return await self._database.read(self._find, account, any_id)

    async def list(
        self,
        account: str,
        *,
        states: Collection[TaskState] | None = None,
        limit: int,
        before: int | None = None,
    ) -> Sequence[Entry]:
        return await self._database.read(self._list, account, states, limit, before)

    async def at_kie(self) -> Sequence[Entry]:
        return await self._database.read(
            self._rows.all, f"WHERE state IN ({marks(AT_KIE)}) ORDER BY id", *AT_KIE
        )

    async def history(self, entry_id: int) -> Sequence[Event]:
        return await self._database.read(self._rows.history, entry_id)

    async def durations(
        self, kind: TaskKind, *, duration: int | None, quality: str | None
    ) -> Sequence[float]:
        return await self._database.read(self._durations, kind, duration, quality)

    async def moved_elsewhere(self) -> bool:
        return await self._database.moved_elsewhere()

    async def _commit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change to its end, announce it, even when the caller is cancelled meanwhile."""
        change = self._database.write(work, *args, **kwargs)
        change.add_done_callback(self._announce)
        return await asyncio.shield(change)

    def _announce(self, change: asyncio.Future[Any]) -> None:
        if change.exception() is not None:
            return
        for entry in _entries_of(change.result()):
            for listener in self._listeners:
                try:
                    listener(entry)
                except Exception:  # the change is made, and the others want to hear of it
                    log.exception("a listener broke off")

    async def _sweep(
        self,
        where: str,
        values: Sequence[int],
        to: TaskState,
        now: datetime,
        changes: Mapping[str, Any],
    ) -> Sequence[Entry]:
        """Move every row that time has moved on."""
        if not await self._database.read(self._rows.all, f"WHERE {where} LIMIT 1", *values):
            return []  # the usual case takes no write lock

        def sweep() -> Sequence[Entry]:
            changed = [
                self._rows.change(Transition(entry.id, (entry.state,), to, now, changes))
                for entry in self._rows.all(f"WHERE {where}", *values)
            ]
            return [entry for entry in changed if entry is not None]

        return await self._commit(sweep)

    # Everything below runs in one of the database's threads; what changes, in a transaction.

    @property
    def _db(self) -> sqlite3.Connection:
        return self._database.connection

    def _take_turn(
        self,
        entry_id: int,
        lease: timedelta,
        limit: Limit,
        clock: Callable[[], datetime],
        changes: Mapping[str, Any],
    ) -> Turn:
        now = clock()
        entry = self._rows.one("WHERE id = ?", entry_id)
        if entry is None or entry.state is not TaskState.QUEUED:
            return Turn()
        refusal = self._sends.over_budget(entry.account, entry.credits, now)
        if refusal is not None:
            why = {"error": ErrorInfo.of(refusal), "finished_at": now}
            refuse = Transition(
                entry_id, (TaskState.QUEUED,), TaskState.REJECTED, now, why, refusal.code
            )
            return Turn(refused=self._rows.change(refuse))
        wait_s = self._sends.wait_s(entry.account, limit, now)
        if wait_s is not None:
            return Turn(wait_s=wait_s)
        turn = Transition(
            entry_id,
            (TaskState.QUEUED,),
            TaskState.SUBMITTING,
            now,
            {"sent_at": now, "lease_until": now + lease, **changes},
        )
        return Turn(entry=self._rows.change(turn))

    def _extend_leases(self, owner: str, until: datetime) -> None:
        self._db.execute(
            "UPDATE entries SET lease_until = ? WHERE state = 'submitting' AND owner = ?",
            (to_ms(until), owner),
        )

    def _take_look(self, entry_id: int, now: datetime, known: datetime | None) -> Look | None:
        # Not `looked_at <= known`: once the clock went back, that would be true for everybody.
        cursor = self._db.execute(
            f"UPDATE entries SET looked_at = ? WHERE id = ? AND state IN ({marks(AT_KIE)})"
            " AND looked_at IS ?",
            (to_ms(now), entry_id, *AT_KIE, None if known is None else to_ms(known)),
        )
        entry = self._rows.one("WHERE id = ?", entry_id)
        return None if entry is None else Look(entry, granted=cursor.rowcount == 1)

    def _set_file(self, entry_id: int, file: str) -> Entry:
        self._rows.set(entry_id, {"file": file})
        return self._rows.get(entry_id)

    def _unsaved(self, now: datetime) -> Entry | None:
        return self._rows.one(
            "WHERE state = 'success' AND file IS NULL AND expires_at > ?"
            " AND (save_after IS NULL OR save_after <= ? OR save_after > ?) ORDER BY expires_at",
            to_ms(now),
            to_ms(now),
            to_ms(now) + SAVE_AFTER_MAX_MS,
        )

    def _take_save(self, now: datetime, until: datetime) -> Entry | None:
        entry = self._unsaved(now)
        if entry is None:
            return None
        self._rows.set(entry.id, {"save_after": to_ms(until)})
        return self._rows.get(entry.id)

    def _adopt(self, entry: Entry) -> Entry:
        known = self._rows.one("WHERE account = ? AND task_id = ?", entry.account, entry.task_id)
        return known or self._rows.insert(entry)

    def _join(self, entry_id: int, task_id: str, now: datetime) -> Entry | None:
        lost = self._rows.get(entry_id)
        adopted = self._rows.by_task(lost.account, task_id)
        doubtful = (TaskState.SUBMITTING, TaskState.UNKNOWN)
        if lost.state not in doubtful or adopted is None or adopted.fingerprint:
            return None
        changes = {
            "superseded_at": lost.superseded_at or now,
            "owner": None,
            "lease_until": None,
            "error": lost.error or _JOINED,
        }
        word = "joined: its task was adopted"
        self._rows.change(Transition(lost.id, doubtful, TaskState.UNKNOWN, now, changes, word))
        accepted_at = adopted.accepted_at or lost.sent_at or now
        values: dict[str, Any] = {
            "supersedes": lost.id,
            "kind": lost.kind,
            "sent_at": lost.sent_at,
            "accepted_at": accepted_at,
        }
        if adopted.state is TaskState.SUCCESS:
            values["expires_at"] = adopted.expires_at or accepted_at + RESULT_LIFETIME
        if lost.superseded_at is None:  # else a newer row has the name already
            names = ("request_id", "fingerprint", "arguments", "credits", "created_at")
            values |= {name: getattr(lost, name) for name in names}
        self._rows.set(adopted.id, to_row(values))
        return self._rows.get(adopted.id)

    def _find(self, account: str, any_id: str) -> Entry | None:
        return self._rows.by_task(account, any_id) or self._rows.by_request(account, any_id)

    def _list(
        self, account: str, states: Collection[TaskState] | None, limit: int, before: int | None
    ) -> Sequence[Entry]:
        where = "WHERE account = ?"
        values: list[Any] = [account]
        if states is not None:
            where += f" AND state IN ({marks(states)})"
            values += states
        if before is not None:
            where += " AND id < ?"
            values.append(before)
        return self._rows.all(f"{where} ORDER BY id DESC LIMIT ?", *values, limit)

    def _durations(
        self, kind: TaskKind, duration: int | None, quality: str | None
    ) -> Sequence[float]:
        rows = self._db.execute(
            "SELECT took_s FROM entries WHERE kind = ? AND took_s IS NOT NULL"
            " AND json_extract(arguments, '$.duration') IS ?"
            " AND json_extract(arguments, '$.quality') IS ? ORDER BY id DESC LIMIT ?",
            (kind, duration, quality, DURATIONS_MAX),
        )
        return [row["took_s"] for row in rows]


def _entries_of(result: object) -> Iterator[Entry]:
    match result:
        case Entry():
            yield result
        case Opened(entry=Entry() as entry) | Turn(entry=Entry() as entry):
            yield entry
        case Turn(refused=Entry() as entry):
            yield entry
        case list():
            yield from cast(list[Entry], result)
        case _:
            return


def _unless_refused(result: T | OverBudgetError) -> T:
    if isinstance(result, OverBudgetError):
        raise result
    return result
