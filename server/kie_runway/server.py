"""create_server: the MCP server around the tools; `opening.py` wires what they work with."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from mcp.server import CacheHint, MCPServer, ServerRequestContext
from mcp.server.apps import Apps
from mcp.server.context import CallNext, HandlerResult

from kie_runway.app import Services
from kie_runway.pace import Pace
from kie_runway.sdk import StrictServer, escape_what_is_not_text, logging_left_alone
from kie_runway.settings import Settings
from kie_runway_tools.card_resource import add_card
from kie_runway_tools.catalog import build_tools
from kie_runway_tools.completions import add_completions
from kie_runway_tools.guide import add_guide
from kie_runway_tools.icons import ICONS
from kie_runway_tools.ledger_tasks import LedgerTasks
from kie_runway_tools.pricing import add_pricing
from kie_runway_tools.prompts import add_prompts
from kie_runway_tools.resources import add_resources
from kie_runway_tools.subscriptions import add_subscriptions

INSTRUCTIONS = (
    "Paid AI videos by KIE's Runway. The journey: generate_video (aleph_generate restyles a "
    "video) with a request_id of your choice; get_task (aleph_get_task) with the longest "
    "wait_seconds, again until it ends, mostly within 1 to 10 minutes; judge the picture; "
    "save_video unless it is saved. Each result's `next` says what to do now. Repeat a call only "
    "with its old request_id: that never pays twice. A new request_id is a new charge, so ask the "
    "user first. "
    "list_tasks finds lost tasks. kie://guide tells how to prompt."
)
GREETINGS = ("initialize", "notifications/initialized", "server/discover")
PAUSE_S = 0.05  # what opens the app would compete with the answer that is being written
LISTS_TTL_MS = 3_600_000  # tools do not change while the server runs


class RunwayServer(StrictServer[Services]):
    """The MCP server of this program, with the services that it opens while it runs."""

    def __init__(self, services: Services, **options: Any) -> None:
        super().__init__(**options)
        self.services = services


def create_server(settings: Settings, *, pace: Pace | None = None) -> RunwayServer:
    """
    The MCP server, for any transport; it can be run once.

    Args:
        settings: Everything a user can set.
        pace: When unfinished tasks are looked at; a sandbox runs faster than KIE.
    """
    answered = asyncio.Event()
    services = Services(settings, pace or Pace())
    tasks = LedgerTasks(services)

    @asynccontextmanager
    async def lifespan(_: MCPServer[Services]) -> AsyncGenerator[Services]:
        opening = asyncio.create_task(_open_once(answered, services))
        try:
            yield services
        finally:
            opening.cancel()
            await services.aclose()

    async def note_answer(
        ctx: ServerRequestContext[Services], call_next: CallNext
    ) -> HandlerResult:
        try:
            return await call_next(ctx)
        finally:
            if ctx.method not in GREETINGS:  # tools/list comes next, and should not wait
                answered.set()

    with logging_left_alone():
        server = RunwayServer(
            services,
            name="kie-runway-mcp",
            title="KIE Runway video",
            version=version("kie-runway-mcp"),
            instructions=INSTRUCTIONS,
            icons=ICONS,
            tools=build_tools(settings.max_wait_s),
            lifespan=lifespan,
            log_level=settings.log_level,
            middleware=[escape_what_is_not_text, note_answer],
            cache_hints={
                "server/discover": CacheHint(ttl_ms=LISTS_TTL_MS, scope="public"),
                "tools/list": CacheHint(ttl_ms=LISTS_TTL_MS, scope="public"),
                "prompts/list": CacheHint(ttl_ms=LISTS_TTL_MS, scope="public"),
                "resources/list": CacheHint(ttl_ms=LISTS_TTL_MS, scope="public"),
                "resources/templates/list": CacheHint(ttl_ms=LISTS_TTL_MS, scope="public"),
            },
            subscriptions=False,  # ours know what they are of
            extensions=[tasks, Apps()],
        )
    add_resources(server, services)
    add_subscriptions(server, services, tasks)
    add_guide(server)
    add_pricing(server, services)
    add_card(server, services, settings)
    add_prompts(server)
    add_completions(server, services)
    return server


async def _open_once(answered: asyncio.Event, services: Services) -> None:
    """Take up unfinished tasks without being asked, but not before the client has its answer."""
    await answered.wait()
    await asyncio.sleep(PAUSE_S)
    await services.open_early()
