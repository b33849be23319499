"""A ledger of an earlier version: everything in it is kept, or nothing is touched."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.server.ledger.rows import NOW, TEN_MINUTES

from kie_runway.errors import LedgerError
from kie_runway.ledger.migrations import MIGRATIONS
from kie_runway.ledger.records import Entry, Event, Intent
from kie_runway.ledger.rows import to_ms
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import ErrorInfo, TaskKind, TaskState

pytestmark = pytest.mark.anyio

AT = to_ms(NOW)
MINUTE = 60_000
ERROR = ErrorInfo(code="content", reason="Refused.", retry="after_change", charged="unknown")
ROW: dict[str, Any] = {
    "account": "local",
    "kind": "generate",
    "arguments": '{"prompt": "a boat", "duration": 5, "quality": "720p"}',
    "credits": 12.0,
    "created_at": AT,
}
ROWS: Sequence[dict[str, Any]] = (
    ROW | {"id": 1, "request_id": "r-1", "fingerprint": "f-1", "state": "queued"},
    ROW
    | {"id": 2, "request_id": "r-2", "fingerprint": "f-2", "state": "submitting"}
    | {"owner": "1-a", "lease_until": AT + MINUTE},
    ROW | {"id": 3, "request_id": "r-3", "fingerprint": "f-3", "state": "unknown"},
    ROW
    | {"id": 4, "request_id": "r-4", "fingerprint": "f-4", "state": "success", "task_id": "t-4"}
    | {"video_url": "https://v.example/4", "thumbnail_url": "https://v.example/4.png"}
    | {"file": "/videos/4.mp4", "raw_state": "success", "accepted_at": AT + MINUTE}
    | {"finished_at": AT + 2 * MINUTE, "expires_at": AT + 99 * MINUTE},
    ROW
    | {"id": 9, "request_id": "t-9", "state": "fail", "task_id": "t-9", "parent_task_id": "t-4"}
    | {"error": ERROR.model_dump_json(exclude_none=True)},
)
EVENTS = (
    (1, 4, "local", AT, None, "queued", None),
    (2, 4, "local", AT + 1, "queued", "submitting", None),
    (3, 4, "local", AT + 2, "submitting", "wait", "why"),
    (4, 3, "local", AT + 3, "queued", "submitting", None),
    (5, 3, "local", AT + 4, "submitting", "unknown", None),
)
STATEMENTS = [s for s in MIGRATIONS[1].split(";") if s.strip()]


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """A ledger as the first version left it."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as first:
        first.execute("PRAGMA journal_mode = WAL")
        first.executescript(MIGRATIONS[0])
        for row in ROWS:
            first.execute(
                f"INSERT INTO entries ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                list(row.values()),
            )
        first.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", EVENTS)
        first.execute("PRAGMA user_version = 1")
        first.commit()
    return path


