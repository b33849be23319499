"""What is known after a run: what KIE booked, what the ledger holds, what clients were shown."""

import json
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.faults.transcript import Call

from kie_runway_sandbox import Sandbox
from kie_runway_sandbox.faults import Endpoint
from kie_runway_sandbox.log import LogEntry

CREATE_ENDPOINTS: tuple[Endpoint, ...] = ("runway/generate", "runway/extend", "aleph/generate")
ENDED = ("success", "fail", "expired", "rejected")
LOOK_UP_ENDPOINTS: tuple[Endpoint, ...] = ("runway/record-detail", "aleph/record-info")


@dataclass(frozen=True)
class Row:
    """A row of `entries` as the file has it; times in epoch milliseconds."""

    id: int
    account: str
    request_id: str
    fingerprint: str | None
    kind: str
    state: str
    arguments: Mapping[str, Any]
    credits: float | None
    task_id: str | None
    video_url: str | None
    file: str | None
    created_at: int
    accepted_at: int | None
    superseded_at: int | None
    supersedes: int | None
    callback_hash: str | None

    def __str__(self) -> str:
        return f"{self.request_id} (row {self.id})"

    @property
    def prompt(self) -> str:
        """By which the harness knows the intent."""
        return str(self.arguments.get("prompt", ""))

    @property
    def is_adopted(self) -> bool:
        """Whether the task was made elsewhere, so that nobody here meant to pay for it."""
        return self.fingerprint is None


@dataclass(frozen=True)
class RowEvent:
    """A row of `events`; `id` orders all events of the file."""

    id: int
    entry_id: int
    before: str | None
    after: str


@dataclass(frozen=True)
class LedgerFile:
    """The ledger, read with SQL of our own: a fault of the ledger's code cannot hide here."""

    rows: Sequence[Row] = ()
    events: Sequence[RowEvent] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """What has been committed to the file, whoever has it open; nothing if there is none."""
        if not path.exists():
            return cls()
        with closing(sqlite3.connect(path)) as db:
            db.row_factory = sqlite3.Row
            columns = ", ".join(Row.__dataclass_fields__)
            rows = [
                Row(**{**dict(row), "arguments": json.loads(row["arguments"])})
                for row in db.execute(f"SELECT {columns} FROM entries ORDER BY id")
            ]
            events = [
                RowEvent(*row)
                for row in db.execute(
                    "SELECT id, entry_id, from_state, to_state FROM events ORDER BY id"
                )
            ]
        return cls(rows, events)

    def history(self, row: Row) -> list[RowEvent]:
        """What happened to a row, oldest first."""
        return [event for event in self.events if event.entry_id == row.id]

    def state_when_made(self, row: Row, later: Row) -> str | None:
        """How a row stood when a later one was made."""
        made = min((event.id for event in self.history(later)), default=0)
        return next((e.after for e in reversed(self.history(row)) if e.id < made), None)


@dataclass(frozen=True)
class Kie:
    """
    The sandbox's ground truth.

    Attributes:
        log: `Log.entries`.
        posts: Paid requests that reached it, whatever became of them.
        looks: Look-ups that were answered with the task, by task id.
        sightings: By the number of a create's log entry, whether the file held a `submitting`
            row for it at that very moment; see `witness`.
    """

    log: Sequence[LogEntry] = ()
    posts: int = 0
    looks: Mapping[str, int] = field(default_factory=dict[str, int])
    sightings: Mapping[int, bool] = field(default_factory=dict[int, bool])

    @classmethod
    def of(cls, sandbox: Sandbox, sightings: Mapping[int, bool] | None = None) -> Self:
        """The truth of a sandbox in this process, as it is now."""
        return cls(
            log=list(sandbox.log.entries),
            posts=sum(sandbox.requests[endpoint] for endpoint in CREATE_ENDPOINTS),
            looks={task.task_id: task.lookups for task in sandbox.tasks},
            sightings=dict(sightings or {}),
        )

    @property
    def creates(self) -> list[LogEntry]:
        """Tasks that were made and paid."""
        return [entry for entry in self.log if entry.event == "create"]

    def of_task(self, event: str, task_id: str | None) -> list[LogEntry]:
        """Events of one task."""
        return [e for e in self.log if e.event == event and e.task_id == task_id]

    @property
    def looks_were_honest(self) -> bool:
        """Whether no look-up was answered with something made up that could end a task."""
        return not any(
            entry.event == "fault"
            and entry.details["endpoint"] in LOOK_UP_ENDPOINTS
            and entry.details["fault"] in ("refuse", "edit")
            for entry in self.log
        )


@contextmanager
def witness(sandbox: Sandbox, ledger: Path) -> Generator[dict[int, bool]]:
    """
    Look into the ledger's file at the moment when KIE makes a task; `Kie.sightings`.

    What is found afterwards cannot tell whether it was written before the money moved or after.
    """
    sightings: dict[int, bool] = {}
    add = sandbox.log.add

    def watch(event: Any, **details: Any) -> LogEntry:
        entry = add(event, **details)
        if event == "create":
            sightings[entry.number] = any(
                row.state == "submitting" and is_of(entry, row)
                for row in LedgerFile.read(ledger).rows
            )
        return entry

    setattr(sandbox.log, "add", watch)  # noqa: B010
    try:
        yield sightings
    finally:
        delattr(sandbox.log, "add")


def is_of(create: LogEntry, row: Row) -> bool:
    """Whether a task could have been made for a row: their prompts tell the intents apart."""
    return (create.details["kind"], create.details["body"]["prompt"]) == (row.kind, row.prompt)


def token_of(create: LogEntry) -> str | None:
    """The secret part of the callback address that KIE was given."""
    url = str(create.details["body"].get("callBackUrl") or "")
    return urlsplit(url).path.rpartition("/")[2] or None


@dataclass(frozen=True)
class Evidence:
    """
    Everything that the checker judges by.

    The harness gives every intent a prompt of its own, and arms no fault that lies about a
    refusal (a task made and paid, but answered with a code that says it was not).

    Attributes:
        kie: What KIE did.
        ledger: What the file holds.
        calls: What clients asked and were shown, oldest first.
        kills: How long KIE's log was when a process was killed: a POST that KIE had not
            logged by then was not hurt by it.
        settled: Whether everything was given the time it needs: every task has ended at KIE, its
            callbacks were tried, a server has run since then for longer than a lease.
        secrets: What must be in no text: keys, as they were configured.
        texts: What left the server: logs, outputs, files, each with where it was seen.
            The calls' answers are searched without being named here.
        videos: The saved files under their final names, each with its content.
        clip: What KIE served as each video.
    """

    kie: Kie = field(default_factory=Kie)
    ledger: LedgerFile = field(default_factory=LedgerFile)
    calls: Sequence[Call] = ()
    kills: Sequence[int] = ()
    settled: bool = False
    secrets: Sequence[str] = ()
    texts: Sequence[tuple[str, bytes]] = ()
    videos: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    clip: bytes = b""


def videos_in(folder: Path) -> dict[str, bytes]:
    """Every saved video of a folder by its path; unfinished parts have other names."""
    return {str(path): path.read_bytes() for path in sorted(folder.glob("*.mp4"))}


def texts_in(folder: Path) -> list[tuple[str, bytes]]:
    """Every file below a folder, the ledger and its write-ahead log among them."""
    return [
        (f"file {path.name}", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    ]
