"""get_credits: what is left on the KIE account, and what was spent of it here."""

from typing import Annotated

import mcp.types as t
from mcp.server.mcpserver import Context
from pydantic import BaseModel, Field

from kie_runway.app import Services
from kie_runway_tools.calling import app_of


class Credits(BaseModel):
    """The balance of the KIE account; 1 credit is US$0.005."""

    credits: float
    spent_24h: Annotated[float, Field(description="Estimate, by the ledger.")]
    daily_credits: Annotated[float | None, Field(description="Cap.")] = None


async def get_credits(ctx: Context[Services]) -> Annotated[t.CallToolResult, Credits]:
    """Credits left on the KIE account, and spent here in 24 hours. Free."""
    app = await app_of(ctx)
    balance = float(await app.client.credits())
    spent = await app.ledger.spent(app.account, now=app.clock.now())
    credits = Credits(credits=balance, spent_24h=spent, daily_credits=app.settings.daily_credits)
    cap = f" of {credits.daily_credits:,.10g}" if credits.daily_credits is not None else ""
    line = f"{balance:,.10g} credits left; about {spent:,.10g}{cap} spent in the last 24 hours."
    return t.CallToolResult(
        content=[t.TextContent(text=line)],
        structured_content=credits.model_dump(exclude_none=True),
    )
