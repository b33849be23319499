"""Journeys through tool errors, which tell of no task: what is left is their `next`."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.obedient.agent import ObedientAgent, User
from tests.obedient.truth import assert_ends
from tests.obedient.world import SmallWorld
from tests.pictures import picture
from tests.support import Era

from kie_runway import uploading
from kie_runway.client import KieClient
from kie_runway_sandbox import Fault
from kie_runway_tools import starting
from kie_runway_tools.results import task_result

pytestmark = pytest.mark.anyio
BOAT = {"prompt": "a paper boat", "request_id": "one"}
PLANE = {"prompt": "a paper plane", "request_id": "two"}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    (tmp_path / "boat.png").write_bytes(picture())
    return tmp_path


def refuse(endpoint: Any, code: int, *, times: int | None = None, **headers: str) -> Fault:
    return Fault("refuse", endpoint, status=200, code=code, times=times, headers=headers)


@pytest.mark.parametrize(("code", "seconds"), [(429, 20), (455, 600), (500, 60)])
async def test_what_passes_while_a_file_is_uploaded_is_repeated_and_paid_once(
    world: SmallWorld, agent: ObedientAgent, era: Era, root: Path, code: int, seconds: int
) -> None:
    world.sandbox.inject(
        refuse("file-stream-upload", code, times=1, **{"Retry-After": str(seconds)})
    )
    async with world.server(era, upload_roots=(root,)):
        await agent.run("generate_video", **BOAT, image_url=(root / "boat.png").as_uri())

    assert f"In {seconds} seconds, " in agent.sentences[0]
    assert_ends(agent, world, "success", charges=1)


async def test_a_file_that_takes_long_is_waited_for_and_paid_once(
    world: SmallWorld,
    agent: ObedientAgent,
    era: Era,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit_s = uploading.GIVEN_WITHIN_S
    monkeypatch.setattr(uploading, "GIVEN_WITHIN_S", 0.0)
    world.meanwhile.append(lambda: monkeypatch.setattr(uploading, "GIVEN_WITHIN_S", limit_s))
    async with world.server(era, upload_roots=(root,)):
        await agent.run("generate_video", **BOAT, image_url=(root / "boat.png").as_uri())

    assert agent.sentences[0] == "In 60 seconds, repeat the paid call with the same request_id."
    assert_ends(agent, world, "success", charges=1)


@pytest.mark.parametrize("mends", [True, False])
async def test_a_key_that_cannot_upload_is_the_users_to_mend(
    world: SmallWorld, agent: ObedientAgent, era: Era, root: Path, mends: bool
) -> None:
    world.sandbox.inject(refuse("file-stream-upload", 401))
    if mends:
        agent.user.mend = world.sandbox.faults.clear
    async with world.server(era, upload_roots=(root,)):
        await agent.run("generate_video", **BOAT, image_url=(root / "boat.png").as_uri())

    assert "kie.ai/api-key" in agent.user.told[0]
    assert world.charges == mends
    if mends:
        assert_ends(agent, world, "success", charges=1)


@pytest.mark.parametrize("code", [429, 455, 500])
async def test_what_is_free_and_passes_is_repeated_and_then_left(
    world: SmallWorld, agent: ObedientAgent, era: Era, code: int
) -> None:
    world.sandbox.inject(refuse("chat/credit", code))
    async with world.server(era):
        await agent.run("get_credits")
        assert agent.steps == 1 + 2
        world.meanwhile.append(world.sandbox.faults.clear)
        agent.user.patience = 1
        await agent.run("get_credits")

    assert "credits" in agent.answer


async def test_a_wrong_argument_of_a_free_tool_is_changed(world: SmallWorld, era: Era) -> None:
    agent = ObedientAgent(world, User(change={"limit": None}))
    async with world.server(era):
        await agent.run("list_tasks", limit=1000)

    assert agent.answer == {"tasks": []}


async def test_a_wrong_id_is_put_right_before_the_video_is_extended(
    world: SmallWorld, era: Era
) -> None:
    agent = ObedientAgent(world, User(change={"task_id": "one"}))
    async with world.server(era):
        await agent.run("generate_video", **BOAT)
        await agent.run("extend_video", **PLANE, task_id="no-such-task")

    assert_ends(agent, world, "success", charges=2, unasked=2)


async def test_an_id_that_is_nowhere_costs_nothing(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        await agent.run("extend_video", **PLANE, task_id="no-such-task")

    assert agent.answer == {"tasks": []}
    assert world.charges == 0


async def test_a_video_in_a_private_network_is_told_and_left_there(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        await agent.run("generate_video", **BOAT)
        world.sandbox.inject(
            Fault("redirect", "media", location="http://169.254.169.254/", times=None)
        )
        await agent.run("save_video", task_id="one")

    assert agent.answer["error"]["code"] == "unsafe_url"
    assert "169.254.169.254" in agent.user.told[-1]
    assert world.charges == 1


async def test_a_file_in_the_way_is_moved_by_the_user(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    async with world.server(era):
        task = await agent.run("generate_video", **BOAT)
        folder = world.settings.videos_dir
        folder.mkdir(exist_ok=True)
        in_the_way = folder / f"generate-{task['task_id']}.mp4"
        in_the_way.write_text("my notes", encoding="utf-8")
        agent.user.mend = in_the_way.unlink
        await agent.run("save_video", task_id="one")

    assert await anyio.Path(agent.answer["file"]).exists()
    assert_ends(agent, world, "success", charges=1)


@pytest.mark.parametrize("was_started", [True, False])
async def test_a_ledger_that_fails_leads_to_no_second_charge(
    world: SmallWorld, agent: ObedientAgent, era: Era, was_started: bool
) -> None:
    path = world.settings.ledger_path
    aside = path.with_name("aside.db")
    agent.user.mend = lambda: aside.rename(path)
    async with world.server(era):
        await agent.once("generate_video", **(BOAT if was_started else PLANE))
        path.rename(aside)
        await agent.run("generate_video", **BOAT)

    assert "moved, deleted or replaced" in agent.user.told[0]
    assert world.charges == (1 if was_started else 2)


async def test_a_ledger_that_fails_is_mended_before_anything_else(
    world: SmallWorld, agent: ObedientAgent, era: Era
) -> None:
    path = world.settings.ledger_path
    async with world.server(era):
        await agent.once("list_tasks")
        path.rename(path.with_name("aside.db"))
        await agent.run("generate_video", **BOAT)

    assert world.charges == 0
    assert agent.steps == 2


@pytest.mark.parametrize("agrees", [True, False])
async def test_a_crash_after_the_money_is_spent_is_paid_for_once(
    world: SmallWorld,
    agent: ObedientAgent,
    era: Era,
    agrees: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def explode(*_: object, **__: object) -> None:
        monkeypatch.setattr(starting, "task_result", task_result)
        raise RuntimeError("no answer could be made")

    agent.user.agrees = agrees
    monkeypatch.setattr(starting, "task_result", explode)
    async with world.server(era):
        await agent.run("generate_video", **BOAT)

    assert world.charges == 1
    if agrees:
        assert_ends(agent, world, "success", charges=1)
    else:
        assert [task["request_id"] for task in agent.answer["tasks"]] == ["one"]


async def test_a_crash_of_a_free_tool_is_told_and_repeated_once_mended(
    world: SmallWorld,
    agent: ObedientAgent,
    era: Era,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credits = KieClient.credits

    async def explode(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(KieClient, "credits", explode)
    agent.user.mend = lambda: monkeypatch.setattr(KieClient, "credits", credits)
    async with world.server(era):
        await agent.run("get_credits")

    assert "its log has the details" in agent.user.told[0]
    assert "credits" in agent.answer
