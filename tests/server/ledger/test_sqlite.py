"""What is special about the SQLite store."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from tests.server.ledger.rows import intent, opened

from kie_runway.errors import LedgerError
from kie_runway.ledger.database import LOG_PAGES, Database
from kie_runway.ledger.migrations import MIGRATIONS
from kie_runway.ledger.sqlite import SqliteLedger

pytestmark = pytest.mark.anyio


async def test_commits_are_fully_synchronous_and_logged_ahead(tmp_path: Path) -> None:
    database = Database(tmp_path / "ledger.db")
    await database.open()
    settings = await database.write(
        lambda: [
            database.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    await database.aclose()

    assert settings == ["wal", 2, 1]


async def test_the_log_file_stops_growing_soon(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    await ledger.open()
    for number in range(200):
        await opened(ledger, intent(f"r-{number}"))
    size_b = (tmp_path / "ledger.db-wal").stat().st_size
    await ledger.aclose()

    assert size_b < 1.2 * LOG_PAGES * 4096


async def test_a_ledger_that_was_replaced_under_a_running_server_takes_no_more_writes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    await ledger.open()
    path.rename(tmp_path / "moved.db")
    path.touch()
    with pytest.raises(LedgerError, match="replaced"):
        await opened(ledger, intent())
    path.unlink()
    with pytest.raises(LedgerError, match="replaced"):
        await opened(ledger, intent())
    (tmp_path / "moved.db").rename(path)
    await opened(ledger, intent())
    await ledger.aclose()


async def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    ledger = SqliteLedger(tmp_path / "file" / "ledger.db")

    with pytest.raises(LedgerError, match="KIE_HOME"):
        await ledger.open()
    await ledger.aclose()


async def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    ledger = SqliteLedger(tmp_path / "ledger.db")

    with pytest.raises(LedgerError, match="not a database"):
        await ledger.open()
    await ledger.aclose()


async def test_nobody_is_led_from_a_ledger_that_fails_to_an_empty_one(tmp_path: Path) -> None:
    """With a new one every repeated call would be paid for again."""
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    await ledger.open()
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE entries")
    with pytest.raises(LedgerError) as broken:
        await opened(ledger, intent())
    path.unlink()
    with pytest.raises(LedgerError) as gone:
        await opened(ledger, intent())
    await ledger.aclose()

    assert "KIE_HOME" not in broken.value.reason
    assert "keep this file" in broken.value.reason
    assert "or restart" not in gone.value.reason


async def test_a_ledger_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as newer:
        newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    ledger = SqliteLedger(tmp_path / "ledger.db")

    with pytest.raises(LedgerError, match="newer version"):
        await ledger.open()
    await ledger.aclose()


async def test_a_failed_migration_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "kie_runway.ledger.database.MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (id); nonsense")
    )
    broken = SqliteLedger(tmp_path / "ledger.db")
    with pytest.raises(LedgerError):
        await broken.open()
    await broken.aclose()
    connection = sqlite3.connect(tmp_path / "ledger.db")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()

    assert (tables, version) == (0, 0)


async def test_a_ledger_that_is_not_open_or_was_closed_says_so(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db")
    with pytest.raises(LedgerError, match="not open"):
        await ledger.find("local", "x")
    await ledger.open()
    await ledger.aclose()

    with pytest.raises(LedgerError, match="closed"):
        await ledger.find("local", "x")


async def test_what_reads_cannot_write(tmp_path: Path) -> None:
    database = Database(tmp_path / "ledger.db")
    await database.open()

    with pytest.raises(LedgerError, match="readonly"):
        await database.read(lambda: database.connection.execute("DELETE FROM entries"))
    await database.aclose()


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
async def test_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "deep"
    ledger = SqliteLedger(home / "ledger.db")
    await ledger.open()
    await opened(ledger, intent())
    modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}
    await ledger.aclose()

    assert home.stat().st_mode & 0o777 == 0o700
    assert modes == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), 0o600)


async def test_who_only_reads_does_not_wait_for_another_process_that_writes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    await ledger.open()
    first = await opened(ledger, intent())
    with closing(sqlite3.connect(path, isolation_level=None)) as other, anyio.fail_after(60):
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(opened(ledger, intent("r-2", prompt="a river")))
        await asyncio.sleep(0)  # it waits for the file from here on
        rows = await ledger.list("local", limit=10)
        had_written = writing.done()
        other.execute("ROLLBACK")
        await writing
    await ledger.aclose()

    assert rows == [first.entry]
    assert not had_written
