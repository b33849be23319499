"""Processes killed at chosen moments; `make faults` kills at all of them, and at any."""

from pathlib import Path

import anyio
import pytest
from tests.faults.checker import summarize
from tests.faults.kills import Case, run
from tests.faults.stage import Stage, set_stage

pytestmark = pytest.mark.anyio

WITHIN_S = 300.0


@pytest.mark.parametrize(
    ("case", "state"),
    [
        (Case("", (("after the queued commit", 1),)), "success"),
        (Case("", (("after the submitting commit", 1),)), "unknown"),
        (Case("", (("sent", 1),), is_called_back=True), "success"),
        (
            Case("", (("after the callback is stored", 1),), is_called_back=True, is_unheard=True),
            "success",
        ),
        (Case("", (("before the terminal commit", 1),)), "success"),
        (Case("", (("before the file has its name", 1),)), "success"),
        (Case("", (("statement", 15),), migrates=True), "success"),
    ],
    ids=str,
)
async def test_a_killed_process_costs_nothing_twice_and_loses_nothing_that_can_be_known(
    tmp_path: Path, case: Case, state: str
) -> None:
    with anyio.fail_after(WITHIN_S):
        evidence, deaths = await run(case, tmp_path)
    summary = summarize(evidence)

    assert deaths == len(case.fuses)
    assert not summary.violations
    assert summary.duplicates == 0
    assert [row.state for row in evidence.ledger.rows][-1] == state


@pytest.mark.parametrize(
    ("point", "state"),
    [
        ("after the queued commit", "success"),
        ("sent", "unknown"),
    ],
)
async def test_beside_a_process_that_is_killed_another_one_pays_nothing_twice(
    tmp_path: Path, point: str, state: str
) -> None:
    with anyio.fail_after(WITHIN_S):
        evidence, deaths = await run(Case("", ((point, 1),), has_neighbour=True), tmp_path)
    summary = summarize(evidence)

    assert deaths == 1
    assert not summary.violations
    assert summary.duplicates == 0
    assert [row.state for row in evidence.ledger.rows] == [state]


async def test_a_stage_without_faults_ends_with_a_saved_video(tmp_path: Path) -> None:
    """The harness itself: nothing is found because nothing is wrong, not because nothing ran."""

    def journey(stage: Stage) -> None:
        stage.server.call("generate_video", prompt="a paper boat", request_id="boat")
        stage.finish_all()
        stage.follow("boat")
        stage.server.call("save_video", task_id="boat")
        stage.server.leave()

    with anyio.fail_after(WITHIN_S):
        async with set_stage(tmp_path) as stage:
            await stage.play(journey)
            evidence = stage.evidence()

    assert len(evidence.kie.creates) == len(evidence.videos) == 1
    assert list(evidence.kie.sightings.values()) == [True]
    assert not summarize(evidence).violations
