"""Journeys on which nobody knows whether the request arrived."""

import pytest
from tests.attacks.hooks import open_site
from tests.obedient.agent import ObedientAgent, User
from tests.obedient.truth import assert_ends
from tests.obedient.world import SmallWorld
from tests.support import Era

from kie_runway_sandbox import Fault
from kie_runway_sandbox.faults import FaultKind

pytestmark = pytest.mark.anyio
BOAT = {"prompt": "a paper boat", "request_id": "one"}
ARRIVED: dict[FaultKind, bool] = {
    "lost_answer": True,
    "truncated_json": True,
    "reset_before": False,
    "html_502": False,
}


@pytest.mark.parametrize(("kind", "arrived"), ARRIVED.items(), ids=ARRIVED)
async def test_what_is_never_resolved_is_left_when_the_user_says_no(
    world: SmallWorld, agent: ObedientAgent, era: Era, kind: FaultKind, arrived: bool
) -> None:
    world.sandbox.inject(Fault(kind, "runway/generate"))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert len(agent.user.asked) == 1
    assert_ends(agent, world, "unknown", charges=int(arrived))


@pytest.mark.parametrize(("kind", "arrived"), ARRIVED.items(), ids=ARRIVED)
async def test_what_is_never_resolved_is_paid_once_more_when_the_user_says_yes(
    world: SmallWorld, era: Era, kind: FaultKind, arrived: bool
) -> None:
    agent = ObedientAgent(world, User(agrees=True))
    world.sandbox.inject(Fault(kind, "runway/generate"))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)
        await agent.once("list_tasks")
        rows = agent.answer["tasks"]
        agent.answer = rows[0]

    assert agent.user.agreed == 1
    assert rows[1]["next"] == "A newer request took its place: call get_task with this request_id."
    assert_ends(agent, world, "success", charges=1 + arrived)


async def test_without_a_balance_the_doubt_is_the_same(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    world.sandbox.inject(Fault("html_502", "chat/credit", times=None))
    world.sandbox.inject(Fault("lost_answer", "aleph/generate"))
    async with world.server(era):
        await agent.run(
            "aleph_generate",
            prompt="as a watercolour",
            video_url="https://media.example.com/in.mp4",
            request_id="one",
        )

    assert not any("balance" in sentence for sentence in agent.sentences)
    assert_ends(agent, world, "unknown", charges=1)


async def test_a_callback_brings_back_what_was_lost(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    agent.user.patience = 4
    world.sandbox.inject(Fault("lost_answer", "runway/generate"))
    async with open_site(world.sandbox, world.settings, era=era) as site:
        world.client = site.agent.client
        await agent.run("generate_video", **BOAT)

    assert "KIE may call back" in agent.sentences[0]
    assert not agent.user.asked
    assert_ends(agent, world, "success", charges=1)


async def test_a_callback_that_never_comes_leaves_it_to_the_user(
    world: SmallWorld, era: Era
) -> None:
    agent = ObedientAgent(world, User(agrees=True, patience=6))
    world.sandbox.inject(Fault("reset_before", "runway/generate"))
    async with open_site(world.sandbox, world.settings, era=era) as site:
        world.client = site.agent.client
        await agent.run("generate_video", **BOAT)

    assert agent.user.agreed == 1
    assert_ends(agent, world, "success", charges=1)


async def test_a_server_that_died_while_sending_leaves_it_unknown(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    world.sandbox.inject(Fault("lost_answer", "runway/generate"))
    async with world.server(era):
        await agent.once("generate_video", **BOAT)
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert agent.steps == 3
    assert_ends(agent, world, "unknown", charges=1)


@pytest.mark.parametrize("tool", ["save_video", "extend_video"])
async def test_nothing_is_made_of_a_video_that_may_not_exist(
    world: SmallWorld, agent: ObedientAgent, era: Era, tool: str
) -> None:
    world.sandbox.inject(Fault("lost_answer", "runway/generate"))
    extra = {"prompt": "on"} if tool == "extend_video" else {}
    async with world.server(era):
        await agent.once("generate_video", **BOAT)
        await agent.run(tool, task_id="one", **extra)

    assert agent.answer["error"]["code"] == "outcome_unknown"
    assert world.charges == 1
