"""The ledger's promises, for any store: rows, transitions, look-ups."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from kie_runway.models import ErrorInfo, TaskKind, TaskState

LOCAL_ACCOUNT = "local"  # the one account of a server that a single user runs


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One intent: a paid request an agent meant, and the task that came of it.

    Its state, task id and results only ever change through `Ledger.transition`. Times are
    aware UTC. `fingerprint` is None for a task that was made elsewhere and only adopted.
    """

    id: int
    account: str
    request_id: str
    kind: TaskKind
    state: TaskState
    arguments: Mapping[str, Any]
    created_at: datetime
    fingerprint: str | None = None
    credits: float | None = None
    task_id: str | None = None
    parent_task_id: str | None = None
    raw_state: str | None = None
    video_url: str | None = None
    thumbnail_url: str | None = None
    file: str | None = None
    error: ErrorInfo | None = None
    accepted_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    owner: str | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What an agent asks for, before it is a row.

    `request_id_chosen` tells an id that the agent chose, and so may repeat, from one that
    was made up because it gave none.
    """

    account: str
    request_id: str
    request_id_chosen: bool
    kind: TaskKind
    arguments: Mapping[str, Any]
    fingerprint: str
    credits: float | None = None
    parent_task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The row of an intent, and whether an earlier call had already made it."""

    entry: Entry
    deduplicated: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """
    The limiter's word for one intent that wants to submit.

    `entry` is set when it may submit now; otherwise `wait_s` says when to ask again, and
    None there means that the row is no longer ours to submit.
    """

    entry: Entry | None = None
    wait_s: float | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `creates` submissions in any `window_s` seconds of one account."""

    creates: int
    window_s: float


@dataclass(frozen=True, slots=True)
class Transition:
    """
    One change of state, done only if the row still stands in `expect`.

    `changes` names the columns to set with it; a value of None clears the column. With `owner`
    the row must still be held by that process.
    """

    entry_id: int
    expect: Collection[TaskState]
    to: TaskState
    at: datetime
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    detail: str | None = None
    owner: str | None = None


OnChange = Callable[[Entry], None]


class Ledger(Protocol):
    """
    Every paid request and its task, durable before anything is sent.

    `open_intent` and `take_turn` are serialised per account, whatever the process. `now` is the
    caller's clock; a store that machines share may use its own.

    All methods raise `LedgerError` when the store cannot be read or written. A method that
    returned has committed.
    """

    on_change: OnChange | None
    """Called on the event loop with the new row after each committed change."""

    async def open(self) -> None:
        """Open the store and bring its schema up to date."""
        ...

    async def aclose(self) -> None:
        """Close the store after what was begun."""
        ...

    async def open_intent(self, intent: Intent, *, now: datetime, since: datetime) -> Opened:
        """
        The row of an intent: an earlier one with the same chosen request_id, or, if none was
        chosen, an identical one that is unfinished or was made after `since`; else a new
        `queued` one.

        A rejected row with the same request_id was never billed and is queued again.

        Raises:
            RequestConflictError: The request_id stands for other arguments.
        """
        ...

    async def take_turn(
        self, entry_id: int, *, owner: str, lease_until: datetime, limit: Limit, now: datetime
    ) -> Turn:
        """Move a row from queued to submitting if the limit allows it, in one transaction."""
        ...

    async def transition(self, transition: Transition) -> Entry | None:
        """
        Compare and set the state and append an event; None when the row stood elsewhere.

        Raises:
            TaskIdTakenError: Another row of the account has this task id.
        """
        ...

    async def set_file(self, entry_id: int, file: str) -> Entry:
        """Note where a finished video was saved."""
        ...

    async def adopt(self, entry: Entry) -> Entry:
        """Record a task that was made elsewhere; an existing row with its task id is returned."""
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

    async def unfinished(self) -> Sequence[Entry]:
        """Rows of all accounts that are at KIE and have not ended."""
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
