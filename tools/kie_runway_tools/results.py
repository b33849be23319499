"""Tasks as agents see them: the `Task`, one line of text, a link, and once a thumbnail."""

import base64
import re
from datetime import datetime
from typing import Annotated, assert_never

import mcp.types as t

from kie_runway.app import App
from kie_runway.errors import KieRunwayError, StuckError
from kie_runway.ledger.base import Entry
from kie_runway.models import PROBABLY_NOT_CREATED, ErrorInfo, Task, TaskKind, TaskState
from kie_runway.shown import charged, one_line

TaskResult = Annotated[t.CallToolResult, Task]

PROMPT_SHOWN_CHARS = 80
_WORD = re.compile(r"[a-z_]{1,20}")
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
        next=_next(entry, error, app.settings.max_wait_s, app.clock.now()),
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


def follow_up(kind: TaskKind) -> str:
    """The tool that looks at tasks of this kind."""
    return "aleph_get_task" if kind is TaskKind.ALEPH else "get_task"


def _next(entry: Entry, error: ErrorInfo | None, max_wait_s: int, now: datetime) -> str:
    when = f"with wait_seconds={max_wait_s}" if max_wait_s else "in 30 seconds"
    look = f"Call {follow_up(entry.kind)} {when}."
    match entry.state:
        case TaskState.QUEUED:
            return (
                f"Not sent yet. Call {follow_up(entry.kind)} with this request_id {when}. If it "
                "stays queued, repeat the paid call with it: that sends it once."
            )
        case TaskState.SUBMITTING:
            return f"{look} Use the request_id while there is no task_id."
        case TaskState.WAIT | TaskState.QUEUEING | TaskState.GENERATING:
            if error is not None and error.retry == "ask_user":
                return "Tell the user; the task itself goes on at KIE."
            if error is not None and error.code == StuckError.code:
                return f"Tell the user. In an hour, call {follow_up(entry.kind)} again."
            return f"{_kies_own_word(entry)}{look}"
        case TaskState.UNKNOWN:
            return _after_unknown(entry, now)
        case TaskState.SUCCESS:
            if entry.file is not None:
                return "Give the user the file."
            return "Give the user video_url, or call save_video: KIE deletes it after 14 days."
        case TaskState.EXPIRED:
            if entry.file is not None:
                return "Give the user the file; KIE has deleted its own copy."
            return "KIE has deleted the video; only a new, paid one can replace it."
        case TaskState.FAIL | TaskState.REJECTED:
            return _after_failure(entry, error)
        case _ as never:
            assert_never(never)


def _kies_own_word(entry: Entry) -> str:
    """A state that we do not know, if it is a mere word; anything longer could be a message."""
    word = entry.raw_state or ""
    return f"KIE calls this state {word}. " if _WORD.fullmatch(word) else ""


def _after_unknown(entry: Entry, now: datetime) -> str:
    if entry.superseded_at is not None:
        return f"A newer request took its place: look at request_id {entry.request_id}."
    spent = _spent(entry)
    if spent is None or spent < 0:
        balance = ""
    elif spent:
        balance = f"The balance fell by {spent:g} credits meanwhile. "
    else:
        balance = "The balance did not move, which hints at no charge. "
    if entry.sent_at is not None and now - entry.sent_at >= PROBABLY_NOT_CREATED:
        doubt = (
            "Even after all this time it may have been charged"
            if spent
            else "After all this time it was probably never created"
        )
        return (
            f"{balance}{doubt}. Tell the user; only if they accept a possible second charge, "
            "repeat the paid call with this request_id and confirm=true."
        )
    later = (
        f"Later call {follow_up(entry.kind)} with this request_id: it resolves by itself if KIE "
        "calls back. "
        if entry.may_move
        else ""
    )
    since = (entry.sent_at or entry.created_at) + PROBABLY_NOT_CREATED
    return (
        f"Do not start it again: it may have been charged. {balance}{later}Tell the user; after "
        f"{since:%H:%M} UTC it can be replaced, if they accept a possible second charge."
    )


def _spent(entry: Entry) -> float | None:
    """How far the balance fell while it was sent; a hint, for others may spend as well."""
    if entry.credits_before is None or entry.credits_after is None:
        return None
    return entry.credits_before - entry.credits_after


def _after_failure(entry: Entry, error: ErrorInfo | None) -> str:
    retry = error.retry if error is not None else "ask_user"
    if entry.state is TaskState.REJECTED:
        match retry:
            case "after_change":
                mend = "Change what the error names, then start it with a new request_id."
            case "later":
                mend = "Wait a minute, then repeat the call with the same request_id."
            case _:
                mend = "Tell the user; once mended, repeat the call with the same request_id."
        return f"Nothing was charged. {mend}"
    change = " what has to change" if retry == "after_change" else ""
    return (
        f"Tell the user{change}; only if they agree to pay again, start it with a new request_id."
    )


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
