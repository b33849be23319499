"""Journeys on which the task fails, vanishes, is stuck, or KIE cannot be asked."""

import anyio
import pytest
from tests.obedient.agent import ObedientAgent, User
from tests.obedient.truth import assert_ends
from tests.obedient.world import SmallWorld
from tests.support import Era

from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio
BOAT = {"prompt": "a paper boat", "request_id": "one"}
DAY_S = 24 * 60 * 60
FAILURES = {
    "moderation": (400, "AI moderator"),
    "a full queue": (400, "concurrent generations"),
    "an internal error": (500, "internal error, please try again later."),
    "no cause": (500, "???"),
}


@pytest.mark.parametrize(("code", "message"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("agrees", [True, False])
async def test_a_failed_task_is_paid_for_again_only_if_the_user_agrees(
    world: SmallWorld, era: Era, code: int, message: str, agrees: bool
) -> None:
    agent = ObedientAgent(world, User(agrees=agrees, change={"prompt": "a boat by day"}))
    async with world.server(era):
        task = await agent.once("generate_video", **BOAT)
        world.sandbox.fail(task["task_id"], code, message)
        await agent.go_on()

    assert len(agent.user.asked) == 1
    assert_ends(agent, world, "success" if agrees else "fail", charges=1 + agrees)


async def test_a_failed_aleph_task_is_left_when_the_user_says_no(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        task = await agent.once(
            "aleph_generate",
            prompt="as a watercolour",
            video_url="https://media.example.com/in.mp4",
        )
        world.sandbox.fail(task["task_id"], 500, "internal error, please try again later.")
        await agent.go_on()

    assert_ends(agent, world, "fail", charges=1)


@pytest.mark.parametrize("is_saved", [True, False])
async def test_a_deleted_video_is_told_and_its_file_given(
    world: SmallWorld, agent: ObedientAgent, era: Era, is_saved: bool
) -> None:
    async with world.server(era):
        await agent.run("generate_video", **BOAT)
        if is_saved:
            await agent.run("save_video", task_id="one")
    await world.pass_time(15 * DAY_S)
    async with world.server(era):
        await agent.run("get_task", task_id="one")
        assert_ends(agent, world, "expired", charges=1)
        await agent.run("save_video", task_id="one")

    assert ("file" in agent.answer) == is_saved
    if is_saved:
        assert await anyio.Path(agent.answer["file"]).exists()
    else:
        assert agent.answer["error"]["retry"] == "never"


async def test_a_task_that_is_stuck_is_looked_at_after_an_hour(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    stuck = Fault("edit", "runway/record-detail", merge={"state": "generating"}, times=None)
    world.sandbox.inject(stuck)
    world.meanwhile.append(world.sandbox.faults.clear)
    async with world.server(era):
        await agent.once("generate_video", **BOAT)
    await world.pass_time(3600)
    world.sandbox.inject(stuck)
    world.meanwhile.append(world.sandbox.faults.clear)
    async with world.server(era):
        await agent.go_on()

    assert "Tell the user. In an hour, call get_task again." in agent.sentences
    assert_ends(agent, world, "success", charges=1)


async def test_while_kie_cannot_be_asked_the_task_goes_on(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    world.sandbox.inject(Fault("html_502", "runway/record-detail", times=None))
    world.meanwhile.append(world.sandbox.faults.clear)
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert len(agent.user.told) in (2, 3)  # a look begun during the outage may end after it
    assert_ends(agent, world, "success", charges=1)


async def test_an_outage_that_does_not_end_is_told_and_not_polled(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    world.sandbox.inject(Fault("html_502", "runway/record-detail", times=None))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert agent.steps <= 5
    assert agent.answer["charged"] == "yes"
    assert world.charges == 1


@pytest.mark.parametrize("mends", [True, False])
async def test_a_key_that_fails_meanwhile_is_mended_by_the_user(
    world: SmallWorld, agent: ObedientAgent, era: Era, mends: bool
) -> None:
    refuse = Fault("refuse", "runway/record-detail", status=200, code=401, times=None)
    async with world.server(era):
        await agent.once("generate_video", **BOAT)
        world.sandbox.inject(refuse)
        if mends:
            agent.user.mend = world.sandbox.faults.clear
        await agent.go_on()

    assert "kie.ai/api-key" in agent.user.told[0]
    assert world.charges == 1
    assert agent.answer["charged"] == "yes"
    if mends:
        assert_ends(agent, world, "success", charges=1)
