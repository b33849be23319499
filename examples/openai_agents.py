"""OpenAI Agents SDK: pip install openai-agents"""

import asyncio
import sys
from collections.abc import Sequence

from agents import Agent, Model, Runner
from agents.mcp import MCPServerStdio

SANDBOX = ("kie-runway-mcp", "serve", "--sandbox")
WISH = "Make a five-second video of a paper boat in the rain, save it, and tell me its path."


async def make_video(wish: str, model: str | Model, server: Sequence[str] = SANDBOX) -> str:
    """What the agent answers; it generates, waits and saves by itself."""
    command, *args = server
    videos = MCPServerStdio(
        {"command": command, "args": args},
        client_session_timeout_seconds=60,  # the default of 5 would cut get_task's waits off
    )
    async with videos:
        agent = Agent(name="Film maker", model=model, mcp_servers=[videos])
        result = await Runner.run(agent, wish, max_turns=30)
    return str(result.final_output)


if __name__ == "__main__":
    print(asyncio.run(make_video(WISH, "gpt-5-mini", sys.argv[1:] or SANDBOX)))
