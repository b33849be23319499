"""What the submitter does where the daily cap is reached."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from tests.server.desk import QuickClock, creates, open_desk, request
from tests.support import serve_sandbox

from kie_runway.errors import NoKeyError, OverBudgetError
from kie_runway.ledger.records import LOCAL_ACCOUNT
from kie_runway.models import TaskState

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]


async def test_of_requests_that_are_queued_together_those_that_fit_are_sent(
    tmp_path: Path,
) -> None:
    """The others are told as rejected and unpaid, and may come again."""
    clock = QuickClock()
    async with serve_sandbox() as (sandbox, settings):
        capped = settings.model_copy(update={"daily_credits": 30.0})
        async with open_desk(capped, tmp_path / "ledger.db", clock) as desk:
            rows = await asyncio.gather(*(desk.start(f"boat {n}", f"r-{n}") for n in range(4)))
            with pytest.raises(OverBudgetError):
                await desk.start("boat 3", "r-3")
            clock.at += timedelta(days=1)
            again = await desk.start("boat 3", "r-3")

        assert creates(sandbox) == 3
    assert [row.state for row in rows].count(TaskState.WAIT) == 2
    late = [row for row in rows if row.state is TaskState.REJECTED]
    assert [row.error and row.error.code for row in late] == ["over_budget"] * 2
    assert again.state is TaskState.WAIT


async def test_what_waits_for_kies_limit_is_refused_at_once_where_the_cap_is_reached(
    tmp_path: Path,
) -> None:
    clock = QuickClock()
    async with serve_sandbox() as (sandbox, settings):
        sandbox.set_credits(10_000)
        capped = settings.model_copy(update={"daily_credits": 12.0 * 18})
        async with open_desk(capped, tmp_path / "ledger.db", clock) as desk:
            rows = await asyncio.gather(*(desk.start(f"boat {n}", f"r-{n}") for n in range(40)))

        assert creates(sandbox) == 18
    assert [row.state for row in rows].count(TaskState.REJECTED) == 22
    assert not clock.slept


async def test_looking_ahead_needs_a_key_as_starting_does(tmp_path: Path) -> None:
    async with serve_sandbox() as (sandbox, settings):
        keyless = settings.model_copy(update={"api_key": None})
        async with open_desk(keyless, tmp_path / "ledger.db") as desk:
            with pytest.raises(NoKeyError):
                await desk.submitter.foresee(LOCAL_ACCOUNT, request(), None)

        assert creates(sandbox) == 0
