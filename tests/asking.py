"""A client whose user answers questions."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp.types as t
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from tests.support import QUICK, Agent, Era

from kie_runway.server import create_server
from kie_runway.settings import Settings

YES = t.ElicitResult(action="accept", content={"proceed": True})
NO = t.ElicitResult(action="decline")


@dataclass
class User:
    """Answers every question alike, and remembers what was asked."""

    answer: t.ElicitResult | t.ErrorData = field(default_factory=lambda: YES)
    asked: list[str] = field(default_factory=list[str])

    async def __call__(
        self, context: ClientRequestContext, params: t.ElicitRequestParams
    ) -> t.ElicitResult | t.ErrorData:
        assert isinstance(params, t.ElicitRequestFormParams)
        assert list(params.requested_schema["properties"]) == ["proceed"]
        self.asked.append(params.message)
        return self.answer


@asynccontextmanager
async def connect_for(
    user: User | None, server: Settings | StdioServerParameters | str, era: Era = "auto"
) -> AsyncGenerator[Agent]:
    """An agent whose client can ask its user, if there is one."""
    target: Any = server
    if isinstance(server, Settings):
        target = create_server(server, pace=QUICK)
    async with Client(target, mode=era, elicitation_callback=user) as client:
        yield Agent(client)
