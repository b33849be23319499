"""The sentence that ends every task result: what to do now."""

import re
from datetime import datetime
from typing import Final, assert_never

from kie_runway.errors import StuckError
from kie_runway.ledger.records import Entry
from kie_runway.models import PROBABLY_NOT_CREATED, ErrorInfo, TaskKind, TaskState
from kie_runway.settings import Settings

_WORD = re.compile(r"[a-z_]{1,20}")


START_TOOLS: Final = {
    TaskKind.GENERATE: "generate_video",
    TaskKind.EXTEND: "extend_video",
    TaskKind.ALEPH: "aleph_generate",
}


def follow_up(kind: TaskKind) -> str:
    """The tool that looks at tasks of this kind."""
    return "aleph_get_task" if kind is TaskKind.ALEPH else "get_task"


def how_to_look(kind: TaskKind, settings: Settings, by: str = "") -> str:
    """How to wait for a task of this kind, to be told after "Call"."""
    wait_s = settings.max_wait_s
    return f"{follow_up(kind)}{by} {f'with wait_seconds={wait_s}' if wait_s else 'in 30 seconds'}"


def next_step(entry: Entry, error: ErrorInfo | None, settings: Settings, now: datetime) -> str:
    """What an agent should do about a row, in one sentence or a few short ones."""
    look = f"Call {how_to_look(entry.kind, settings)}."
    match entry.state:
        case TaskState.QUEUED:
            by_request = how_to_look(entry.kind, settings, " with this request_id")
            return (
                f"Not sent yet. Call {by_request}. If it stays queued, repeat the paid call with "
                "it: that sends it once."
            )
        case TaskState.SUBMITTING:
            return f"{look} Use the request_id while there is no task_id."
        case TaskState.WAIT | TaskState.QUEUEING | TaskState.GENERATING:
            if error is not None:
                return _in_trouble(entry, error)
            return f"{_kies_own_word(entry)}{look}"
        case TaskState.UNKNOWN:
            return _after_unknown(entry, now)
        case TaskState.SUCCESS:
            if entry.file is not None:
                return "Give the user the file."
            if settings.autosave:
                return "Give the user video_url; it is being saved."
            return "Give the user video_url; save_video keeps it past expires_at."
        case TaskState.EXPIRED:
            if entry.file is not None:
                return "Give the user the file; KIE has deleted its own copy."
            return "Tell the user: KIE has deleted it, and only a new, paid video can replace it."
        case TaskState.FAIL | TaskState.REJECTED:
            return _after_failure(entry, error)
        case _ as never:
            assert_never(never)


def _in_trouble(entry: Entry, error: ErrorInfo) -> str:
    """No news of a task that goes on; asking at once again would only cost tokens."""
    look = f"call {follow_up(entry.kind)} again."
    if error.code == StuckError.code:
        return f"Tell the user. In an hour, {look}"
    when = "Once mended" if error.retry == "ask_user" else "In 10 minutes"
    return f"Tell the user; the task goes on at KIE. {when}, {look}"


def _kies_own_word(entry: Entry) -> str:
    """A state that we do not know, if it is a mere word; anything longer could be a message."""
    word = entry.raw_state or ""
    return f"KIE calls this state {word}. " if _WORD.fullmatch(word) else ""


def _after_unknown(entry: Entry, now: datetime) -> str:
    look = follow_up(entry.kind)
    if entry.superseded_at is not None:
        return f"A newer request took its place: call {look} with this request_id."
    spent = _spent(entry)
    if spent is None or spent < 0:
        balance = ""
    elif spent:
        balance = f"The balance fell by {spent:g} credits. "
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
    since = (entry.sent_at or entry.created_at) + PROBABLY_NOT_CREATED
    when = "Later" if entry.may_move else f"After {since:%H:%M} UTC"
    news = f"KIE may call back; after {since:%H:%M} UTC" if entry.may_move else "then"
    return (
        f"Do not start it again: it may have been charged. {balance}Tell the user. {when}, call "
        f"{look} with this request_id: {news} it can be replaced, if they accept a possible second "
        "charge."
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
                mend = (
                    "Tell the user; in 10 minutes, repeat the paid call with the same request_id."
                )
            case _:
                mend = "Tell the user; once mended, repeat the paid call with the same request_id."
        return f"Nothing was charged. {mend}"
    change = " what has to change" if retry == "after_change" else ""
    return (
        f"Tell the user{change}; only if they agree to pay again, start it with a new request_id."
    )
