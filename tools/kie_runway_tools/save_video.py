"""save_video: a finished video as a file on the server's machine."""

from mcp.server.mcpserver import Context

from kie_runway.app import Services
from kie_runway.errors import DownloadStatusError, ExpiredError
from kie_runway.models import TaskKind, TaskState
from kie_runway_tools.arguments import TaskIdArgument
from kie_runway_tools.calling import app_of
from kie_runway_tools.finished import finished
from kie_runway_tools.results import TaskResult, task_result


async def save_video(ctx: Context[Services], task_id: TaskIdArgument) -> TaskResult:
    """Download a finished video to disk before KIE deletes it; returns the path as file. Free."""
    app = await app_of(ctx)
    entry = await finished(
        app, await app.tracker.find(app.account, task_id, TaskKind.GENERATE, TaskKind.ALEPH)
    )
    if entry.state is TaskState.SUCCESS and entry.video_url is not None:
        try:
            path = await app.videos.save(f"{entry.kind}-{entry.task_id}", entry.video_url)
        except DownloadStatusError as exc:
            if exc.is_gone:
                raise ExpiredError(f"KIE no longer has this video. {exc.reason}") from exc
            raise
        entry = await app.ledger.set_file(entry.id, str(path))
    return await task_result(app, entry)
