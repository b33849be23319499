"""What a ledger keeps, and what its methods take and give."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kie_runway.models import ErrorInfo, TaskKind, TaskState

LOCAL_ACCOUNT = "local"  # the one account of a server that a single user runs
CALLBACKS_PER_ENTRY = 20  # KIE sends one, perhaps four times
DURATIONS_MAX = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One intent: a paid request an agent meant, and the task that came of it.

    Its state only changes by compare and set, with an event in the same transaction. Times are
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
        cls,
        entry_id: int,
        task_id: str,
        *,
        accepted_at: datetime,
        at: datetime,
        detail: str | None = None,
    ) -> "Transition":
        """
        KIE made a task of a row.

        Also of one whose lease ran out meanwhile: KIE's id is worth more than our doubt.
        """
        changes = {
            "task_id": task_id,
            "accepted_at": accepted_at,
            "error": None,
            "owner": None,
            "lease_until": None,
        }
        doubtful = (TaskState.SUBMITTING, TaskState.UNKNOWN)
        return cls(entry_id, doubtful, TaskState.WAIT, at, changes, detail)

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
