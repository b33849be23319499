"""Tasks as resources: what hosts let their users attach, and clients watch."""

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.resources import ResourceSecurity

from kie_runway.app import App, Services
from kie_runway.errors import DownloadError, NotInstalledError, UnknownTaskError
from kie_runway.ledger.records import Entry
from kie_runway.models import RECENT_TASKS, TaskState
from kie_runway_tools.described import describe
from kie_runway_tools.finished import finished
from kie_runway_tools.list_tasks import page
from kie_runway_tools.pictures import SHEET_TYPE

JSON = "application/json"
ANY_ID = ResourceSecurity(exempt_params={"id"})  # an id names no file
NO_SUCH_TASK = "No task here has this id; kie://tasks names the latest."


def add_resources(server: MCPServer[Any], services: Services) -> None:
    """
    Give a server its tasks to read, all free.

    `kie://tasks` and `kie://tasks/{id}` are the ledger as last seen; `kie://tasks/{id}/frames` is
    the contact sheet, made if it has to be.
    """

    async def tasks() -> str:
        app = await services.ready()
        return (await page(app, limit=RECENT_TASKS)).model_dump_json(exclude_none=True)

    async def task(id: str) -> str:
        app = await services.ready()
        entry = await _find(app, id)
        return describe(app, entry, in_full=True).model_dump_json(exclude_none=True)

    async def frames(id: str) -> bytes:
        app = await services.ready()
        return await _frames(app, await _find(app, id))

    server.resource(
        "kie://tasks",
        title="Recent tasks",
        description=f"The last {RECENT_TASKS} tasks, newest first, as last seen.",
        mime_type=JSON,
    )(tasks)
    server.resource(
        "kie://tasks/{id}",
        title="Task",
        description="A task by its task_id or request_id, as last seen.",
        mime_type=JSON,
        security=ANY_ID,
    )(task)
    server.resource(
        "kie://tasks/{id}/frames",
        title="Frames of a video",
        description="6 to 9 moments of a finished video with their times, as one picture.",
        mime_type=SHEET_TYPE,
        security=ANY_ID,
    )(frames)


async def _find(app: App, id: str) -> Entry:
    entry = await app.ledger.find(app.account, id)
    if entry is None:
        raise UnknownTaskError(NO_SUCH_TASK)
    return entry


async def _frames(app: App, entry: Entry) -> bytes:
    if not app.sheets.can_draw:
        raise NotInstalledError("Frames need this package's extra `media` (PyAV and Pillow).")
    if entry.state is not TaskState.EXPIRED:  # frames may outlive their video
        entry = await finished(app, entry)
    sheet = await app.sheets.get(entry)
    if sheet is None:
        await finished(app, entry)
        raise DownloadError("No frames: the video cannot be fetched or decoded now.")
    return sheet
