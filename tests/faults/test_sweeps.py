"""One operation fails; `make faults` lets each of them fail in turn."""

from pathlib import Path

import anyio
import pytest
from tests.faults.breaks import DatabaseBreak
from tests.faults.checker import summarize
from tests.faults.sweeps import LASTING, SWEEPS, run, sweep

pytestmark = pytest.mark.anyio

WITHIN_S = 300.0
PASSING = [name for name in SWEEPS if name != LASTING]


@pytest.mark.parametrize("name", PASSING)
async def test_a_failing_operation_costs_nothing_twice_and_loses_nothing(
    tmp_path: Path, name: str
) -> None:
    step = 40 if "statement" in name else 8
    with anyio.fail_after(WITHIN_S):
        summaries = [
            (number, summarize(evidence))
            async for number, evidence in sweep(name, tmp_path, is_unheard=False, step=step)
        ]

    assert len(summaries) >= 3
    assert not [(number, summary) for number, summary in summaries if summary.violations]
    assert not [(number, summary) for number, summary in summaries if summary.paid_but_lost]


@pytest.mark.parametrize("commit", [4, 5, 6])
async def test_a_disk_that_fails_for_good_loses_no_task_id(tmp_path: Path, commit: int) -> None:
    """From the commit on that is about the sending, the acceptance, or what follows it."""
    fault = DatabaseBreak(commit, commits=True, lasts=True)
    with anyio.fail_after(WITHIN_S):
        evidence = await run(fault, tmp_path, is_unheard=False)
    summary = summarize(evidence)

    assert summary.creates == 1
    assert summary.paid_but_lost == 0
    assert not summary.violations


@pytest.mark.parametrize("name", PASSING)
async def test_without_a_failure_a_sweeps_journey_ends_well(tmp_path: Path, name: str) -> None:
    """The harness itself: what is counted is really in the journey's way."""
    fault = SWEEPS[name](0)
    with anyio.fail_after(WITHIN_S):
        evidence = await run(fault, tmp_path, is_unheard=True)

    assert fault.seen > 10
    assert [row.state for row in evidence.ledger.rows] == ["success"]
    assert not summarize(evidence).violations
