"""Tools that tell the client something before, or instead of, their result."""

from collections.abc import Callable
from typing import Any

import mcp.types as t
from mcp import MCPError
from mcp.server.mcpserver import Context


async def tool_with_logging(ctx: Context) -> str:
    """Logs three lines."""
    await _log(ctx, "Tool execution started")
    await _log(ctx, "Tool processing data")
    await _log(ctx, "Tool execution completed")
    return "Logged three lines."


async def logging_tool(ctx: Context) -> str:
    """Logs a line, which only a request that asked for logs may see."""
    await _log(ctx, "Somebody asked for logs")
    return "Logged a line."


async def tool_with_progress(ctx: Context) -> str:
    """Reports progress three times."""
    for percent in (0, 50, 100):
        await ctx.report_progress(percent, 100, f"Completed step {percent} of 100")
    return "Reported progress."


async def missing_capability(ctx: Context) -> str:
    """Refuses clients that cannot sample."""
    capabilities = ctx.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            t.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "This tool needs a client that can sample.",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return "The client can sample."


async def trigger_tool_change(ctx: Context) -> str:
    """Tells listeners that the tools changed."""
    await ctx.notify_tools_changed()
    return "Told."


async def trigger_prompt_change(ctx: Context) -> str:
    """Tells listeners that the prompts changed."""
    await ctx.notify_prompts_changed()
    return "Told."


TOOLS: tuple[Callable[..., Any], ...] = (
    tool_with_logging,
    logging_tool,
    tool_with_progress,
    missing_capability,
    trigger_tool_change,
    trigger_prompt_change,
)


async def _log(ctx: Context, text: str) -> None:
    await ctx.info(text)  # pyright: ignore[reportDeprecated] - what the suite tests is deprecated
