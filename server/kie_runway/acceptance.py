"""KIE's id for the task that a paid request became, put where it belongs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kie_runway.errors import TaskIdTakenError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Transition
from kie_runway.models import TaskKind, TaskState


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A task id, and what it takes to know the row of its request, or to make one."""

    entry_id: int
    account: str
    request_id: str
    kind: TaskKind
    fingerprint: str | None
    credits: float | None
    parent_task_id: str | None
    arguments: Mapping[str, Any]
    sent_at: datetime | None
    task_id: str
    accepted_at: datetime

    @classmethod
    def of(cls, entry: Entry, task_id: str, accepted_at: datetime) -> "Acceptance":
        """KIE's answer to the request that a row stands for."""
        return cls(
            entry_id=entry.id,
            account=entry.account,
            request_id=entry.request_id,
            kind=entry.kind,
            fingerprint=entry.fingerprint,
            credits=entry.credits,
            parent_task_id=entry.parent_task_id,
            arguments=entry.arguments,
            sent_at=entry.sent_at,
            task_id=task_id,
            accepted_at=accepted_at,
        )

    async def enter(self, ledger: Ledger, *, detail: str | None = None) -> Entry:
        """
        Give the id to the row of its request; that row, or the one that has the id otherwise.

        That can be one which was adopted, because somebody looked the task up before its answer
        arrived: it takes over the request's name. Or a new one, where the request was given up
        for lost and taken for another task.

        Raises:
            TaskIdTakenError: Another request has the id.
            LedgerError: The ledger failed.
        """
        at = self.accepted_at
        accepted = Transition.accepted(
            self.entry_id, self.task_id, accepted_at=at, at=at, detail=detail
        )
        try:
            row = await ledger.transition(accepted)
        except TaskIdTakenError:
            other = await ledger.find(self.account, self.task_id)
            if other is not None and other.supersedes == self.entry_id:
                return other
            joined = None
            if other is not None and self._may_be(other):
                joined = await ledger.join(self.entry_id, self.task_id, now=at)
            if joined is None:
                raise
            return joined
        return row or await self._adopt(ledger)

    async def enter_once_lost(self, ledger: Ledger, *, detail: str) -> Entry:
        """
        The same, where the ledger may have been replaced since.

        Raises:
            TaskIdTakenError, LedgerError: As `enter`.
        """
        row = await ledger.get(self.entry_id)
        if row is not None and self._is_of(row):
            return await self.enter(ledger, detail=detail)
        return await self._adopt(ledger)

    def _may_be(self, row: Entry) -> bool:
        """Whether a task may be this request's: what was known before it left is another."""
        return self.sent_at is None or row.created_at >= self.sent_at

    def _is_of(self, row: Entry) -> bool:
        request = (self.account, self.request_id, self.fingerprint, self.sent_at)
        return request == (row.account, row.request_id, row.fingerprint, row.sent_at)

    async def _adopt(self, ledger: Ledger) -> Entry:
        """The row that has the id; a new one if there is none."""
        namesake = await ledger.find(self.account, self.request_id)
        return await ledger.adopt(
            Entry(
                id=0,
                account=self.account,
                request_id=self.task_id if namesake else self.request_id,
                kind=self.kind,
                state=TaskState.WAIT,
                arguments=self.arguments,
                created_at=self.sent_at or self.accepted_at,
                fingerprint=self.fingerprint,
                credits=self.credits,
                parent_task_id=self.parent_task_id,
                task_id=self.task_id,
                sent_at=self.sent_at,
                accepted_at=self.accepted_at,
            )
        )
