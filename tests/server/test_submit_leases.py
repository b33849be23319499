"""Whose hands a paid request is in, between processes that live, hang or die."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.server.desk import Desk, creates, open_desk
from tests.server.held import HeldClock
from tests.server.ledger.rows import elsewhere
from tests.support import serve_sandbox

from kie_runway.acceptance import Acceptance
from kie_runway.errors import LedgerError, NoCreditsError
from kie_runway.leases import HEARTBEAT_S, LEASE, PATIENCE_S
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry, Transition
from kie_runway.looker import Looker
from kie_runway.models import TaskState
from kie_runway.pace import Pace
from kie_runway.rate import Rate
from kie_runway.tracker import Tracker
from kie_runway_sandbox import Sandbox

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

WITHIN_S = 60
SECOND = timedelta(seconds=1)


@dataclass
class Pair:
    """Two processes on one ledger; the first is sending a request that KIE takes long to answer."""

    sandbox: Sandbox
    one: Desk
    two: Desk
    clock: HeldClock
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    """KIE's answer arrives."""
    refusal: Exception | None = None

    async def row(self) -> Entry:
        row = await self.two.ledger.find(LOCAL_ACCOUNT, "one")
        assert row is not None
        return row


@asynccontextmanager
async def sending(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Pair, asyncio.Task[Entry]]]:
    path, clock = folder / "ledger.db", HeldClock()
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, path, clock) as one,
        open_desk(settings, path, clock) as two,
    ):
        pair = Pair(sandbox, one, two, clock)
        create, sent = one.client.create, asyncio.Event()

        async def slowly(wanted: Any, **options: Any) -> str:
            task_id = await create(wanted, **options)
            sent.set()
            await pair.answer.wait()
            if pair.refusal is not None:
                raise pair.refusal
            return task_id

        monkeypatch.setattr(one.client, "create", slowly)
        with anyio.fail_after(WITHIN_S):
            starting = asyncio.create_task(one.start(request_id="one"))
            await sent.wait()
            try:
                yield pair, starting
            finally:
                pair.answer.set()
                await one.leases.aclose()
                await two.leases.aclose()


async def test_a_slow_answer_of_a_living_process_is_waited_for_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        await pair.one.leases.open()
        for _ in range(12):
            await pair.clock.pass_sleep(HEARTBEAT_S)
            await pair.two.leases.beat()
        during = await pair.row()
        pair.answer.set()
        entry = await starting

    assert (during.state, during.owner) == (TaskState.SUBMITTING, pair.one.leases.owner)
    assert entry.state is TaskState.WAIT


async def test_a_dead_owners_row_is_unknown_within_a_lease_and_a_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, _):
        pair.clock.pass_time(LEASE.total_seconds())
        await pair.two.leases.beat()
        held = await pair.row()
        pair.clock.pass_time(HEARTBEAT_S)
        await pair.two.leases.beat()
        row = await pair.row()

    assert held.state is TaskState.SUBMITTING
    assert row.state is TaskState.UNKNOWN
    assert row.error is not None
    assert (row.error.code, row.error.charged) == ("outcome_unknown", "unknown")


async def test_a_process_that_starts_finds_what_a_dead_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, _):
        pair.clock.pass_time((LEASE + SECOND).total_seconds())
        await pair.two.leases.open()
        row = await pair.row()

    assert row.state is TaskState.UNKNOWN


async def test_a_clock_that_is_set_makes_nobody_look_dead_who_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        await pair.two.leases.beat()
        pair.clock.set_by(timedelta(hours=1))
        await pair.two.leases.beat()
        during = await pair.row()
        await pair.one.leases.beat()
        pair.clock.pass_time(PATIENCE_S)
        await pair.two.leases.beat()
        later = await pair.row()
        pair.answer.set()
        entry = await starting

    assert during.state is later.state is TaskState.SUBMITTING
    assert entry.state is TaskState.WAIT


async def test_a_clock_that_is_set_hides_the_dead_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, _):
        await pair.two.leases.beat()
        pair.clock.set_by(timedelta(hours=1))
        await pair.two.leases.beat()
        pair.clock.pass_time(PATIENCE_S)
        await pair.two.leases.beat()
        row = await pair.row()

    assert row.state is TaskState.UNKNOWN


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(hours=-1), timedelta(days=-2)])
async def test_a_clock_that_jumps_under_a_living_owner_costs_nothing_but_a_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        pair.clock.set_by(jump)
        await pair.two.leases.beat()
        await pair.one.leases.beat()
        again = await pair.two.start(request_id="one")
        pair.answer.set()
        entry = await starting

    assert again.state in (TaskState.SUBMITTING, TaskState.UNKNOWN)
    assert entry.state is TaskState.WAIT
    assert creates(pair.sandbox) == 1


