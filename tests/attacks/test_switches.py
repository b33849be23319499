"""Wherever the evidence about KIE is silent, the server is right under every position."""

from collections.abc import Iterator
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import anyio
import httpx
import pytest
from pydantic import SecretStr
from tests.attacks.kie import OTHER_KEY, VIDEO_URL, Hurry, paid
from tests.support import KEY, connect, serve_sandbox

from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox, Switches

pytestmark = pytest.mark.anyio

TEXT = {"prompt": "a boat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"}


def positions() -> Iterator[dict[str, Any]]:
    """All switches as they are, then each switch in each other position."""
    yield {}
    normal, types = asdict(Switches()), get_type_hints(Switches)
    for switch in fields(Switches):
        kind = types[switch.name]
        choices = (False, True) if kind is bool else get_args(kind)
        if str in choices:
            choices = (None, "a-webhook-key")
        assert len(choices) > 1, f"{switch.name}: teach this test its positions"
        for choice in choices:
            if choice != normal[switch.name] or type(choice) is not type(normal[switch.name]):
                yield {switch.name: choice}


def name(position: dict[str, Any]) -> str:
    return "".join(f"{switch}={choice!r}" for switch, choice in position.items()) or "as recorded"


@pytest.mark.parametrize("position", list(positions()), ids=name)
async def test_the_journey_is_the_same_under_every_position_of_every_switch(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, position: dict[str, Any]
) -> None:
    sandbox.set_switches(**position)
    started: dict[str, dict[str, Any]] = {}
    pending: dict[str, str] = {}
    ended: dict[str, dict[str, Any]] = {}
    async with connect(settings) as agent:
        for name in ("good", "bad"):
            started[name] = await agent.call(
                "generate_video", prompt=f"a {name} boat", request_id=name
            )
            started[f"aleph {name}"] = await agent.call(
                "aleph_generate",
                prompt=f"a {name} painting",
                video_url=VIDEO_URL,
                request_id=f"aleph {name}",
            )
        for name, task in started.items():
            look = "aleph_get_task" if "aleph" in name else "get_task"
            seen = await agent.call(look, task_id=name)
            pending[name] = seen["state"]
            if "good" in name:
                sandbox.finish(task["task_id"])
            else:
                sandbox.fail(task["task_id"], 400, "AI moderator")
            with anyio.fail_after(120):
                end = agent.call if "good" in name else agent.fail
                ended[name] = await end(look, task_id=name, wait_seconds=30)
        longer = await agent.call("extend_video", task_id="good", prompt="on", request_id="longer")
        unknown = [
            await agent.fail(tool, task_id="no-such-task")
            for tool in ("get_task", "aleph_get_task")
        ]
        saved = await agent.call("save_video", task_id="aleph good")
        listed = await agent.call("list_tasks")

    assert set(pending.values()) <= {"wait", "generating"}
    assert [ended[name]["state"] for name in ("good", "aleph good")] == ["success"] * 2
    for name in ("bad", "aleph bad"):
        assert (ended[name]["state"], ended[name]["charged"]) == ("fail", "unknown")
        assert "moderation" in ended[name]["error"]["reason"]
    assert longer["parent_task_id"] == started["good"]["task_id"]
    assert {error["error"]["code"] for error in unknown} == {"unknown_task"}
    assert saved["file"]
    assert len(listed["tasks"]) == paid(sandbox) == 5
    bodies = [entry.details["body"] for entry in sandbox.log.select("create")]
    assert not any("callBackUrl" in body for body in bodies)


@pytest.mark.parametrize("status", [200, 401])
async def test_a_wrong_key_is_told_in_either_layer(
    sandbox: Sandbox, settings: Settings, status: Any
) -> None:
    sandbox.set_switches(auth_http_status=status)
    mistyped = settings.model_copy(update={"api_key": SecretStr("a-wrong-key")})
    async with connect(mistyped) as agent:
        refused = await agent.fail("generate_video", prompt="a boat", request_id="one")
        looked = await agent.fail("get_task", task_id="no-such-task")
        asked = await agent.fail("get_credits")
    async with connect(settings) as agent:
        task = await agent.call("generate_video", prompt="a boat", request_id="one")

    assert (refused["state"], refused["charged"]) == ("rejected", "no")
    for error in (refused["error"], looked["error"], asked["error"]):
        assert (error["code"], error["retry"]) == ("wrong_key", "ask_user")
    assert (task["charged"], paid(sandbox)) == ("yes", 1)


@pytest.mark.parametrize("status", [429, 200])
async def test_the_accounts_real_rate_limit_is_respected_in_either_layer(
    hurry: Hurry, status: Any
) -> None:
    """Another program has used up the account's 20 requests."""
    switches = Switches(rate_limit_http_status=status)
    async with serve_sandbox(frozen_at=datetime.now(UTC), switches=switches) as (sandbox, settings):
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=60) as other:
            for _ in range(20):
                await other.post(f"{settings.api_url}/api/v1/runway/generate", json=TEXT)
        async with connect(settings) as agent:
            refused = await agent.fail("generate_video", prompt="a boat", request_id="one")
            made = paid(sandbox)
            sandbox.advance(11)
            task = await agent.call("generate_video", prompt="a boat", request_id="one")

    assert (refused["state"], refused["error"]["code"]) == ("rejected", "rate_limited")
    assert refused["charged"] == "no"
    assert (made, paid(sandbox)) == (20, 21)
    assert task["state"] == "wait"


async def test_the_other_account_of_the_sandbox_is_not_touched(
    sandbox: Sandbox, settings: Settings
) -> None:
    before = sandbox.account(OTHER_KEY).credits
    async with connect(settings) as agent:
        await agent.call("generate_video", prompt="a boat")

    assert sandbox.account(OTHER_KEY).credits == before
    assert sandbox.account(KEY).credits == before - 12
