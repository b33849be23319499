"""From a call to what it works with."""

from mcp.server.mcpserver import Context

from kie_runway.app import App, Services


async def app_of(ctx: Context[Services]) -> App:
    """The app, on behalf of whoever calls."""
    return await ctx.request_context.lifespan_context.ready()
