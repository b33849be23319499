"""extend_video: more of a video that generate_video or extend_video made."""

from typing import Annotated

from mcp.server.mcpserver import Context, Resolve
from pydantic import Field

from kie_runway.app import Services
from kie_runway.errors import BadInputError
from kie_runway.models import ExtendRequest, Prompt, Quality, TaskKind, TaskState
from kie_runway_tools.approval import Answer, asking
from kie_runway_tools.arguments import (
    ConfirmArgument,
    QualityArgument,
    RequestIdArgument,
    TaskIdArgument,
    WatermarkArgument,
)
from kie_runway_tools.calling import app_of
from kie_runway_tools.finished import check_extendable, finished
from kie_runway_tools.ordering import Order
from kie_runway_tools.results import TaskResult
from kie_runway_tools.starting import start


async def _order(
    ctx: Context[Services], task_id: str, prompt: str, quality: Quality, watermark: str | None
) -> Order:
    app = await app_of(ctx)
    parent = await app.finder.find(app.account, task_id, TaskKind.GENERATE)
    check_extendable(parent)
    parent = await finished(app, parent)
    if parent.state is TaskState.EXPIRED:
        raise BadInputError(
            "`task_id` names a video that KIE has deleted; only its saved file is left."
        )
    assert parent.task_id is not None  # every finished task has one
    request = ExtendRequest(
        task_id=parent.task_id, prompt=prompt, quality=quality, watermark=watermark
    )
    return Order(await app.uploader.read(request))


async def extend_video(
    ctx: Context[Services],
    order: Annotated[Order, Resolve(_order)],
    answer: Annotated[Answer, Resolve(asking(_order))],
    task_id: TaskIdArgument,
    prompt: Annotated[Prompt, Field(description="What happens next.")],
    quality: QualityArgument = "720p",
    watermark: WatermarkArgument = None,
    request_id: RequestIdArgument = None,
    confirm: ConfirmArgument = False,
) -> TaskResult:
    """Make the continuation of a finished 720p generate_video or extend_video task. Paid: about
    12 to 30 credits. Then call get_task until it ends."""
    return await start(ctx, order, answer, request_id, confirm)
