"""From a call to what it works with."""

from mcp.server.mcpserver import Context
from mcp.types.version import is_version_at_least

from kie_runway.app import App, Services

_WITHOUT_REQUESTS_OF_SERVERS = "2026-07-28"  # the first such version


async def app_of(ctx: Context[Services]) -> App:
    """The app, on behalf of whoever calls."""
    return await ctx.request_context.lifespan_context.ready()


def asks_in_results(ctx: Context[Services]) -> bool:
    """Whether the client is asked by way of a result, and calls again with its answers."""
    return is_version_at_least(ctx.protocol_version or "", _WITHOUT_REQUESTS_OF_SERVERS)
