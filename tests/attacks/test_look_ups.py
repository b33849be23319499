"""Whatever a look-up brings, a paid task is neither lost nor called failed without a proof."""

from dataclasses import replace
from typing import Any

import anyio
import pytest
from tests.attacks.kie import Hurry, Reply, paid, raw_kie
from tests.sockets import envelope, http, sends
from tests.support import Agent, connect, settings_for

from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import Endpoint, FaultKind

pytestmark = pytest.mark.anyio

LOOK_UPS: dict[Endpoint, tuple[str, str, dict[str, Any]]] = {
    "runway/record-detail": ("generate_video", "get_task", {"prompt": "a boat"}),
    "aleph/record-info": (
        "aleph_generate",
        "aleph_get_task",
        {"prompt": "as a watercolour", "video_url": "https://media.example.com/in.mp4"},
    ),
}
TROUBLE = {
    400: ("refused", "after_change"),
    401: ("wrong_key", "ask_user"),
    402: ("no_credits", "ask_user"),
    429: ("rate_limited", "later"),
    433: ("not_allowed", "ask_user"),
    451: ("refused", "after_change"),
    455: ("maintenance", "later"),
    500: ("unavailable", "later"),
    505: ("not_allowed", "ask_user"),
    550: ("unavailable", "later"),
    999: ("unavailable", "later"),
}
BARE = (400, 402, 404, 408, 418, 422, 425, 451, 499, 500, 501, 502, 503, 504, 520)
BROKEN: tuple[FaultKind, ...] = (
    "lost_answer",
    "reset_before",
    "cut_body",
    "truncated_json",
    "not_json",
    "html_502",
    "redirect",
    "endless_body",
    "gzip_bomb",
    "huge_headers",
    "slow_head",
    "slow_body",
)


async def wait_for_end(agent: Agent, tool: str = "get_task") -> dict[str, Any]:
    with anyio.fail_after(120):
        while True:
            # Trouble that only the user can mend ends a wait early.
            task = await agent.call(tool, task_id="one", wait_seconds=30)
            if task.get("error", {}).get("retry") != "ask_user":
                return task


async def recovers(sandbox: Sandbox, agent: Agent, tool: str, task_id: str) -> None:
    """Once KIE answers again, the task ends well."""
    sandbox.faults.clear()
    sandbox.finish(task_id)
    done = await wait_for_end(agent, tool)

    assert (done["state"], done["charged"], done["task_id"]) == ("success", "yes", task_id)
    assert "error" not in done
    assert paid(sandbox) == 1


@pytest.mark.parametrize(
    ("endpoint", "code", "status"),
    [
        *(("runway/record-detail", code, 200) for code in TROUBLE),
        *(("aleph/record-info", code, code) for code in TROUBLE if code < 600),
    ],
)
async def test_a_refused_look_up_is_told_and_the_task_goes_on(
    sandbox: Sandbox,
    settings: Settings,
    hurry: Hurry,
    endpoint: Endpoint,
    code: int,
    status: int,
) -> None:
    start, look, arguments = LOOK_UPS[endpoint]
    sandbox.inject(
        Fault("refuse", endpoint, status=status, code=code, message="because", times=None)
    )
    async with connect(settings) as agent:
        await agent.call(start, request_id="one", **arguments)
        task = await agent.call(look, task_id="one")

        assert (task["state"], task["charged"]) == ("wait", "yes")
        assert (task["error"]["code"], task["error"]["retry"]) == TROUBLE[code]
        assert (task["error"]["charged"], task["error"]["message"]) == ("yes", "because")
        await recovers(sandbox, agent, look, task["task_id"])


@pytest.mark.parametrize("code", [408, 501])
@pytest.mark.parametrize("endpoint", LOOK_UPS)
async def test_kies_word_for_a_failed_generation_ends_the_task(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, endpoint: Endpoint, code: int
) -> None:
    start, look, arguments = LOOK_UPS[endpoint]
    sandbox.inject(Fault("refuse", endpoint, status=200, code=code, message="because"))
    async with connect(settings) as agent:
        await agent.call(start, request_id="one", **arguments)
        task = await agent.fail(look, task_id="one", wait_seconds=30)

    assert (task["state"], task["charged"]) == ("fail", "unknown")
    assert (task["error"]["code"], task["error"]["message"]) == ("generation_failed", "because")
    assert paid(sandbox) == 1


