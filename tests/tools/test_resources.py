"""Tasks as resources, read by clients of both eras and over the raw wire."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from mcp import MCPError
from mcp.types import TextResourceContents
from tests.support import KEY, Agent, Era, connect, serve_sandbox
from tests.wire import RAW_ERAS, RawEra, Wire

from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskKind, TaskState
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import Endpoint

pytestmark = pytest.mark.anyio

LOOK_UPS: tuple[Endpoint, ...] = ("runway/record-detail", "aleph/record-info")
JSON = "application/json"
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


def note_look_ups(sandbox: Sandbox) -> None:
    """From now on every look at a task is in the log, as a fault that does no harm."""
    for endpoint in LOOK_UPS:
        sandbox.inject(Fault("slow_head", endpoint, seconds=0, times=None))


async def read(agent: Agent, uri: str) -> dict[str, Any]:
    """A resource's JSON, which comes in one piece."""
    (content,) = (await agent.client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert (content.uri, content.mime_type) == (uri, "application/json")
    value: dict[str, Any] = json.loads(content.text)
    return value


async def refused(agent: Agent, uri: str) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await agent.client.read_resource(uri)
    return caught.value


def of_task(any_id: str) -> str:
    return f"kie://tasks/{quote(any_id, safe='')}"


async def test_both_are_listed_and_may_be_kept_for_an_hour(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        resources = await agent.client.list_resources()
        templates = await agent.client.list_resource_templates()
    resource, (template, frames) = resources.resources[0], templates.resource_templates

    assert (resource.uri, template.uri_template) == ("kie://tasks", "kie://tasks/{id}")
    assert frames.uri_template == "kie://tasks/{id}/frames"
    assert [it.mime_type for it in (resource, template, frames)] == [JSON, JSON, "image/jpeg"]
    for listed in (resource, template, frames):
        assert listed.title
        assert listed.description
    if era == "auto":  # the handshake era knows no cache hints
        for listing in (resources, templates):
            assert (listing.ttl_ms, listing.cache_scope) == (3_600_000, "public")


async def test_a_task_reads_as_its_tool_returned_it_by_either_id(era: Era) -> None:
    async with serve_sandbox() as (_, settings), connect(settings, era) as agent:
        task = await agent.call("generate_video", prompt="a paper boat", request_id="one")
        by_task_id = await read(agent, of_task(task["task_id"]))
        by_request_id = await read(agent, of_task("one"))

    assert by_task_id == by_request_id == task
    assert task["next"]


async def test_recent_tasks_read_as_list_tasks_lists_them(era: Era) -> None:
    async with serve_sandbox() as (_, settings), connect(settings, era) as agent:
        before = await read(agent, "kie://tasks")
        for number in range(3):
            await agent.call("generate_video", prompt="a boat", request_id=f"r-{number}")
        recent = await read(agent, "kie://tasks")
        listed = await agent.call("list_tasks", limit=20)

    assert before == {"tasks": []}
    # A list leaves out what to do next with tasks that need no care.
    shown = [{name: task[name] for name in task if name != "next"} for task in recent["tasks"]]
    assert listed == {"tasks": shown}
    assert [task["request_id"] for task in recent["tasks"]] == ["r-2", "r-1", "r-0"]


async def test_at_most_twenty_tasks_are_recent_and_the_rest_can_be_paged_to(era: Era) -> None:
    settings = Settings()
    ledger = SqliteLedger(settings.ledger_path)
    await ledger.open()
    for number in range(23):
        await ledger.adopt(ended(f"r-{number}"))
    await ledger.aclose()
    async with connect(settings, era) as agent:
        recent = await read(agent, "kie://tasks")
        rest = await agent.call("list_tasks", cursor=recent["next_cursor"])

    ids = [task["request_id"] for task in (*recent["tasks"], *rest["tasks"])]
    assert len(recent["tasks"]) == 20
    assert ids == [f"r-{number}" for number in reversed(range(23))]


async def test_reading_shows_what_the_ledger_saw_last_and_asks_kie_nothing(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await agent.call("generate_video", prompt="a paper boat")
        uri = of_task(task["task_id"])
        sandbox.finish(task["task_id"])
        await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)
        note_look_ups(sandbox)
        finished = await read(agent, uri)
        (listed,) = (await read(agent, "kie://tasks"))["tasks"]
        looks = sandbox.log.select("fault")

    assert not looks
    assert finished == listed
    assert finished["state"] == "success"
    assert finished["video_url"]


async def test_a_lost_answer_reads_as_unknown_with_what_to_do(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        await agent.fail("generate_video", prompt="a boat", request_id="one")
        task = await read(agent, of_task("one"))

    assert (task["state"], task["charged"]) == ("unknown", "unknown")
    assert "Do not start it again" in task["next"]


@pytest.mark.parametrize("request_id", ["a/b", "../up", "/etc/passwd", "a?b#c", "100%25", " x {y}"])
async def test_ids_of_any_characters_are_found_when_they_are_encoded(
    era: Era, request_id: str
) -> None:
    async with serve_sandbox() as (_, settings), connect(settings, era) as agent:
        task = await agent.call("generate_video", prompt="a boat", request_id=request_id)

        assert await read(agent, of_task(request_id)) == task


@pytest.mark.parametrize(
    "id",
    ["no-such-task", "", "%00", "..%2F..%2Fetc", "%FF%FE", "%ED%A0%80", "ü€😀", "x" * 60_000, "%"],
    ids=lambda id: id[:12] or "empty",
)
async def test_an_unknown_id_is_not_found_and_is_not_looked_up(era: Era, id: str) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        note_look_ups(sandbox)
        error = await refused(agent, f"kie://tasks/{id}")
        looks = sandbox.log.select("fault")

    assert error.code == INVALID_PARAMS
    assert error.message == "No task here has this id; kie://tasks names the latest."
    assert not looks


@pytest.mark.parametrize(
    "uri",
    ["kie://other", "kie://tasks/a/b", "file:///etc/passwd", "", "kie://tasks/" + "x" * 70_000],
    ids=lambda uri: uri[:20] or "empty",
)
async def test_an_unknown_address_is_not_found_and_says_where_to_look(era: Era, uri: str) -> None:
    async with connect(Settings(), era) as agent:
        error = await refused(agent, uri)

    assert error.code == INVALID_PARAMS
    assert error.message == (
        "Unknown resource; resources/list and resources/templates/list name them."
    )


async def test_a_ledger_that_cannot_be_opened_says_why(era: Era, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    async with connect(Settings(home=tmp_path / "file"), era) as agent:
        errors = [await refused(agent, uri) for uri in ("kie://tasks", "kie://tasks/x")]

    assert {error.code for error in errors} == {INTERNAL_ERROR}
    assert all("KIE_HOME" in error.message for error in errors)


async def test_a_crash_shows_a_fixed_text_with_the_id_of_its_log_line(
    era: Era, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError(f"at /root/.secret: {KEY}")

    for name in ("find", "list"):
        monkeypatch.setattr(SqliteLedger, name, crash)
    async with connect(Settings(), era) as agent:
        for uri in ("kie://tasks", "kie://tasks/x"):
            with caplog.at_level(logging.ERROR, "kie_runway.sdk"):
                error = await refused(agent, uri)
            record = caplog.records[-1]
            error_id = vars(record)["error_id"]

            assert error.code == INTERNAL_ERROR
            assert error.message == (
                f"The server failed inside (error {error_id}; its log has the details)."
            )
            assert record.exc_info is not None


@pytest.mark.parametrize("raw_era", RAW_ERAS)
async def test_over_the_wire_tasks_read_alike(raw_era: RawEra) -> None:
    settings = Settings()
    ledger = SqliteLedger(settings.ledger_path)
    await ledger.open()
    await ledger.adopt(ended("one"))
    await ledger.aclose()
    with Wire(era=raw_era, env={"KIE_API_URL": "http://127.0.0.1:9"}) as wire:
        wire.open()
        (content,) = wire.call("resources/read", {"uri": "kie://tasks"})["contents"]
        (task,) = json.loads(content["text"])["tasks"]
        (alone,) = wire.call("resources/read", {"uri": "kie://tasks/one"})["contents"]
        unknown = wire.answer(wire.ask("resources/read", {"uri": "kie://tasks/two"}))["error"]
        no_text = wire.answer(wire.ask("resources/read", {"uri": 7}))["error"]
        again = wire.call("resources/read", {"uri": "kie://tasks/one"})["contents"]

    assert json.loads(alone["text"]) == task
    assert (task["request_id"], task["state"]) == ("one", "fail")
    assert unknown["code"] == no_text["code"] == INVALID_PARAMS
    assert unknown["data"] == {"uri": "kie://tasks/two"}
    assert again == [alone]


def ended(request_id: str) -> Entry:
    """A task that nobody follows any more."""
    return Entry(
        id=0,
        account=LOCAL_ACCOUNT,
        request_id=request_id,
        kind=TaskKind.GENERATE,
        state=TaskState.FAIL,
        arguments={"prompt": "a boat"},
        created_at=datetime(2026, 11, 21, 12, tzinfo=UTC),
        task_id=f"task-{request_id}",
    )
