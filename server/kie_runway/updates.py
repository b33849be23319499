"""Brings rows of the ledger up to what KIE says of their tasks."""

from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from kie_runway.clock import Clock
from kie_runway.failures import explain
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Transition
from kie_runway.models import (
    AT_KIE,
    RESULT_LIFETIME,
    ErrorInfo,
    TaskState,
    TaskUpdate,
    request_of,
)
from kie_runway.wire import agrees

GAP_MAX: Final = timedelta(minutes=10)  # longer ones mean that nobody was there to look


class Updates:
    """
    Applies news to rows.

    News may come twice, late, or from several processes: applying it again changes nothing, and
    the first end of a task stands. Each method returns the row as it stands afterwards.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def apply(
        self, entry: Entry, update: TaskUpdate, *, unfinished_at: datetime | None = None
    ) -> Entry:
        """
        What a look-up found.

        Args:
            entry: The row.
            update: The news.
            unfinished_at: When the task was last known to be unfinished; with that, how long
                it took is known well enough to learn from.
        """
        if update.state.is_terminal:
            changes = self._end(entry, update, unfinished_at)
        elif (update.state, update.raw_state) == (entry.state, entry.raw_state):
            return entry
        else:
            changes = {}
        changes["raw_state"] = update.raw_state
        if update.parent_task_id:
            changes["parent_task_id"] = update.parent_task_id
        return await self._change(entry, update.state, changes)

    async def fail(self, entry: Entry, error: ErrorInfo) -> Entry:
        """The task is over without a video."""
        return await self._change(
            entry, TaskState.FAIL, {"finished_at": self._clock.now(), "error": error}
        )

    async def expire(self, entry: Entry) -> Entry:
        """KIE has deleted all it had of the task, however that ended and whenever."""
        expires_at = (entry.accepted_at or entry.created_at) + RESULT_LIFETIME
        return await self._change(
            entry, TaskState.EXPIRED, {"expires_at": expires_at}, "KIE shows no record of it"
        )

    async def read(self, entry: Entry) -> Entry:
        """The row as it stands now."""
        return await self._ledger.get(entry.id) or entry

    def _end(
        self, entry: Entry, update: TaskUpdate, unfinished_at: datetime | None
    ) -> dict[str, Any]:
        now = self._clock.now()
        completed = update.completed_at
        if completed is not None:  # KIE's clock, kept where it is believable
            completed = min(max(completed, entry.accepted_at or completed), now)
        changes: dict[str, Any] = {"finished_at": completed or now, "error": None}
        if update.state is TaskState.FAIL:
            changes["error"] = explain(update.fail_message)
            return changes
        # Nobody may have looked for days, so the 14 days run from the earliest possible moment.
        since = completed or entry.accepted_at
        expires = since and since + RESULT_LIFETIME
        if update.state is TaskState.EXPIRED:
            expires = min(expires or now, now)
        return changes | {
            "expires_at": expires,
            "video_url": update.video_url,
            "thumbnail_url": update.thumbnail_url,
            "took_s": _took_s(entry.accepted_at, unfinished_at, update.completed_at, now),
        }

    async def _change(
        self, entry: Entry, to: TaskState, changes: dict[str, Any], detail: str | None = None
    ) -> Entry:
        changed = await self._ledger.transition(
            Transition(entry.id, AT_KIE, to, self._clock.now(), changes, detail)
        )
        return changed or await self.read(entry)


def is_of(entry: Entry, update: TaskUpdate) -> bool:
    """Whether KIE's record of a task holds what a row asked for."""
    try:
        request = request_of(entry.kind, entry.arguments)
    except ValidationError:
        return False
    return agrees(request, update)


def _took_s(
    accepted: datetime | None,
    unfinished: datetime | None,
    completed: datetime | None,
    found: datetime,
) -> float | None:
    """Seconds from acceptance to the end, or to the middle of the gap that it lies in."""
    if accepted is None or accepted >= found:
        return None
    if completed is not None and accepted < completed < found:  # else KIE's clock differs
        return (completed - accepted).total_seconds()
    if unfinished is None or not accepted <= unfinished <= found:
        return None
    gap = found - unfinished
    return None if gap > GAP_MAX else (unfinished + gap / 2 - accepted).total_seconds()
