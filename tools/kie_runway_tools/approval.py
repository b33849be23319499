"""The user's word before a large expense, asked for in person where the client can ask."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from mcp import MCPError
from mcp.server.mcpserver import (
    AcceptedElicitation,
    Context,
    Elicit,
    ElicitationResult,
    Resolve,
)
from pydantic import BaseModel, Field

from kie_runway.app import App, Services
from kie_runway.errors import DeclinedError
from kie_runway_tools.calling import app_of, asks_in_results
from kie_runway_tools.ordering import Order

ANSWER_WITHIN_S = 600.0  # as long as the SDK keeps a question of the newer protocol


class Approval(BaseModel):
    """Whether the user agrees to the price."""

    proceed: Annotated[bool, Field(title="Pay", description="Start it and pay for it?")]


Answer = ElicitationResult[Approval]


def asking(order_of: Callable[..., Awaitable[Order]]) -> Callable[..., Awaitable[Any]]:
    """
    A resolver that asks the user, if need be, before the order is carried out.

    It comes to the same each time it runs, and changes nothing: on the newer protocol it runs
    again once the answer is there.
    """

    async def ask(
        ctx: Context[Services],
        order: Annotated[Order, Resolve(order_of)],
        request_id: str | None,
        confirm: bool,
    ) -> Approval | Elicit[Approval]:
        app = await app_of(ctx)
        words = await _question(app, order, request_id, confirm) if _can_ask(ctx) else None
        if words is None:
            return Approval(proceed=True)
        if asks_in_results(ctx):
            return Elicit(words, Approval)
        return await _ask(ctx, words)

    return ask


def check(answer: Answer) -> None:
    """
    Go on only if the user agreed.

    Raises:
        DeclinedError: They did not, so nothing must be started.
    """
    if not isinstance(answer, AcceptedElicitation) or not answer.data.proceed:
        raise DeclinedError("The user was asked, and did not agree to pay for this.")


async def _question(app: App, order: Order, request_id: str | None, confirm: bool) -> str | None:
    """
    What to ask, unless nothing would be spent.

    Raises:
        KieRunwayError: The call would fail anyway, so there is nothing to ask about.
    """
    from kie_runway.expense import may_ask, question  # not needed to list tools

    confirm_credits = app.settings.confirm_credits
    request, stands_for = order.given.request, order.given.stands_for
    if not may_ask(request, confirm_credits=confirm_credits, confirmed=confirm):
        return None
    foreseen = await app.submitter.foresee(
        app.account, request, request_id, confirmed=confirm, stands_for=stands_for
    )
    if not foreseen.spends:
        return None
    return question(
        request,
        confirm_credits=confirm_credits,
        pays_again=foreseen.supersedes,
        contents=stands_for.values(),
    )


def _can_ask(ctx: Context[Services]) -> bool:
    """Whether the client shows forms; where there is no way back to it, that is not known."""
    capabilities = ctx.client_capabilities
    if capabilities is None or (elicitation := capabilities.elicitation) is None:
        return False
    return elicitation.form is not None or elicitation.url is None  # neither means forms


async def _ask(ctx: Context[Services], words: str) -> Approval:
    """Ask now, and wait for the answer."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            answer = await ctx.elicit(words, Approval)
    except TimeoutError as exc:
        raise DeclinedError("The user was asked about the price, and did not answer.") from exc
    except (MCPError, ValueError) as exc:  # the client cannot after all, or answers nonsense
        raise DeclinedError("The client could not ask the user about the price.") from exc
    check(answer)
    return Approval(proceed=True)
