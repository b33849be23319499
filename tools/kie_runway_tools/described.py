"""A task in words, as agents read it: the `Task`, what it needs to go on, and one line of text."""

from datetime import datetime
from typing import Any

from kie_runway.app import App
from kie_runway.errors import KieRunwayError
from kie_runway.ledger.records import Entry
from kie_runway.models import ErrorInfo, Task, TaskState
from kie_runway.shown import charged, one_line
from kie_runway_tools.next_step import next_step

PROMPT_SHOWN_CHARS = 48  # enough to know a task by
MESSAGE_SHOWN_CHARS = 100  # of KIE's words; the reason says what they mean


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
    parts = [f"{task.kind} {name}: {task.state}{_cost(task)}."]
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


def _cost(task: Task) -> str:
    credits = f"about {task.credits:g} credits" if task.credits else ""
    match task.charged:
        case "no":
            return ", nothing charged"
        case "yes":
            return f", {credits}" if credits else ""
        case "unknown":
            return f", perhaps charged ({credits})" if credits else ", perhaps charged"


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
