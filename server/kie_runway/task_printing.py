"""How a task looks to people and to their scripts: in a list, and whole, with what happened."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from kie_runway.errors import Charged
from kie_runway.ledger.records import Entry, Event
from kie_runway.models import TaskState
from kie_runway.shown import charged, escaped, one_line
from kie_runway.terminal import Facts, wrapped

_MEANING = {
    TaskState.QUEUED: "not sent yet",
    TaskState.SUBMITTING: "being sent, or cut off while it was: it may have been charged",
    TaskState.UNKNOWN: "sent, but the answer was lost: it may have been charged",
    TaskState.WAIT: "KIE has accepted it",
    TaskState.QUEUEING: "it waits in KIE's queue",
    TaskState.GENERATING: "KIE is making the video",
    TaskState.SUCCESS: "the video is finished",
    TaskState.FAIL: "KIE gave up",
    TaskState.EXPIRED: "the video was finished; KIE has deleted it since",
    TaskState.REJECTED: "refused before it became a task",
}
_STYLES = {
    TaskState.UNKNOWN: "yellow",
    TaskState.SUCCESS: "green",
    TaskState.FAIL: "red",
    TaskState.EXPIRED: "dim",
    TaskState.REJECTED: "red",
}
_IN_PROGRESS = "cyan"
_STATE_WIDTH = max(map(len, TaskState))
_KIND_WIDTH = len("generate")
_INDENT = 18  # of what stands below a task in the list, and of facts behind their names
_NARROW = 60  # columns, below which an indent would leave too little


@dataclass(frozen=True)
class Story:
    """A row, what happened to it, and the attempts that it superseded, latest first."""

    entry: Entry
    events: Sequence[Event]
    earlier: Sequence["Story"] = ()


def print_task(console: Console, entry: Entry) -> None:
    """One task of the list: a line to scan, and below it what to know it by."""
    line = Text.assemble(
        f"{_to_the_minute(entry.created_at)}  ",
        (f"{entry.state:{_STATE_WIDTH}}  ", _style(entry.state)),
        f"{entry.kind:{_KIND_WIDTH}}",
    )
    indent = " " * (_INDENT if console.width >= _NARROW else 2)
    any_id = Text(escaped(entry.task_id or entry.request_id), "bold")
    if line.cell_len + 2 + any_id.cell_len <= console.width:
        console.print(Text.assemble(line, "  ", any_id))
    else:
        console.print(line)
        console.print(Text.assemble(indent, any_id))
    prompt = Text(_prompt(entry))
    prompt.truncate(console.width - len(indent), overflow="ellipsis")
    for text in (prompt, *wrapped(console, _remark(entry), len(indent), breaks_words=True)):
        if text:
            console.print(Text.assemble(indent, text))
    if entry.file is not None:
        console.print(Text(f"{indent}Saved: {escaped(entry.file)}"))


def task_line(entry: Entry) -> str:
    """One task of the list, for scripts; the columns are those of `tasks list`."""
    at = entry.created_at.astimezone(UTC)
    any_id = escaped(entry.task_id or entry.request_id)
    file = escaped(entry.file or "")
    columns = (entry.state, entry.kind, any_id, _prompt(entry), file, _remark(entry))
    return "\t".join((f"{at:%Y-%m-%dT%H:%M:%SZ}", *columns)) + "\n"


def _prompt(entry: Entry) -> str:
    prompt = entry.arguments.get("prompt")
    return one_line(prompt) if isinstance(prompt, str) else ""


def _remark(entry: Entry) -> str:
    """The one thing more that matters about a task."""
    if entry.superseded_at is not None:
        return f"Superseded {_to_the_minute(entry.superseded_at)} by a newer attempt."
    if entry.state is TaskState.UNKNOWN:
        return "It may have been charged."
    if entry.error is not None:
        return one_line(entry.error.reason)
    if entry.state is TaskState.SUCCESS and entry.file is None and entry.expires_at is not None:
        return _expiry(entry.expires_at)
    return ""


def print_story(console: Console, story: Story) -> None:
    """All there is to tell of one task."""
    entry = story.entry
    console.print(
        Text.assemble(f"{entry.kind} ", (escaped(entry.task_id or entry.request_id), "bold"))
    )
    facts = Facts(console, margin=0, indent=_INDENT, breaks_words=True)
    facts.tell("state", f"{entry.state}: {_MEANING[entry.state]}", style=_style(entry.state))
    if entry.raw_state is not None:
        word = entry.raw_state.replace('"', "'")  # cannot end its quotation
        facts.tell("KIE's word", f'"{word}"')
    facts.tell("charged", _charge(entry))
    facts.tell("balance", _balance(entry))
    facts.tell("task id", entry.task_id, is_literal=True)
    facts.tell("request id", entry.request_id, is_literal=True)
    facts.tell("continues", entry.parent_task_id, is_literal=True)
    for name, value in entry.arguments.items():
        if value is not None and name != "task_id":  # told above
            facts.tell(name, str(value), is_literal=name.endswith("_url"))
    if entry.fingerprint is None:
        facts.tell("made", "elsewhere; known here since it was looked at")
    facts.tell("begun", _exactly(entry.created_at))
    facts.tell("sent", _exactly(entry.sent_at))
    facts.tell("accepted", _exactly(entry.accepted_at))
    facts.tell("last looked at", _exactly(entry.looked_at))
    facts.tell("finished", _exactly(entry.finished_at))
    if entry.took_s is not None:
        facts.tell("took", f"{entry.took_s:.0f} s")
    if entry.state is TaskState.SUCCESS:
        facts.tell("video", entry.video_url, is_literal=True)
        facts.tell("thumbnail", entry.thumbnail_url, is_literal=True)
        if entry.expires_at is not None:
            facts.tell("expiry", _expiry(entry.expires_at))
    if entry.file is not None:
        facts.tell("saved at", entry.file, is_literal=True)
        if not os.path.exists(entry.file):
            facts.tell("", "It cannot be found there now.")
    if entry.error is not None:
        facts.tell("error", f"{entry.error.reason} ({entry.error.code})")
        facts.tell("", entry.error.quotation)
    if entry.superseded_at is not None:
        facts.tell("superseded", f"{_exactly(entry.superseded_at)}, by a newer attempt")
    _print_history(console, "History", story.events)
    for before in story.earlier:
        title = f"Earlier attempt ({before.entry.state}, charged: {charged(before.entry)})"
        _print_history(console, title, before.events)


def _print_history(console: Console, title: str, events: Sequence[Event]) -> None:
    console.print()
    for line in wrapped(console, title, 0, "bold"):
        console.print(line)
    for event in events:
        at = f"  {_exactly(event.at)}  "
        indent = " " * (len(at) if console.width >= _NARROW else 4)
        words = f"{event.before} → {event.after}" if event.before else str(event.after)
        change = Text(words, _style(event.after))
        if len(at) + change.cell_len <= console.width:
            console.print(Text.assemble(at, change))
        else:
            console.print(at.rstrip())
            console.print(Text.assemble(indent, change))
        if event.detail:
            for line in wrapped(console, event.detail, len(indent), breaks_words=True):
                console.print(Text.assemble(indent, line))


def _charge(entry: Entry) -> str:
    about = f"about {entry.credits:g} credits" if entry.credits is not None else ""
    words: dict[Charged, tuple[str, str]] = {
        "yes": ("yes", about),
        "no": ("no", ""),
        "unknown": ("unknown", f"{about} if so" if about else ""),
    }
    return ", ".join(filter(None, words[charged(entry)]))


def _balance(entry: Entry) -> str:
    """A hint, where the charge is unknown."""
    told = (("before", entry.credits_before), ("after", entry.credits_after))
    return ", ".join(f"{credits:g} {when}" for when, credits in told if credits is not None)


def _expiry(at: datetime) -> str:
    if at <= datetime.now(UTC):
        return f"KIE deleted it {_to_the_minute(at)}."
    return f"KIE deletes it {_to_the_minute(at)}."


def _style(state: TaskState) -> str:
    return _STYLES.get(state, _IN_PROGRESS)


def _to_the_minute(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _exactly(at: datetime | None) -> str:
    """Local time, for that is what people remember, with its distance from UTC."""
    return "" if at is None else at.astimezone().isoformat(sep=" ", timespec="seconds")
