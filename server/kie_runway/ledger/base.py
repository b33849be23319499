"""The ledger's promises, for any store: rows, transitions, look-ups."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from kie_runway.ledger.uploads import Uploads
from kie_runway.models import ErrorInfo, TaskKind, TaskState

LOCAL_ACCOUNT = "local"  # the one account of a server that a single user runs
CALLBACKS_PER_ENTRY = 20  # KIE sends one, perhaps four times
DURATIONS_MAX = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One intent: a paid request an agent meant, and the task that came of it.

    Its state, task id and results only ever change through `Ledger.transition`. Times are
    aware UTC. `fingerprint` is None for a task that was made elsewhere and only adopted.

    Attributes:
        owner: The process that is sending it, while it is `submitting`, until `lease_until`.
        sent_at: When it last became `submitting`.
        superseded_at: When the user chose to pay again although this one is `unknown`; the new
            row `supersedes` it and has its request_id from then on.
        callback_hash: SHA-256 of the secret part of its callback address, if it has one.
        credits_before: The balance just before it was sent; a hint, others spend as well.
        credits_after: The balance just after an unclear end.
        looked_at: When any process last set out to look at it.
        took_s: Seconds from acceptance to the end, as well as they are known.
        save_after: When the video may next be saved without being asked.
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
    sent_at: datetime | None = None
    superseded_at: datetime | None = None
    supersedes: int | None = None
    callback_hash: str | None = None
    credits_before: float | None = None
    credits_after: float | None = None
    looked_at: datetime | None = None
    took_s: float | None = None
    save_after: datetime | None = None

    @property
    def may_move(self) -> bool:
        """Whether waiting can bring news; for `unknown`, only where KIE may call back."""
        if self.state is TaskState.UNKNOWN:
            return self.callback_hash is not None and self.superseded_at is None
        return self.state.may_move


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a row, written in the same transaction as the change itself."""

    at: datetime
    before: TaskState | None
    after: TaskState
    detail: str | None = None


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
class Foreseen:
    """
    What `open_intent` would do.

    Attributes:
        earlier: The row that would be returned, queued again or superseded, if there is one.
        spends: Whether something would be sent that no earlier call has set out to send.
    """

    earlier: Entry | None
    spends: bool

    @property
    def supersedes(self) -> bool:
        """Whether it would take the place of a request that may have been charged."""
        return self.spends and self.earlier is not None and self.earlier.state is TaskState.UNKNOWN


@dataclass(frozen=True, slots=True)
class Turn:
    """
    The word of the limiter and the cap for one intent that wants to submit.

    `entry` is set when it may submit now, `refused` (the row, rejected) when the cap forbids it;
    otherwise `wait_s` says when to ask again, and None there means that the row is no longer
    ours to submit.
    """

    entry: Entry | None = None
    refused: Entry | None = None
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

    @classmethod
    def accepted(
        cls, entry_id: int, task_id: str, *, at: datetime, now: datetime, detail: str | None = None
    ) -> "Transition":
        """
        KIE made a task of a row.

        Also of one whose lease ran out meanwhile: KIE's id is worth more than our doubt.
        """
        changes = {
            "task_id": task_id,
            "accepted_at": at,
            "error": None,
            "owner": None,
            "lease_until": None,
        }
        doubtful = (TaskState.SUBMITTING, TaskState.UNKNOWN)
        return cls(entry_id, doubtful, TaskState.WAIT, now, changes, detail)

    @classmethod
    def remark(
        cls, entry_id: int, changes: Mapping[str, Any], detail: str, *, at: datetime
    ) -> "Transition":
        """Something was learned of an `unknown` row, which stays `unknown`."""
        return cls(entry_id, (TaskState.UNKNOWN,), TaskState.UNKNOWN, at, changes, detail)


@dataclass(frozen=True, slots=True)
class Look:
    """The row as it stands, and whether the caller is the one to look at KIE now."""

    entry: Entry
    granted: bool


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback that arrived and was stored, and is believed only once KIE confirms it."""

    id: int
    entry_id: int
    task_id: str
    received_at: datetime


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
        Store a callback; False when it changes nothing.

        A signed one counts once for each `signed_at` (Unix seconds). An unsigned one is
        due again each time it comes while the row has not ended. No row takes more than
        `CALLBACKS_PER_ENTRY`.
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
        chosen, an identical one that is unfinished or was made after `since`; else a new
        `queued` one.

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
        lease_until: datetime,
        limit: Limit,
        now: Callable[[], datetime],
        changes: Mapping[str, Any] | None = None,
    ) -> Turn:
        """
        Move a row from queued to submitting if the limit and the cap allow it, in one transaction.

        The clock is read inside: a time from before a wait for the store would count as older.
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

    async def take_look(self, entry_id: int, *, now: datetime, since: datetime) -> Look | None:
        """
        Ask to look at a task; granted if no process has set out to since `since`.

        `since` is the row's `looked_at` as the caller knows it; anything will do while it is
        None. None when there is no such row.
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
        An `unknown` row turned out to be a task that was adopted: that row takes its place.

        It gets its name and arguments, so that the request_id leads to it. None, and nothing
        changes, if the row is not `unknown` or no adopted row has the task id.
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

    async def unfinished(self) -> Sequence[Entry]:
        """Rows of all accounts that are at KIE and have not ended."""
        ...

    async def history(self, entry_id: int) -> Sequence[Event]:
        """What happened to a row, oldest first."""
        ...

    async def durations(self, kind: TaskKind, arguments: Mapping[str, Any]) -> Sequence[float]:
        """
        Seconds that the latest successes of a kind took, `DURATIONS_MAX` at most.

        Only those that agree in `duration` and `quality`, where `arguments` have them.
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
