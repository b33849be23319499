"""The ledger in one SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from kie_runway.errors import RequestConflictError
from kie_runway.ledger.base import (
    DURATIONS_MAX,
    Entry,
    Event,
    Intent,
    Limit,
    Look,
    OnChange,
    Opened,
    Transition,
    Turn,
)
from kie_runway.ledger.database import Database
from kie_runway.ledger.entries import EntryTable
from kie_runway.ledger.rows import CLOCK_JUMP_MS, to_ms, to_row
from kie_runway.ledger.sqlite_inbox import SqliteInbox
from kie_runway.models import ErrorInfo, TaskKind, TaskState

LEASE_MAX_MS = 3_600_000
SAVE_AFTER_MAX_MS = 86_400_000

_UNFINISHED = tuple(state for state in TaskState if not state.is_terminal)
_AT_KIE = tuple(state for state in TaskState if state.is_at_kie)

P = ParamSpec("P")
T = TypeVar("T")


class SqliteLedger:
    """The `Ledger` of one machine; any number of processes may share the file."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)
        self._listeners: list[OnChange] = []
        self._rows = EntryTable(self._database)
        self.inbox = SqliteInbox(self._database)

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
        return await self._commit(self._open_intent, intent, now, since, supersede_before)

    async def take_turn(
        self,
        entry_id: int,
        *,
        owner: str,
        lease_until: datetime,
        limit: Limit,
        now: Callable[[], datetime],
        changes: Mapping[str, Any] | None = None,
    ) -> Turn:
        columns = {"owner": owner, "lease_until": lease_until, **(changes or {})}
        return await self._commit(self._take_turn, entry_id, limit, now, columns)

    async def extend_leases(self, owner: str, until: datetime) -> None:
        held = "WHERE state = 'submitting' AND owner = ?"
        if await self._database.read(self._rows.one, held, owner) is not None:
            await self._database.write(self._extend_leases, owner, until)

    async def transition(self, transition: Transition) -> Entry | None:
        return await self._commit(self._rows.change, transition)

    async def take_look(self, entry_id: int, *, now: datetime, since: datetime) -> Look | None:
        return await self._database.write(self._take_look, entry_id, now, since)

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
        revived = "state = 'expired' AND expires_at > ?"
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

    async def unfinished(self) -> Sequence[Entry]:
        return await self._database.read(
            self._rows.all, f"WHERE state IN ({_marks(_AT_KIE)}) ORDER BY id", *_AT_KIE
        )

    async def history(self, entry_id: int) -> Sequence[Event]:
        return await self._database.read(self._rows.history, entry_id)

    async def durations(self, kind: TaskKind, arguments: Mapping[str, Any]) -> Sequence[float]:
        return await self._database.read(self._durations, kind, arguments)

    async def moved_elsewhere(self) -> bool:
        return await self._database.moved_elsewhere()

    async def _commit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a change to its end, announce it, even when the caller is cancelled meanwhile."""

        async def change() -> T:
            result = await self._database.write(work, *args, **kwargs)
            for entry in _entries_of(result):
                for listener in self._listeners:
                    listener(entry)
            return result

        return await asyncio.shield(asyncio.create_task(change()))

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

    # Everything below runs in the database's thread; what changes, in a transaction.

    @property
    def _db(self) -> sqlite3.Connection:
        return self._database.connection

    def _open_intent(
        self, intent: Intent, now: datetime, since: datetime, supersede_before: datetime | None
    ) -> Opened:
        earlier = self._earlier(intent, since)
        if earlier is None:
            return Opened(self._rows.insert(_queued(intent, now)), deduplicated=False)
        if earlier.state is TaskState.REJECTED:
            requeue = Transition(
                earlier.id,
                (TaskState.REJECTED,),
                TaskState.QUEUED,
                now,
                {"error": None, "finished_at": None},
            )
            return Opened(self._rows.change(requeue) or earlier, deduplicated=False)
        if _may_be_superseded(earlier, supersede_before):
            return Opened(self._supersede(earlier, intent, now), deduplicated=False)
        return Opened(earlier, deduplicated=True)

    def _earlier(self, intent: Intent, since: datetime) -> Entry | None:
        if not intent.request_id_chosen:
            states = (*_UNFINISHED, TaskState.SUCCESS, TaskState.FAIL)
            return self._rows.one(
                "WHERE account = ? AND fingerprint = ? AND superseded_at IS NULL"
                f" AND state IN ({_marks(states)})"
                f" AND (coalesce(accepted_at, created_at) > ? OR state IN ({_marks(_UNFINISHED)}))"
                " ORDER BY id DESC",
                intent.account,
                intent.fingerprint,
                *states,
                to_ms(since),
                *_UNFINISHED,
            )
        earlier = self._by_request(intent.account, intent.request_id)
        if earlier is not None and earlier.fingerprint != intent.fingerprint:
            raise RequestConflictError(
                "This `request_id` already stands for other arguments. Repeat them exactly to get "
                "that task, or choose a new `request_id` for a new, separately paid video."
            )
        return earlier

    def _supersede(self, earlier: Entry, intent: Intent, now: datetime) -> Entry:
        """A new row in place of one whose outcome stays unknown; a late callback still finds it."""
        word = "superseded: the user accepts a possible second charge"
        self._rows.change(Transition.remark(earlier.id, {"superseded_at": now}, word, at=now))
        entry = _queued(replace(intent, request_id=earlier.request_id), now)
        return self._rows.insert(replace(entry, supersedes=earlier.id))

    def _take_turn(
        self,
        entry_id: int,
        limit: Limit,
        clock: Callable[[], datetime],
        changes: Mapping[str, Any],
    ) -> Turn:
        now = clock()
        entry = self._rows.one("WHERE id = ?", entry_id)
        if entry is None or entry.state is not TaskState.QUEUED:
            return Turn()
        at, window_ms = to_ms(now), round(limit.window_s * 1000)
        # If the clock went back, submissions from its future happened by now at the latest.
        self._db.execute(
            "UPDATE events SET at = ? WHERE account = ? AND to_state = 'submitting' AND at > ?",
            (at, entry.account, at + CLOCK_JUMP_MS),
        )
        recent = self._db.execute(
            "SELECT at FROM events WHERE account = ? AND to_state = 'submitting' AND at > ?"
            " ORDER BY at DESC LIMIT 1 OFFSET ?",
            (entry.account, at - window_ms, limit.creates - 1),
        ).fetchone()
        if recent is not None:
            return Turn(wait_s=(recent["at"] + window_ms - at) / 1000)
        turn = Transition(
            entry_id,
            (TaskState.QUEUED,),
            TaskState.SUBMITTING,
            now,
            {"sent_at": now, **changes},
        )
        return Turn(entry=self._rows.change(turn))

    def _extend_leases(self, owner: str, until: datetime) -> None:
        self._db.execute(
            "UPDATE entries SET lease_until = ? WHERE state = 'submitting' AND owner = ?",
            (to_ms(until), owner),
        )

    def _take_look(self, entry_id: int, now: datetime, since: datetime) -> Look | None:
        at = to_ms(now)
        # Not `looked_at <= since`: once the clock went back, that would be true for everybody.
        cursor = self._db.execute(
            f"UPDATE entries SET looked_at = ? WHERE id = ? AND state IN ({_marks(_AT_KIE)})"
            " AND (looked_at IS NULL OR looked_at = ?)",
            (at, entry_id, *_AT_KIE, to_ms(since)),
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
        adopted = self._rows.one("WHERE account = ? AND task_id = ?", lost.account, task_id)
        if lost.state is not TaskState.UNKNOWN or adopted is None or adopted.fingerprint:
            return None
        changes, word = {"superseded_at": lost.superseded_at or now}, "joined: its task was adopted"
        self._rows.change(Transition.remark(lost.id, changes, word, at=now))
        values: dict[str, Any] = {"supersedes": lost.id}
        if lost.superseded_at is None:  # else a newer row has the name already
            names = ("request_id", "fingerprint", "arguments", "credits", "created_at")
            values |= to_row({name: getattr(lost, name) for name in names})
        self._rows.set(adopted.id, values)
        return self._rows.get(adopted.id)

    def _find(self, account: str, any_id: str) -> Entry | None:
        by_task = self._rows.one("WHERE account = ? AND task_id = ?", account, any_id)
        return by_task or self._by_request(account, any_id)

    def _by_request(self, account: str, request_id: str) -> Entry | None:
        return self._rows.one(
            "WHERE account = ? AND request_id = ? AND superseded_at IS NULL", account, request_id
        )

    def _list(
        self, account: str, states: Collection[TaskState] | None, limit: int, before: int | None
    ) -> Sequence[Entry]:
        where = "WHERE account = ?"
        values: list[Any] = [account]
        if states is not None:
            where += f" AND state IN ({_marks(states)})"
            values += states
        if before is not None:
            where += " AND id < ?"
            values.append(before)
        return self._rows.all(f"{where} ORDER BY id DESC LIMIT ?", *values, limit)

    def _durations(self, kind: TaskKind, arguments: Mapping[str, Any]) -> Sequence[float]:
        rows = self._db.execute(
            "SELECT took_s FROM entries WHERE kind = ? AND took_s IS NOT NULL"
            " AND json_extract(arguments, '$.duration') IS ?"
            " AND json_extract(arguments, '$.quality') IS ? ORDER BY id DESC LIMIT ?",
            (kind, arguments.get("duration"), arguments.get("quality"), DURATIONS_MAX),
        )
        return [row["took_s"] for row in rows]


def _entries_of(result: object) -> Iterator[Entry]:
    match result:
        case Entry():
            yield result
        case Opened(entry=Entry() as entry) | Turn(entry=Entry() as entry):
            yield entry
        case list():
            yield from cast(list[Entry], result)
        case _:
            return


def _may_be_superseded(entry: Entry, before: datetime | None) -> bool:
    if before is None or entry.state is not TaskState.UNKNOWN or entry.sent_at is None:
        return False
    return entry.sent_at <= before


def _queued(intent: Intent, now: datetime) -> Entry:
    return Entry(
        id=0,
        account=intent.account,
        request_id=intent.request_id,
        kind=intent.kind,
        state=TaskState.QUEUED,
        arguments=intent.arguments,
        created_at=now,
        fingerprint=intent.fingerprint,
        credits=intent.credits,
        parent_task_id=intent.parent_task_id,
    )


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
