"""`kie-runway-mcp tasks`: what the ledger knows of tasks, for people and for their scripts."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.text import Text

from kie_runway.errors import Charged, LedgerError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry, Event
from kie_runway.ledger.snapshot import open_snapshot
from kie_runway.models import TaskState
from kie_runway.shown import charged, escaped, one_line
from kie_runway.terminal import open_console, refuse

EXIT_UNKNOWN_ID = 1
EXIT_LEDGER = 2
ID_SHOWN_CHARS = 100

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
_UNBROKEN = 1_000_000  # columns


@dataclass(frozen=True)
class Story:
    """A row, what happened to it, and the attempts that it superseded, latest first."""

    entry: Entry
    events: Sequence[Event]
    earlier: Sequence["Story"] = ()


def list_tasks(path: Path, *, state: TaskState | None, limit: int, as_json: bool) -> int:
    """
    Print the latest tasks of a ledger, newest first.

    What is no terminal gets one line for each, its columns separated by tabs: time in UTC, state,
    kind, id, prompt, file, remark.

    Returns:
        The exit code: 0, or 2 when the ledger cannot be read (said on stderr).
    """
    try:
        entries = asyncio.run(_entries(path, state, limit + 1))
    except LedgerError as exc:
        return refuse(exc.reason, EXIT_LEDGER)
    shown = entries[:limit]
    if as_json:
        _print_json([_as_json(entry) for entry in shown])
        return 0
    console = _open_console()
    remarks = console if console.is_terminal else Console(stderr=True, highlight=False)
    if not shown:
        none = "No tasks yet." if state is None else f"No task is in the state {state}."
        remarks.print(none, soft_wrap=True)
        remarks.print(Text(f"Ledger: {escaped(str(path))}", style="dim"), soft_wrap=True)
        return 0
    for entry in shown:
        if console.is_terminal:
            _print_task(console, entry)
        else:
            sys.stdout.write(_line(entry))
    more = f"More: --limit {2 * limit}." if len(entries) > limit else ""
    if console.is_terminal:
        console.print()
        about = f"Times are local. All about one: kie-runway-mcp tasks show ID. {more}"
        for line in _wrapped(console, about, 0, "dim"):
            console.print(line)
    elif more:
        remarks.print(more)
    return 0


def show_task(path: Path, any_id: str, *, as_json: bool) -> int:
    """
    Print all that a ledger knows of one task, by its task id or request id.

    Returns:
        The exit code: 0, 1 when there is no such task, or 2 when the ledger cannot be read
        (both said on stderr).
    """
    try:
        story = asyncio.run(_story(path, any_id))
    except LedgerError as exc:
        return refuse(exc.reason, EXIT_LEDGER)
    if story is None:
        name = one_line(any_id, ID_SHOWN_CHARS)
        return refuse(f"No task has the id {name}; see: kie-runway-mcp tasks", EXIT_UNKNOWN_ID)
    if as_json:
        _print_json(_story_as_json(story))
    else:
        _print_story(_open_console(), story)
    return 0


async def _entries(path: Path, state: TaskState | None, limit: int) -> Sequence[Entry]:
    async with open_snapshot(path) as ledger:
        if ledger is None:
            return []
        states = None if state is None else (state,)
        return await ledger.list(LOCAL_ACCOUNT, states=states, limit=limit)


async def _story(path: Path, any_id: str) -> Story | None:
    async with open_snapshot(path) as ledger:
        entry = None if ledger is None else await ledger.find(LOCAL_ACCOUNT, any_id)
        if ledger is None or entry is None:
            return None
        earlier: list[Story] = []
        before = await _superseded(ledger, entry)
        while before is not None:
            earlier.append(Story(before, await ledger.history(before.id)))
            before = await _superseded(ledger, before)
        return Story(entry, await ledger.history(entry.id), earlier)


async def _superseded(ledger: Ledger, entry: Entry) -> Entry | None:
    return None if entry.supersedes is None else await ledger.get(entry.supersedes)


def _print_task(console: Console, entry: Entry) -> None:
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
    for text in (prompt, *_wrapped(console, _remark(entry), len(indent))):
        if text:
            console.print(Text.assemble(indent, text))
    if entry.file is not None:
        console.print(Text(f"{indent}Saved: {escaped(entry.file)}"))


def _line(entry: Entry) -> str:
    """One task of the list, for scripts."""
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


def _print_story(console: Console, story: Story) -> None:
    entry = story.entry
    console.print(
        Text.assemble(f"{entry.kind} ", (escaped(entry.task_id or entry.request_id), "bold"))
    )
    facts = _Facts(console)
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
    facts.tell_time("begun", entry.created_at)
    facts.tell_time("sent", entry.sent_at)
    facts.tell_time("accepted", entry.accepted_at)
    facts.tell_time("last looked at", entry.looked_at)
    facts.tell_time("finished", entry.finished_at)
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
    for line in _wrapped(console, title, 0, "bold"):
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
            for line in _wrapped(console, event.detail, len(indent)):
                console.print(Text.assemble(indent, line))


def _wrapped(console: Console, text: str, indent: int, style: str = "") -> Sequence[Text]:
    """Running text in lines that fit behind an indent."""
    width = max(console.width - indent, indent)
    lines = list(Text(one_line(text), style).wrap(console, width))
    for line in lines:
        line.rstrip()
    return lines


class _Facts:
    """Prints facts behind their names; nothing where there is nothing to say."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def tell(
        self, name: str, value: str | None, *, style: str = "", is_literal: bool = False
    ) -> None:
        """What is literal, such as an address, is meant to be copied, and so never broken."""
        if not value:
            return
        if is_literal:
            lines: Sequence[Text] = [Text(escaped(value), style)]
        else:
            lines = _wrapped(self._console, value, _INDENT, style)
        for line in lines:
            self._console.print(Text.assemble((f"{escaped(name):{_INDENT}}", "dim"), line))
            name = ""

    def tell_time(self, name: str, at: datetime | None) -> None:
        if at is not None:
            self.tell(name, _exactly(at))


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


