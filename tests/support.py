"""An agent, the server and a KIE sandbox; all real, but for the transport to the agent."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from mcp import Client
from mcp.types import CallToolResult
from pydantic import SecretStr

from kie_runway.pace import LOOKS_PER_S, Pace
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox, SandboxOptions, serve
from kie_runway_sandbox.clips import ClipSpec

# Long and odd enough that no other text can contain a piece of it.
KEY = "kie-planted-key/Zq7+fK93mX=="
QUICK = Pace(scale=0.002)  # the first look after 16 ms
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(4096)

Era = Literal["auto", "legacy"]
ERAS: tuple[Era, ...] = ("auto", "legacy")


class _Slow(Pace):
    """Whoever asks is not held up."""

    @property
    def looks_per_s(self) -> float:
        return LOOKS_PER_S


SLOW = _Slow(scale=100)  # the first look after 13 minutes, unless somebody asks


def draw(spec: ClipSpec, video: Path, thumbnail: Path) -> None:
    """A renderer for tests that look at no picture."""
    video.write_bytes(MP4)
    thumbnail.write_bytes(PNG)


@asynccontextmanager
async def serve_sandbox(**options: Any) -> AsyncGenerator[tuple[Sandbox, Settings]]:
    """A sandbox on a real socket, and settings that point at it."""
    options = {"keys": (KEY,), "advance": "manual"} | options
    with Sandbox(SandboxOptions(**options), renderer=draw) as sandbox:
        async with serve(sandbox) as running:
            yield sandbox, settings_for(running.url)


def settings_for(url: str, **changes: Any) -> Settings:
    """Settings for a KIE at this address, with the planted key."""
    values: dict[str, Any] = {
        "api_key": SecretStr(KEY),
        "api_url": url,
        "upload_url": url,
        "trusted_hosts": (urlsplit(url).netloc,),
    }
    return Settings().model_copy(update=values | changes)


@asynccontextmanager
async def connect(
    settings: Settings, era: Era = "auto", *, pace: Pace = QUICK, **options: Any
) -> AsyncGenerator["Agent"]:
    """
    An agent connected to a fresh server; leaving ends the server, as a restart would.

    Args:
        settings: Of the server.
        era: Of the protocol.
        pace: Of the server's looks and of how long it bears with KIE.
        options: What the client can do.
    """
    async with Client(create_server(settings, pace=pace), mode=era, **options) as client:
        yield Agent(client)


@dataclass(frozen=True)
class Agent:
    """A client that calls tools the way an agent does."""

    client: Client

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """A tool's structured result; the call must succeed."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, text_of(result)
        return structured(result)

    async def fail(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """A tool's structured result; the call must fail."""
        return await self.refuse(tool, arguments)

    async def refuse(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The same with arguments of any shape."""
        result = await self.client.call_tool(tool, dict(arguments))
        assert result.is_error, text_of(result)
        return structured(result)


def structured(result: CallToolResult) -> dict[str, Any]:
    """The structured content, which every tool returns."""
    content: object = result.structured_content
    assert isinstance(content, dict)
    return cast("dict[str, Any]", content)


def text_of(result: CallToolResult) -> str:
    """All text blocks."""
    return "\n".join(block.text for block in result.content if block.type == "text")
