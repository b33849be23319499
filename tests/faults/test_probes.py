"""Four things that happen to paid requests sooner or later: they are charged once all the same."""

from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from tests.faults.checker import violations
from tests.faults.stage import WISH, Stage, set_stage

from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio

HANG_S = 1.0  # this client gives up at once
WITHIN_S = 300.0


def answer_is_reset(stage: Stage) -> None:
    """The connection breaks after KIE has the request."""
    stage.in_loop(lambda kie: kie.inject(Fault("lost_answer", "runway/generate")))
    stage.server.call("generate_video", **WISH)


def answer_is_malformed(stage: Stage) -> None:
    """Half of a JSON document."""
    stage.in_loop(lambda kie: kie.inject(Fault("truncated_json", "runway/generate")))
    stage.server.call("generate_video", **WISH)


def client_gives_up(stage: Stage) -> None:
    """KIE hangs, and the client cancels its call."""
    stage.in_loop(lambda kie: kie.inject(Fault("slow_head", "runway/generate", seconds=HANG_S)))
    stage.server.give_up("generate_video", WISH, lambda: stage.await_event("create"))


def client_repeats_itself(stage: Stage) -> None:
    """The identical call, for no reason."""
    for _ in range(3):
        stage.server.call("generate_video", **WISH)


PROBES = (answer_is_reset, answer_is_malformed, client_gives_up, client_repeats_itself)


@pytest.mark.parametrize("is_called_back", [False, True], ids=["", "called back"])
@pytest.mark.parametrize("is_killed", [False, True], ids=["", "killed"])
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.__name__)
async def test_a_broken_answer_a_hang_or_a_repeat_is_charged_once_and_told_truthfully(
    tmp_path: Path, probe: Callable[[Stage], None], is_killed: bool, is_called_back: bool
) -> None:
    def journey(stage: Stage) -> None:
        probe(stage)
        if is_killed:
            stage.server.kill()
        stage.server.call("generate_video", **WISH)
        stage.finish_all()
        stage.follow(WISH["request_id"])
        stage.server.call("generate_video", **WISH)
        stage.server.leave()

    with anyio.fail_after(WITHIN_S):
        async with set_stage(tmp_path, is_called_back=is_called_back) as stage:
            await stage.play(journey)
            evidence = stage.evidence()
    (create,) = evidence.kie.creates
    answers = [call.answer for call in evidence.calls if call.answer is not None]
    last = answers[-1]

    assert not violations(evidence)
    if is_called_back or last["state"] != "unknown":
        assert (last["state"], last["task_id"], last["charged"]) == (
            "success",
            create.task_id,
            "yes",
        )
    for answer in answers:
        if answer["state"] == "unknown":
            assert answer["charged"] == answer["error"]["charged"] == "unknown"
            assert answer["error"]["retry"] == "never"
            assert "Do not start it again" in answer["next"]
            assert "try again" not in str(answer).lower()
