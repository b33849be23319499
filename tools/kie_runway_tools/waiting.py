"""What the two look-up tools do alike: wait, with progress, and answer in time."""

import asyncio

import mcp.types as t
from mcp.server.mcpserver import Context

from kie_runway.app import Services
from kie_runway.ledger.records import Entry
from kie_runway.models import TaskKind
from kie_runway_tools.calling import app_of
from kie_runway_tools.card_host import audience_of
from kie_runway_tools.results import task_result

WAIT = "Seconds to wait for the end; the maximum saves calls."


async def look(
    ctx: Context[Services], kind: TaskKind, task_id: str, wait_seconds: int
) -> t.CallToolResult:
    """A task, after waiting for its end for at most `wait_seconds`."""
    began = asyncio.get_running_loop().time()
    app = await app_of(ctx)
    reported_s = -1.0

    async def tick(entry: Entry, _: float) -> None:
        # How far KIE is, nobody knows; so it is the time, out of the usual time while that lasts.
        nonlocal reported_s
        age_s = round((app.clock.now() - entry.created_at).total_seconds(), 3)
        if age_s > reported_s:  # progress has to grow, and clocks are set back
            reported_s = age_s
            usual_s = app.tracker.usual_s(entry)
            total_s = usual_s if age_s < usual_s else None
            await ctx.report_progress(age_s, total_s, entry.state)

    entry = await app.finder.find(app.account, task_id, kind)
    # A task that only KIE knows takes time to find, and clients do not bear longer waits.
    passed_s = asyncio.get_running_loop().time() - began
    sight = await app.tracker.wait(entry, max(0.0, wait_seconds - passed_s), tick)
    return await task_result(app, sight.entry, audience_of(ctx), trouble=sight.trouble)
