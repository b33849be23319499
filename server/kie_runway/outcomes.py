"""Writes down how a paid request ended, whatever it takes."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any, Final

from kie_runway.clock import Clock
from kie_runway.errors import (
    KieError,
    KieRunwayError,
    LedgerError,
    OutcomeUnknownError,
    TaskIdTakenError,
)
from kie_runway.leases import Leases
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Transition
from kie_runway.models import ErrorInfo, TaskState
from kie_runway.rescue import Rescue

log = logging.getLogger(__name__)

CLOSING: Final = timedelta(seconds=50)  # then no more; the submitter waits a little longer
PROMPT_S = 0.5  # a ledger that is locked can keep us waiting for 10 s
COMMIT_PAUSE_S = 0.2  # at first; twice as long each time
COMMIT_PAUSE_MAX_S = 10.0


class Outcomes:
    """
    Records the ends of what this process sends.

    A ledger that fails is asked again and again, until it works or the server has been closing
    for `CLOSING`. Meanwhile a task id is kept in a file, for it cannot be had a second time, and
    nobody knows when this process is killed.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Clock,
        leases: Leases,
        rescue: Rescue,
        closing: asyncio.Event,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._leases = leases
        self._rescue = rescue
        self._closing = closing

    async def accept(self, entry: Entry, task_id: str) -> Entry | None:
        """
        KIE made a task of it; the row as it then is, or None if it had moved on.

        Raises:
            LedgerError: The ledger failed until the end.
        """
        now = self._clock.now()
        try:
            accepted = Transition.accepted(entry.id, task_id, accepted_at=now, at=now)
            return await self._commit(entry, accepted)
        except TaskIdTakenError as exc:
            unusable = OutcomeUnknownError(f"{exc.reason} It was {task_id}.")
            return await self.settle(entry, TaskState.UNKNOWN, unusable)

    async def settle(self, entry: Entry, state: TaskState, exc: KieRunwayError) -> Entry | None:
        """
        It ended otherwise; the row as it then is, or None if it had moved on.

        Raises:
            LedgerError: The ledger failed until the end.
        """
        now = self._clock.now()
        expect = TaskState.SUBMITTING
        # Once somebody else has the row, our news is none of its business.
        owner: str | None = self._leases.owner
        if state is not TaskState.UNKNOWN and await self._was_stranded(entry):
            expect, owner, state = TaskState.UNKNOWN, None, TaskState.REJECTED
        changes: dict[str, Any] = {"owner": None, "lease_until": None}
        if state is not TaskState.QUEUED:
            changes["error"] = ErrorInfo.of(exc)
        if state is TaskState.REJECTED:
            changes["finished_at"] = now
        return await self._commit(
            entry,
            Transition(entry.id, (expect,), state, now, changes, _detail(exc), owner=owner),
        )

    async def _was_stranded(self, entry: Entry) -> bool:
        """Whether others gave this very request up for lost, while this process was held up."""
        row = await self._row(entry)
        return row is not None and (row.state, row.sent_at) == (TaskState.UNKNOWN, entry.sent_at)

    async def _commit(self, entry: Entry, transition: Transition) -> Entry | None:
        task_id: str | None = transition.changes.get("task_id")
        extra = {
            "request_id": entry.request_id,
            "state": transition.to.value,
            "task_id": task_id,
        }
        kept = False
        give_up_at: datetime | None = None
        pause_s = COMMIT_PAUSE_S
        while True:
            recording = asyncio.ensure_future(self._ledger.transition(transition))
            done, _ = await asyncio.wait({recording}, timeout=PROMPT_S)
            if task_id is not None and not kept and not done:
                kept = await self._rescue.keep(entry, task_id, transition.at)
            try:
                changed = await recording
            except LedgerError as exc:
                log.exception("could not record how a paid request ended", extra=extra)
                if isinstance(exc, TaskIdTakenError):
                    raise
                if task_id is not None and not kept:
                    kept = await self._rescue.keep(entry, task_id, transition.at)
                if self._closing.is_set():
                    now = self._clock.now()
                    give_up_at = give_up_at or now + CLOSING
                    if now >= give_up_at:
                        raise
                await self._clock.sleep(pause_s)
                pause_s = min(COMMIT_PAUSE_MAX_S, 2 * pause_s)
            else:
                if changed is None and not await self._is_known(entry, task_id):
                    log.error("a paid request ended on a row that had moved on", extra=extra)
                return changed

    async def _is_known(self, entry: Entry, task_id: str | None) -> bool:
        """Whether a callback was faster than the answer that it belongs to."""
        row = await self._row(entry)
        return task_id is not None and row is not None and row.task_id == task_id

    async def _row(self, entry: Entry) -> Entry | None:
        """The row as it stands, if the ledger can be read."""
        try:
            return await self._ledger.get(entry.id)
        except LedgerError:
            return None


def _detail(exc: KieRunwayError) -> str:
    if isinstance(exc, KieError):
        return f"{exc.code} (HTTP {exc.http_status}, code {exc.body_code})"
    return exc.code
