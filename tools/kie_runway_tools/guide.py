"""`kie://guide`: how to prompt, judge and pay, on one page."""

from pathlib import Path
from typing import Any

from mcp.server import MCPServer

from kie_runway_tools.icons import ICONS

URI = "kie://guide"


def add_guide(server: MCPServer[Any]) -> None:
    """Give a server the guide, read from the package when somebody asks for it."""

    async def guide() -> str:
        return Path(__file__).with_name("guide.md").read_text(encoding="utf-8")

    server.resource(
        URI,
        title="Prompting guide",
        description="How to write prompts for Runway and Aleph, judge the result, and pay once.",
        mime_type="text/markdown",
        icons=ICONS,
    )(guide)
