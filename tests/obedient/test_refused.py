"""Journeys that KIE or this server turns back before anything is charged."""

from typing import Any

import pytest
from tests.attacks.test_not_sent import closed_port
from tests.obedient.agent import ObedientAgent, User
from tests.obedient.truth import assert_ends
from tests.obedient.world import SmallWorld
from tests.support import Era

from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio
BOAT = {"prompt": "a paper boat", "request_id": "one"}


def refuse(code: int, *, times: int | None = 1) -> Fault:
    return Fault("refuse", "runway/generate", status=200, code=code, times=times)


@pytest.mark.parametrize("code", [400, 422, 451])
async def test_what_kie_refuses_is_changed_and_paid_once(
    world: SmallWorld, era: Era, code: int
) -> None:
    agent = ObedientAgent(world, User(change={"prompt": "a paper boat, in daylight"}))
    world.sandbox.inject(refuse(code))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert_ends(agent, world, "success", charges=1)


async def test_what_nobody_can_change_is_told_and_costs_nothing(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    world.sandbox.inject(refuse(400, times=None))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert_ends(agent, world, "rejected", charges=0)


@pytest.mark.parametrize("code", [401, 402, 433, 505])
@pytest.mark.parametrize("mends", [True, False])
async def test_what_only_the_user_can_mend_waits_for_them(
    world: SmallWorld, agent: ObedientAgent, era: Era, code: int, mends: bool
) -> None:
    world.sandbox.inject(refuse(code, times=None))
    if mends:
        agent.user.mend = world.sandbox.faults.clear
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert_ends(agent, world, "success" if mends else "rejected", charges=int(mends))


@pytest.mark.parametrize("code", [429, 455])
@pytest.mark.parametrize("times", [1, None])
async def test_what_passes_is_repeated_later_and_given_up_when_it_does_not(
    world: SmallWorld, agent: ObedientAgent, era: Era, code: int, times: int | None
) -> None:
    world.sandbox.inject(refuse(code, times=times))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert_ends(agent, world, "success" if times else "rejected", charges=1 if times else 0)


async def test_a_kie_that_cannot_be_reached_costs_nothing_and_works_when_it_is_back(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    with closed_port("") as nowhere:
        async with world.server(era, api_url=nowhere):
            await agent.run("generate_video", **BOAT)
    assert_ends(agent, world, "rejected", charges=0)

    agent.user.patience = 1
    async with world.server(era):
        await agent.go_on()
    assert_ends(agent, world, "success", charges=1)


@pytest.mark.parametrize("max_wait_s", [45, 0])
async def test_what_was_never_sent_is_sent_once_after_a_restart(
    world: SmallWorld, agent: ObedientAgent, era: Era, max_wait_s: int
) -> None:
    world.sandbox.inject(refuse(429, times=4))
    async with world.server(era, max_wait_s=max_wait_s):
        await agent.once("generate_video", **BOAT)
    assert agent.answer["state"] == "queued"
    world.sandbox.faults.clear()
    async with world.server(era, max_wait_s=max_wait_s):
        await agent.go_on()

    assert_ends(agent, world, "success", charges=1)


REFUSED_HERE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "what does not go together": ({"duration": 10, "quality": "1080p"}, {"quality": "720p"}),
    "an unknown argument": ({"length": 5}, {"length": None}),
    "a private address": (
        {"image_url": "https://10.0.0.1/a.png"},
        {"image_url": "https://media.example.com/in.png"},
    ),
}


@pytest.mark.parametrize(("wrong", "right"), REFUSED_HERE.values(), ids=REFUSED_HERE)
async def test_what_this_server_refuses_is_changed_and_keeps_its_request_id(
    world: SmallWorld, era: Era, wrong: dict[str, Any], right: dict[str, Any]
) -> None:
    agent = ObedientAgent(world, User(change=right))
    async with world.server(era):
        await agent.run("generate_video", **BOAT, **wrong)

    assert agent.answer["request_id"] == "one"
    assert world.charges == 1


async def test_without_a_key_the_user_is_told_how_to_get_one(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era, api_key=None):
        await agent.run("generate_video", **BOAT)

    assert "kie.ai/api-key" in agent.user.told[-1]
    assert world.charges == 0


@pytest.mark.parametrize("agrees", [True, False])
async def test_a_request_id_that_is_taken_is_no_reason_to_pay(
    world: SmallWorld, era: Era, agrees: bool
) -> None:
    agent = ObedientAgent(world, User(agrees=agrees, change={"request_id": "two"}))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)
        await agent.run("generate_video", **BOAT | {"prompt": "a paper plane"})

    assert world.charges == 1 + agrees
    assert len(agent.user.asked) == 1
