"""A small storm; `make faults` lets 12,500 requests go wrong."""

from pathlib import Path

import anyio
import pytest
from tests.faults.checker import summarize
from tests.faults.storm import Missed, storm

pytestmark = pytest.mark.anyio

WITHIN_S = 300.0


@pytest.mark.parametrize(("missed", "bursts"), [("attempts", True), ("all", False)])
async def test_a_storm_of_faults_pays_nothing_twice(
    tmp_path: Path, missed: Missed, bursts: bool
) -> None:
    with anyio.fail_after(WITHIN_S):
        evidence, tally = await storm(
            tmp_path, seed="test", intents=60, missed=missed, bursts=bursts
        )
    summary = summarize(evidence)

    assert tally.kinds.total() == 60
    assert summary.creates > 20
    assert summary.duplicates == 0
    assert not summary.violations
    assert not bursts or (tally.waited > 20 and tally.queued > 20)
