"""The directories that a client lets servers read, asked for only when a call needs them."""

from typing import Annotated

import mcp.types as t
from mcp import MCPError
from mcp.server.mcpserver import Context, ListRoots, Resolve
from mcp.shared.message import ServerMessageMetadata
from pydantic import ValidationError

from kie_runway.app import Services
from kie_runway.models import FILE_URI
from kie_runway_tools.calling import app_of, asks_in_results

ROOTS_WITHIN_S = 10.0  # a client asks nobody for them

_Roots = t.ListRootsResult | None


async def _for_path(ctx: Context[Services], path: str | None) -> _Roots | ListRoots:
    return None if path is None else await _roots(ctx)


async def _for_image(ctx: Context[Services], image_url: str | None) -> _Roots | ListRoots:
    return await _roots_for(ctx, image_url)


async def _for_restyling(
    ctx: Context[Services], video_url: str, reference_image_url: str | None
) -> _Roots | ListRoots:
    return await _roots_for(ctx, video_url, reference_image_url)


PathRoots = Annotated[_Roots, Resolve(_for_path)]
ImageRoots = Annotated[_Roots, Resolve(_for_image)]
RestylingRoots = Annotated[_Roots, Resolve(_for_restyling)]


def uris(roots: _Roots) -> list[str]:
    """The roots' addresses; none where the client was not asked, or did not answer."""
    return [] if roots is None else [str(root.uri) for root in roots.roots]


async def _roots_for(ctx: Context[Services], *addresses: str | None) -> _Roots | ListRoots:
    is_local = any(address and address.startswith(FILE_URI) for address in addresses)
    return await _roots(ctx) if is_local else None


async def _roots(ctx: Context[Services]) -> _Roots | ListRoots:
    """What the client offers; None where that does not count, or where it offers nothing."""
    # Over HTTP a client speaks of its own machine's directories, and these are another one's.
    if ctx.request_context.request is not None or (await app_of(ctx)).settings.upload_roots:
        return None
    if ctx.client_capabilities is None or ctx.client_capabilities.roots is None:
        return None
    if asks_in_results(ctx):
        return ListRoots()
    try:
        answer: t.ListRootsResult = await ctx.session.send_request(
            t.ListRootsRequest(),
            t.ListRootsResult,
            request_read_timeout_seconds=ROOTS_WITHIN_S,
            metadata=ServerMessageMetadata(related_request_id=ctx.request_id),
        )
    except (MCPError, ValidationError):  # it declined, or answered something else
        return None
    return answer
