"""What agents are shown of the tools; each token of it costs every user on every turn."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver.tools import Tool

from kie_runway.settings import MAX_WAIT_S
from kie_runway_tools.catalog import build_tools

SCHEMAS = Path(__file__).parent / "schemas"
ORDER = [
    "generate_video",
    "extend_video",
    "get_task",
    "aleph_generate",
    "aleph_get_task",
    "list_tasks",
    "save_video",
    "upload_file",
    "get_credits",
]
SPENDING = {"generate_video", "extend_video", "aleph_generate"}
TOKEN_BUDGET = 1800
BYTES_PER_TOKEN = 4  # o200k_base finds fewer tokens in these schemas; `make bench` counts exactly


@pytest.fixture(name="tools", scope="module")
def _tools() -> dict[str, Tool]:
    return {tool.name: tool for tool in build_tools(MAX_WAIT_S)}


def listing(tool: Tool) -> dict[str, Any]:
    """What most hosts put before the model."""
    return {"name": tool.name, "description": tool.description, "inputSchema": tool.parameters}


@pytest.mark.parametrize("name", ORDER)
def test_the_schema_is_the_one_that_was_reviewed(tools: dict[str, Tool], name: str) -> None:
    """`UPDATE_SCHEMAS=1` rewrites the snapshots; the diff then shows in review."""
    tool = tools[name]
    assert tool.annotations is not None
    seen = listing(tool) | {
        "title": tool.title,
        "annotations": tool.annotations.model_dump(by_alias=True, exclude_none=True),
        "outputSchema": tool.output_schema,
    }
    path = SCHEMAS / f"{name}.json"
    if os.environ.get("UPDATE_SCHEMAS"):
        path.write_text(json.dumps(seen, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    assert seen == json.loads(path.read_text(encoding="utf-8"))


def test_there_is_one_snapshot_per_tool_and_the_order_is_fixed(tools: dict[str, Tool]) -> None:
    assert list(tools) == ORDER
    assert {path.stem for path in SCHEMAS.glob("*.json")} == set(ORDER)


def test_every_schema_is_closed(tools: dict[str, Tool]) -> None:
    for tool in tools.values():
        assert tool.parameters["additionalProperties"] is False, tool.name


def test_hints_tell_the_truth_about_money_and_files(tools: dict[str, Tool]) -> None:
    for name, tool in tools.items():
        hints = tool.annotations
        assert hints is not None
        assert hints.destructive_hint is not True
        if name in SPENDING:
            assert (hints.read_only_hint, hints.idempotent_hint) == (False, False)
        elif name not in ("save_video", "upload_file"):
            assert hints.read_only_hint is True


def test_spending_tools_say_that_they_are_paid_and_what_to_call_next(
    tools: dict[str, Tool],
) -> None:
    for name in SPENDING:
        assert "Paid" in tools[name].description
        assert "get_task" in tools[name].description


def test_all_tools_together_stay_within_the_token_budget(tools: dict[str, Tool]) -> None:
    text = "".join(
        json.dumps(listing(tool), separators=(",", ":"), ensure_ascii=False)
        for tool in tools.values()
    )

    assert len(text.encode()) / BYTES_PER_TOKEN <= TOKEN_BUDGET


def test_the_longest_wait_stands_in_the_schema() -> None:
    bounds = {
        tool.name: tool.parameters["properties"]["wait_seconds"]["maximum"]
        for tool in build_tools(7)
        if "wait_seconds" in tool.parameters["properties"]
    }

    assert bounds == {"get_task": 7, "aleph_get_task": 7}
