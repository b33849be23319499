"""Journeys on which the user has set a cap, or wants to be asked about the price."""

from typing import Any

import pytest
from mcp.types import ElicitRequestParams, ElicitResult
from tests.obedient.agent import ObedientAgent
from tests.obedient.truth import assert_ends
from tests.obedient.world import SmallWorld
from tests.support import Era

pytestmark = pytest.mark.anyio
BOAT = {"prompt": "a paper boat", "request_id": "one"}
PLANE = {"prompt": "a paper plane", "request_id": "two"}


@pytest.mark.parametrize("waits_a_day", [True, False])
async def test_what_exceeds_the_cap_is_told_and_made_once_there_is_room(
    world: SmallWorld, agent: ObedientAgent, era: Era, waits_a_day: bool
) -> None:
    agent.user.patience = int(waits_a_day)
    async with world.server(era, daily_credits=20):
        await agent.run("generate_video", **BOAT)
        await agent.run("generate_video", **PLANE)

    assert any("KIE_DAILY_CREDITS" in told for told in agent.user.told)
    assert world.charges == 1 + waits_a_day
    if waits_a_day:
        assert_ends(agent, world, "success", charges=2, unasked=2)


async def test_a_cap_that_the_user_raises_is_no_hindrance(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era, daily_credits=5):
        await agent.once("generate_video", **BOAT)
    agent.user.mend = lambda: None
    async with world.server(era, daily_credits=20):
        await agent.go_on()

    assert_ends(agent, world, "success", charges=1)


async def test_what_exceeds_the_cap_of_any_day_is_told(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era, daily_credits=5):
        await agent.run("generate_video", **BOAT)

    assert "KIE_DAILY_CREDITS" in agent.user.told[-1]
    assert world.charges == 0


@pytest.mark.parametrize(
    ("agrees", "thinks_better"), [(True, False), (False, False), (False, True)]
)
async def test_a_price_that_the_user_is_asked_about_is_paid_if_they_agree(
    world: SmallWorld, agent: ObedientAgent, era: Era, agrees: bool, thinks_better: bool
) -> None:
    agent.user.agrees, agent.user.thinks_better = agrees, thinks_better

    async def answer(context: Any, params: ElicitRequestParams) -> ElicitResult:
        agent.user.asked.append(params.message)
        return ElicitResult(action="accept", content={"proceed": agent.user.agrees})

    async with world.server(era, asked=answer, confirm_credits=10):
        await agent.run("generate_video", **BOAT)

    assert len(agent.user.asked) == 1 + thinks_better
    if agrees or thinks_better:
        assert_ends(agent, world, "success", charges=1)
    else:
        assert "did not agree" in agent.user.told[-1]
        assert world.charges == 0
