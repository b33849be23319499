"""save_video: a finished video as a file on the server's machine."""

from mcp.server.mcpserver import Context

from kie_runway.app import Services
from kie_runway.models import TaskKind, TaskState
from kie_runway_tools.arguments import TaskIdArgument
from kie_runway_tools.calling import app_of
from kie_runway_tools.card_host import audience_of
from kie_runway_tools.finished import finished
from kie_runway_tools.results import TaskResult, task_result


async def save_video(ctx: Context[Services], task_id: TaskIdArgument) -> TaskResult:
    """Download a finished video to disk before KIE deletes it; returns the path as file. Free."""
    app = await app_of(ctx)
    entry = await finished(
        app, await app.finder.find(app.account, task_id, TaskKind.GENERATE, TaskKind.ALEPH)
    )
    if entry.state is TaskState.SUCCESS:
        entry = await app.saver.save(entry)
    return await task_result(app, entry, audience_of(ctx))
