"""The ledger in one SQLite file: WAL, fully synchronous, one writer thread."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ParamSpec, TypeVar, cast

from kie_runway.errors import LedgerError, RequestConflictError, TaskIdTakenError
from kie_runway.ledger.base import Entry, Intent, Limit, OnChange, Opened, Transition, Turn
from kie_runway.ledger.migrations import MIGRATIONS
from kie_runway.ledger.rows import COLUMNS, to_entry, to_ms, to_row
from kie_runway.models import ErrorInfo, TaskState

BUSY_TIMEOUT_S = 10.0  # several server processes share one file on a desktop

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM entries"
_UNFINISHED = tuple(state for state in TaskState if not state.is_terminal)
_AT_KIE = tuple(state for state in TaskState if state.is_at_kie)

P = ParamSpec("P")
T = TypeVar("T")


class SqliteLedger:
    """The `Ledger` of one machine; any number of processes may share the file."""

    on_change: OnChange | None

    def __init__(self, path: Path) -> None:
        self.on_change = None
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        await self._run(self._open)

    async def aclose(self) -> None:
        await self._run(self._close)
        self._thread.shutdown()

    async def open_intent(self, intent: Intent, *, now: datetime, since: datetime) -> Opened:
        return await self._commit(self._open_intent, intent, now, since)

    async def take_turn(
        self, entry_id: int, *, owner: str, lease_until: datetime, limit: Limit, now: datetime
    ) -> Turn:
        return await self._commit(self._take_turn, entry_id, owner, lease_until, limit, now)

    async def transition(self, transition: Transition) -> Entry | None:
        return await self._commit(self._transition, transition)

    async def set_file(self, entry_id: int, file: str) -> Entry:
        return await self._commit(self._set_file, entry_id, file)

    async def adopt(self, entry: Entry) -> Entry:
        return await self._commit(self._adopt, entry)

    async def strand(self, *, now: datetime, error: ErrorInfo) -> Sequence[Entry]:
        return await self._commit(self._strand, now, error)

    async def expire(self, *, now: datetime) -> Sequence[Entry]:
        return await self._commit(self._expire, now)

    async def get(self, entry_id: int) -> Entry | None:
        return await self._run(self._one, "WHERE id = ?", entry_id)

    async def find(self, account: str, any_id: str) -> Entry | None:
        return await self._run(self._find, account, any_id)

    async def list(
        self,
        account: str,
        *,
        states: Collection[TaskState] | None = None,
        limit: int,
        before: int | None = None,
    ) -> Sequence[Entry]:
        return await self._run(self._list, account, states, limit, before)

    async def unfinished(self) -> Sequence[Entry]:
        return await self._run(self._in_states, _AT_KIE)

    async def _commit(
        self,
        work: Callable[P, T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a change to its end, announce it, even when the caller is cancelled meanwhile."""

        async def change() -> T:
            result = await self._run(work, *args, **kwargs)
            if self.on_change is not None:
                for entry in _entries_of(result):
                    self.on_change(entry)
            return result

        return await asyncio.shield(asyncio.create_task(change()))

    # Everything below runs in the ledger's thread, each call in one transaction.

    async def _run(
        self,
        work: Callable[P, T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def in_thread() -> T:
            try:
                return work(*args, **kwargs)
            except sqlite3.IntegrityError as exc:
                raise TaskIdTakenError("KIE gave a task id that another task has.") from exc
            except sqlite3.Error as exc:
                raise LedgerError(
                    f"The ledger at {self._path} failed ({exc}). Check disk space and "
                    "permissions, or set KIE_HOME elsewhere."
                ) from exc

        return await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made by hand so that no moment leaves the file readable to others.
            with suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as exc:
            raise LedgerError(
                f"The ledger at {self._path} cannot be made ({exc.strerror}). "
                "Set KIE_HOME to a directory that can be written."
            ) from exc
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=True
        )
        connection.row_factory = sqlite3.Row
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
        connection.execute("PRAGMA foreign_keys = ON")
        self._connection = connection
        self._migrate()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LedgerError("The ledger is not open.")
        return self._connection

    def _migrate(self) -> None:
        with _Writing(self._db):
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                raise LedgerError(
                    f"The ledger at {self._path} was written by a newer version; upgrade first."
                )
            for step in MIGRATIONS[version:]:
                for statement in step.split(";"):
                    self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _open_intent(self, intent: Intent, now: datetime, since: datetime) -> Opened:
        with _Writing(self._db):
            earlier = self._earlier(intent, since)
            if earlier is None:
                return Opened(self._insert(_queued(intent, now)), deduplicated=False)
            if earlier.state is not TaskState.REJECTED:
                return Opened(earlier, deduplicated=True)
            requeue = Transition(
                earlier.id,
                (TaskState.REJECTED,),
                TaskState.QUEUED,
                now,
                {"error": None, "finished_at": None},
            )
            return Opened(self._change(requeue) or earlier, deduplicated=False)

    def _earlier(self, intent: Intent, since: datetime) -> Entry | None:
        if not intent.request_id_chosen:
            states = (*_UNFINISHED, TaskState.SUCCESS, TaskState.FAIL)
            return self._one(
                f"WHERE account = ? AND fingerprint = ? AND state IN ({_marks(states)})"
                f" AND (coalesce(accepted_at, created_at) > ? OR state IN ({_marks(_UNFINISHED)}))"
                " ORDER BY id DESC",
                intent.account,
                intent.fingerprint,
                *states,
                to_ms(since),
                *_UNFINISHED,
            )
        earlier = self._one(
            "WHERE account = ? AND request_id = ?", intent.account, intent.request_id
        )
        if earlier is not None and earlier.fingerprint != intent.fingerprint:
            raise RequestConflictError(
                "This `request_id` already stands for other arguments. Repeat them exactly to get "
                "that task, or choose a new `request_id` for a new, separately paid video."
            )
        return earlier

    def _take_turn(
        self, entry_id: int, owner: str, lease_until: datetime, limit: Limit, now: datetime
    ) -> Turn:
        with _Writing(self._db):
            entry = self._one("WHERE id = ?", entry_id)
            if entry is None or entry.state is not TaskState.QUEUED:
                return Turn()
            window_ms = round(limit.window_s * 1000)
            recent = self._db.execute(
                "SELECT at FROM events WHERE account = ? AND to_state = 'submitting' AND at > ?"
                " ORDER BY at DESC LIMIT 1 OFFSET ?",
                (entry.account, to_ms(now) - window_ms, limit.creates - 1),
            ).fetchone()
            if recent is not None:
                wait_s = (recent["at"] + window_ms - to_ms(now)) / 1000
                return Turn(wait_s=min(wait_s, limit.window_s))  # the clock may have gone back
            return Turn(
                entry=self._change(
                    Transition(
                        entry_id,
                        (TaskState.QUEUED,),
                        TaskState.SUBMITTING,
                        now,
                        {"owner": owner, "lease_until": lease_until},
                    )
                )
            )

    def _transition(self, transition: Transition) -> Entry | None:
        with _Writing(self._db):
            return self._change(transition)

    def _set_file(self, entry_id: int, file: str) -> Entry:
        with _Writing(self._db):
            self._db.execute("UPDATE entries SET file = ? WHERE id = ?", (file, entry_id))
            return self._get(entry_id)

    def _adopt(self, entry: Entry) -> Entry:
        with _Writing(self._db):
            known = self._one("WHERE account = ? AND task_id = ?", entry.account, entry.task_id)
            return known or self._insert(entry)

    def _find(self, account: str, any_id: str) -> Entry | None:
        return self._one("WHERE account = ? AND task_id = ?", account, any_id) or self._one(
            "WHERE account = ? AND request_id = ?", account, any_id
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
        return self._all(f"{where} ORDER BY id DESC LIMIT ?", *values, limit)

    def _in_states(self, states: Collection[TaskState]) -> Sequence[Entry]:
        return self._all(f"WHERE state IN ({_marks(states)}) ORDER BY id", *states)

    def _strand(self, now: datetime, error: ErrorInfo) -> Sequence[Entry]:
        changes = {"owner": None, "lease_until": None, "error": error}
        return self._sweep(
            "state = 'submitting' AND lease_until < ?", TaskState.UNKNOWN, now, changes
        )

    def _expire(self, now: datetime) -> Sequence[Entry]:
        expired = self._sweep("state = 'success' AND expires_at <= ?", TaskState.EXPIRED, now, {})
        revived = self._sweep("state = 'expired' AND expires_at > ?", TaskState.SUCCESS, now, {})
        return [*expired, *revived]

    def _sweep(
        self, where: str, to: TaskState, now: datetime, changes: Mapping[str, Any]
    ) -> Sequence[Entry]:
        """Move every row that time has moved on."""
        if not self._all(f"WHERE {where} LIMIT 1", to_ms(now)):
            return []  # the usual case takes no write lock
        with _Writing(self._db):
            changed = [
                self._change(Transition(entry.id, (entry.state,), to, now, changes))
                for entry in self._all(f"WHERE {where}", to_ms(now))
            ]
        return [entry for entry in changed if entry is not None]

    def _change(self, transition: Transition) -> Entry | None:
        """Compare and set, with its event; the caller holds the transaction."""
        before = self._one("WHERE id = ?", transition.entry_id)
        if before is None or before.state not in transition.expect:
            return None
        if transition.owner is not None and transition.owner != before.owner:
            return None
        values = {"state": transition.to.value} | to_row(transition.changes)
        self._db.execute(
            f"UPDATE entries SET {', '.join(f'{name} = :{name}' for name in values)}"
            " WHERE id = :id",
            values | {"id": before.id},
        )
        self._event(before, before.state, transition.to, transition.at, transition.detail)
        return self._get(before.id)

    def _insert(self, entry: Entry) -> Entry:
        values = to_row({name: getattr(entry, name) for name in COLUMNS if name != "id"})
        cursor = self._db.execute(
            f"INSERT INTO entries ({', '.join(values)})"
            f" VALUES ({', '.join(f':{name}' for name in values)})",
            values,
        )
        inserted = self._get(cast(int, cursor.lastrowid))
        self._event(inserted, None, inserted.state, inserted.created_at, None)
        return inserted

    def _event(
        self,
        entry: Entry,
        before: TaskState | None,
        after: TaskState,
        at: datetime,
        detail: str | None,
    ) -> None:
        self._db.execute(
            "INSERT INTO events (entry_id, account, at, from_state, to_state, detail)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (entry.id, entry.account, to_ms(at), before, after, detail),
        )

    def _get(self, entry_id: int) -> Entry:
        entry = self._one("WHERE id = ?", entry_id)
        if entry is None:
            raise LedgerError(f"The ledger at {self._path} lost row {entry_id}.")
        return entry

    def _one(self, where: str, *values: object) -> Entry | None:
        row = self._db.execute(f"{_SELECT} {where} LIMIT 1", values).fetchone()
        return None if row is None else to_entry(row)

    def _all(self, where: str, *values: object) -> Sequence[Entry]:
        return [to_entry(row) for row in self._db.execute(f"{_SELECT} {where}", values)]


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switching does not wait for other processes that open the file, so ask again."""
    deadline = monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if monotonic() > deadline:
                raise
            sleep(0.01)
        else:
            return


class _Writing:
    """One write transaction: taken at once, so that two processes never both decide."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


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
