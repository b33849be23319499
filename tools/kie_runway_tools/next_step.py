"""The sentence that ends every task result: what to do now."""

import re
from datetime import datetime
from typing import assert_never

from kie_runway.errors import StuckError
from kie_runway.ledger.base import Entry
from kie_runway.models import PROBABLY_NOT_CREATED, ErrorInfo, TaskKind, TaskState

_WORD = re.compile(r"[a-z_]{1,20}")


def follow_up(kind: TaskKind) -> str:
    """The tool that looks at tasks of this kind."""
    return "aleph_get_task" if kind is TaskKind.ALEPH else "get_task"


def next_step(entry: Entry, error: ErrorInfo | None, max_wait_s: int, now: datetime) -> str:
    """What an agent should do about a row, in one sentence or a few short ones."""
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
