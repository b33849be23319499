"""Tools that return each kind of content."""

from collections.abc import Callable
from typing import Any

import mcp.types as t
from mcp.server.mcpserver.exceptions import ToolError

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8"
    "z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="


def simple_text() -> str:
    """One line of text."""
    return "This is a simple text response for testing."


def image_content() -> t.CallToolResult:
    """A PNG of one pixel."""
    return t.CallToolResult(content=[_image()])


def audio_content() -> t.CallToolResult:
    """A WAV without sound."""
    return t.CallToolResult(content=[t.AudioContent(data=WAV, mime_type="audio/wav")])


def embedded_resource() -> t.CallToolResult:
    """A resource inside the result."""
    text = "This is an embedded resource content."
    return t.CallToolResult(content=[_embedded("test://embedded-resource", "text/plain", text)])


def multiple_content_types() -> t.CallToolResult:
    """Text, a picture and a resource in one result."""
    text = '{"test":"data","value":123}'
    return t.CallToolResult(
        content=[
            t.TextContent(text="Multiple content types test:"),
            _image(),
            _embedded("test://mixed-content-resource", "application/json", text),
        ]
    )


def error_handling() -> str:
    """Always fails."""
    raise ToolError("This tool intentionally returns an error for testing")


TOOLS: tuple[Callable[..., Any], ...] = (
    simple_text,
    image_content,
    audio_content,
    embedded_resource,
    multiple_content_types,
    error_handling,
)


def _image() -> t.ImageContent:
    return t.ImageContent(data=PNG, mime_type="image/png")


def _embedded(uri: str, mime_type: str, text: str) -> t.EmbeddedResource:
    return t.EmbeddedResource(
        resource=t.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    )
