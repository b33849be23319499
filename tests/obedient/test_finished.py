"""Journeys that end with a video: the sentences lead there, and to no charge beyond."""

import anyio
import pytest
from tests.obedient.agent import ObedientAgent, User
from tests.obedient.truth import assert_ends
from tests.obedient.world import SmallWorld
from tests.support import Era

from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio
BOAT = {"prompt": "a paper boat", "request_id": "one"}
PAINT = {"prompt": "as a watercolour", "request_id": "paint"}


async def test_a_video_of_three_minutes_takes_six_calls(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        task = await agent.once("generate_video", **BOAT)
        world.sandbox.task(task["task_id"]).stretch = 3
        await agent.go_on()

    assert_ends(agent, world, "success", charges=1)
    assert agent.steps <= 6


async def test_a_server_that_may_not_wait_is_asked_every_thirty_seconds(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era, max_wait_s=0):
        await agent.run("generate_video", **BOAT)

    assert_ends(agent, world, "success", charges=1)
    assert agent.steps <= 4


async def test_a_video_is_saved_when_the_user_wants_it(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        task = await agent.run("generate_video", **BOAT)
        saved = await agent.run("save_video", task_id=task["task_id"])

    assert await anyio.Path(saved["file"]).exists()
    assert saved["file"] in agent.user.told[-1]
    assert_ends(agent, world, "success", charges=1)


async def test_a_video_that_is_saved_unasked_is_given_as_it_comes(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    world.patient = False
    world.sandbox.inject(Fault("slow_head", "media", seconds=20))
    async with world.server(era, autosave=True):
        await agent.run("generate_video", **BOAT)

    assert_ends(agent, world, "success", charges=1)


async def test_a_video_is_extended_and_restyled(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        task = await agent.run("generate_video", **BOAT)
        longer = await agent.run(
            "extend_video", task_id=task["task_id"], prompt="it sails on", request_id="two"
        )
        await agent.run("aleph_generate", video_url=longer["video_url"], **PAINT)

    assert agent.answer["kind"] == "aleph"
    assert_ends(agent, world, "success", charges=3, unasked=3)


@pytest.mark.parametrize("tool", ["save_video", "extend_video"])
async def test_what_comes_too_early_is_done_once_the_video_is_there(
    world: SmallWorld, agent: ObedientAgent, era: Era, tool: str
) -> None:
    extra = {"prompt": "it sails on", "request_id": "two"} if tool == "extend_video" else {}
    async with world.server(era):
        task = await agent.once("generate_video", **BOAT)
        await agent.run(tool, task_id=task["task_id"], **extra)

    charges = 2 if extra else 1
    assert_ends(agent, world, "success", charges=charges, unasked=charges)
    assert ("file" in agent.answer) == (tool == "save_video")


async def test_an_image_decides_its_own_shape(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    image = {"image_url": "https://media.example.com/in.png", "aspect_ratio": "9:16"}
    async with world.server(era):
        await agent.once("generate_video", **BOAT, **image)
        world.sandbox.finish(agent.answer["task_id"])
        await agent.go_on()

    assert "aspect_ratio was left out" in agent.sentences[0]
    assert_ends(agent, world, "success", charges=1)


async def test_the_same_wish_twice_is_one_video(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        await agent.once("generate_video", prompt="a paper boat")
        await agent.run("generate_video", prompt="a paper boat")

    assert_ends(agent, world, "success", charges=1)


async def test_a_state_that_nobody_knows_is_waited_for_like_any_other(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    world.sandbox.inject(
        Fault("edit", "runway/record-detail", merge={"state": "polishing"}, times=2)
    )
    async with world.server(era, max_wait_s=10):
        await agent.run("generate_video", **BOAT)

    assert any("KIE calls this state polishing" in sentence for sentence in agent.sentences)
    assert_ends(agent, world, "success", charges=1)


async def test_a_request_that_is_still_being_sent_is_followed_by_its_own_id(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    world.patient = False
    world.sandbox.inject(Fault("slow_head", "runway/generate", seconds=50))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert "Use the request_id while there is no task_id." in agent.sentences[0]
    assert_ends(agent, world, "success", charges=1)


async def test_a_download_that_fails_is_made_later(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        task = await agent.run("generate_video", **BOAT)
        world.sandbox.inject(Fault("html_502", "media", times=None))
        world.meanwhile.append(world.sandbox.faults.clear)
        await agent.run("save_video", task_id=task["task_id"])

    assert await anyio.Path(agent.answer["file"]).exists()
    assert_ends(agent, world, "success", charges=1)


async def test_a_wrong_id_is_put_right(world: SmallWorld, era: Era) -> None:
    agent = ObedientAgent(world, User(change={"task_id": "one"}))
    async with world.server(era):
        await agent.once("generate_video", **BOAT)
        await agent.run("get_task", task_id="no-such-task", wait_seconds=45)

    assert_ends(agent, world, "success", charges=1)
