"""get_credits: what is left on the KIE account."""

from typing import Annotated

import mcp.types as t
from mcp.server.mcpserver import Context
from pydantic import BaseModel

from kie_runway.app import Services
from kie_runway_tools.calling import app_of


class Credits(BaseModel):
    """The balance of the KIE account; 1 credit is US$0.005."""

    credits: float


async def get_credits(ctx: Context[Services]) -> Annotated[t.CallToolResult, Credits]:
    """Credits left on the KIE account. Free."""
    app = await app_of(ctx)
    credits = Credits(credits=float(await app.client.credits()))
    return t.CallToolResult(
        content=[t.TextContent(text=f"{credits.credits:g} credits left.")],
        structured_content=credits.model_dump(),
    )
