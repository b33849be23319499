"""`ui://kie-runway/task.html`: the card that hosts show beside the tools' results (MCP Apps)."""

import re
from collections.abc import Iterable
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.apps import APP_MIME_TYPE, ResourceCsp
from mcp.server.mcpserver.resources import Resource
from pydantic import PrivateAttr

from kie_runway.addresses import PORTS, check_media_url, parse_origin
from kie_runway.app import Services
from kie_runway.errors import BadInputError, LedgerError
from kie_runway.models import TaskState
from kie_runway.settings import Settings
from kie_runway_tools.card_host import CARD_URI

# Where KIE has been seen to keep results and uploads (contract §14 no. 25, §9).
KNOWN_ORIGINS: Final = ("https://tempfile.aiquickdraw.com", "https://tempfile.redpandaai.co")
LATEST_VIDEOS: Final = 50
ORIGINS_MAX: Final = 20
_LOOPBACK = re.compile(r"(127\.0\.0\.1|localhost)(:[0-9]{1,5})?")
# What a CSP can name: no IP addresses, no underscores.
_NAMEABLE = re.compile(r"([a-z0-9-]+\.)+[a-z][a-z0-9-]*")


def add_card(server: MCPServer[Any], services: Services, settings: Settings) -> None:
    """Give a server the card."""
    known = (*KNOWN_ORIGINS, *_loopback_origins(settings.trusted_hosts))
    card = _Card(
        uri=CARD_URI,
        name="task card",
        title="Video card",
        description="Shows tasks and plays their videos, in clients that show MCP Apps.",
        mime_type=APP_MIME_TYPE,
        meta=_meta(known),
    )
    card.serve(services, known)
    server.add_resource(card)


class _Card(Resource):
    """The page, which may load pictures and videos from where this user's videos are."""

    _services: Services = PrivateAttr()
    _known: tuple[str, ...] = PrivateAttr()

    def serve(self, services: Services, known: tuple[str, ...]) -> None:
        self._services, self._known = services, known

    async def read(self) -> str:
        """The page; `meta`, which the SDK sends with it, is then up to date."""
        from kie_runway_tools.card_page import card_page  # not needed to list resources

        self.meta = _meta((*self._known, *await self._latest_origins()))
        return card_page()

    async def _latest_origins(self) -> list[str]:
        """KIE says nowhere which hosts keep its videos, so it is those that did lately."""
        try:
            app = await self._services.ready()
            entries = await app.ledger.list(
                app.account, states=(TaskState.SUCCESS,), limit=LATEST_VIDEOS
            )
        except LedgerError:  # the tools will say why
            return []
        urls = (url for entry in entries for url in (entry.video_url, entry.thumbnail_url) if url)
        return list(dict.fromkeys(filter(None, map(public_origin, urls))))[:ORIGINS_MAX]


def public_origin(url: str) -> str | None:
    """The origin of a public https address as a CSP names it; None if it has none or no name."""
    try:
        check_media_url(url, "url", (), https_only=True)
    except BadInputError:
        return None
    origin = parse_origin(url)
    if not _NAMEABLE.fullmatch(origin.host):
        return None
    port = "" if origin.port == PORTS["https"] else f":{origin.port}"
    return f"https://{origin.host}{port}"


def _loopback_origins(trusted_hosts: Iterable[str]) -> list[str]:
    """Where a sandbox on this machine serves videos."""
    return [f"http://{host}" for host in trusted_hosts if _LOOPBACK.fullmatch(host)]


def _meta(origins: Iterable[str]) -> dict[str, Any]:
    csp = ResourceCsp(connect_domains=[], resource_domains=list(dict.fromkeys(origins)))
    return {"ui": {"csp": csp.model_dump(by_alias=True, exclude_none=True), "prefersBorder": True}}
