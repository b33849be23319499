"""Tools and a prompt that ask by `input_required` results, as 2026-07-28 does."""

from collections.abc import Callable
from typing import Any

import mcp.types as t
from mcp.server.mcpserver import Context, UserMessage


async def input_required_result_elicitation(ctx: Context) -> str | t.InputRequiredResult:
    """Greets the user by the name they give."""
    if name := _form(ctx, "user_name").get("name"):
        return f"Hello, {name}!"
    return t.InputRequiredResult(input_requests={"user_name": _ask("What is your name?", "name")})


async def streaming_elicitation(ctx: Context) -> str | t.InputRequiredResult:
    """Reports progress, then asks on the same stream."""
    await ctx.report_progress(1, 2)
    return await input_required_result_elicitation(ctx)


async def input_required_result_sampling(ctx: Context) -> str | t.InputRequiredResult:
    """What the client's model takes for the capital of France."""
    match _answers(ctx).get("capital_question"):
        case t.CreateMessageResult(content=t.TextContent(text=text)):
            return f"The model said: {text}"
        case _:
            question = _sample("What is the capital of France?")
            return t.InputRequiredResult(input_requests={"capital_question": question})


async def input_required_result_list_roots(ctx: Context) -> str | t.InputRequiredResult:
    """How many roots the client has."""
    match _answers(ctx).get("client_roots"):
        case t.ListRootsResult(roots=roots):
            return f"The client has {len(roots)} roots."
        case _:
            return t.InputRequiredResult(input_requests={"client_roots": t.ListRootsRequest()})


async def input_required_result_request_state(ctx: Context) -> str | t.InputRequiredResult:
    """Confirms only when the state of its question comes back."""
    if ctx.request_state == "asked" and _form(ctx, "confirm"):
        return "state-ok: confirmed."
    return t.InputRequiredResult(
        input_requests={"confirm": _ask("Please confirm", ok="boolean")}, request_state="asked"
    )


# The SDK refuses altered state before this is called again.
async def input_required_result_tampered_state(ctx: Context) -> str | t.InputRequiredResult:
    """Confirms only when the state of its question comes back unaltered."""
    return await input_required_result_request_state(ctx)


async def input_required_result_multiple_inputs(ctx: Context) -> str | t.InputRequiredResult:
    """Asks the user, the model and the client at once."""
    questions: t.InputRequests = {
        "user_name": _ask("What is your name?", "name"),
        "greeting": _sample("Generate a greeting"),
        "client_roots": t.ListRootsRequest(),
    }
    if questions.keys() <= _answers(ctx).keys():
        return "All inputs received."
    return t.InputRequiredResult(input_requests=questions, request_state="asked")


async def input_required_result_multi_round(ctx: Context) -> str | t.InputRequiredResult:
    """Asks twice; the state carries the first answer to the end."""
    if ctx.request_state == "asked for a name" and (name := _form(ctx, "step1").get("name")):
        return t.InputRequiredResult(
            input_requests={"step2": _ask("Step 2: What is your favorite color?", "color")},
            request_state=str(name),
        )
    if ctx.request_state and (color := _form(ctx, "step2").get("color")):
        return f"{ctx.request_state} likes {color}."
    return t.InputRequiredResult(
        input_requests={"step1": _ask("Step 1: What is your name?", "name")},
        request_state="asked for a name",
    )


async def input_required_result_capabilities(ctx: Context) -> t.InputRequiredResult:
    """Asks in every way that the client declared, and in no other."""
    can = ctx.client_capabilities
    questions: t.InputRequests = {}
    if can and can.sampling:
        questions["sample"] = _sample("Say hello")
    if can and can.elicitation:
        questions["name"] = _ask("What is your name?", "name")
    return t.InputRequiredResult(input_requests=questions, request_state="asked")


async def input_required_result_prompt(
    ctx: Context,
) -> list[UserMessage] | t.InputRequiredResult:
    """A prompt about what the user names."""
    if context := _form(ctx, "user_context").get("context"):
        return [UserMessage(f"Use this context: {context}")]
    return t.InputRequiredResult(
        input_requests={"user_context": _ask("What context should it use?", "context")}
    )


TOOLS: tuple[Callable[..., Any], ...] = (
    input_required_result_elicitation,
    streaming_elicitation,
    input_required_result_sampling,
    input_required_result_list_roots,
    input_required_result_request_state,
    input_required_result_tampered_state,
    input_required_result_multiple_inputs,
    input_required_result_multi_round,
    input_required_result_capabilities,
)


def _answers(ctx: Context) -> t.InputResponses:
    return ctx.input_responses or {}


def _form(ctx: Context, key: str) -> dict[str, Any]:
    """The user's accepted answer to a question; empty until there is one."""
    answer = _answers(ctx).get(key)
    if not isinstance(answer, t.ElicitResult) or answer.action != "accept":
        return {}
    return {**(answer.content or {})}


def _ask(message: str, *texts: str, **fields: str) -> t.ElicitRequest:
    """A question to the user: names of text fields, and other fields with their type."""
    types = dict.fromkeys(texts, "string") | fields
    schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in types.items()},
        "required": list(types),
    }
    return t.ElicitRequest(
        params=t.ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def _sample(question: str) -> t.CreateMessageRequest:
    """A question to the client's model."""
    message = t.SamplingMessage(role="user", content=t.TextContent(text=question))
    return t.CreateMessageRequest(
        params=t.CreateMessageRequestParams(messages=[message], max_tokens=100)
    )
