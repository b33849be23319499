"""Tasks and the states they pass through, by time or by look-ups."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import TypeAdapter

from kie_runway_sandbox.accounts import TaskKind

State = Literal["wait", "queueing", "generating", "success", "fail"]

# Seconds after the create at which a state begins, at speed 1.
QUEUEING_AT_S = 4.0
GENERATING_AT_S = 10.0
FAIL_AT_S = 16.0
"""As recorded for Aleph (contract §5: failed after 15 to 16 s)."""
SUCCESS_AT_S: dict[TaskKind, float] = {"generate": 60.0, "extend": 60.0, "aleph": 90.0}

PENDING: tuple[State, ...] = ("wait", "queueing", "generating")

RESULT_RETENTION = timedelta(days=14)
"""Generated media are deleted after this (§11)."""
RECORD_RETENTION = timedelta(days=60)
"""Records are deleted after two months (§11)."""


@dataclass(frozen=True)
class Failure:
    """Why a task fails; code 400 for content, format or quota, 500 for the service (§7)."""

    code: int
    message: str


@dataclass
class Task:
    """One paid task."""

    task_id: str
    account: int
    kind: TaskKind
    body: dict[str, Any]
    """The create's body as it was sent."""
    price: Decimal
    created_at: datetime
    video_id: str
    callback_url: str | None = None
    stretch: float = 1.0
    """How many times as long as usual its states take."""
    state: State = "wait"
    failure: Failure | None = None
    """Decided when the task begins generating."""
    finished_at: datetime | None = None
    lookups: int = 0
    """Look-ups answered so far."""

    @property
    def is_finished(self) -> bool:
        """Whether the state is terminal."""
        return self.state not in PENDING

    @property
    def parent_task_id(self) -> str:
        """The extended task; empty for other kinds (§6.2)."""
        return str(self.body["taskId"]) if self.kind == "extend" else ""

    def next_state(self) -> State:
        """The state that follows."""
        match self.state:
            case "wait":
                return "queueing"
            case "queueing":
                return "generating"
            case "generating":
                return "fail" if self.failure else "success"
            case "success" | "fail":
                raise ValueError(f"task {self.task_id} is finished")

    def due_at(self, speed: float) -> datetime:
        """When the next state begins, if time moves the task."""
        offset_s = {
            "queueing": QUEUEING_AT_S,
            "generating": GENERATING_AT_S,
            "success": SUCCESS_AT_S[self.kind],
            "fail": FAIL_AT_S,
        }[self.next_state()]
        return self.created_at + timedelta(seconds=offset_s * self.stretch / speed)

    def due_by_lookups(self, lookups_per_state: int) -> State | None:
        """The pending state this many look-ups show; None: they have finished the task."""
        step = self.lookups // lookups_per_state if lookups_per_state else len(PENDING)
        return PENDING[step] if step < len(PENDING) else None

    def media_expired(self, now: datetime) -> bool:
        """Whether the result's files are gone."""
        return self.finished_at is not None and now - self.finished_at >= RESULT_RETENTION

    def record_expired(self, now: datetime) -> bool:
        """Whether the record itself is gone."""
        return now - self.created_at >= RECORD_RETENTION


TASK = TypeAdapter(Task)