def _exactly(at: datetime) -> str:
    """Local time, for that is what people remember, with its distance from UTC."""
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


def _as_json(entry: Entry) -> dict[str, Any]:
    """A task as the tools return it, with what was asked for in full; times are UTC."""
    is_there = entry.state is TaskState.SUCCESS
    values = {
        "task_id": entry.task_id,
        "request_id": entry.request_id,
        "kind": entry.kind,
        "state": entry.state,
        "charged": charged(entry),
        "credits": entry.credits,
        "prompt": entry.arguments.get("prompt"),
        "parent_task_id": entry.parent_task_id,
        "video_url": entry.video_url if is_there else None,
        "thumbnail_url": entry.thumbnail_url if is_there else None,
        "file": entry.file,
        "created_at": entry.created_at,
        "finished_at": entry.finished_at,
        "expires_at": entry.expires_at,
        "superseded_at": entry.superseded_at,
        "error": entry.error,
        "arguments": entry.arguments,
    }
    return _present(values)


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _story_as_json(story: Story) -> dict[str, Any]:
    return _as_json(story.entry) | {
        "history": [_present(asdict(event)) for event in story.events],
        "earlier_attempts": [_story_as_json(before) for before in story.earlier],
    }


def _print_json(value: object) -> None:
    # Escaped to ASCII, so that no prompt can disturb a terminal.
    sys.stdout.write(json.dumps(to_jsonable_python(value, exclude_none=True), indent=2) + "\n")


def _open_console() -> Console:
    """Stdout; what is no terminal breaks no lines."""
    console = open_console()
    if not console.is_terminal:
        console.size = (_UNBROKEN, console.height)
    return console
