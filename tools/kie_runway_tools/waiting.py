"""What the two look-up tools do alike: wait, with progress, and answer in time."""

import mcp.types as t
from mcp.server.mcpserver import Context

from kie_runway.app import Services
from kie_runway.ledger.base import Entry
from kie_runway.models import TaskKind
from kie_runway_tools.calling import app_of
from kie_runway_tools.results import task_result

WAIT = "Seconds to wait for the end; the maximum saves calls."


async def look(
    ctx: Context[Services], kind: TaskKind, task_id: str, wait_seconds: int
) -> t.CallToolResult:
    """A task, after waiting for its end for at most `wait_seconds`."""
    app = await app_of(ctx)

    async def tick(entry: Entry, waited_s: float) -> None:
        # Progress must grow, so it is the time; how far KIE is, nobody knows.
        await ctx.report_progress(waited_s, float(wait_seconds), entry.state)

    entry = await app.finder.find(app.account, task_id, kind)
    sight = await app.tracker.wait(entry, wait_seconds, tick)
    return await task_result(app, sight.entry, trouble=sight.trouble)
