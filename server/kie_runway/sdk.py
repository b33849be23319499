"""
Where the MCP SDK is bent: closed argument schemas, shaped errors, and its private names.

No other module may touch a private name of the SDK; `tests/server/test_sdk.py` fails when an
upgrade moves one.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar, cast

import mcp.types as t
from mcp import MCPError
from mcp.server import MCPServer, NotificationOptions, ServerRequestContext
from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import (
    ResourceError,
    ResourceNotFoundError,
    ToolError,
    UnexpectedResourceError,
    UnexpectedToolError,
)
from mcp.server.mcpserver.prompts import Prompt
from mcp.server.mcpserver.tools import Tool
from pydantic import AnyUrl, BaseModel, ConfigDict, JsonValue, ValidationError

from kie_runway.argument_errors import explain_arguments, missing_argument, unknown_argument
from kie_runway.errors import (
    BadInputError,
    Charged,
    CrashError,
    DeclinedError,
    KieRunwayError,
    PaidCrashError,
    UnknownTaskError,
)
from kie_runway.models import ErrorInfo
from kie_runway.remedies import remedy

log = logging.getLogger(__name__)


T = TypeVar("T")
Complete = Callable[..., Awaitable[t.Completion | None]]
Subscribe = Callable[[Connection, str], Awaitable[None]]
Listen = Callable[
    [ServerRequestContext[Any, Any], t.SubscriptionsListenRequestParams],
    Awaitable[t.SubscriptionsListenResult],
]
CONNECTION = "_connection"  # of a session
NO_SUCH_PROMPT = "Unknown prompt; prompts/list names them."
NO_SUCH_RESOURCE = "Unknown resource; resources/list and resources/templates/list name them."


class StrictServer(MCPServer[T]):
    """An `MCPServer` whose tool errors tell a model what to do and give nothing away."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[T, Any] | None = None
    ) -> t.CallToolResult | t.InputRequiredResult:
        """
        Call a tool; its failure is a result with `isError`, an `error` and what to do `next`.

        Raises:
            MCPError: -32602, there is no such tool.
        """
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            raise MCPError(t.INVALID_PARAMS, "Unknown tool; tools/list names them.")
        try:
            return await super().call_tool(name, _whole(arguments), context)
        except ToolError as exc:
            cause, spends = exc.__cause__, _spends(tool)
            if isinstance(cause, KieRunwayError):
                return error_result(cause, spends=spends)
            if isinstance(exc, UnexpectedToolError):
                return _crash_result(tool, exc)
            if isinstance(cause, ValidationError):
                known = tool.fn_metadata.arg_model.model_fields
                wrong = BadInputError(explain_arguments(cause, known))
                return error_result(wrong, spends=spends)
            if tool.resolved_params and isinstance(cause, ToolError):  # no tool here raises it
                unusable = DeclinedError("The client's answer to the question could not be used.")
                return error_result(unusable, spends=spends)
            raise ToolError(str(exc).removeprefix(f"Error executing tool {name}: ")) from cause

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        context: Context[T, Any] | None = None,
    ) -> t.GetPromptResult | t.InputRequiredResult:
        """
        Render a prompt.

        Raises:
            MCPError: -32602, there is no such prompt or its arguments break a rule; -32603, a
                fault of ours.
        """
        prompt = self._prompt_manager.get_prompt(name)
        if prompt is None:
            raise MCPError(t.INVALID_PARAMS, NO_SUCH_PROMPT)
        known = [argument.name for argument in prompt.arguments or ()]
        if wrong := _misfits(prompt, arguments or {}):
            raise MCPError(t.INVALID_PARAMS, " ".join(wrong))
        try:
            # What forms leave empty is not given.
            filled = {key: value for key, value in (arguments or {}).items() if value}
            return await super().get_prompt(name, filled, context)
        except ValueError as exc:  # the SDK's wrapping of whatever happened
            cause = exc.__cause__ and exc.__cause__.__cause__
            if isinstance(cause, ValidationError):
                raise MCPError(t.INVALID_PARAMS, explain_arguments(cause, known)) from exc
            if isinstance(cause, KieRunwayError):
                raise MCPError(t.INVALID_PARAMS, cause.reason) from exc
            raise MCPError(t.INTERNAL_ERROR, _crash("a prompt", cause or exc)) from exc

    def complete_with(self, complete: Complete) -> None:
        """Let this complete arguments; its crash becomes a fixed text."""

        async def safely(*args: Any) -> t.Completion | None:
            try:
                return await complete(*args)
            except MCPError:
                raise
            except Exception as exc:
                raise MCPError(t.INTERNAL_ERROR, _crash("a completion", exc)) from exc

        register = self.completion()  # type: ignore[no-untyped-call]  # the SDK gives it no types
        register(safely)

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[T, Any] | None = None
    ) -> Iterable[ReadResourceContents] | t.InputRequiredResult:
        """
        Read a resource.

        Raises:
            ResourceNotFoundError: There is no such resource, or nothing behind it.
            ResourceError: It could not be read; the reason gives nothing away.
        """
        try:
            return await super().read_resource(uri, context)
        except ResourceNotFoundError as exc:
            raise ResourceNotFoundError(NO_SUCH_RESOURCE) from exc
        except UnexpectedResourceError as exc:
            cause = exc.__cause__
            if isinstance(cause, UnknownTaskError):
                raise ResourceNotFoundError(cause.reason) from exc
            if isinstance(cause, KieRunwayError):
                raise ResourceError(cause.reason) from exc
            raise ResourceError(_crash("a resource", exc)) from exc

    def serve_subscriptions(
        self, *, subscribe: Subscribe, unsubscribe: Subscribe, listen: Listen
    ) -> None:
        """
        Announce changes by way of these handlers; the SDK has none for the handshake era.

        Args:
            subscribe: Called with a connection and the URI of a resource.
            unsubscribe: Undoes that.
            listen: Serves `subscriptions/listen`.
        """

        def answering(act: Subscribe) -> Callable[..., Awaitable[t.EmptyResult]]:
            async def answer(
                ctx: ServerRequestContext[T, Any],
                params: t.SubscribeRequestParams | t.UnsubscribeRequestParams,
            ) -> t.EmptyResult:
                try:
                    await act(getattr(ctx.session, CONNECTION), params.uri)
                except MCPError:
                    raise
                except Exception as exc:
                    raise MCPError(t.INTERNAL_ERROR, _crash("a subscription", exc)) from exc
                return t.EmptyResult()

            return answer

        handle = self._lowlevel_server.add_request_handler
        handle("resources/subscribe", t.SubscribeRequestParams, answering(subscribe))
        handle("resources/unsubscribe", t.UnsubscribeRequestParams, answering(unsubscribe))
        handle("subscriptions/listen", t.SubscriptionsListenRequestParams, listen)

    async def serve_streams(self, lines: Any, output: Any) -> None:
        """Serve one connection over text streams of one JSON-RPC message a line."""
        from mcp.server.stdio import stdio_server

        server = self._lowlevel_server
        options = server.create_initialization_options(
            NotificationOptions(tools_changed=False, resources_changed=False)
        )
        async with stdio_server(lines, output) as (read, write):
            await server.run(read, write, options)


