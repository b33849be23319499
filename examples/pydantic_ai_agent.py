"""Pydantic AI, over stdio or HTTP: pip install 'pydantic-ai-slim[mcp,openai]'"""

import asyncio
import sys
from collections.abc import Sequence

from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models import Model

SANDBOX = ("kie-runway-mcp", "serve", "--sandbox")
WISH = "Make a five-second video of a paper boat in the rain, save it, and tell me its path."


async def make_video(wish: str, model: str | Model, server: Sequence[str] = SANDBOX) -> str:
    """What the agent answers; `server` is a command, or the URL of `serve --http` alone."""
    command, *args = server
    videos = MCPToolset(
        command if command.startswith("http") else StdioTransport(command, args),
        include_instructions=True,
        tool_error_behavior="failed",  # by default a tool's second failure ends the run
    )
    agent = Agent(model, toolsets=[videos])
    async with agent:
        return (await agent.run(wish)).output


if __name__ == "__main__":
    print(asyncio.run(make_video(WISH, "openai:gpt-5-mini", sys.argv[1:] or SANDBOX)))
