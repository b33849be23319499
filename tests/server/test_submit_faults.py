"""Sending while the ledger fails, processes end, and others hold the rows."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.server.desk import NOW, QuickClock, creates, open_desk, request
from tests.support import serve_sandbox

from kie_runway import submit
from kie_runway.clock import Clock
from kie_runway.errors import (
    LedgerError,
    NotSentError,
    OutcomeUnknownError,
    RequestConflictError,
)
from kie_runway.leases import HEARTBEAT_S, LEASE
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry, Transition
from kie_runway.models import ErrorInfo, TaskState
from kie_runway.remedies import remedy
from kie_runway_sandbox import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]


def fail_at_first(patch: pytest.MonkeyPatch, ledger: Ledger, name: str) -> None:
    """Let a method fail five times before it works."""
    method, failures = getattr(ledger, name), [LedgerError("full or locked")] * 5

    async def flaky(*args: object, **options: object) -> object:
        if failures:
            raise failures.pop()
        return await method(*args, **options)

    patch.setattr(ledger, name, flaky)


async def test_a_fault_of_ours_while_sending_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(*_: Any, **__: Any) -> str:
        raise RuntimeError("a bug")

    async with (
        serve_sandbox() as (_, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        monkeypatch.setattr(desk.client, "create", break_off)
        entry = await desk.start()

    assert entry.state is TaskState.UNKNOWN


async def test_a_ledger_that_fails_after_acceptance_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve_sandbox() as (_, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        fail_at_first(monkeypatch, desk.ledger, "transition")
        entry = await desk.start()

    assert entry.state is TaskState.WAIT


async def test_what_waits_behind_a_ledger_that_fails_for_a_while_is_sent_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        fail_at_first(monkeypatch, desk.ledger, "take_turn")
        entry = await desk.start()

    assert entry.state is TaskState.WAIT
    assert creates(sandbox) == 1


async def test_an_answer_that_outlives_its_lease_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve_sandbox() as (_, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        create = desk.client.create

        async def outlive(wanted: Any, **options: Any) -> str:
            task_id = await create(wanted, **options)
            error = ErrorInfo.of(OutcomeUnknownError("It ended."))
            assert await desk.ledger.strand(now=NOW + LEASE * 2, error=error)
            return task_id

        monkeypatch.setattr(desk.client, "create", outlive)
        entry = await desk.start()

    assert entry.state is TaskState.WAIT
    assert entry.task_id is not None
    assert entry.error is None


async def test_a_ledger_that_fails_after_sending_never_says_that_nothing_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Entry | None:
        raise LedgerError("The disk is gone.")

    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        monkeypatch.setattr(desk.ledger, "get", fail)
        monkeypatch.setattr(submit, "ANSWER_WITHIN_S", 0.0)
        with pytest.raises(OutcomeUnknownError) as failure:
            await desk.start(request_id="one")
        with anyio.fail_after(60):
            await sandbox.log.wait_for("create")

    assert creates(sandbox) == 1
    assert "task_id=one" in remedy(failure.value, spends=True)


async def test_a_row_queued_by_a_dead_process_is_sent_when_repeated(tmp_path: Path) -> None:
    async with serve_sandbox() as (sandbox, settings):
        sandbox.inject(Fault("refuse", "runway/generate", status=429, code=429))
        async with open_desk(settings, tmp_path / "ledger.db", Clock()) as dead:
            starting = asyncio.create_task(dead.start(request_id="one"))
            await sandbox.log.wait_for("fault")
            starting.cancel()
        async with open_desk(settings, tmp_path / "ledger.db") as desk:
            before = await desk.ledger.find(LOCAL_ACCOUNT, "one")
            after = await desk.start(request_id="one")

    assert before is not None
    assert before.state is TaskState.QUEUED
    assert after.state is TaskState.WAIT
    assert creates(sandbox) == 1


def test_a_lease_outlasts_two_missed_heartbeats() -> None:
    assert timedelta(seconds=HEARTBEAT_S) * 3 <= LEASE


async def test_a_run_outlasts_a_ledger_that_fails_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id that KIE gave exists nowhere else, so nothing but the end of the process gives up."""
    failures = [LedgerError("locked")] * 40
    async with (
        serve_sandbox() as (_, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        transition = desk.ledger.transition

        async def flaky(change: Transition) -> Entry | None:
            if failures:
                raise failures.pop()
            return await transition(change)

        monkeypatch.setattr(desk.ledger, "transition", flaky)
        entry = await desk.start()

    assert entry.state is TaskState.WAIT


async def test_a_request_id_that_is_another_tasks_id_sends_nothing(tmp_path: Path) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        first = await desk.start("a boat")
        with pytest.raises(RequestConflictError):
            await desk.start("a river", request_id=first.task_id)

    assert creates(sandbox) == 1


async def test_a_task_id_that_kie_repeats_is_told_as_unknown_at_once(tmp_path: Path) -> None:
    clock = QuickClock()
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db", clock) as desk,
    ):
        first = await desk.start("a boat")
        sandbox.inject(Fault("edit", "runway/generate", merge={"taskId": first.task_id}))
        second = await desk.start("a river")

    assert second.state is TaskState.UNKNOWN
    assert second.error is not None
    assert (first.task_id or "?") in second.error.reason
    assert not clock.slept


async def test_news_about_a_row_that_another_process_holds_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that only seemed to fail must not put another process's request back."""
    path = tmp_path / "ledger.db"
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, path) as one,
        open_desk(settings, path) as two,
    ):
        create, transition = one.client.create, one.ledger.transition
        tries = [0]

        async def not_sent_first(wanted: Any, **options: Any) -> str:
            tries[0] += 1
            if tries[0] == 1:
                raise NotSentError("no connection")
            return await create(wanted, **options)

        async def written_but_reported_as_failed(change: Transition) -> Entry | None:
            done = await transition(change)
            if change.to is TaskState.QUEUED and done is not None:
                await two.start(request_id="one")
                raise LedgerError("after the write")
            return done

        monkeypatch.setattr(one.client, "create", not_sent_first)
        monkeypatch.setattr(one.ledger, "transition", written_but_reported_as_failed)
        entry = await one.start(request_id="one")

    assert entry.state is TaskState.WAIT
    assert creates(sandbox) == 1


async def test_sending_what_another_call_had_queued_is_not_called_a_repeat(tmp_path: Path) -> None:
    async with serve_sandbox() as (sandbox, settings):
        sandbox.inject(Fault("refuse", "runway/generate", status=429, code=429))
        async with open_desk(settings, tmp_path / "ledger.db", Clock()) as dead:
            starting = asyncio.create_task(dead.start(request_id="one"))
            await sandbox.log.wait_for("fault")
            starting.cancel()
        async with open_desk(settings, tmp_path / "ledger.db") as desk:
            opened = await desk.submitter.start(LOCAL_ACCOUNT, request(), "one")

    assert not opened.deduplicated
    assert creates(sandbox) == 1


async def test_a_call_cancelled_at_once_still_has_its_row_sent(tmp_path: Path) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        starting = asyncio.create_task(desk.start(request_id="one"))
        await asyncio.sleep(0)
        starting.cancel()
        with anyio.fail_after(60):
            await sandbox.log.wait_for("create")

    assert creates(sandbox) == 1