async def escape_what_is_not_text(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """
    As middleware: write what UTF-8 has no bytes for as `\\udcff`.

    Names of files may hold it, and over stdio an answer that cannot be encoded ends the server.
    """
    try:
        return cast(HandlerResult, _encodable(cast(JsonValue, await call_next(ctx))))
    except MCPError as exc:
        told = _encodable(exc.error.model_dump(exclude_unset=True))
        exc.error = t.ErrorData.model_validate(told)
        raise


def _encodable(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="backslashreplace").decode()
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {name: _encodable(item) for name, item in value.items()}
    return value


@contextmanager
def logging_left_alone() -> Generator[None]:
    """
    Keep the constructor of an `MCPServer` from setting logging up.

    It would import rich for a handler that goes unused, 20 ms before the first answer.
    """
    module, name = import_module("mcp.server.mcpserver.server"), "configure_logging"
    original = getattr(module, name)
    setattr(module, name, _do_nothing)
    try:
        yield
    finally:
        setattr(module, name, original)


def _do_nothing(*_: object) -> None:
    """Stand in for what sets logging up."""


def _misfits(prompt: Prompt, given: Mapping[str, Any]) -> list[str]:
    """What the SDK would leave to a crash: required arguments left out, and unknown ones."""
    takes = {argument.name: argument.required for argument in prompt.arguments or ()}
    return [
        *(unknown_argument(name, takes, "prompt") for name in given if name not in takes),
        *(missing_argument(name) for name in takes if takes[name] and not given.get(name)),
    ]


def strict_tool(function: Callable[..., Any], **options: Any) -> Tool:
    """A tool that refuses arguments it does not know, with schemas freed of what models ignore."""
    description = " ".join((function.__doc__ or "").split())
    tool = Tool.from_function(function, description=description, structured_output=True, **options)
    arguments: type[BaseModel] = tool.fn_metadata.arg_model
    arguments.model_config |= ConfigDict(extra="forbid", strict=True)
    arguments.model_rebuild(force=True)
    tool.parameters = slim(arguments.model_json_schema())
    if tool.fn_metadata.output_schema is not None:
        tool.fn_metadata.output_schema = _or_error(slim(tool.fn_metadata.output_schema))
    return tool


def _whole(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with 45.0, as some models' libraries write it, as the 45 that JSON takes it for."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in arguments.items()
    }


def slim(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema as models need it: no titles, no references, optional values as plain ones."""
    return cast("dict[str, Any]", _slim(schema, schema.get("$defs", {})))


def _or_error(schema: dict[str, Any]) -> dict[str, Any]:
    """
    The schema of a result with nothing required, for failures carry `error` alone.

    Clients on the TypeScript SDK 1.x, which most hosts are, check failures too, and would show
    their own complaint in place of our reason.
    """
    return {key: value for key, value in schema.items() if key != "required"}


def _slim(schema: JsonValue, defs: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(schema, list):
        return [_slim(item, defs) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(ref := schema.get("$ref"), str):
        target = defs[ref.removeprefix("#/$defs/")]
        assert isinstance(target, dict)
        # A class's docstring speaks to programmers.
        return _slim(_without(target, "description") | _without(schema, "$ref"), defs)
    match schema.get("anyOf"):
        case [dict() as inner, {"type": "null"}]:
            return _slim(_without(schema, "anyOf", "default") | inner, defs)
        case _:
            return {
                name: _slim_keyword(name, value, defs)
                for name, value in schema.items()
                if name not in ("title", "$defs")
            }


def _without(schema: Mapping[str, JsonValue], *names: str) -> dict[str, JsonValue]:
    return {key: value for key, value in schema.items() if key not in names}


def _slim_keyword(name: str, value: JsonValue, defs: Mapping[str, JsonValue]) -> JsonValue:
    if name == "properties" and isinstance(value, dict):  # keyed by names, one may be "title"
        return {key: _slim(value[key], defs) for key in value}
    return _slim(value, defs)


def error_result(exc: KieRunwayError, *, spends: bool) -> t.CallToolResult:
    """A failure of a tool that `spends` or does not, as an agent sees it: why, and what to do."""
    error, next_step = ErrorInfo.of(exc), remedy(exc, spends=spends)
    if not spends:  # whatever the task cost that it is about
        error = error.model_copy(update={"charged": "no"})
    said = (error.reason, _BILLING[error.charged], error.quotation, next_step)
    return t.CallToolResult(
        is_error=True,
        content=[t.TextContent(text=" ".join(filter(None, said)))],
        structured_content={
            "error": error.model_dump(mode="json", exclude_none=True),
            "next": next_step,
        },
    )


_BILLING: Mapping[Charged, str] = {
    "no": "This call charged nothing.",
    "yes": "It was charged.",
    "unknown": "It may have been charged.",
}


def _crash_result(tool: Tool, exc: BaseException) -> t.CallToolResult:
    """A fault of ours as an agent sees it; the details go to the log alone."""
    spends = _spends(tool)
    fault = PaidCrashError if spends else CrashError
    return error_result(fault(_crash(f"tool {tool.name}", exc)), spends=spends)


def _spends(tool: Tool) -> bool:
    """Whether it is one of the paid tools, by what it says of itself."""
    hints = tool.annotations
    return hints is None or not (hints.read_only_hint or hints.idempotent_hint)


def _crash(what: str, exc: BaseException) -> str:
    """The fixed text for a fault of ours, after logging what is behind it."""
    error_id = secrets.token_hex(4)
    log.error("%s crashed", what, exc_info=exc, extra={"error_id": error_id})
    return f"The server failed inside (error {error_id}; its log has the details)."
