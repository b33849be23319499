"""The yardstick: the least that an MCP server can be, with one tool, on the SDK's own stdio."""

from mcp.server import MCPServer

server = MCPServer("bare", version="1", log_level="WARNING")


@server.tool()
async def echo(text: str) -> str:
    """Return the text."""
    return text


if __name__ == "__main__":
    server.run()
