"""What an agent is told of prices and of what was spent."""

import json
from typing import Any

import pytest
from mcp.server.mcpserver.tools import Tool
from mcp.types import TextResourceContents
from tests.support import Agent, Era, connect, serve_sandbox, text_of

from kie_runway.models import TaskKind
from kie_runway.prices import price_list
from kie_runway.settings import MAX_WAIT_S
from kie_runway_tools.catalog import build_tools

pytestmark = pytest.mark.anyio

MAX_BYTES = 1000  # 250 tokens


@pytest.fixture(name="tools", scope="module")
def _tools() -> dict[str, Tool]:
    return {tool.name: tool for tool in build_tools(MAX_WAIT_S)}


async def pricing(agent: Agent) -> dict[str, Any]:
    (content,) = (await agent.client.read_resource("kie://pricing")).contents
    assert isinstance(content, TextResourceContents)
    assert content.mime_type == "application/json"
    assert len(content.text) <= MAX_BYTES
    found: dict[str, Any] = json.loads(content.text)
    return found


async def test_the_price_list_comes_with_its_date_and_source_and_marks_guesses(era: Era) -> None:
    async with serve_sandbox() as (_, settings), connect(settings, era) as agent:
        found = await pricing(agent)

    assert found["checked"] == price_list().checked.isoformat()
    assert "kie.ai/pricing" in found["source"]
    assert found["usd_per_credit"] == 0.005
    assert {"kind": "generate", "duration": 5, "quality": "720p", "credits": 12} in found["prices"]
    assert {"kind": "aleph", "credits": 110} in found["prices"]
    assert {price["kind"] for price in found["prices"] if "assumed" in price} == {"extend"}
    assert found["spent_24h"] == 0
    assert not found.keys() & {"daily_credits", "confirm_credits"}


async def test_the_caps_and_what_was_spent_are_told_without_a_key(era: Era) -> None:
    caps = {"daily_credits": 200.0, "confirm_credits": 100.0}
    async with serve_sandbox() as (_, settings):
        async with connect(settings, era) as agent:
            await agent.call("generate_video", prompt="a boat")
        keyless = settings.model_copy(update={**caps, "api_key": None})
        async with connect(keyless, era) as agent:
            found = await pricing(agent)

    assert found.items() >= {**caps, "spent_24h": 12}.items()


@pytest.mark.parametrize(
    ("cap", "line"),
    [
        (None, "988 credits left; about 12 spent in the last 24 hours."),
        (200.0, "988 credits left; about 12 of 200 spent in the last 24 hours."),
    ],
)
async def test_the_balance_comes_with_what_was_spent_here(
    era: Era, cap: float | None, line: str
) -> None:
    async with (
        serve_sandbox() as (_, settings),
        connect(settings.model_copy(update={"daily_credits": cap}), era) as agent,
    ):
        await agent.call("generate_video", prompt="a boat")
        result = await agent.client.call_tool("get_credits", {})

    assert text_of(result) == line
    told = {"credits": 988.0, "spent_24h": 12.0}
    assert result.structured_content == (told if cap is None else told | {"daily_credits": cap})


def test_the_tools_name_their_prices_before_anybody_pays(tools: dict[str, Tool]) -> None:
    """And say what is known to go wrong with the dearest."""

    def prices(kind: TaskKind) -> list[float]:
        return sorted(price.credits for price in price_list().prices if price.kind is kind)

    for name, kind in (("generate_video", TaskKind.GENERATE), ("extend_video", TaskKind.EXTEND)):
        least, *_, most = prices(kind)
        assert f"{least:g} to {most:g} credits" in tools[name].description
    (aleph,) = prices(TaskKind.ALEPH)
    assert f"about {aleph:g} credits" in tools["aleph_generate"].description
    assert "August 2026" in tools["aleph_generate"].description
    assert "warn the user" in tools["aleph_generate"].description


async def test_a_1080p_video_is_not_extended_for_kie_would_charge_and_fail(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await agent.call("generate_video", prompt="a boat", quality="1080p")
        sandbox.finish(task["task_id"])
        refused = await agent.fail("extend_video", task_id=task["task_id"], prompt="it sinks")

    assert refused["error"]["reason"] == (
        "`task_id` names a 1080p video; KIE extends 720p videos only."
    )
    assert sandbox.requests["runway/extend"] == 0
