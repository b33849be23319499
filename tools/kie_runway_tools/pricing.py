"""`kie://pricing`: what videos cost, what may be spent, and what was."""

import json
from typing import Any

from mcp.server import MCPServer
from pydantic import TypeAdapter

from kie_runway.app import Services
from kie_runway_tools.icons import ICONS

URI = "kie://pricing"


def add_pricing(server: MCPServer[Any], services: Services) -> None:
    """Give a server the price list, with what the user allows and has spent."""

    async def pricing() -> str:
        from kie_runway.prices import PriceList, price_list  # not needed to list resources

        app = await services.ready()
        listed = TypeAdapter(PriceList).dump_python(price_list(), mode="json", exclude_none=True)
        caps = app.settings.model_dump(
            include={"daily_credits", "confirm_credits"}, exclude_none=True
        )
        spent = await app.ledger.spent(app.account, now=app.clock.now())
        return json.dumps(listed | caps | {"spent_24h": spent})

    server.resource(
        URI,
        title="Prices",
        description="Credits per video with date and source, the caps, and what was spent in 24 h.",
        mime_type="application/json",
        icons=ICONS,
    )(pricing)
