"""aleph_get_task: how an Aleph task stands, now or when it ends."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import mcp.types as t
from mcp.server.mcpserver import Context
from pydantic import Field

from kie_runway.app import Services
from kie_runway.models import TaskKind
from kie_runway_tools.arguments import TaskIdArgument
from kie_runway_tools.results import TaskResult
from kie_runway_tools.waiting import WAIT, look


def make_aleph_get_task(max_wait_s: int) -> Callable[..., Awaitable[t.CallToolResult]]:
    """The tool; its longest wait is a setting, and stands in its schema."""

    async def aleph_get_task(
        ctx: Context[Services],
        task_id: TaskIdArgument,
        wait_seconds: Annotated[int, Field(ge=0, le=max_wait_s, description=WAIT)] = 0,
    ) -> TaskResult:
        """State of an aleph_generate task, and its video once finished. Free."""
        return await look(ctx, TaskKind.ALEPH, task_id, wait_seconds)

    return aleph_get_task
