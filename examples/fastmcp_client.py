"""FastMCP's client and a loop of your own, for any model: pip install fastmcp openai"""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from openai import AsyncOpenAI

SANDBOX = ("kie-runway-mcp", "serve", "--sandbox")
WISH = "Make a five-second video of a paper boat in the rain, save it, and tell me its path."


async def make_video(wish: str, model: str, server: Sequence[str] = SANDBOX) -> str:
    """What the model answers; it generates, waits and saves by itself."""
    command, *args = server
    async with AsyncOpenAI() as openai, Client(StdioTransport(command, args)) as videos:
        tools: list[Any] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.input_schema,
                "strict": False,
            }
            for tool in await videos.list_tools()
        ]
        messages: list[Any] = [{"role": "user", "content": wish}]
        while True:
            answer = await openai.responses.create(model=model, input=messages, tools=tools)
            messages += answer.output
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return answer.output_text
            for call in calls:
                result = await videos.call_tool(
                    call.name, json.loads(call.arguments), raise_on_error=False
                )
                output = [as_input(block) for block in result.content]
                messages.append(
                    {"type": "function_call_output", "call_id": call.call_id, "output": output}
                )


def as_input(block: Any) -> dict[str, str]:
    """A part of a tool's answer for OpenAI's models, which look at pictures as well."""
    if block.type == "image":
        picture = f"data:{block.mime_type};base64,{block.data}"
        return {"type": "input_image", "detail": "auto", "image_url": picture}
    return {"type": "input_text", "text": block.text}


if __name__ == "__main__":
    print(asyncio.run(make_video(WISH, "gpt-5-mini", sys.argv[1:] or SANDBOX)))
