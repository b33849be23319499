"""Tasks as agents see them: the `Task`, one line of text, a link, and once a thumbnail."""

import base64
from datetime import datetime
from typing import Annotated

import mcp.types as t

from kie_runway.app import App
from kie_runway.errors import KieRunwayError
from kie_runway.ledger.base import Entry
from kie_runway.models import ErrorInfo, Task, TaskState
from kie_runway.shown import charged, one_line
from kie_runway_tools.next_step import next_step

TaskResult = Annotated[t.CallToolResult, Task]

PROMPT_SHOWN_CHARS = 80
_FAILURES = (TaskState.FAIL, TaskState.REJECTED, TaskState.UNKNOWN)


async def task_result(
    app: App,
    entry: Entry,
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
        trouble: What stood in the way of fresher news, if anything did.
        deduplicated: Whether an earlier call had already started it.
        note: Said before what to do next.
    """
    task = describe(app, entry, trouble=trouble, deduplicated=deduplicated)
    if note:
        task = task.model_copy(update={"next": f"{note} {task.next}"})
    content: list[t.ContentBlock] = [t.TextContent(text=headline(task))]
    if task.state is TaskState.SUCCESS and task.video_url:
        content.append(
            t.ResourceLink(uri=task.video_url, name=f"{task.request_id}.mp4", mime_type="video/mp4")
        )
        content += await _picture(app, entry)
    return t.CallToolResult(
        content=content,
        structured_content=task.model_dump(mode="json", exclude_none=True),
        is_error=task.state in _FAILURES,
    )


def describe(
    app: App, entry: Entry, *, trouble: KieRunwayError | None = None, deduplicated: bool = False
) -> Task:
    """A row as a `Task`, with what to do now."""
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
        prompt=_shown(entry.arguments.get("prompt")),
        parent_task_id=entry.parent_task_id,
        video_url=entry.video_url if entry.state is TaskState.SUCCESS else None,
        thumbnail_url=entry.thumbnail_url if entry.state is TaskState.SUCCESS else None,
        file=entry.file,
        created_at=entry.created_at.replace(microsecond=0),
        finished_at=_to_the_second(entry.finished_at),
        expires_at=_to_the_second(entry.expires_at),
        deduplicated=deduplicated or None,
        error=error,
        next=next_step(entry, error, app.settings.max_wait_s, app.clock.now()),
    )


def headline(task: Task) -> str:
    """The one line for clients that show text only."""
    name = task.task_id or task.request_id
    parts = [f"{task.kind} {name}: {task.state}."]
    if task.deduplicated:
        parts.append("An earlier call had already started it; nothing new was charged.")
    if task.error is not None:
        parts += filter(None, (task.error.reason, task.error.quotation))
    if task.video_url:
        until = f" (until {task.expires_at.date()})" if task.expires_at else ""
        parts.append(f"{task.video_url}{until}.")
    if task.file:
        parts.append(f"Saved at {task.file}.")
    parts.append(task.next)
    return " ".join(parts)


async def _picture(app: App, entry: Entry) -> list[t.ContentBlock]:
    """The thumbnail, with the first finished answer about a task."""
    if entry.thumbnail_url is None or entry.id in app.shown:
        return []
    app.shown.add(entry.id)
    picture = await app.thumbnail(entry.thumbnail_url)
    if picture is None:
        return []
    data = base64.b64encode(picture.data).decode()
    return [t.ImageContent(data=data, mime_type=picture.mime_type)]


def _shown(prompt: object) -> str | None:
    """Enough of a prompt to know it by."""
    return one_line(prompt, PROMPT_SHOWN_CHARS) if isinstance(prompt, str) else None


def _to_the_second(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(microsecond=0)
