"""The ledger's promises, for any store."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from kie_runway.ledger.records import (
    Callback,
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
from kie_runway.ledger.uploads import Uploads
from kie_runway.models import ErrorInfo, TaskKind, TaskState

OnChange = Callable[[Entry], None]


class Inbox(Protocol):
    """
    Callbacks, durable before they are acknowledged and kept until they were confirmed.

    All methods raise `LedgerError` when the store cannot be read or written.
    """

    async def entry_of(self, callback_hash: str) -> Entry | None:
        """The row whose callback address has this hash."""
        ...

    async def receive(
        self, entry_id: int, task_id: str, *, signed_at: int | None, now: datetime
    ) -> bool:
        """
        Store a callback; False when it leaves nothing to confirm.

        A signed one counts once for each `signed_at` (Unix seconds). An unsigned one is
        due again each time it comes while the row has not ended. A row keeps
        `CALLBACKS_PER_ENTRY` at most; unsigned ones that were settled make room for others.

        Raises:
            LedgerError: The row is full of others; this one is worth sending again.
        """
        ...

    async def take(self, *, now: datetime, until: datetime) -> Callback | None:
        """The next callback that is due, not due again for any process before `until`."""
        ...

    async def settle(self, callback_id: int, outcome: str) -> None:
        """End a callback: it was confirmed, or refused."""
        ...


class Ledger(Protocol):
    """
    Every paid request and its task, durable before anything is sent.

    `open_intent` and `take_turn` are serialised per account, whatever the process. `now` is the
    caller's clock; a store that machines share may use its own.

    A ledger may be opened with a cap on what an account spends in any 24 hours. Towards it counts
    the estimate of everything that was sent by any process and not certainly refused: also what
    failed, expired or stayed unknown.

    All methods raise `LedgerError` when the store cannot be read or written. A method that
    returned has committed.
    """

    @property
    def inbox(self) -> Inbox:
        """The callbacks, in the same store."""
        ...

    @property
    def uploads(self) -> Uploads:
        """The uploaded contents, in the same store."""
        ...

    def subscribe(self, listener: OnChange) -> None:
        """Call a listener on the event loop with the new row after each committed change."""
        ...

    async def open(self) -> None:
        """Open the store and bring its schema up to date."""
        ...

    async def aclose(self) -> None:
        """Close the store after what was begun."""
        ...

    async def open_intent(
        self,
        intent: Intent,
        *,
        now: datetime,
        since: datetime,
        supersede_before: datetime | None = None,
    ) -> Opened:
        """
        The row of an intent: an earlier one with the same chosen request_id, or, if none was
        chosen, an identical one that is unfinished, or ended as `success` or `fail` and was
        accepted after `since`; else a new `queued` one.

        A rejected row with the same request_id was never billed and is queued again. An `unknown`
        one that was sent before `supersede_before`, if that is given, makes room for a new one.

        Raises:
            RequestConflictError: The request_id stands for other arguments.
            OverBudgetError: Sending it would exceed the cap.
        """
        ...

    async def foresee(
        self,
        intent: Intent,
        *,
        now: datetime,
        since: datetime,
        supersede_before: datetime | None = None,
    ) -> Foreseen:
        """What `open_intent` would do with the same arguments; raises what it would raise."""
        ...

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
        """
        Move a row from queued to submitting if the limit and the cap allow it, in one transaction.

        The clock is read inside: a time from before a wait for the store would count as older,
        and the lease begins then.
        """
        ...

    async def spent(self, account: str, *, now: datetime) -> float:
        """Credits that count towards the cap at that time, by their estimates."""
        ...

    async def extend_leases(self, owner: str, until: datetime) -> None:
        """Say that a process is alive, for every row that it is sending."""
        ...

    async def transition(self, transition: Transition) -> Entry | None:
        """
        Compare and set the state and append an event; None when the row stood elsewhere.

        Raises:
            TaskIdTakenError: Another row of the account has this task id.
        """
        ...

    async def take_look(
        self, entry_id: int, *, now: datetime, known: datetime | None
    ) -> Look | None:
        """
        Ask to look at a task; granted if it is at KIE and `looked_at` is still the `known` one.

        None when there is no such row.
        """
        ...

    async def set_file(self, entry_id: int, file: str) -> Entry:
        """Note where a finished video was saved."""
        ...

    async def take_save(self, *, now: datetime, until: datetime) -> Entry | None:
        """A finished video that is not saved, not offered to any process again before `until`."""
        ...

    async def adopt(self, entry: Entry) -> Entry:
        """Record a task that was made elsewhere; an existing row with its task id is returned."""
        ...

    async def join(self, entry_id: int, task_id: str, *, now: datetime) -> Entry | None:
        """
        A doubtful row turned out to be a task that was adopted: that row takes its place.

        It gets its name and arguments, so that the request_id leads to it. None, and nothing
        changes, if the row is not `submitting` or `unknown`, or no adopted row has the task id.
        """
        ...

    async def get(self, entry_id: int) -> Entry | None:
        """A row by its number."""
        ...

    async def find(self, account: str, any_id: str) -> Entry | None:
        """A row by KIE's task id or by its request_id."""
        ...

    async def list(
        self,
        account: str,
        *,
        states: Collection[TaskState] | None = None,
        limit: int,
        before: int | None = None,
    ) -> Sequence[Entry]:
        """Rows, newest first, older than the row number `before`."""
        ...

    async def at_kie(self) -> Sequence[Entry]:
        """Rows of all accounts that are at KIE and have not ended."""
        ...

    async def history(self, entry_id: int) -> Sequence[Event]:
        """What happened to a row, oldest first."""
        ...

    async def durations(
        self, kind: TaskKind, *, duration: int | None, quality: str | None
    ) -> Sequence[float]:
        """
        Seconds that the latest successes of a kind took, `DURATIONS_MAX` at most.

        Only of tasks with just these arguments; None for one that they do not have.
        """
        ...

    async def moved_elsewhere(self) -> bool:
        """Whether another process has written to the store since the last time this was asked."""
        ...

    async def strand(self, *, now: datetime, error: ErrorInfo) -> Sequence[Entry]:
        """Turn `submitting` rows whose owner let its lease run out into `unknown`."""
        ...

    async def expire(self, *, now: datetime) -> Sequence[Entry]:
        """
        Turn successes whose video KIE has deleted by now into `expired`.

        And back, if it turns out that the clock had been wrong.
        """
        ...