@pytest.mark.parametrize("status", BARE)
async def test_a_bare_http_status_says_nothing_about_the_task(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, status: int
) -> None:
    sandbox.inject(Fault("refuse", "runway/record-detail", status=status, code=None, times=None))
    async with connect(settings) as agent:
        await agent.call("generate_video", prompt="a boat", request_id="one")
        task = await agent.call("get_task", task_id="one")

        assert task["state"] == "wait"
        assert task["error"]["code"] in ("unavailable", "no_credits")
        await recovers(sandbox, agent, "get_task", task["task_id"])


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        *(("runway/record-detail", kind) for kind in BROKEN),
        ("aleph/record-info", "truncated_json"),
        ("aleph/record-info", "html_502"),
    ],
)
async def test_a_broken_answer_says_nothing_about_the_task(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, endpoint: Endpoint, kind: FaultKind
) -> None:
    start, look, arguments = LOOK_UPS[endpoint]
    fault = Fault(kind, endpoint, times=None, seconds=60)
    fault = replace(fault, size_bytes=20_000_000) if kind == "gzip_bomb" else fault
    sandbox.inject(fault)
    async with connect(settings) as agent:
        await agent.call(start, request_id="one", **arguments)
    hurry.deadline_s = 0.2 if kind.startswith("slow") else 60
    async with connect(settings) as agent:
        with anyio.fail_after(60):
            task = await agent.call(look, task_id="one")
    hurry.deadline_s = 60
    sandbox.faults.clear()
    async with connect(settings) as agent:
        await recovers(sandbox, agent, look, task["task_id"])

    assert (task["state"], task["charged"]) == ("wait", "yes")
    assert (task["error"]["code"], task["error"]["retry"]) == ("unavailable", "later")


async def test_the_cdn_turning_a_look_up_away_is_told(
    sandbox: Sandbox, settings: Settings, hurry: Hurry
) -> None:
    sandbox.inject(Fault("cdn_403", "runway/record-detail", times=None))
    async with connect(settings) as agent:
        await agent.call("generate_video", prompt="a boat", request_id="one")
        task = await agent.call("get_task", task_id="one")

        assert (task["state"], task["error"]["code"]) == ("wait", "blocked")
        assert "goes on" in task["next"]
        await recovers(sandbox, agent, "get_task", task["task_id"])


NO_RECORDS: dict[str, Reply] = {
    "a list": sends(http(envelope(["t-1"]))),
    "a text": sends(http(envelope("success"))),
    "an empty object": sends(http(envelope({}))),
    "no state": sends(http(envelope({"taskId": "t-1"}))),
    "a state that is a list": sends(http(envelope({"taskId": "t-1", "state": ["success"]}))),
    "another task's record": sends(http(envelope({"taskId": "t-2", "state": "fail"}))),
    "nesting without end": sends(http(b"[" * 900_000)),
}


@pytest.mark.parametrize("reply", NO_RECORDS.values(), ids=NO_RECORDS)
async def test_an_answer_that_is_no_record_of_the_task_is_no_news(
    hurry: Hurry, reply: Reply
) -> None:
    async with raw_kie(reply) as kie, connect(settings_for(kie.url)) as agent:
        error = await agent.fail("get_task", task_id="t-1")
        listed = await agent.call("list_tasks")

    assert (error["error"]["code"], error["error"]["charged"]) == ("unavailable", "no")
    assert listed == {"tasks": []}


@pytest.mark.parametrize("header", ["0", "-1", "1000000000", "9" * 400, "soon", ""])
async def test_a_strange_retry_after_does_not_stop_the_looking(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, header: str
) -> None:
    headers = {"Retry-After": header}
    sandbox.inject(Fault("refuse", "runway/record-detail", status=429, code=429, headers=headers))
    async with connect(settings) as agent:
        task = await agent.call("generate_video", prompt="a boat", request_id="one")
        await recovers(sandbox, agent, "get_task", task["task_id"])
