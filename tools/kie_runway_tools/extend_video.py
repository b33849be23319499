"""extend_video: more of a video that generate_video or extend_video made."""

from typing import Annotated

from mcp.server.mcpserver import Context
from pydantic import Field

from kie_runway.app import Services
from kie_runway.errors import BadInputError, NotFinishedError
from kie_runway.ledger.base import Entry
from kie_runway.models import ExtendRequest, Prompt, TaskKind, TaskState
from kie_runway_tools.arguments import (
    QualityArgument,
    RequestIdArgument,
    TaskIdArgument,
    WatermarkArgument,
)
from kie_runway_tools.results import TaskResult
from kie_runway_tools.starting import start


async def extend_video(
    ctx: Context[Services],
    task_id: TaskIdArgument,
    prompt: Annotated[Prompt, Field(description="What happens next.")],
    quality: QualityArgument = "720p",
    watermark: WatermarkArgument = None,
    request_id: RequestIdArgument = None,
) -> TaskResult:
    """Continue a finished 720p generate_video or extend_video task (paid). Then call get_task."""
    app = await ctx.request_context.lifespan_context.ready()
    parent = await app.tracker.find(app.account, TaskKind.GENERATE, task_id)
    if not parent.state.is_terminal:
        parent = (await app.tracker.wait(parent, 0)).entry
    request = ExtendRequest(
        task_id=_extendable(parent), prompt=prompt, quality=quality, watermark=watermark
    )
    return await start(app, request, request_id)


def _extendable(parent: Entry) -> str:
    """KIE's id of a task that can be extended; KIE itself would only notice after charging."""
    if parent.kind is TaskKind.ALEPH:
        raise BadInputError("`task_id` names an Aleph task; KIE extends only Runway generations.")
    if parent.arguments.get("quality") == "1080p":
        raise BadInputError("`task_id` names a 1080p video; KIE extends 720p videos only.")
    if parent.state in (TaskState.FAIL, TaskState.REJECTED, TaskState.EXPIRED):
        raise BadInputError(
            f"`task_id` names a task that ended as {parent.state}; there is no video to extend."
        )
    if parent.state is not TaskState.SUCCESS or parent.task_id is None:
        raise NotFinishedError(
            f"The video to extend is not finished ({parent.state}). Wait for it with get_task."
        )
    return parent.task_id
