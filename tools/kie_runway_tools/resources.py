"""Tasks as resources: what hosts let their users attach, and clients watch."""

from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver.resources import ResourceSecurity

from kie_runway.app import Services
from kie_runway.errors import UnknownTaskError
from kie_runway_tools.list_tasks import page
from kie_runway_tools.results import describe

RECENT_TASKS = 20
JSON = "application/json"


def add_resources(server: MCPServer[Any], services: Services) -> None:
    """Give a server `kie://tasks` and `kie://tasks/{id}`: the ledger as last seen, free to read."""

    async def tasks() -> str:
        app = await services.ready()
        return (await page(app, limit=RECENT_TASKS)).model_dump_json(exclude_none=True)

    async def task(id: str) -> str:
        app = await services.ready()
        entry = await app.ledger.find(app.account, id)
        if entry is None:
            raise UnknownTaskError("No task here has this id; kie://tasks names the latest.")
        return describe(app, entry).model_dump_json(exclude_none=True)

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
        security=ResourceSecurity(exempt_params={"id"}),  # an id names no file
    )(task)
