"""The Tasks extension: the same task as everywhere, for clients that declare it."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from tests.support import (
    ERAS,
    QUICK,
    SLOW,
    Era,
    connect,
    serve_sandbox,
    structured,
    text_of,
)
from tests.tasks_client import (
    Status,
    TasksClient,
    cancel_task,
    get_status,
    start_task,
    update_task,
)

from kie_runway.clock import Clock
from kie_runway.errors import LedgerError
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio

WITHIN_S = 60
EXTENSION = "io.modelcontextprotocol/tasks"


@asynccontextmanager
async def connect_tasks(settings: Settings) -> AsyncGenerator[Client]:
    """A client of the extension, connected to a fresh server."""
    server = create_server(settings, pace=QUICK)
    async with Client(server, mode="auto", extensions=[TasksClient()]) as client:
        yield client


async def end_of(client: Client, task_id: str) -> Status:
    """The task once it has ended, asked for as often as the server wants."""
    with anyio.fail_after(WITHIN_S):
        while (status := await get_status(client, task_id)).status == "working":
            assert status.poll_interval_ms is not None
            await anyio.sleep(status.poll_interval_ms / 1000)
    return status


async def test_it_is_advertised_where_it_can_be_declared() -> None:
    async with connect_tasks(Settings()) as client:
        assert (client.server_capabilities.extensions or {})[EXTENSION] == {}


@pytest.mark.parametrize("era", ERAS)
async def test_who_does_not_declare_it_notices_nothing(era: Era) -> None:
    async with serve_sandbox() as (_, settings):
        async with connect(settings, era) as agent:
            tools = await agent.client.list_tools()
            task = await agent.call("generate_video", prompt="a boat", request_id="one")
        async with connect_tasks(settings) as client:
            for_others = await client.list_tools()

    assert task["state"] == "wait"
    assert tools.tools == for_others.tools


async def test_a_declaration_of_the_handshake_era_changes_nothing() -> None:
    async with serve_sandbox() as (_, settings):
        server = create_server(settings, pace=QUICK)
        async with Client(server, mode="legacy", extensions=[TasksClient()]) as client:
            result = await client.call_tool("generate_video", {"prompt": "a boat"})

    assert structured(result)["state"] == "wait"


async def test_a_paid_call_answers_with_a_handle_and_later_with_its_result() -> None:
    async with serve_sandbox() as (sandbox, settings), connect_tasks(settings) as client:
        handle = await start_task(client, "generate_video", prompt="a boat", request_id="one")
        while_working = await get_status(client, handle.task_id)
        sandbox.finish(handle.task_id)
        done = await end_of(client, handle.task_id)
        by_request_id = await get_status(client, "one")

    assert sandbox.task(handle.task_id)
    assert (handle.status, handle.ttl_ms) == ("working", None)
    assert handle.status_message == "KIE has accepted it. About 12 credits."
    assert (while_working.task_id, while_working.status) == (handle.task_id, "working")
    assert while_working.result is None
    assert done.status == "completed"
    assert done.poll_interval_ms is None
    assert done.created_at == handle.created_at <= handle.last_updated_at < done.last_updated_at
    assert not done.tool_result.is_error
    assert structured(done.tool_result)["state"] == "success"
    assert (by_request_id.task_id, by_request_id.status) == ("one", "completed")


async def test_the_other_paid_tools_have_handles_as_well() -> None:
    async with serve_sandbox() as (sandbox, settings), connect_tasks(settings) as client:
        first = await start_task(client, "generate_video", prompt="a boat")
        sandbox.finish(first.task_id)
        done = structured((await end_of(client, first.task_id)).tool_result)
        longer = await start_task(client, "extend_video", task_id=first.task_id, prompt="on")
        painted = await start_task(
            client, "aleph_generate", video_url=done["video_url"], prompt="as a watercolour"
        )
        for handle in (longer, painted):
            sandbox.finish(handle.task_id)
        ends = [await end_of(client, handle.task_id) for handle in (longer, painted)]

    assert [structured(end.tool_result)["kind"] for end in ends] == ["extend", "aleph"]


async def test_free_tools_answer_as_always() -> None:
    async with serve_sandbox() as (_, settings), connect_tasks(settings) as client:
        handle = await start_task(client, "generate_video", prompt="a boat")
        result = await client.call_tool("get_task", {"task_id": handle.task_id})

    assert structured(result)["state"] == "wait"


async def test_a_failed_generation_is_completed_with_a_failing_result() -> None:
    async with serve_sandbox() as (sandbox, settings), connect_tasks(settings) as client:
        handle = await start_task(client, "generate_video", prompt="a boat")
        sandbox.fail(handle.task_id, 400, "Refused by our AI moderator")
        failed = await end_of(client, handle.task_id)

    assert failed.status == "completed"
    assert failed.tool_result.is_error
    assert structured(failed.tool_result)["error"]["message"] == "Refused by our AI moderator"


async def test_refusals_finished_and_unknown_tasks_are_told_at_once() -> None:
    async with serve_sandbox() as (sandbox, settings), connect_tasks(settings) as client:
        handle = await start_task(client, "generate_video", prompt="a boat", request_id="one")
        sandbox.finish(handle.task_id)
        await end_of(client, handle.task_id)
        paid_once = {"prompt": "a boat", "request_id": "one"}
        finished = await client.call_tool("generate_video", paid_once)
        refused = await client.call_tool("generate_video", paid_once | {"prompt": "a ship"})
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        lost = await client.call_tool("generate_video", {"prompt": "x", "request_id": "lost"})
        of_lost = await get_status(client, "lost")

    assert structured(finished)["state"] == "success"
    assert structured(refused)["error"]["code"] == "request_id_conflict"
    assert (lost.is_error, structured(lost)["state"]) == (True, "unknown")
    assert (of_lost.status, of_lost.tool_result.is_error) == ("completed", True)


async def test_a_repeated_request_id_leads_to_the_same_task_and_pays_once() -> None:
    async with serve_sandbox() as (sandbox, settings), connect_tasks(settings) as client:
        first, second = [
            await start_task(client, "generate_video", prompt="a boat", request_id="one")
            for _ in range(2)
        ]

    assert first.task_id == second.task_id
    assert len(sandbox.log.select("create")) == 1


async def test_a_handle_is_good_after_a_restart() -> None:
    async with serve_sandbox() as (sandbox, settings):
        async with connect_tasks(settings) as client:
            handle = await start_task(client, "generate_video", prompt="a boat")
        sandbox.finish(handle.task_id)
        async with connect_tasks(settings) as client:
            done = await end_of(client, handle.task_id)

    assert structured(done.tool_result)["task_id"] == handle.task_id


async def test_asking_takes_the_look_of_get_task_and_no_more() -> None:
    async with serve_sandbox() as (sandbox, settings):
        server = create_server(settings, pace=SLOW)  # it looks only when it is asked
        async with Client(server, mode="auto", extensions=[TasksClient()]) as client:
            handle = await start_task(client, "generate_video", prompt="a boat")
            sandbox.finish(handle.task_id)
            statuses = [(await get_status(client, handle.task_id)).status for _ in range(5)]

    assert statuses == ["completed"] * 5
    assert sandbox.task(handle.task_id).lookups == 1
    assert handle.poll_interval_ms is not None
    assert 700_000 <= handle.poll_interval_ms <= 800_000


async def test_an_unknown_id_and_a_missing_declaration_are_protocol_errors() -> None:
    async with serve_sandbox() as (_, settings):
        async with connect_tasks(settings) as client:
            unknown = [
                await refused(act, client, "no-such-task")
                for act in (get_status, update_task, cancel_task)
            ]
        async with connect(settings) as agent:
            undeclared = await refused(get_status, agent.client, "no-such-task")
        async with connect(settings, "legacy") as agent:
            of_another_era = await refused(get_status, agent.client, "no-such-task")

    assert {error.code for error in unknown} == {-32602}
    assert undeclared.code == -32021
    assert undeclared.data == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
    assert of_another_era.code == -32601


async def refused(act: Any, client: Client, task_id: str) -> Any:
    with pytest.raises(MCPError) as caught:
        await act(client, task_id)
    return caught.value.error


async def test_cancelling_stops_nothing_and_the_task_says_so_from_then_on() -> None:
    async with serve_sandbox() as (sandbox, settings), connect_tasks(settings) as client:
        handle = await start_task(client, "generate_video", prompt="a boat")
        acks = [await cancel_task(client, handle.task_id) for _ in range(2)]
        acks.append(await update_task(client, handle.task_id))
        cancelled = await get_status(client, handle.task_id)
        sandbox.finish(handle.task_id)
        done = await end_of(client, handle.task_id)
        acks.append(await cancel_task(client, handle.task_id))

    assert {frozenset(ack.model_dump(by_alias=True, exclude={"meta"})) for ack in acks} == {
        frozenset({"resultType"})
    }
    assert cancelled.status == "working"
    assert "KIE cannot stop a task" in (cancelled.status_message or "")
    assert "is paid for" in (cancelled.status_message or "")
    assert structured(done.tool_result)["state"] == "success"


async def test_what_stands_in_the_way_of_news_is_told() -> None:
    async with serve_sandbox() as (sandbox, settings):
        server = create_server(settings, pace=SLOW)  # so that the look below is the first
        async with Client(server, mode="auto", extensions=[TasksClient()]) as client:
            handle = await start_task(client, "generate_video", prompt="a boat")
            sandbox.inject(Fault("refuse", "runway/record-detail", status=401, code=401))
            status = await get_status(client, handle.task_id)

    assert status.status == "working"
    assert "does not accept the API key" in (status.status_message or "")


async def test_what_nobody_sends_any_more_does_not_work_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve_sandbox() as (_, settings):
        async with connect_tasks(settings) as client:
            handle = await start_task(client, "generate_video", prompt="a boat", request_id="one")
            assert handle.status == "working"
        with closing(sqlite3.connect(settings.ledger_path)) as ledger, ledger:
            ledger.execute("UPDATE entries SET state = 'queued', task_id = NULL")
        async with connect_tasks(settings) as client:
            fresh = await get_status(client, "one")
            monkeypatch.setattr(Clock, "now", in_an_hour)
            abandoned = await get_status(client, "one")

    assert (fresh.status, fresh.task_id) == ("working", "one")
    assert "Not sent yet" in (fresh.status_message or "")
    assert abandoned.status == "completed"
    assert abandoned.tool_result.is_error
    assert "repeat the paid call" in text_of(abandoned.tool_result)


def in_an_hour(_: Clock) -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


async def test_a_ledger_that_breaks_afterwards_does_not_hide_what_was_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object) -> None:
        raise LedgerError("The ledger failed.")

    async with serve_sandbox() as (_, settings), connect_tasks(settings) as client:
        monkeypatch.setattr(SqliteLedger, "history", broken)
        result = await client.call_tool("generate_video", {"prompt": "a boat"})
        error = await refused(get_status, client, structured(result)["task_id"])

    assert structured(result)["state"] == "wait"
    assert (error.code, error.message) == (-32603, "The ledger failed.")
