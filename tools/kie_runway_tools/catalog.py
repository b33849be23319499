"""Every tool, in the order agents see them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from mcp.server.mcpserver.tools import Tool
from mcp.types import ToolAnnotations

from kie_runway.sdk import strict_tool
from kie_runway_tools.aleph_generate import aleph_generate
from kie_runway_tools.aleph_get_task import make_aleph_get_task
from kie_runway_tools.card_host import CARD_META
from kie_runway_tools.extend_video import extend_video
from kie_runway_tools.generate_video import generate_video
from kie_runway_tools.get_credits import get_credits
from kie_runway_tools.get_task import make_get_task
from kie_runway_tools.list_tasks import list_tasks
from kie_runway_tools.save_video import save_video
from kie_runway_tools.upload_file import upload_file


class _Listing(NamedTuple):
    function: Callable[..., Any]
    title: str
    hints: ToolAnnotations
    meta: dict[str, Any] | None = None


def build_tools(max_wait_s: int) -> list[Tool]:
    """
    All tools.

    Args:
        max_wait_s: The longest `wait_seconds` that the schemas allow.
    """
    # Not idempotent as such: only a repeated request_id makes a repeat free.
    spends = ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True
    )
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=True)
    reads_ledger = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    repeatable = ToolAnnotations(
        read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True
    )
    # Not the look-ups: hosts show one card per call, and models call those again and again.
    shown = CARD_META
    listings = (
        _Listing(generate_video, "Generate video", spends, shown),
        _Listing(extend_video, "Extend video", spends, shown),
        _Listing(make_get_task(max_wait_s), "Get task", reads),
        _Listing(aleph_generate, "Restyle video (Aleph)", spends, shown),
        _Listing(make_aleph_get_task(max_wait_s), "Get Aleph task", reads),
        _Listing(list_tasks, "List tasks", reads_ledger, shown),
        _Listing(save_video, "Save video", repeatable),
        _Listing(upload_file, "Upload file", repeatable),
        _Listing(get_credits, "Get credits", reads),
    )
    return [
        strict_tool(
            listing.function, title=listing.title, annotations=listing.hints, meta=listing.meta
        )
        for listing in listings
    ]
