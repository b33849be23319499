"""Tasks as agents see them: the `Task`, one line of text, and once a picture."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import mcp.types as t

from kie_runway.app import App
from kie_runway.errors import KieRunwayError, LedgerError
from kie_runway.ledger.records import Entry
from kie_runway.models import ErrorInfo, Task, TaskState
from kie_runway.shown import charged, one_line
from kie_runway_tools.card_host import Audience
from kie_runway_tools.next_step import next_step
from kie_runway_tools.pictures import first_picture, is_due

TaskResult = Annotated[t.CallToolResult, Task]

SAVED_WITHIN_S = 4.0  # on top of the longest wait, still below what clients bear
PROMPT_SHOWN_CHARS = 48  # enough to know a task by
MESSAGE_SHOWN_CHARS = 100  # of KIE's words; the reason says what they mean
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


def brief(task: Task) -> dict[str, Any]:
    """
    What a model needs of a task to go on, for it pays for every word.

    `kie://tasks/{id}` has it all. Here the picture comes as an image, and when and from what a
    task came that is finished or in trouble matters no longer, nor when KIE deletes what is saved.
    """
    left_out = {"thumbnail_url", "finished_at"}
    if task.error or not task.state.may_move:
        left_out.add("created_at")
    if task.error:
        left_out.add("parent_task_id")
    if task.video_url or task.file:
        left_out |= {"prompt", "parent_task_id"}
    if task.file:
        left_out.add("expires_at")
    return task.model_dump(mode="json", exclude_none=True, exclude=left_out)


def describe(
    app: App,
    entry: Entry,
    *,
    trouble: KieRunwayError | None = None,
    deduplicated: bool = False,
    in_full: bool = False,
) -> Task:
    """A row as a `Task`, with what to do now; long texts only `in_full` where that is asked for."""
    error = entry.error
    if error is None and trouble is not None:
        # Looking cost nothing, but the error stands on a task that was paid for.
        error = ErrorInfo.of(trouble).model_copy(update={"charged": entry.state.charged})
    return Task(
        task_id=entry.task_id,
        request_id=entry.request_id,
        kind=entry.kind,
        state=entry.state,
        charged=charged(entry),
        credits=entry.credits,
        prompt=_shown(entry.arguments.get("prompt"), None if in_full else PROMPT_SHOWN_CHARS),
        parent_task_id=entry.parent_task_id,
        video_url=entry.video_url if entry.state is TaskState.SUCCESS else None,
        thumbnail_url=entry.thumbnail_url if entry.state is TaskState.SUCCESS else None,
        file=entry.file,
        created_at=entry.created_at.replace(microsecond=0),
        finished_at=_to_the_second(entry.finished_at),
        expires_at=_to_the_second(entry.expires_at),
        deduplicated=deduplicated or None,
        error=error if in_full else _shortened(error, entry.state),
        next=next_step(entry, error, app.settings, app.clock.now()),
    )


def headline(task: Task) -> str:
    """All of a task in one line, for clients that show text only."""
    return f"{summary(task)} {task.next}"


def summary(task: Task) -> str:
    """The same without what to do now."""
    name = task.task_id or task.request_id
    price = f", about {task.credits:g} credits" if task.credits and task.state.may_move else ""
    parts = [f"{task.kind} {name}: {task.state}{price}."]
    if task.deduplicated:
        parts.append("An earlier call had already started it; nothing new was charged.")
    if task.error is not None:
        parts += filter(None, (task.error.reason, task.error.quotation))
    if task.video_url:
        until = f" (until {task.expires_at.date()})" if task.expires_at else ""
        parts.append(f"{task.video_url}{until}.")
    if task.file:
        parts.append(f"Saved at {task.file}.")
    return " ".join(parts)


async def _saved(app: App, entry: Entry) -> Entry:
    """The row with its file, where that comes unasked and soon: it spares the agent a call."""
    if entry.state is not TaskState.SUCCESS or app.saved is None or not is_due(app, entry):
        return entry
    try:
        async with asyncio.timeout(SAVED_WITHIN_S):
            return await app.saved(entry)
    except (TimeoutError, LedgerError):
        return entry


def _shown(prompt: object, max_chars: int | None) -> str | None:
    return one_line(prompt, max_chars) if isinstance(prompt, str) else None


def _shortened(error: ErrorInfo | None, state: TaskState) -> ErrorInfo | None:
    if error is None or error.message is None:
        return error
    message: str | None = one_line(error.message, MESSAGE_SHOWN_CHARS)
    if state is TaskState.UNKNOWN:
        message = None  # it mostly says to try again
    return error.model_copy(update={"message": message})


def _to_the_second(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(microsecond=0)
