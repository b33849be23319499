"""The whole journey: what an agent does with the server, and what it must see."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, MCPError
from tests.support import structured

PAID = ["aleph", "extend", "generate"]
STATES = {"wait", "queueing", "generating", "success"}
MISSPELT = "`durration` is not an argument of this tool: did you mean `duration`?"


@dataclass
class Journey:
    """Every step's answer as it went over the wire."""

    version: str
    progress: list[str]
    steps: dict[str, Any]


@dataclass
class _Walk:
    client: Client
    steps: dict[str, Any] = field(default_factory=dict[str, Any])
    progress: list[str] = field(default_factory=list[str])

    async def call(self, step: str, tool: str, /, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments, progress_callback=self._note)
        self.steps[step] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        return structured(result)

    async def wait(self, step: str, tool: str, task: dict[str, Any]) -> dict[str, Any]:
        return await self.call(step, tool, task_id=task["task_id"], wait_seconds=45)

    async def _note(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append(message or "")


async def walk(client: Client, request_id: str) -> Journey:
    """The journey through Python's client; `journey.mjs` is the same through TypeScript's."""
    walk = _Walk(client)
    tools = await client.list_tools()
    walk.steps["tools"] = tools.model_dump(mode="json", by_alias=True, exclude_none=True)
    await walk.call("credits", "get_credits")
    made = await walk.call("made", "generate_video", prompt="a paper boat", request_id=request_id)
    done = await walk.wait("done", "get_task", made)
    longer = await walk.call(
        "longer", "extend_video", task_id=made["task_id"], prompt="it sails on"
    )
    await walk.wait("extended", "get_task", longer)
    painted = await walk.call(
        "painted", "aleph_generate", video_url=done["video_url"], prompt="as a watercolour"
    )
    await walk.wait("restyled", "aleph_get_task", painted)
    await walk.call("saved", "save_video", task_id=painted["task_id"])
    await walk.call("listed", "list_tasks", limit=3)
    await walk.call("misspelt", "generate_video", prompt="a boat", durration=9)
    await walk.call("mispaged", "list_tasks", cursor="abc")
    await walk.call("lost", "get_task", task_id="no-such-task")
    try:
        await client.call_tool("make_coffee", {})
    except MCPError as exc:
        walk.steps["unknown"] = {"code": exc.error.code}
    return Journey(client.protocol_version, walk.progress, walk.steps)


def check(journey: Journey) -> None:
    """What must hold whatever client, protocol revision and transport were used."""
    steps = journey.steps
    said = {name: step["structuredContent"] for name, step in steps.items() if "content" in step}
    assert {"generate_video", "get_task", "aleph_get_task", "list_tasks"} < {
        tool["name"] for tool in steps["tools"]["tools"]
    }
    assert said["credits"]["credits"] > 0
    assert [said[name]["kind"] for name in ("painted", "longer", "made")] == PAID
    for end in ("done", "extended", "restyled"):
        assert said[end]["state"] == "success"
        assert [block["type"] for block in steps[end]["content"]] == ["text", "image"]
    assert said["longer"]["parent_task_id"] == said["made"]["task_id"]
    assert Path(said["saved"]["file"]).read_bytes()[4:8] == b"ftyp"
    assert [task["kind"] for task in said["listed"]["tasks"]] == PAID
    assert {task["state"] for task in said["listed"]["tasks"]} == {"success"}
    for step, code in (
        ("misspelt", "bad_input"),
        ("mispaged", "bad_input"),
        ("lost", "unknown_task"),
    ):
        assert steps[step]["isError"]
        assert said[step]["error"]["code"] == code
        assert said[step]["error"]["reason"] in steps[step]["content"][0]["text"]
    assert said["misspelt"]["error"]["reason"] == MISSPELT
    assert steps["unknown"] == {"code": -32602}
    assert "success" in journey.progress
    assert set(journey.progress) <= STATES