def dump(path: Path) -> tuple[int, list[str]]:
    """The version and everything in a file."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute("PRAGMA user_version").fetchone()[0], list(file.iterdump())


async def test_every_row_and_event_of_the_first_version_is_kept(path: Path) -> None:
    ledger = SqliteLedger(path)
    await ledger.open()
    rows = {row.id: row for row in await ledger.list("local", limit=99)}
    history = await ledger.history(4)
    await ledger.aclose()
    version, _ = dump(path)

    at = datetime.fromtimestamp(AT / 1000, UTC)
    plain = Entry(
        id=1,
        account="local",
        request_id="r-1",
        kind=TaskKind.GENERATE,
        state=TaskState.QUEUED,
        arguments={"prompt": "a boat", "duration": 5, "quality": "720p"},
        created_at=at,
        fingerprint="f-1",
        credits=12.0,
    )
    minute = timedelta(minutes=1)
    assert version == len(MIGRATIONS)
    assert sorted(rows) == [1, 2, 3, 4, 9]
    assert rows[1] == plain
    assert (rows[2].owner, rows[2].lease_until) == ("1-a", at + minute)
    assert rows[3].state is TaskState.UNKNOWN
    assert rows[3].sent_at == at + timedelta(milliseconds=3)
    assert (rows[4].task_id, rows[4].file) == ("t-4", "/videos/4.mp4")
    assert (rows[4].accepted_at, rows[4].finished_at) == (at + minute, at + minute * 2)
    assert (rows[4].video_url, rows[4].expires_at) == ("https://v.example/4", at + minute * 99)
    assert (rows[9].fingerprint, rows[9].parent_task_id, rows[9].error) == (None, "t-4", ERROR)
    assert history == [
        Event(at, None, TaskState.QUEUED),
        Event(at + timedelta(milliseconds=1), TaskState.QUEUED, TaskState.SUBMITTING),
        Event(at + timedelta(milliseconds=2), TaskState.SUBMITTING, TaskState.WAIT, "why"),
    ]


async def test_a_request_id_of_the_first_version_still_means_its_row(path: Path) -> None:
    ledger = SqliteLedger(path)
    await ledger.open()
    repeated = await ledger.open_intent(
        Intent(
            account="local",
            request_id="r-3",
            request_id_chosen=True,
            kind=TaskKind.GENERATE,
            arguments=ROW["arguments"],
            fingerprint="f-3",
        ),
        now=NOW,
        since=NOW - TEN_MINUTES,
    )
    stranded = await ledger.strand(now=NOW + TEN_MINUTES, error=ERROR)
    await ledger.aclose()

    assert repeated.deduplicated
    assert repeated.entry.id == 3
    assert [row.id for row in stranded] == [2]


async def test_an_unknown_row_of_the_first_version_can_be_superseded_in_time(path: Path) -> None:
    minutes = timedelta(minutes=1)
    again = Intent(
        account="local",
        request_id="r-3",
        request_id_chosen=True,
        kind=TaskKind.GENERATE,
        arguments={"prompt": "a boat"},
        fingerprint="f-3",
    )
    ledger = SqliteLedger(path)
    await ledger.open()
    results = [
        await ledger.open_intent(
            again, now=at, since=at - TEN_MINUTES, supersede_before=at - 45 * minutes
        )
        for at in (NOW + 44 * minutes, NOW + 46 * minutes)
    ]
    await ledger.aclose()

    assert [result.entry.supersedes for result in results] == [None, 3]


@pytest.mark.parametrize("done", range(len(STATEMENTS)))
async def test_a_migration_that_ends_midway_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    before = dump(path)
    midway = ";".join([*STATEMENTS[:done], "nonsense"])
    monkeypatch.setattr("kie_runway.ledger.database.MIGRATIONS", (MIGRATIONS[0], midway))
    broken = SqliteLedger(path)
    with pytest.raises(LedgerError):
        await broken.open()
    await broken.aclose()
    after = dump(path)
    monkeypatch.undo()
    whole = SqliteLedger(path)
    await whole.open()
    rows = await whole.list("local", limit=99)
    await whole.aclose()

    assert after == before
    assert len(rows) == len(ROWS)


async def test_two_processes_that_start_at_once_migrate_once(path: Path) -> None:
    one, two = SqliteLedger(path), SqliteLedger(path)
    await asyncio.gather(one.open(), two.open())
    rows = await two.list("local", limit=99)
    await one.aclose()
    await two.aclose()

    assert len(rows) == len(ROWS)


async def test_a_migrated_ledger_has_the_schema_of_a_new_one(path: Path, tmp_path: Path) -> None:
    for file in (path, tmp_path / "new.db"):
        ledger = SqliteLedger(file)
        await ledger.open()
        await ledger.aclose()

    def schema(file: Path) -> list[Any]:
        with closing(sqlite3.connect(file)) as connection:
            return connection.execute(
                "SELECT name, sql FROM sqlite_master ORDER BY name"
            ).fetchall()

    assert schema(path) == schema(tmp_path / "new.db")
