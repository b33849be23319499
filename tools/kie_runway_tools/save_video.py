"""save_video: a finished video as a file on the server's machine."""

import mcp.types as t
from mcp.server.mcpserver import Context

from kie_runway.app import App, Services
from kie_runway.errors import ExpiredError, NotFinishedError
from kie_runway.ledger.base import Entry
from kie_runway.models import TaskKind, TaskState
from kie_runway_tools.arguments import TaskIdArgument
from kie_runway_tools.results import TaskResult, follow_up, task_result


async def save_video(ctx: Context[Services], task_id: TaskIdArgument) -> TaskResult:
    """Save a finished video to a file that the server names. Free."""
    app = await ctx.request_context.lifespan_context.ready()
    entry = await app.tracker.find(app.account, TaskKind.GENERATE, task_id)
    if not entry.state.is_terminal:
        entry = (await app.tracker.wait(entry, 0)).entry
    return await _save(app, entry)


async def _save(app: App, entry: Entry) -> t.CallToolResult:
    if entry.state is TaskState.EXPIRED and entry.file is None:
        raise ExpiredError("KIE deleted this video after 14 days; it can no longer be saved.")
    if entry.state is TaskState.SUCCESS and entry.video_url is not None:
        path = await app.videos.save(f"{entry.kind}-{entry.task_id}", entry.video_url)
        entry = await app.ledger.set_file(entry.id, str(path))
    elif entry.state is not TaskState.EXPIRED:
        raise NotFinishedError(
            f"There is no video to save: the task is in state {entry.state}. "
            f"{follow_up(entry.kind)} tells more."
        )
    return await task_result(app, entry)
