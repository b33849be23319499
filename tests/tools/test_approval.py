"""Who is asked before credits are spent, about what, and what their answer does."""

from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import mcp.types as t
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client import ClientRequestContext
from tests.asking import NO, YES, User, connect_for
from tests.hosting import hosted
from tests.journeys.processes import http_server, standalone_sandbox
from tests.pictures import picture
from tests.support import QUICK, Era, connect, serve_sandbox
from tests.wire import COMMAND

from kie_runway.clock import Clock
from kie_runway.models import PROBABLY_NOT_CREATED
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import Endpoint

pytestmark = pytest.mark.anyio

WITHIN_S = 60
BOAT = {"prompt": "a boat", "request_id": "one"}
QUESTION = 'Pay about 12 credits ($0.06) for this video? "a boat"'
SENDING: tuple[Endpoint, ...] = (
    "runway/generate",
    "runway/extend",
    "aleph/generate",
    "file-stream-upload",
)
REFUSALS = {
    "decline": NO,
    "cancel": t.ElicitResult(action="cancel"),
    "not proceed": t.ElicitResult(action="accept", content={"proceed": False}),
    "nothing": t.ElicitResult(action="accept"),
    "nothing in it": t.ElicitResult(action="accept", content={}),
    "nonsense": t.ElicitResult(action="accept", content={"proceed": "perhaps"}),
}


@pytest.fixture(name="kie")
async def _kie() -> AsyncGenerator[tuple[Sandbox, Settings]]:
    """KIE's stand-in, and settings with which every video is asked about."""
    async with serve_sandbox() as (sandbox, settings):
        yield sandbox, settings.model_copy(update={"confirm_credits": 12.0})


def posts(sandbox: Sandbox) -> int:
    """Everything that was sent and could have been paid for, or led to it."""
    return sum(sandbox.requests[endpoint] for endpoint in SENDING)