async def test_an_answer_for_a_row_that_a_callback_resolved_is_taken_quietly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        pair.clock.pass_time((LEASE + SECOND).total_seconds())
        await pair.two.leases.beat()
        row = await pair.row()
        found = await pair.two.ledger.transition(
            Transition(
                row.id,
                (TaskState.UNKNOWN,),
                TaskState.GENERATING,
                pair.clock.now(),
                {"task_id": pair.sandbox.tasks[0].task_id, "error": None},
            )
        )
        pair.answer.set()
        entry = await starting

    assert entry == found
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_an_answer_for_a_row_that_has_another_task_gets_a_row_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        row = await pair.row()
        changes = {"task_id": "another"}
        found = await pair.two.ledger.transition(
            Transition(row.id, (TaskState.SUBMITTING,), TaskState.WAIT, pair.clock.now(), changes)
        )
        pair.answer.set()
        entry = await starting
        kept = await pair.row()

    assert kept == found
    assert (entry.state, entry.task_id) == (TaskState.WAIT, pair.sandbox.tasks[0].task_id)
    assert (entry.arguments, entry.fingerprint) == (row.arguments, row.fingerprint)


async def test_an_answer_for_a_task_that_was_looked_up_meanwhile_takes_its_row_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        task_id = pair.sandbox.tasks[0].task_id
        adopted = await pair.two.ledger.adopt(elsewhere(task_id, at=pair.clock.now()))
        pair.answer.set()
        entry = await starting
        rows = await pair.two.ledger.list(LOCAL_ACCOUNT, limit=5)

    assert (entry.id, entry.task_id, entry.request_id) == (adopted.id, task_id, "one")
    assert (entry.sent_at, entry.accepted_at) == (rows[1].sent_at, rows[1].sent_at)
    assert [row.superseded_at is None for row in rows] == [True, False]


async def test_who_waits_for_a_request_goes_on_to_the_row_that_takes_it_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        row = await pair.row()
        await pair.two.ledger.adopt(elsewhere(pair.sandbox.tasks[0].task_id, at=pair.clock.now()))
        looker = Looker(pair.two.client, Rate(1.0))
        tracker = Tracker(pair.two.ledger, looker, clock=pair.clock, pace=Pace(scale=1000.0))
        waiting = asyncio.create_task(tracker.wait(row, WITHIN_S))
        pair.answer.set()
        entry = await starting
        sight = await waiting

    assert (sight.entry.id, sight.entry.state) == (entry.id, TaskState.WAIT)


async def test_a_task_that_was_known_before_a_request_left_is_not_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        before = pair.clock.now() - SECOND
        older = await pair.two.ledger.adopt(elsewhere(pair.sandbox.tasks[0].task_id, at=before))
        pair.answer.set()
        entry = await starting
        kept = await pair.two.ledger.get(older.id)

    assert kept == older
    assert entry.state is TaskState.UNKNOWN
    assert entry.error is not None
    assert (older.task_id or "?") in entry.error.reason


async def test_a_kept_id_of_a_task_that_was_looked_up_meanwhile_takes_its_row_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, _):
        task_id = pair.sandbox.tasks[0].task_id
        now = pair.clock.now()
        accepted = Acceptance.of(await pair.row(), task_id, now)
        await pair.two.rescue.keep(accepted)
        adopted = await pair.two.ledger.adopt(elsewhere(task_id, at=now))
        for _ in range(2):  # as often as one likes
            await pair.two.rescue.give_all_back(pair.two.ledger)
            await pair.two.rescue.keep(accepted)
        found = await pair.row()

    assert (found.id, found.task_id) == (adopted.id, task_id)


async def test_a_refusal_still_counts_for_a_row_that_was_given_up_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        pair.clock.pass_time((LEASE + SECOND).total_seconds())
        await pair.two.leases.beat()
        pair.refusal = NoCreditsError("Empty.")
        pair.answer.set()
        entry = await starting

    assert entry.state is TaskState.REJECTED
    assert entry.error is not None
    assert (entry.error.code, entry.error.charged) == ("no_credits", "no")


async def test_a_heart_that_cannot_write_beats_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path, monkeypatch) as (pair, starting):
        await pair.one.leases.open()
        extend = pair.one.ledger.extend_leases
        failures = [LedgerError("locked")] * 2

        async def flaky(owner: str, until: Any) -> None:
            if failures:
                raise failures.pop()
            await extend(owner, until)

        monkeypatch.setattr(pair.one.ledger, "extend_leases", flaky)
        for _ in range(4):
            await pair.clock.pass_sleep(HEARTBEAT_S)
        await pair.two.leases.beat()
        row = await pair.row()
        pair.answer.set()
        await starting

    assert not failures
    assert row.state is TaskState.SUBMITTING
