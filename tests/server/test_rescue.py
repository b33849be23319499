"""A task id outlives a ledger that cannot be written, even if the process ends meanwhile."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.server.desk import NOW, QuickClock, creates, open_desk
from tests.server.ledger.rows import at_kie, intent, opened, submitting
from tests.support import QUICK, serve_sandbox

from kie_runway.acceptance import Acceptance
from kie_runway.errors import LedgerError
from kie_runway.leases import Leases
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry, Transition
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import PROBABLY_NOT_CREATED, TaskKind, TaskState
from kie_runway.opening import open_app
from kie_runway.rescue import KEPT, Rescue
from kie_runway_sandbox import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]


def files(directory: Path) -> list[Path]:
    return list((directory / "ledger.db.rescue").glob(f"*{KEPT}"))


def unreadable(directory: Path) -> None:
    """A file that says nothing."""
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / f"some{KEPT}").write_bytes(b"?")


def no_directory(directory: Path) -> None:
    """Something else in its place."""
    directory.write_bytes(b"")


async def test_an_id_that_the_ledger_never_took_is_there_after_the_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"

    async def fail(_: Transition) -> Entry | None:
        raise LedgerError("The disk is full.")

    async with serve_sandbox() as (sandbox, settings):
        settings = settings.model_copy(update={"database_url": f"sqlite:///{path}"})
        with anyio.fail_after(60):
            async with open_desk(settings, path, QuickClock()) as desk:
                monkeypatch.setattr(desk.ledger, "transition", fail)
                async with anyio.create_task_group() as callers:
                    callers.start_soon(desk.start, "a boat", "one")
                    await sandbox.log.wait_for("create")
                    callers.cancel_scope.cancel()
            async with open_app(settings, QUICK) as app:
                entry = await app.ledger.find(LOCAL_ACCOUNT, "one")

    assert entry is not None
    assert entry.state is TaskState.WAIT
    assert entry.task_id == sandbox.log.select("create")[0].task_id
    assert creates(sandbox) == 1
    assert not files(tmp_path)


async def test_an_id_is_kept_while_another_program_has_the_ledger_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, kept = tmp_path / "ledger.db", anyio.Event()
    async with serve_sandbox() as (sandbox, settings), open_desk(settings, path) as desk:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            create, keep = desk.client.create, desk.rescue.keep

            async def create_and_lock(*args: Any, **kwargs: Any) -> str:
                task_id = await create(*args, **kwargs)
                other.execute("BEGIN IMMEDIATE")
                return task_id

            async def keep_and_tell(*args: Any) -> bool:
                done = await keep(*args)
                kept.set()
                return done

            monkeypatch.setattr(desk.client, "create", create_and_lock)
            monkeypatch.setattr(desk.rescue, "keep", keep_and_tell)
            starting = asyncio.create_task(desk.start())
            with anyio.fail_after(60):
                await kept.wait()
            (locked,) = await desk.ledger.list(LOCAL_ACCOUNT, limit=5)
            (file,) = files(tmp_path)
            other.execute("ROLLBACK")
            await starting
        (entry,) = await desk.ledger.list(LOCAL_ACCOUNT, limit=5)
        await desk.leases.beat()

    assert locked.state is TaskState.SUBMITTING
    assert entry.task_id == sandbox.log.select("create")[0].task_id
    assert not file.exists()


async def test_an_id_that_the_ledger_has_after_all_changes_nothing(
    ledger: SqliteLedger, rescue: Rescue
) -> None:
    entry = await at_kie(ledger, intent())
    await rescue.keep(Acceptance.of(entry, "task-1", NOW))
    await rescue.give_back(ledger)

    assert await ledger.list(LOCAL_ACCOUNT, limit=5) == [entry]


async def test_a_ledger_that_was_lost_gets_the_task_as_a_new_row(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    entry = await submitting(ledger, intent())
    await rescue.keep(Acceptance.of(entry, "task-7", NOW))
    other = SqliteLedger(tmp_path / "other.db")
    await other.open()
    await rescue.give_back(other)
    found = await other.find(LOCAL_ACCOUNT, "r-1")
    await other.aclose()

    assert found is not None
    assert (found.task_id, found.kind, found.state) == ("task-7", TaskKind.GENERATE, TaskState.WAIT)


async def test_a_row_that_became_another_task_keeps_it_and_the_kept_one_is_added(
    ledger: SqliteLedger, rescue: Rescue
) -> None:
    entry = await at_kie(ledger, intent(), "task-1")
    await rescue.keep(Acceptance.of(entry, "task-2", NOW))
    await rescue.give_back(ledger)
    by_request = await ledger.find(LOCAL_ACCOUNT, "r-1")
    added = await ledger.find(LOCAL_ACCOUNT, "task-2")

    assert by_request == entry
    assert added is not None
    assert added.state is TaskState.WAIT


async def test_what_cannot_be_given_back_is_kept(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    entry = (await opened(ledger, intent())).entry
    await rescue.keep(Acceptance.of(entry, "task-1", NOW))
    closed = SqliteLedger(tmp_path / "closed.db")
    with pytest.raises(LedgerError):
        await rescue.give_back(closed)

    (kept,) = files(tmp_path)
    assert "task-1" in kept.read_text(encoding="utf-8")


async def test_a_file_that_the_ledger_chokes_on_hides_no_other(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await submitting(ledger, intent())
    for task_id in ("task-1", "task-2"):
        await rescue.keep(Acceptance.of(entry, task_id, NOW))
    transition = ledger.transition

    async def choke(change: Transition) -> Entry | None:
        if change.changes["task_id"] == "task-1":
            raise OverflowError("int too large")
        return await transition(change)

    monkeypatch.setattr(ledger, "transition", choke)
    await rescue.give_back(ledger)

    (stays,) = files(tmp_path)
    assert "task-1" in stays.read_text(encoding="utf-8")


async def test_a_living_process_takes_up_what_another_one_kept(
    ledger: SqliteLedger, rescue: Rescue
) -> None:
    entry = await submitting(ledger, intent())
    await rescue.keep(Acceptance.of(entry, "task-1", NOW))
    await Leases(ledger, QuickClock(), rescue).beat()
    row = await ledger.get(entry.id)

    assert row is not None
    assert (row.state, row.task_id) == (TaskState.WAIT, "task-1")


async def test_nothing_is_superseded_whose_task_was_kept(tmp_path: Path) -> None:
    clock = QuickClock()
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db", clock) as desk,
    ):
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        lost = await desk.start(request_id="one")
        task_id = sandbox.log.select("create")[0].task_id
        await desk.rescue.keep(Acceptance.of(lost, task_id or "", clock.now()))
        clock.at += PROBABLY_NOT_CREATED
        again = await desk.start(request_id="one", confirmed=True)

    assert (again.id, again.task_id) == (lost.id, task_id)
    assert creates(sandbox) == 1


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
@pytest.mark.parametrize("spoil", [unreadable, no_directory], ids=lambda spoil: spoil.__name__)
async def test_nothing_is_superseded_while_something_kept_cannot_be_read(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    clock = QuickClock()
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db", clock) as desk,
    ):
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        await desk.start(request_id="one")
        spoil(tmp_path / "ledger.db.rescue")
        clock.at += PROBABLY_NOT_CREATED
        with pytest.raises(LedgerError, match="This call sent nothing"):
            await desk.start(request_id="one", confirmed=True)

    assert creates(sandbox) == 1


async def test_an_id_of_another_ledgers_row_is_not_given_to_one_of_the_same_name(
    ledger: SqliteLedger, rescue: Rescue, tmp_path: Path
) -> None:
    entry = await submitting(ledger, intent())
    await rescue.keep(Acceptance.of(entry, "task-1", NOW))
    other = SqliteLedger(tmp_path / "other.db")
    await other.open()
    namesake = await submitting(other, intent(prompt="a red fox"))
    await rescue.give_all_back(other)
    rows = await other.list(LOCAL_ACCOUNT, limit=5)
    repeated = await opened(other, intent("r-2", chosen=False))
    await other.aclose()

    assert [(row.task_id, row.arguments["prompt"]) for row in rows] == [
        ("task-1", "a boat"),
        (None, "a red fox"),
    ]
    assert rows[1] == namesake
    assert (repeated.entry, repeated.deduplicated) == (rows[0], True)


async def test_a_linked_ledger_has_one_place_for_ids(ledger: SqliteLedger, tmp_path: Path) -> None:
    link = tmp_path / "link" / "ledger.db"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "ledger.db")
    entry = await submitting(ledger, intent())
    await Rescue(tmp_path / "ledger.db").keep(Acceptance.of(entry, "task-1", NOW))
    await Rescue(link).give_all_back(ledger)
    row = await ledger.get(entry.id)

    assert row is not None
    assert row.task_id == "task-1"


async def test_a_home_that_was_moved_away_is_not_made_anew(tmp_path: Path) -> None:
    rescue = Rescue(tmp_path / "moved" / "ledger.db")
    ledger = SqliteLedger(tmp_path / "ledger.db")
    await ledger.open()
    await rescue.stock()
    await rescue.give_all_back(ledger)
    await ledger.aclose()

    assert not (tmp_path / "moved").exists()
