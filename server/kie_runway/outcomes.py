"""Writes down how a paid request ended, whatever it takes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from kie_runway.acceptance import Acceptance
from kie_runway.clock import Clock
from kie_runway.errors import (
    KieError,
    KieRunwayError,
    LedgerClosedError,
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

T = TypeVar("T")


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
        KIE made a task of it; the row that then has the task, None if another request has it.

        Raises:
            LedgerError: The ledger failed until the end.
        """
        now = self._clock.now()
        accepted = Acceptance.of(entry, task_id, now)
        enter = partial(accepted.enter, self._ledger)
        try:
            row = await self._commit(entry, TaskState.WAIT, enter, accepted)
        except TaskIdTakenError as exc:
            unusable = OutcomeUnknownError(f"{exc.reason} It was {task_id}.")
            return await self.settle(entry, TaskState.UNKNOWN, unusable)
        if row.id != entry.id:
            log.warning("a task id came to a row that had moved on", extra=_about(entry, row.state))
        return row

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
        settled = Transition(entry.id, (expect,), state, now, changes, _detail(exc), owner=owner)
        row = await self._commit(entry, state, partial(self._ledger.transition, settled))
        if row is None:
            log.error("a paid request ended on a row that had moved on", extra=_about(entry, state))
        return row

    async def _was_stranded(self, entry: Entry) -> bool:
        """Whether others gave this very request up for lost, while this process was held up."""
        row = await self._row(entry)
        return row is not None and (row.state, row.sent_at) == (TaskState.UNKNOWN, entry.sent_at)

    async def _commit(
        self,
        entry: Entry,
        state: TaskState,
        record: Callable[[], Awaitable[T]],
        accepted: Acceptance | None = None,
    ) -> T:
        """What `record` returns, however often it has to be asked; a task id is kept meanwhile."""
        unkept = accepted
        give_up_at: datetime | None = None
        pause_s = COMMIT_PAUSE_S
        while True:
            recording = asyncio.ensure_future(record())
            done, _ = await asyncio.wait({recording}, timeout=PROMPT_S)
            if unkept is not None and not done and await self._rescue.keep(unkept):
                unkept = None
            try:
                return await recording
            except LedgerError as exc:
                extra = {**_about(entry, state), "task_id": accepted and accepted.task_id}
                log.exception("could not record how a paid request ended", extra=extra)
                if isinstance(exc, TaskIdTakenError):
                    raise
                if unkept is not None and await self._rescue.keep(unkept):
                    unkept = None
                if isinstance(exc, LedgerClosedError):
                    raise
                if self._closing.is_set():
                    now = self._clock.now()
                    give_up_at = give_up_at or now + CLOSING
                    if now >= give_up_at:
                        raise
                await self._clock.sleep(pause_s)
                pause_s = min(COMMIT_PAUSE_MAX_S, 2 * pause_s)

    async def _row(self, entry: Entry) -> Entry | None:
        """The row as it stands, if the ledger can be read."""
        try:
            return await self._ledger.get(entry.id)
        except LedgerError:
            return None


def _about(entry: Entry, state: TaskState) -> dict[str, str]:
    return {"request_id": entry.request_id, "state": state.value}


def _detail(exc: KieRunwayError) -> str:
    if isinstance(exc, KieError):
        return f"{exc.code} (HTTP {exc.http_status}, code {exc.body_code})"
    return exc.code
