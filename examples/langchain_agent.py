"""LangChain: pip install langchain langchain-mcp-adapters langchain-openai"""

import asyncio
import sys
from collections.abc import Sequence

from langchain.agents import create_agent
from langchain.chat_models import BaseChatModel, init_chat_model
from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_mcp_adapters.tools import load_mcp_tools

SANDBOX = ("kie-runway-mcp", "serve", "--sandbox")
WISH = "Make a five-second video of a paper boat in the rain, save it, and tell me its path."


async def make_video(wish: str, model: BaseChatModel, server: Sequence[str] = SANDBOX) -> str:
    """What the agent answers; it generates, waits and saves by itself."""
    command, *args = server
    client = MultiServerMCPClient(
        {"videos": {"transport": "stdio", "command": command, "args": args}}
    )
    # One session for all: client.get_tools() would start a server for every call.
    async with client.session("videos") as session:
        agent = create_agent(model, await load_mcp_tools(session))
        state = await agent.ainvoke({"messages": [{"role": "user", "content": wish}]})
    return str(state["messages"][-1].text)


if __name__ == "__main__":
    # OpenAI's older API, the default here, refuses pictures in a tool's answer.
    gpt = init_chat_model("openai:gpt-5-mini", use_responses_api=True)
    print(asyncio.run(make_video(WISH, gpt, sys.argv[1:] or SANDBOX)))
