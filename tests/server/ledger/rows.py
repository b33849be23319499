"""Rows for the ledger's tests, brought to where a test begins."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Intent, Limit, Opened, Transition
from kie_runway.models import ErrorInfo, TaskKind, TaskState

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
LIMIT = Limit(creates=3, window_s=10)
ENDED = ErrorInfo(code="ended", reason="It ended.", retry="never", charged="unknown")


class OpenLedger(Protocol):
    """Opens the one store of a test, each time as another process would."""

    def __call__(
        self, daily_credits: float | None = None
    ) -> AbstractAsyncContextManager[Ledger]: ...


def clock_at(now: datetime) -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: now


def intent(
    request_id: str = "r-1",
    *,
    chosen: bool = True,
    prompt: str = "a boat",
    account: str = "local",
    credits: float | None = 12,
) -> Intent:
    return Intent(
        account=account,
        request_id=request_id,
        request_id_chosen=chosen,
        kind=TaskKind.GENERATE,
        arguments={"prompt": prompt},
        fingerprint=f"print of {prompt}",
        credits=credits,
    )


async def opened(
    ledger: Ledger, wanted: Intent, *, now: datetime = NOW, since: datetime | None = None
) -> Opened:
    return await ledger.open_intent(wanted, now=now, since=since or now - TEN_MINUTES)


async def submitting(ledger: Ledger, wanted: Intent, *, lease: timedelta = TEN_MINUTES) -> Entry:
    entry = (await opened(ledger, wanted)).entry
    turn = await ledger.take_turn(
        entry.id, owner="me", lease=lease, limit=Limit(100, 10), now=lambda: NOW
    )
    assert turn.entry is not None
    return turn.entry


async def at_kie(ledger: Ledger, wanted: Intent, task_id: str = "task-1") -> Entry:
    entry = await submitting(ledger, wanted)
    accepted = await ledger.transition(
        Transition(entry.id, (TaskState.SUBMITTING,), TaskState.WAIT, NOW, {"task_id": task_id})
    )
    assert accepted is not None
    return accepted


async def unknown(ledger: Ledger, wanted: Intent, *, callback_hash: str | None = None) -> Entry:
    """A row that was sent at `NOW` and never heard of again."""
    entry = (await opened(ledger, wanted)).entry
    turn = await ledger.take_turn(
        entry.id,
        owner="me",
        lease=TEN_MINUTES,
        limit=Limit(100, 10),
        now=lambda: NOW,
        changes={"callback_hash": callback_hash},
    )
    assert turn.entry is not None
    changes = {"owner": None, "lease_until": None, "error": ENDED}
    left = await ledger.transition(
        Transition(entry.id, (TaskState.SUBMITTING,), TaskState.UNKNOWN, NOW, changes)
    )
    assert left is not None
    return left


async def succeeded(
    ledger: Ledger, wanted: Intent, task_id: str = "task-1", **changes: Any
) -> Entry:
    """A row whose video is ready."""
    entry = await at_kie(ledger, wanted, task_id)
    ended = await ledger.transition(
        Transition(entry.id, (TaskState.WAIT,), TaskState.SUCCESS, NOW, changes)
    )
    assert ended is not None
    return ended


def elsewhere(task_id: str = "task-1", *, account: str = "local", at: datetime = NOW) -> Entry:
    """A task that was not made here, before it is adopted."""
    return Entry(
        id=0,
        account=account,
        request_id=task_id,
        kind=TaskKind.GENERATE,
        state=TaskState.WAIT,
        arguments={},
        created_at=at,
        task_id=task_id,
    )
