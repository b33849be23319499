"""Tools that ask the client during the call, as the handshake revisions do."""

from collections.abc import Callable
from typing import Annotated, Any

import mcp.types as t
from mcp.server.mcpserver import Context
from mcp.shared.message import ServerMessageMetadata
from pydantic import Field


async def sampling(
    prompt: Annotated[str, Field(description="What the client's model is asked.")], ctx: Context
) -> str:
    """What the client's model says."""
    asked = t.SamplingMessage(role="user", content=t.TextContent(text=prompt))
    answer = await ctx.session.send_request(
        t.CreateMessageRequest(
            params=t.CreateMessageRequestParams(messages=[asked], max_tokens=100)
        ),
        t.CreateMessageResult,
        metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
    )
    assert isinstance(answer.content, t.TextContent)
    return f"LLM response: {answer.content.text}"


async def elicitation(
    message: Annotated[str, Field(description="What the user is asked.")], ctx: Context
) -> str:
    """What the user answers."""
    return await _ask(ctx, message, response={"type": "string", "description": "User's response"})


async def elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks with a default in every kind of field."""
    return await _ask(
        ctx,
        "Please review and update the form fields with defaults",
        name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        verified={"type": "boolean", "default": True},
    )


async def elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks with every way to write a choice."""
    one = {"type": "string"}
    several = {"type": "array"}
    options = ["option1", "option2", "option3"]
    titled = [{"const": option, "title": option.title()} for option in options]
    return await _ask(
        ctx,
        "Please select options from the enum fields",
        untitledSingle=one | {"enum": options},
        titledSingle=one | {"oneOf": titled},
        legacyEnum=one | {"enum": options, "enumNames": [option.title() for option in options]},
        untitledMulti=several | {"items": {"type": "string", "enum": options}},
        titledMulti=several | {"items": {"anyOf": titled}},
    )


TOOLS: tuple[Callable[..., Any], ...] = (
    sampling,
    elicitation,
    elicitation_sep1034_defaults,
    elicitation_sep1330_enums,
)


async def _ask(ctx: Context, message: str, **fields: dict[str, Any]) -> str:
    answer = await ctx.session.elicit_form(
        message, {"type": "object", "properties": fields}, related_request_id=ctx.request_id
    )
    return f"User response: action={answer.action}, content={answer.content}"
