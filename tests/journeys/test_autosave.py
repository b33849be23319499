"""Saving without being asked, by real processes."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from tests.journeys.processes import http_server
from tests.support import Agent, serve_sandbox
from tests.wire import COMMAND, WITHIN_S, sandbox_env

pytestmark = pytest.mark.anyio


async def finished(agent: Agent, sandbox: Any) -> dict[str, Any]:
    """A task that ended well, as an agent is told."""
    task = await agent.call("generate_video", prompt="a boat")
    sandbox.finish(task["task_id"])
    while task["state"] != "success":
        task = await agent.call("get_task", task_id=task["task_id"])  # looks, but not too often
    return task


async def file_of(agent: Agent) -> str:
    """Where the newest task's video is, once it was saved without being asked."""
    while True:
        (task,) = (await agent.call("list_tasks", limit=1))["tasks"]
        if "file" in task:
            return str(task["file"])


async def test_the_stdio_server_saves_unasked(tmp_path: Path) -> None:
    async with serve_sandbox(keys=("sandbox-key",)) as (sandbox, settings):
        env = sandbox_env(settings.api_url) | {"KIE_HOME": str(tmp_path)}
        command = StdioServerParameters(command=COMMAND[0], env=env)
        async with Client(command) as client:
            with anyio.fail_after(WITHIN_S):
                task = await finished(Agent(client), sandbox)
                file = await file_of(Agent(client))

    assert file == str(tmp_path / "videos" / f"generate-{task['task_id']}.mp4")


@pytest.mark.parametrize("chosen", ["", "1"])
async def test_the_http_server_saves_only_what_it_is_told_to(tmp_path: Path, chosen: str) -> None:
    async with serve_sandbox(keys=("sandbox-key",)) as (sandbox, settings):
        env = {"KIE_HOME": str(tmp_path), "KIE_AUTOSAVE": chosen}
        with http_server(env=sandbox_env(settings.api_url) | env) as server:
            async with Client(server.url) as client:
                with anyio.fail_after(WITHIN_S):
                    agent = Agent(client)
                    task = await finished(agent, sandbox)
                    if chosen:
                        await file_of(agent)
                    else:
                        again = await agent.call("get_task", task_id=task["task_id"])
                        assert "file" not in again

    assert (tmp_path / "videos").exists() == bool(chosen)