def pass_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on it is so much later that an unknown task was probably never created."""
    now = Clock.now

    def later(clock: Clock) -> datetime:
        return now(clock) + PROBABLY_NOT_CREATED

    monkeypatch.setattr(Clock, "now", later)


async def test_a_yes_starts_one_task(kie: tuple[Sandbox, Settings], era: Era) -> None:
    sandbox, settings = kie
    user = User()
    async with connect_for(user, settings, era) as agent:
        task = await agent.call("generate_video", **BOAT)

    assert task["state"] == "wait"
    assert user.asked == [QUESTION]
    assert posts(sandbox) == 1


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
async def test_anything_but_a_yes_starts_nothing_and_leaves_the_request_id_free(
    kie: tuple[Sandbox, Settings], era: Era, answer: t.ElicitResult
) -> None:
    sandbox, settings = kie
    user = User(answer)
    async with connect_for(user, settings, era) as agent:
        refused = await agent.fail("generate_video", **BOAT)
        listed = await agent.call("list_tasks")
        before = posts(sandbox)
        user.answer = YES
        task = await agent.call("generate_video", **BOAT | {"prompt": "a ship"})

    assert refused == {
        "error": {
            "code": "declined",
            "reason": refused["error"]["reason"],
            "retry": "ask_user",
            "charged": "no",
        },
        "next": "Tell the user. Only if they want it after all, repeat the paid call with the same "
        "request_id.",
    }
    assert "Resolver" not in refused["error"]["reason"]
    assert (listed["tasks"], before) == ([], 0)
    assert (task["request_id"], task["state"]) == ("one", "wait")
    assert len(user.asked) == 2


async def test_a_client_that_cannot_ask_is_not_stopped(
    kie: tuple[Sandbox, Settings], era: Era
) -> None:
    sandbox, settings = kie
    async with connect_for(None, settings, era) as agent:
        task = await agent.call("generate_video", **BOAT)

    assert task["state"] == "wait"
    assert posts(sandbox) == 1


async def test_a_client_that_shows_addresses_only_is_not_asked(
    kie: tuple[Sandbox, Settings], era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    capability = t.ElicitationCapability(url=t.UrlElicitationCapability())

    def declared(**_: object) -> t.ElicitationCapability:
        return capability

    monkeypatch.setattr("mcp.client.session.types.ElicitationCapability", declared)
    sandbox, settings = kie
    user = User(NO)
    async with connect_for(user, settings, era) as agent:
        await agent.call("generate_video", **BOAT)

    assert not user.asked
    assert posts(sandbox) == 1


async def test_a_client_that_fails_to_ask_is_told_and_nothing_starts(
    kie: tuple[Sandbox, Settings],
) -> None:
    sandbox, settings = kie
    user = User(t.ErrorData(code=-32000, message="no window"))
    async with connect_for(user, settings, "legacy") as agent:
        refused = await agent.fail("generate_video", **BOAT)
    async with connect_for(user, settings) as agent:
        with pytest.raises(MCPError, match="no window"):  # its own client gives up
            await agent.client.call_tool("generate_video", BOAT)

    assert refused["error"]["reason"] == "The client could not ask the user about the price."
    assert posts(sandbox) == 0


async def test_a_user_who_does_not_answer_spends_nothing(
    kie: tuple[Sandbox, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kie_runway_tools.approval.ANSWER_WITHIN_S", 0.05)
    sandbox, settings = kie

    async def think(context: ClientRequestContext, params: t.ElicitRequestParams) -> t.ElicitResult:
        await anyio.sleep_forever()
        return YES

    server = create_server(settings, pace=QUICK)
    async with Client(server, mode="legacy", elicitation_callback=think) as client:
        with anyio.fail_after(WITHIN_S):
            result = await client.call_tool("generate_video", BOAT)

    assert result.is_error
    assert "did not answer" in str(result.structured_content)
    assert posts(sandbox) == 0


async def test_who_leaves_while_the_user_thinks_spends_nothing(
    kie: tuple[Sandbox, Settings], era: Era
) -> None:
    sandbox, settings = kie
    asked, thinking = anyio.Event(), anyio.Event()

    async def think(context: ClientRequestContext, params: t.ElicitRequestParams) -> t.ElicitResult:
        asked.set()
        await thinking.wait()
        return YES

    with anyio.fail_after(WITHIN_S):
        async with Client(
            create_server(settings, pace=QUICK), mode=era, elicitation_callback=think
        ) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "generate_video", BOAT)
                await asked.wait()
                group.cancel_scope.cancel()
            thinking.set()
            result = await client.call_tool("list_tasks", {})

    assert result.structured_content == {"tasks": []}
    assert posts(sandbox) == 0


async def test_what_spends_nothing_is_not_asked_about(
    kie: tuple[Sandbox, Settings], era: Era
) -> None:
    sandbox, settings = kie
    user = User()
    async with connect_for(user, settings, era) as agent:
        named = await agent.call("generate_video", **BOAT)
        unnamed = await agent.call("generate_video", prompt="a ship")
        asked = len(user.asked)
        user.answer = NO
        again = [
            await agent.call("generate_video", **BOAT),
            await agent.call("generate_video", prompt="a ship"),
        ]

    assert asked == len(user.asked) == 2
    assert [task["task_id"] for task in again] == [named["task_id"], unnamed["task_id"]]
    assert posts(sandbox) == 2


async def test_what_would_fail_anyway_is_not_asked_about(
    kie: tuple[Sandbox, Settings], era: Era
) -> None:
    sandbox, settings = kie
    settings = settings.model_copy(update={"daily_credits": 100.0})
    user = User()
    video = "https://a.example.com/v.mp4"
    async with connect_for(user, settings, era) as agent:
        task = await agent.call("generate_video", **BOAT | {"quality": "1080p"})
        unfinished = await agent.call("generate_video", prompt="a ship")
        sandbox.finish(task["task_id"])
        await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)
        user.asked.clear()
        failures: list[tuple[str, dict[str, Any], str]] = [
            ("generate_video", {**BOAT, "prompt": "a car"}, "request_id_conflict"),
            ("generate_video", {"prompt": "x", "duration": 10, "quality": "1080p"}, "bad_input"),
            ("generate_video", {"prompt": "x", "image_url": "http://127.0.0.1/i.png"}, "bad_input"),
            ("extend_video", {"prompt": "x", "task_id": task["task_id"]}, "bad_input"),
            ("extend_video", {"prompt": "x", "task_id": unfinished["task_id"]}, "not_finished"),
            ("aleph_generate", {"prompt": "x", "video_url": video}, "over_budget"),
            ("aleph_generate", {"prompt": "x", "video_url": "file:///v.mp4"}, "no_upload_roots"),
        ]
        codes = [
            (await agent.refuse(tool, arguments))["error"]["code"]
            for tool, arguments, _ in failures
        ]
    async with connect_for(user, settings.model_copy(update={"api_key": None}), era) as agent:
        keyless = await agent.fail("generate_video", prompt="a kite")

    assert codes == [code for _, _, code in failures]
    assert keyless["error"]["code"] == "no_key"
    assert not user.asked
    assert posts(sandbox) == 2


@pytest.mark.parametrize(("confirm_credits", "asked"), [(12.5, 0), (12, 1), (0, 1)])
async def test_only_what_costs_so_much_is_asked_about(
    kie: tuple[Sandbox, Settings], confirm_credits: float, asked: int
) -> None:
    _, settings = kie
    user = User()
    changed = settings.model_copy(update={"confirm_credits": confirm_credits})
    async with connect_for(user, changed) as agent:
        await agent.call("generate_video", **BOAT)

    assert len(user.asked) == asked


async def test_extensions_and_aleph_are_asked_about_in_their_own_words(
    kie: tuple[Sandbox, Settings], era: Era
) -> None:
    sandbox, settings = kie
    user = User()
    async with connect_for(user, settings, era) as agent:
        task = await agent.call("generate_video", **BOAT)
        sandbox.finish(task["task_id"])
        await agent.call("get_task", task_id=task["task_id"], wait_seconds=30)
        await agent.call("extend_video", task_id=task["task_id"], prompt="it sinks")
        await agent.call(
            "aleph_generate", prompt="at night", video_url="https://a.example.com/v.mp4"
        )

    assert user.asked == [
        QUESTION,
        'Pay about 12 credits ($0.06) for this extension? "it sinks"',
        'Pay about 110 credits ($0.55) for this Aleph video? "at night"',
    ]


@pytest.mark.parametrize("answer", [YES, NO], ids=["yes", "no"])
async def test_a_possible_second_charge_is_for_the_user_in_person_to_accept(
    kie: tuple[Sandbox, Settings], era: Era, monkeypatch: pytest.MonkeyPatch, answer: t.ElicitResult
) -> None:
    sandbox, settings = kie
    settings = settings.model_copy(update={"confirm_credits": None})
    sandbox.inject(Fault("lost_answer", "runway/generate"))
    user = User(answer)
    async with connect(settings, era) as agent:
        await agent.fail("generate_video", **BOAT)
    async with connect_for(user, settings, era) as agent:
        early = await agent.fail("generate_video", **BOAT, confirm=True)
        pass_time(monkeypatch)
        asked_early = len(user.asked)
        result = await agent.client.call_tool("generate_video", {**BOAT, "confirm": True})
        found = (await agent.client.call_tool("get_task", {"task_id": "one"})).structured_content

    assert (early["state"], asked_early) == ("unknown", 0)
    assert user.asked == [
        "Nobody knows whether an earlier request for this video was charged. Pay about 12 credits "
        '($0.06) for it, possibly a second time? "a boat"'
    ]
    assert found is not None
    assert result.is_error == (answer is NO)
    assert found["state"] == ("unknown" if answer is NO else "wait")
    assert posts(sandbox) == (1 if answer is NO else 2)


async def test_a_local_file_is_uploaded_after_the_yes_and_a_repeat_of_it_is_known(
    kie: tuple[Sandbox, Settings], era: Era, tmp_path: Path
) -> None:
    sandbox, settings = kie
    file = tmp_path / "boat.png"
    file.write_bytes(picture())
    settings = settings.model_copy(update={"upload_roots": (tmp_path,)})
    arguments = {**BOAT, "image_url": file.as_uri()}
    user = User(NO)
    async with connect_for(user, settings, era) as agent:
        await agent.fail("generate_video", **arguments)
        before = posts(sandbox)
        user.answer = YES
        task = await agent.call("generate_video", **arguments)
        again = await agent.call("generate_video", **arguments)

    assert before == 0
    assert again["task_id"] == task["task_id"]
    assert len(user.asked) == 2
    assert sandbox.requests["runway/generate"] == sandbox.requests["file-stream-upload"] == 1


async def test_the_program_asks_on_stdio_and_over_http(era: Era, tmp_path: Path) -> None:
    with standalone_sandbox() as kie:
        env = {**kie.env, "KIE_CONFIRM_CREDITS": "12", "KIE_HOME": str(tmp_path / "home")}
        with http_server(env=env) as server:
            stdio = StdioServerParameters(command=COMMAND[0], env=env)
            targets: list[StdioServerParameters | str] = [stdio, server.url]
            for number, target in enumerate(targets):
                user, boat = User(NO), BOAT | {"request_id": f"r-{number}"}
                async with connect_for(user, target, era) as agent:
                    await agent.fail("generate_video", **boat)
                    assert len(kie.events("create")) == number
                    user.answer = YES
                    await agent.call("generate_video", **boat)
                assert user.asked == [QUESTION, QUESTION]

        assert len(kie.events("create")) == 2


async def test_a_server_without_a_way_back_to_the_client_does_not_ask(
    kie: tuple[Sandbox, Settings],
) -> None:
    sandbox, settings = kie
    app = create_server(settings, pace=QUICK).streamable_http_app(stateless_http=True)
    user = User(NO)
    async with hosted(app) as url, connect_for(user, f"{url}/mcp", "legacy") as agent:
        await agent.call("generate_video", **BOAT)

    assert not user.asked
    assert posts(sandbox) == 1
