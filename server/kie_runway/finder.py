"""Finds a task by either of its ids, at KIE if the ledger does not know it."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from kie_runway.clock import Clock
from kie_runway.errors import TaskIdTakenError, UnavailableError, UnknownTaskError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Transition
from kie_runway.looker import Looker
from kie_runway.models import TaskKind, TaskState, TaskUpdate
from kie_runway.updates import Updates, is_of

ASK_S = 25.0
UNKNOWN_MAX = 1000
TASK_MIN: Final = timedelta(seconds=20)  # nothing is generated faster


class Finder:
    """Turns an id that an agent gives into a row."""

    def __init__(self, ledger: Ledger, looker: Looker, clock: Clock) -> None:
        self._ledger = ledger
        self._looker = looker
        self._clock = clock
        self._updates = Updates(ledger, clock)

    async def find(self, account: str, any_id: str, *kinds: TaskKind) -> Entry:
        """
        A task by KIE's id or by its request_id.

        An id that only KIE knows is looked up there and recorded from then on.

        Args:
            account: Whose task.
            any_id: Either id.
            kinds: Of what the task may be, if only KIE knows it; tried in this order.

        Raises:
            UnknownTaskError: Neither the ledger nor KIE knows the id.
            KieError: The ledger does not know it and KIE could not be asked.
        """
        entry = await self._ledger.find(account, any_id)
        if entry is not None:
            return entry
        for kind in kinds:
            update = await self._ask(kind, any_id)
            if update is not None:
                return await self._adopt(account, kind, any_id, update)
        raise UnknownTaskError("No task has this id, neither here nor at KIE.")

    async def _adopt(self, account: str, kind: TaskKind, task_id: str, update: TaskUpdate) -> Entry:
        """Record a task that was made elsewhere, or by a request whose answer was lost."""
        now = self._clock.now()
        while (lost := await self._lost_request(account, kind, update, now)) is not None:
            accepted = Transition.accepted(
                lost.id,
                task_id,
                accepted_at=lost.sent_at or now,
                at=now,
                detail="found by its id",
            )
            try:
                found = await self._ledger.transition(accepted)
            except TaskIdTakenError:  # the same id was asked for twice at once
                break
            if found is not None:  # else another id took this row
                return await self._updates.apply(found, update)
        adopted = Entry(
            id=0,
            account=account,
            request_id=task_id,
            kind=kind,
            state=TaskState.WAIT,
            arguments={"prompt": update.prompt} if update.prompt else {},
            created_at=now,
            task_id=task_id,
            parent_task_id=update.parent_task_id,
        )
        return await self._updates.apply(await self._ledger.adopt(adopted), update)

    async def _lost_request(
        self, account: str, kind: TaskKind, update: TaskUpdate, now: datetime
    ) -> Entry | None:
        """
        The `unknown` row that a task may be of; None if it may be of different requests.

        Rows of one fingerprint ask for the same, so each may take any of their tasks. The last one
        sent does: an earlier one may be all that is left for a task that had ended before.

        Where KIE calls back, it is left to the callback to say so: a task with the same words
        may be an older one.
        """
        unknown = await self._ledger.list(account, states=(TaskState.UNKNOWN,), limit=UNKNOWN_MAX)
        alike = [
            row
            for row in unknown
            if row.callback_hash is None
            and _may_be(row.kind, kind)
            and not _ended_before(row, update, now)
            and is_of(row, update)
        ]
        if len({row.fingerprint for row in alike}) != 1:
            return None
        return max(alike, key=_sent_at)

    async def _ask(self, kind: TaskKind, task_id: str) -> TaskUpdate | None:
        """What KIE says of a task that nobody follows, without its retries taking a minute."""
        try:
            async with asyncio.timeout(ASK_S):
                return await self._looker.look_up(kind, task_id)
        except TimeoutError:
            raise UnavailableError("KIE did not answer in time.") from None


def _may_be(row: TaskKind, asked: TaskKind) -> bool:
    """KIE answers alike about generations and extensions (contract §6.2)."""
    return (row is TaskKind.ALEPH) == (asked is TaskKind.ALEPH)


def _ended_before(row: Entry, update: TaskUpdate, now: datetime) -> bool:
    """Whether a task had ended before a request could have made it."""
    sent_at = _sent_at(row)
    if update.completed_at is not None and update.completed_at < sent_at:
        return True
    return update.state.is_terminal and now - sent_at < TASK_MIN


def _sent_at(row: Entry) -> datetime:
    return row.sent_at or row.created_at
