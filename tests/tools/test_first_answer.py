"""What the first answer about a finished task brings with it."""

from typing import Any

import anyio
import pytest
from tests.support import ERAS, MP4, Agent, Era, connect, serve_sandbox

from kie_runway_sandbox import Sandbox
from kie_runway_sandbox.faults import Fault
from kie_runway_tools import results

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]


async def finished(agent: Agent, sandbox: Sandbox) -> dict[str, Any]:
    task = await agent.call("generate_video", prompt="a paper boat", request_id="r-1")
    sandbox.finish(task["task_id"])
    return await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)


async def test_a_video_that_is_saved_unasked_needs_no_further_call(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings):
        settings = settings.model_copy(update={"autosave": True})
        async with connect(settings, era) as agent:
            task = await finished(agent, sandbox)

    assert await anyio.Path(task["file"]).read_bytes() == MP4
    assert task["next"] == "Judge the picture. Give the user the file."


async def test_a_video_that_cannot_be_saved_is_given_by_its_address(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings):
        settings = settings.model_copy(update={"autosave": True})
        sandbox.inject(Fault("refuse", "media", times=None, status=503, code=None))
        async with connect(settings, era) as agent:
            task = await finished(agent, sandbox)

    assert "file" not in task
    assert task["next"] == "Give the user video_url; it is being saved."


async def test_a_video_that_takes_long_to_save_holds_no_answer_up(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "SAVED_WITHIN_S", 0.0)
    async with serve_sandbox() as (sandbox, settings):
        settings = settings.model_copy(update={"autosave": True})
        async with connect(settings, era) as agent:
            task = await finished(agent, sandbox)

    assert task["state"] == "success"
    assert task["video_url"]


async def test_without_saving_the_agent_is_told_how(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await finished(agent, sandbox)
        saved = await agent.call("save_video", task_id=task["task_id"])

    assert task["next"] == (
        "Judge the picture. Give the user video_url; save_video keeps it past expires_at."
    )
    assert await anyio.Path(saved["file"]).is_file()
    assert saved["next"] == "Give the user the file."


async def test_a_result_leaves_out_what_the_whole_record_has(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await finished(agent, sandbox)
        read = await agent.client.read_resource("kie://tasks/r-1")

    assert not {"created_at", "finished_at", "thumbnail_url"} & task.keys()
    whole = getattr(read.contents[0], "text", "")
    assert all(f'"{name}"' in whole for name in ("created_at", "finished_at", "thumbnail_url"))
