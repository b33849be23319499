"""LlamaIndex: pip install llama-index-core llama-index-tools-mcp llama-index-llms-openai"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ImageBlock, TextBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.llms.openai import OpenAIResponses
from llama_index.tools.mcp import McpToolSpec
from mcp import Client, StdioServerParameters

SANDBOX = ("kie-runway-mcp", "serve", "--sandbox")
WISH = "Make a five-second video of a paper boat in the rain, save it, and tell me its path."


class Videos:
    """
    What McpToolSpec asks of a client: its own starts a server for every call.

    The answers are LlamaIndex's blocks: of anything else it shows the model Python's repr,
    pictures and all, as hundreds of kilobytes of text.
    """

    def __init__(self, client: Client) -> None:
        self.list_tools = client.list_tools
        self._client = client

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> list[TextBlock | ImageBlock]:
        result = await self._client.call_tool(name, arguments)
        return [
            ImageBlock(image=block.data.encode(), image_mimetype=block.mime_type)
            if block.type == "image"
            else TextBlock(text=getattr(block, "text", block.type))
            for block in result.content
        ]


async def make_video(wish: str, model: FunctionCallingLLM, server: Sequence[str] = SANDBOX) -> str:
    """What the agent answers; it generates, waits and saves by itself."""
    command, *args = server
    async with Client(StdioServerParameters(command=command, args=args)) as client:
        tools = await McpToolSpec(Videos(client)).to_tool_list_async()
        agent = FunctionAgent(llm=model, tools=tools, streaming=False)
        return str(await agent.run(wish, max_iterations=30))


if __name__ == "__main__":
    gpt = OpenAIResponses("gpt-5-mini")
    print(asyncio.run(make_video(WISH, gpt, sys.argv[1:] or SANDBOX)))
