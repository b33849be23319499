"""The server as agents meet it, on both protocol eras, against the sandbox over real sockets."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import MCPError
from mcp.types import ImageContent
from tests.support import Agent, Era, connect, serve_sandbox, structured, text_of

from kie_runway.settings import Settings
from kie_runway_sandbox import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]


async def started(agent: Agent, **arguments: Any) -> dict[str, Any]:
    return await agent.call("generate_video", prompt="a paper boat", **arguments)


async def test_a_video_is_generated_extended_restyled_and_saved(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await started(agent, request_id="first")
        sandbox.finish(task["task_id"])
        done = await agent.call("get_task", task_id="first", wait_seconds=30)
        longer = await agent.call("extend_video", task_id="first", prompt="it sails on")
        painted = await agent.call(
            "aleph_generate", video_url=done["video_url"], prompt="as a watercolour"
        )
        parent = longer["parent_task_id"]
        for other in (longer, painted):
            sandbox.finish(other["task_id"])
        longer = await agent.call("get_task", task_id=longer["task_id"], wait_seconds=30)
        painted = await agent.call("aleph_get_task", task_id=painted["task_id"], wait_seconds=30)
        saving = await agent.client.call_tool("save_video", {"task_id": painted["task_id"]})
        saved = structured(saving)
        listed = await agent.call("list_tasks")
        credits = await agent.call("get_credits")

    assert [task["state"], done["state"], longer["state"], painted["state"]] == [
        "wait",
        "success",
        "success",
        "success",
    ]
    assert parent == task["task_id"]
    assert (await anyio.Path(saved["file"]).read_bytes())[4:8] == b"ftyp"
    assert saved["file"] in text_of(saving)
    assert [entry["kind"] for entry in listed["tasks"]] == ["aleph", "extend", "generate"]
    assert credits["credits"] == 1000 - 12 - 12 - 110


async def test_a_finished_answer_has_the_url_and_once_a_picture(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await started(agent)
        sandbox.finish(task["task_id"])
        first, second = [
            await agent.client.call_tool(
                "get_task", {"task_id": task["task_id"], "wait_seconds": 30}
            )
            for _ in range(2)
        ]

    url = structured(first)["video_url"]
    assert [block.type for block in first.content] == ["text", "image"]
    assert [b.mime_type for b in first.content if isinstance(b, ImageContent)] == ["image/png"]
    assert not [block for block in second.content if isinstance(block, ImageContent)]
    assert url in text_of(first)
    assert "\n" not in text_of(first)


async def test_waiting_sends_growing_progress_with_kies_state(era: Era) -> None:
    seen: list[tuple[float, str | None]] = []
    first = anyio.Event()

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, message))
        first.set()

    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await started(agent)

        async def finish_after_first() -> None:
            await first.wait()
            sandbox.finish(task["task_id"])

        finishing = asyncio.create_task(finish_after_first())
        result = await agent.client.call_tool(
            "get_task", {"task_id": task["task_id"], "wait_seconds": 30}, progress_callback=note
        )
        await finishing

    assert structured(result)["state"] == "success"
    assert seen[0][1] == "wait"
    assert seen[-1][1] == "success"
    assert [at for at, _ in seen] == sorted({at for at, _ in seen})


async def test_many_waits_for_one_task_share_its_look_ups() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        task = await started(agent)
        sandbox.finish(task["task_id"])
        before = sandbox.task(task["task_id"]).lookups
        states: set[str] = set()

        async def wait() -> None:
            done = await agent.call("get_task", task_id=task["task_id"], wait_seconds=40)
            states.add(done["state"])

        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(50):
                    group.start_soon(wait)

    assert states == {"success"}
    assert sandbox.task(task["task_id"]).lookups <= before + 3


async def test_tasks_survive_a_restart_and_are_followed_again(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings):
        async with connect(settings, era) as agent:
            task = await started(agent, request_id="kept")
        sandbox.finish(task["task_id"])
        async with connect(settings, era) as agent:
            listed = await agent.call("list_tasks")
            done = await agent.call("get_task", task_id="kept", wait_seconds=30)

    assert listed["tasks"][0]["request_id"] == "kept"
    assert done["state"] == "success"
    assert done["task_id"] == task["task_id"]


async def test_repeating_a_request_id_costs_nothing(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        first = await started(agent, request_id="one")
        second = await started(agent, request_id="one")

    assert "deduplicated" not in first
    assert second["deduplicated"] is True
    assert second["task_id"] == first["task_id"]
    assert len(sandbox.log.select("create")) == 1


async def test_fifty_identical_calls_at_once_make_one_task() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        ids: set[str] = set()

        async def call() -> None:
            ids.add((await started(agent))["task_id"])

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(call)

    assert len(ids) == 1
    assert len(sandbox.log.select("create")) == 1


async def test_a_request_id_with_other_arguments_is_a_conflict_and_spends_nothing() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        await started(agent, request_id="one")
        error = await agent.fail("generate_video", prompt="another boat", request_id="one")

    assert error["error"]["code"] == "request_id_conflict"
    assert error["error"]["charged"] == "no"
    assert len(sandbox.log.select("create")) == 1


async def test_a_lost_answer_is_unknown_and_is_never_sent_again(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings):
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        async with connect(settings, era) as agent:
            lost = await agent.fail("generate_video", prompt="a boat", request_id="one")
            again = await agent.fail("generate_video", prompt="a boat", request_id="one")
        async with connect(settings, era) as agent:
            later = await agent.fail("get_task", task_id="one")
            unnamed = await agent.fail("generate_video", prompt="a boat")

    for answer in (lost, again, later, unnamed):
        assert answer["state"] == "unknown"
        assert answer["charged"] == "unknown"
        assert answer["request_id"] == "one"
        assert "may have been charged" in answer["next"]
    assert "try again" not in str([lost, again, later]).lower()
    assert len(sandbox.log.select("create")) == 1


async def test_a_refusal_for_credits_costs_nothing_and_may_be_repeated() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        sandbox.set_credits(3)
        refused = await agent.fail("generate_video", prompt="a boat", request_id="one")
        sandbox.set_credits(100)
        task = await agent.call("generate_video", prompt="a boat", request_id="one")

    assert refused["state"] == "rejected"
    assert refused["error"]["code"] == "no_credits"
    assert refused["error"]["retry"] == "ask_user"
    assert refused["charged"] == "no"
    assert "same request_id" in refused["next"]
    assert task["state"] == "wait"


async def test_a_failed_task_says_why_and_that_its_charge_is_unknown(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await started(agent)
        sandbox.fail(task["task_id"], 400, "Refused by our AI moderator")
        failed = await agent.fail("get_task", task_id=task["task_id"], wait_seconds=30)

    assert failed["state"] == "fail"
    assert failed["charged"] == "unknown"
    assert failed["error"]["retry"] == "after_change"
    assert failed["error"]["message"] == "Refused by our AI moderator"
    assert "new request_id" in failed["next"]


async def test_an_id_from_elsewhere_is_looked_up_once_and_kept(era: Era) -> None:
    async with serve_sandbox() as (_, settings):
        async with connect(settings, era) as agent:
            task = await started(agent)
        elsewhere = settings.model_copy(update={"home": Path(settings.home_dir, "other")})
        async with connect(elsewhere, era) as agent:
            found = await agent.call("get_task", task_id=task["task_id"])
            listed = await agent.call("list_tasks")

    assert found["task_id"] == task["task_id"]
    assert len(listed["tasks"]) == 1


async def test_an_unknown_id_is_a_clear_error(era: Era) -> None:
    async with serve_sandbox() as (_, settings), connect(settings, era) as agent:
        errors = [
            await agent.fail(tool, task_id="no-such-task")
            for tool in ("get_task", "aleph_get_task", "save_video")
        ]
        extended = await agent.fail("extend_video", task_id="no-such-task", prompt="on")

    assert {error["error"]["code"] for error in (*errors, extended)} == {"unknown_task"}
    assert all("list_tasks" in error["next"] for error in (*errors, extended))


async def test_only_finished_720p_generations_can_be_extended() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        sharp = await started(agent, quality="1080p")
        unfinished = await started(agent, duration=10)
        failed = await started(agent, aspect_ratio="1:1")
        sandbox.finish(sharp["task_id"])
        sandbox.fail(failed["task_id"])
        await agent.fail("get_task", task_id=failed["task_id"], wait_seconds=30)
        creates = len(sandbox.log.select("create"))
        reasons = [
            (await agent.fail("extend_video", task_id=task["task_id"], prompt="on"))["error"]
            for task in (sharp, unfinished, failed)
        ]

    assert [reason["code"] for reason in reasons] == ["bad_input", "not_finished", "bad_input"]
    assert "1080p" in reasons[0]["reason"]
    assert len(sandbox.log.select("create")) == creates


async def test_an_expired_video_says_so_once_and_for_all() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        task = await started(agent)
        sandbox.finish(task["task_id"])
        sandbox.advance(15 * 24 * 3600)
        expired = await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)
        error = await agent.fail("save_video", task_id=task["task_id"])

    assert expired["state"] == "expired"
    assert "video_url" not in expired
    assert error["error"]["code"] == "expired"


async def test_saving_an_unfinished_video_is_refused() -> None:
    async with serve_sandbox() as (_, settings), connect(settings) as agent:
        task = await started(agent)
        error = await agent.fail("save_video", task_id=task["task_id"])

    assert error["error"]["code"] == "not_finished"


async def test_what_has_no_video_says_why_instead_of_later() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        failed = await started(agent)
        sandbox.fail(failed["task_id"])
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        lost = await agent.fail("generate_video", prompt="another boat")
        reasons = [
            (await agent.fail("save_video", task_id=task["request_id"]))["error"]
            for task in (failed, lost)
        ]

    assert [(reason["code"], reason["retry"]) for reason in reasons] == [
        ("bad_input", "after_change"),
        ("outcome_unknown", "never"),
    ]


async def test_a_deleted_video_cannot_be_saved_and_says_so_for_good() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        task = await started(agent)
        sandbox.finish(task["task_id"])
        await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)
        sandbox.advance(15 * 24 * 3600)  # KIE's clock only: its host says gone before ours does
        error = await agent.fail("save_video", task_id=task["task_id"])

    assert (error["error"]["code"], error["error"]["retry"]) == ("expired", "never")


async def test_lists_come_in_pages_and_by_state(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        tasks = [await started(agent, request_id=f"r-{number}") for number in range(3)]
        task = tasks[-1]
        sandbox.finish(task["task_id"])
        await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)
        page = await agent.call("list_tasks", limit=2)
        rest = await agent.call("list_tasks", limit=2, cursor=page["next_cursor"])
        waiting = await agent.call("list_tasks", state="wait")
        error = await agent.fail("list_tasks", cursor="abc")

    assert [entry["request_id"] for entry in page["tasks"]] == ["r-2", "r-1"]
    assert [entry["request_id"] for entry in rest["tasks"]] == ["r-0"]
    assert "next_cursor" not in rest
    assert len(waiting["tasks"]) == 2
    assert error["error"]["code"] == "bad_input"


async def test_without_a_key_tools_are_listed_and_explain_themselves(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        tools = await agent.client.list_tools()
        calls: dict[str, dict[str, Any]] = {
            "generate_video": {"prompt": "a boat"},
            "aleph_generate": {"prompt": "x", "video_url": "https://a.example/v.mp4"},
            "get_credits": {},
            "get_task": {"task_id": "abc"},
        }
        errors = [await agent.refuse(tool, arguments) for tool, arguments in calls.items()]
        listed = await agent.call("list_tasks")

    assert len(tools.tools) == 9
    assert {error["error"]["code"] for error in errors} == {"no_key"}
    assert all("--sandbox" in error["error"]["reason"] for error in errors)
    assert listed == {"tasks": []}


async def test_an_unknown_tool_is_a_protocol_error(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        with pytest.raises(MCPError) as caught:
            await agent.client.call_tool("make_coffee", {})

        assert caught.value.error.code == -32602


async def test_an_unwritable_ledger_stops_paid_calls_before_they_leave(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    async with serve_sandbox() as (sandbox, settings):
        broken = settings.model_copy(update={"home": tmp_path / "file"})
        async with connect(broken) as agent:
            error = await agent.fail("generate_video", prompt="a boat")

    assert error["error"]["code"] == "ledger_unavailable"
    assert error["error"]["charged"] == "no"
    assert not sandbox.log.select("create")


async def test_an_image_decides_the_shape_and_the_agent_is_told() -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings) as agent:
        task = await started(
            agent, image_url="https://media.example.com/boat.png", aspect_ratio="1:1"
        )

    assert "aspect_ratio was left out" in task["next"]
    assert "aspectRatio" not in sandbox.log.select("create")[0].details["body"]
