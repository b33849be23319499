"""Which clients show the card, and which calls it makes itself (MCP Apps)."""

from typing import Any, Final, NamedTuple

import mcp.types as t
from mcp.server.apps import client_supports_apps
from mcp.server.mcpserver import Context

from kie_runway.app import Services

CARD_URI: Final = "ui://kie-runway/task.html"
# For tools; hosts of the older draft know only the second key.
CARD_META: Final[dict[str, Any]] = {
    "ui": {"resourceUri": CARD_URI},
    "ui/resourceUri": CARD_URI,
}
# In `_meta` of results: what the card is told. In `_meta` of calls: that the card makes them.
CARD_KEY: Final = "kie-runway/card"


class Audience(NamedTuple):
    """
    Who gets to see a result, beside the model or in its place.

    Attributes:
        has_card: Whether the client hands what is meant for the card to it, and not to the model.
        is_card: Whether the card itself made the call, so that no model sees its result.
    """

    has_card: bool = False
    is_card: bool = False


def audience_of(ctx: Context[Services]) -> Audience:
    """Who gets to see the result of a call."""
    return Audience(client_supports_apps(ctx), is_by_card(ctx.request_context.meta))


def is_by_card(meta: t.RequestParamsMeta | None) -> bool:
    """Whether a call's `_meta` says that the card made it."""
    return CARD_KEY in (meta or {})
