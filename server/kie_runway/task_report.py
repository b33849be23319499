"""`kie-runway-mcp tasks`: what the ledger knows of tasks, for people and for their scripts."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.text import Text

from kie_runway.errors import LedgerError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.ledger.snapshot import open_snapshot
from kie_runway.models import TaskState
from kie_runway.shown import charged, escaped, one_line
from kie_runway.task_printing import Story, print_story, print_task, task_line
from kie_runway.terminal import open_console, refuse, wrapped

EXIT_UNKNOWN_ID = 1
EXIT_LEDGER = 2
ID_SHOWN_CHARS = 100
_UNBROKEN = 1_000_000  # columns


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
            print_task(console, entry)
        else:
            sys.stdout.write(task_line(entry))
    more = f"More: --limit {2 * limit}." if len(entries) > limit else ""
    if console.is_terminal:
        console.print()
        about = f"Times are local. All about one: kie-runway-mcp tasks show ID. {more}"
        for line in wrapped(console, about, 0, "dim"):
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
        print_story(_open_console(), story)
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
