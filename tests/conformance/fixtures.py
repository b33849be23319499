"""The product's server class with everything that the official suite calls."""

from collections.abc import Callable
from typing import Any

import mcp.types as t
from mcp.server import ServerRequestContext
from mcp.server.mcpserver import RequestStateSecurity
from mcp.server.mcpserver.prompts.base import Prompt
from mcp.server.mcpserver.tools import Tool
from tests.conformance import (
    fixtures_content,
    fixtures_inputs,
    fixtures_prompts,
    fixtures_questions,
    fixtures_reports,
    fixtures_resources,
    fixtures_tasks,
)
from tests.conformance.fixtures_schemas import SCHEMA_TOOLS

from kie_runway.sdk import StrictServer, strict_tool

# What is sealed with it protects nothing here, so the key need not be a secret.
STATE_KEY = b"conformance-fixtures-only-32-byt"


class FixtureServer(StrictServer[dict[str, Any]]):
    """A `StrictServer` that also serves the methods which only old revisions have."""

    def __init__(self) -> None:
        super().__init__(
            "conformance-fixtures",
            version="0",
            tools=[*map(_test_tool, _TOOLS), *SCHEMA_TOOLS, *map(strict_tool, _TASK_TOOLS)],
            extensions=[fixtures_tasks.FixtureTasks()],
            request_state_security=RequestStateSecurity(keys=[STATE_KEY]),
            log_level="ERROR",
        )
        for prompt in fixtures_prompts.PROMPTS:
            self.add_prompt(Prompt.from_function(prompt, name=f"test_{prompt.__name__}"))
        fixtures_resources.add_resources(self)
        complete = self.completion()  # type: ignore[no-untyped-call]  # the SDK gives it no types
        complete(fixtures_prompts.complete)

        # The SDK has no public way to serve what 2026-07-28 removed.
        handle = self._lowlevel_server.add_request_handler
        handle("logging/setLevel", t.SetLevelRequestParams, _agree)
        handle("resources/subscribe", t.SubscribeRequestParams, _agree)
        handle("resources/unsubscribe", t.UnsubscribeRequestParams, _agree)


_TOOLS: tuple[Callable[..., Any], ...] = (
    *fixtures_content.TOOLS,
    *fixtures_reports.TOOLS,
    *fixtures_questions.TOOLS,
    *fixtures_inputs.TOOLS,
)


_TASK_TOOLS = (fixtures_tasks.greet, *fixtures_tasks.TASK_TOOLS)


def _test_tool(function: Callable[..., Any]) -> Tool:
    """A tool under the suite's name for it; the prefix stays out of ours because of pytest."""
    return strict_tool(function, name=f"test_{function.__name__}")


async def _agree(_: ServerRequestContext[Any, Any], __: t.RequestParams) -> t.EmptyResult:
    return t.EmptyResult()
