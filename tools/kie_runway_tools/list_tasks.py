"""list_tasks: what was started, newest first."""

from collections.abc import Sequence
from typing import Annotated, Any

import mcp.types as t
from mcp.server.mcpserver import Context
from pydantic import BaseModel, Field

from kie_runway.app import App, Services
from kie_runway.errors import BadInputError
from kie_runway.ledger.records import Entry
from kie_runway.models import Task, TaskState
from kie_runway_tools.calling import app_of
from kie_runway_tools.card_host import audience_of
from kie_runway_tools.described import describe, headline, summary

NEEDS_CARE = (TaskState.QUEUED, TaskState.UNKNOWN)  # a model may be about to start it again
ROW_NUMBER_MAX_DIGITS = 18  # the ledger's numbers have 64 bits


class TaskList(BaseModel):
    """Recorded tasks, newest first."""

    tasks: list[Task]
    next_cursor: str | None = None


async def list_tasks(
    ctx: Context[Services],
    # Closed schemas are strict, and JSON knows no enums.
    state: Annotated[TaskState | None, Field(strict=False)] = None,
    limit: Annotated[int, Field(ge=1, le=50)] = 10,
    cursor: Annotated[
        str | None, Field(max_length=20, description="next_cursor of the previous page.")
    ] = None,
) -> Annotated[t.CallToolResult, TaskList]:
    """Tasks of this server, newest first, as last seen: finds lost ids. Free."""
    app = await app_of(ctx)
    entries, next_cursor = await _entries(app, state, limit, _row_number(cursor))
    listing = TaskList(tasks=[describe(app, entry) for entry in entries], next_cursor=next_cursor)
    lines = [f"{task.created_at:%Y-%m-%d %H:%M} {_line(task)}" for task in listing.tasks]
    tasks = [_row(task) for task in listing.tasks]
    more = {"next_cursor": listing.next_cursor} if listing.next_cursor else {}
    meta = None
    if audience_of(ctx).has_card:
        from kie_runway_tools.card_facts import list_meta  # not needed to list tools

        meta = list_meta(app, entries)
    return t.CallToolResult(
        content=[t.TextContent(text="\n".join(lines) or "No tasks.")],
        structured_content={"tasks": tasks} | more,
        _meta=meta,
    )


async def page(
    app: App, *, state: TaskState | None = None, limit: int, before: int | None = None
) -> TaskList:
    """Tasks as last seen, newest first, older than the row number `before`."""
    entries, next_cursor = await _entries(app, state, limit, before)
    return TaskList(tasks=[describe(app, entry) for entry in entries], next_cursor=next_cursor)


async def _entries(
    app: App, state: TaskState | None, limit: int, before: int | None
) -> tuple[Sequence[Entry], str | None]:
    """Rows of one page, and where the next one begins."""
    entries = await app.ledger.list(
        app.account,
        states=None if state is None else (state,),
        limit=limit + 1,
        before=before,
    )
    more = str(entries[limit - 1].id) if len(entries) > limit else None
    return entries[:limit], more


def _line(task: Task) -> str:
    return headline(task) if task.state in NEEDS_CARE else summary(task)


def _row(task: Task) -> dict[str, Any]:
    """What to find a task by; what to do next only where the agent could do harm."""
    left_out = {"parent_task_id", "thumbnail_url", "finished_at"}
    if task.state not in NEEDS_CARE:
        left_out.add("next")
    return task.model_dump(mode="json", exclude_none=True, exclude=left_out)


def _row_number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= ROW_NUMBER_MAX_DIGITS):
        raise BadInputError("`cursor` must be the next_cursor of an earlier list_tasks call.")
    return int(cursor)
