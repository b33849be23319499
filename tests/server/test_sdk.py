"""The SDK, where it is bent: fails loudly when an upgrade moves what we lean on."""

from typing import Annotated, Any

import pytest
from mcp import Client, MCPError
from mcp.server import MCPServer, ServerRequestContext
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult
from pydantic import BaseModel, Field
from tests.support import ERAS, Era, connect

from kie_runway.sdk import CONNECTION, StrictServer, logging_left_alone, slim, strict_tool
from kie_runway.settings import Settings

pytestmark = pytest.mark.anyio

PRIVATE = ("_tool_manager", "_prompt_manager", "_lowlevel_server")


class Box(BaseModel):
    """Speaks to programmers."""

    title: str
    size: Annotated[int | None, Field(ge=1)] = None


async def pack(box: Box, label: str | None = None) -> Box:
    """Pack a box.

    Slowly.
    """
    return box


@pytest.mark.parametrize("name", PRIVATE)
def test_the_private_names_we_use_exist(name: str) -> None:
    assert hasattr(MCPServer("probe"), name)


def test_the_sdk_still_sets_logging_up_where_we_keep_it_from_doing_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[object] = []
    monkeypatch.setattr("mcp.server.mcpserver.server.configure_logging", calls.append)
    with logging_left_alone():
        MCPServer("quiet")
    quiet = list(calls)
    MCPServer("loud")

    assert not quiet
    assert len(calls) == 1


def test_a_strict_tool_has_a_closed_flat_schema_without_noise() -> None:
    tool = strict_tool(pack)

    assert tool.description == "Pack a box. Slowly."
    assert tool.parameters == {
        "additionalProperties": False,
        "properties": {
            "box": {
                "properties": {
                    "title": {"type": "string"},
                    "size": {"minimum": 1, "type": "integer"},
                },
                "required": ["title"],
                "type": "object",
            },
            "label": {"type": "string"},
        },
        "required": ["box"],
        "type": "object",
    }


def test_an_output_schema_lets_failures_pass() -> None:
    """Clients of the TypeScript SDK 1.x check failures against it, too."""
    schema = strict_tool(pack).output_schema

    assert schema is not None
    assert "required" not in schema


def test_slimming_keeps_a_property_called_title_and_real_alternatives() -> None:
    either = [{"type": "string"}, {"type": "integer"}]
    schema = {
        "title": "Noise",
        "properties": {"title": {"title": "Title", "anyOf": either}},
    }

    assert slim(schema) == {"properties": {"title": {"anyOf": either}}}


@pytest.mark.parametrize("era", ERAS)
async def test_unknown_names_are_protocol_errors_on_both_eras(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        for ask in (
            lambda: agent.client.call_tool("make_coffee", {}),
            lambda: agent.client.get_prompt("poem"),
        ):
            with pytest.raises(MCPError) as caught:
                await ask()

            assert caught.value.error.code == -32602


@pytest.mark.parametrize("era", ERAS)
async def test_lists_may_be_kept_for_an_hour(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        tools = await agent.client.list_tools()

    if era == "auto":  # the handshake era knows no cache hints
        assert (tools.ttl_ms, tools.cache_scope) == (3_600_000, "public")


async def test_a_server_without_tools_is_still_a_server() -> None:
    async with Client(StrictServer("empty")) as client:
        assert (await client.list_tools()).tools == []


@pytest.mark.parametrize("era", ERAS)
async def test_a_session_still_has_its_connection_where_we_look_for_it(era: Era) -> None:
    """What subscribers are told goes there, and their leaving is noticed there."""
    found: list[object] = []

    async def note(ctx: ServerRequestContext[Any], call_next: CallNext) -> HandlerResult:
        found.append(getattr(ctx.session, CONNECTION))
        return await call_next(ctx)

    async with Client(StrictServer("probe", middleware=[note]), mode=era) as client:
        await client.list_tools()

    assert {type(connection) for connection in found} == {Connection}
