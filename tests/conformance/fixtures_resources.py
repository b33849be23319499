"""Resources and a template of them."""

import base64
from typing import Any

from mcp.server import MCPServer
from tests.conformance.fixtures_content import PNG


def add_resources(server: MCPServer[Any]) -> None:
    """Give the server everything the suite reads."""
    server.resource("test://static-text", mime_type="text/plain")(static_text)
    server.resource("test://static-binary", mime_type="image/png")(static_binary)
    server.resource("test://watched-resource", mime_type="text/plain")(watched_resource)
    server.resource("test://template/{id}/data", mime_type="application/json")(template_data)


def static_text() -> str:
    """Text."""
    return "This is the content of the static text resource."


def static_binary() -> bytes:
    """A PNG of one pixel."""
    return base64.b64decode(PNG)


def watched_resource() -> str:
    """What clients subscribe to."""
    return "Watched resource content"


def template_data(id: str) -> dict[str, object]:
    """JSON about an id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}
