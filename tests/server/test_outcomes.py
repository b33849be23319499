"""How a paid request ended is written down, however long the ledger refuses."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from tests.server.desk import QuickClock
from tests.server.ledger.rows import intent, submitting

from kie_runway.acceptance import Acceptance
from kie_runway.errors import LedgerError
from kie_runway.leases import Leases
from kie_runway.ledger.records import Entry, Transition
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskState
from kie_runway.outcomes import CLOSING, COMMIT_PAUSE_MAX_S, Outcomes
from kie_runway.rescue import Rescue

pytestmark = pytest.mark.anyio


@dataclass
class Sent:
    """A request that KIE took, and a ledger that refuses to hear of it until `works_after`."""

    entry: Entry
    outcomes: Outcomes
    rescue: Rescue
    clock: QuickClock = field(default_factory=QuickClock)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    refused: int = 0
    works_after: timedelta = timedelta.max
    """Measured from the beginning."""


@asynccontextmanager
async def sent(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Sent]:
    ledger, clock, closing = SqliteLedger(path), QuickClock(), asyncio.Event()
    await ledger.open()
    rescue = Rescue(path)
    leases = Leases(ledger, clock, rescue)
    outcomes = Outcomes(ledger, clock=clock, leases=leases, rescue=rescue, closing=closing)
    entry = await submitting(ledger, intent())
    one = Sent(entry, outcomes, rescue, clock, closing)
    transition, began = ledger.transition, clock.now()

    async def refuse(change: Transition) -> Entry | None:
        if clock.now() - began < one.works_after:
            one.refused += 1
            raise LedgerError("The disk is full.")
        return await transition(change)

    monkeypatch.setattr(ledger, "transition", refuse)
    try:
        yield one
    finally:
        await ledger.aclose()


async def test_a_closing_server_asks_a_ledger_for_most_of_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sent(tmp_path / "ledger.db", monkeypatch) as one:
        one.closing.set()
        one.works_after = CLOSING - timedelta(seconds=COMMIT_PAUSE_MAX_S)
        entry = await one.outcomes.accept(one.entry, "task-1")

    assert entry is not None
    assert (entry.state, entry.task_id) == (TaskState.WAIT, "task-1")


async def test_a_closing_server_does_not_ask_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sent(tmp_path / "ledger.db", monkeypatch) as one:
        one.closing.set()
        with pytest.raises(LedgerError):
            await one.outcomes.accept(one.entry, "task-1")

    assert CLOSING.total_seconds() <= sum(one.clock.slept)
    assert sum(one.clock.slept) < CLOSING.total_seconds() + COMMIT_PAUSE_MAX_S


async def test_a_ledger_that_refuses_for_a_day_gets_the_outcome_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")  # thousands of them
    async with sent(tmp_path / "ledger.db", monkeypatch) as one:
        one.works_after = timedelta(days=1)
        entry = await one.outcomes.accept(one.entry, "task-1")

    assert entry is not None
    assert entry.task_id == "task-1"
    assert max(one.clock.slept) == COMMIT_PAUSE_MAX_S


async def test_an_id_that_no_file_takes_is_offered_again_until_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sent(tmp_path / "ledger.db", monkeypatch) as one:
        offered: list[str] = []

        async def keep(accepted: Acceptance) -> bool:
            offered.append(accepted.task_id)
            return len(offered) == 3

        monkeypatch.setattr(one.rescue, "keep", keep)
        one.works_after = timedelta(minutes=1)
        await one.outcomes.accept(one.entry, "task-1")

    assert offered == ["task-1"] * 3
    assert one.refused > 3
