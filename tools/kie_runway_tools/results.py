"""A tool's answer about a task: the words, and once a picture."""

import asyncio
from typing import Annotated

import mcp.types as t

from kie_runway.app import App
from kie_runway.errors import KieRunwayError, LedgerError
from kie_runway.ledger.records import Entry
from kie_runway.models import Task, TaskState
from kie_runway_tools.card_host import Audience
from kie_runway_tools.described import brief, describe, headline
from kie_runway_tools.pictures import first_picture, is_due

TaskResult = Annotated[t.CallToolResult, Task]

SAVED_WITHIN_S = 4.0  # on top of the longest wait, still below what clients bear
_FAILURES = (TaskState.FAIL, TaskState.REJECTED, TaskState.UNKNOWN)


async def task_result(
    app: App,
    entry: Entry,
    audience: Audience,
    *,
    trouble: KieRunwayError | None = None,
    deduplicated: bool = False,
    note: str = "",
) -> t.CallToolResult:
    """
    A tool's answer about one task.

    Args:
        app: The parts.
        entry: The task's row.
        audience: Who gets to see it.
        trouble: What stood in the way of fresher news, if anything did.
        deduplicated: Whether an earlier call had already started it.
        note: Said before what to do next, unless it failed.
    """
    entry = await _saved(app, entry)
    task = describe(app, entry, trouble=trouble, deduplicated=deduplicated)
    # No resource link: LangChain makes a file of it, which ends the run at most models.
    is_shown = task.video_url and not audience.is_card  # the model's first picture stays due
    picture = await first_picture(app, entry) if is_shown else []
    notes = ["" if task.error else note, "Judge the picture." if picture else "", task.next]
    task = task.model_copy(update={"next": " ".join(filter(None, notes))})
    meta = None
    if audience.has_card:
        from kie_runway_tools.card_facts import task_meta  # not needed to list tools

        meta = task_meta(app, entry, trouble)
    return t.CallToolResult(
        content=[t.TextContent(text=headline(task)), *picture],
        structured_content=brief(task),
        is_error=task.state in _FAILURES,
        _meta=meta,
    )


async def _saved(app: App, entry: Entry) -> Entry:
    """The row with its file, where that comes unasked and soon: it spares the agent a call."""
    if entry.state is not TaskState.SUCCESS or app.saved is None or not is_due(app, entry):
        return entry
    try:
        async with asyncio.timeout(SAVED_WITHIN_S):
            return await app.saved(entry)
    except (TimeoutError, LedgerError):
        return entry
