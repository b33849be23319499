"""One intent, at most one paid request: whatever the answer, whoever goes away."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support import serve_sandbox

from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.errors import LedgerError, NoKeyError
from kie_runway.ledger.base import LOCAL_ACCOUNT, Entry, Transition
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import GenerateRequest, TaskState
from kie_runway.settings import Settings
from kie_runway.submit import LEASE, LIMIT, MAX_COMMITS, Submitter
from kie_runway_sandbox import Fault, Sandbox

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class QuickClock(Clock):
    """Sleeping moves this clock on at once."""

    def __init__(self) -> None:
        self.at = NOW
        self.slept: list[float] = []
        self.sandbox: Sandbox | None = None  # whose frozen clock moves along

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)
        if self.sandbox is not None:
            self.sandbox.advance(seconds)
        await asyncio.sleep(0)


def request(prompt: str = "a boat") -> GenerateRequest:
    return GenerateRequest(prompt=prompt, aspect_ratio="16:9")


class Desk:
    """A submitter with its ledger; several may share one file, as processes do."""

    def __init__(self, settings: Settings, path: Path, clock: Clock) -> None:
        self.ledger = SqliteLedger(path)
        self.client = KieClient(
            settings.api_key,
            api_url=settings.api_url,
            upload_url=settings.upload_url,
            user_agent=settings.user_agent,
        )
        self.submitter = Submitter(self.ledger, self.client, clock=clock)

    async def start(self, prompt: str = "a boat", request_id: str | None = None) -> Entry:
        return (await self.submitter.start(LOCAL_ACCOUNT, request(prompt), request_id)).entry


@asynccontextmanager
async def open_desk(
    settings: Settings, path: Path, clock: Clock | None = None
) -> AsyncGenerator[Desk]:
    desk = Desk(settings, path, clock or QuickClock())
    await desk.ledger.open()
    try:
        yield desk
    finally:
        await desk.submitter.aclose()
        await desk.client.aclose()
        await desk.ledger.aclose()


def creates(sandbox: Sandbox) -> int:
    return len(sandbox.log.select("create"))


async def test_the_intent_is_durable_before_the_first_byte_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    states: list[TaskState] = []
    async with serve_sandbox() as (_, settings), open_desk(settings, path) as desk:
        observer = SqliteLedger(path)
        await observer.open()
        create = desk.client.create

        async def observe(wanted: Any, **options: Any) -> str:
            row = await observer.find(LOCAL_ACCOUNT, "one")
            assert row is not None
            states.append(row.state)
            return await create(wanted, **options)

        monkeypatch.setattr(desk.client, "create", observe)
        entry = await desk.start(request_id="one")
        await observer.aclose()

    assert states == [TaskState.SUBMITTING]
    assert entry.state is TaskState.WAIT


async def test_the_answer_waits_until_the_task_id_is_committed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    async with serve_sandbox() as (_, settings), open_desk(settings, path) as desk:
        entry = await desk.start()
        other = SqliteLedger(path)
        await other.open()
        seen = await other.find(LOCAL_ACCOUNT, entry.task_id or "")
        await other.aclose()

    assert seen == entry


async def test_no_key_means_no_row_and_no_request(tmp_path: Path) -> None:
    async with serve_sandbox() as (sandbox, settings):
        keyless = settings.model_copy(update={"api_key": None})
        async with open_desk(keyless, tmp_path / "ledger.db") as desk:
            with pytest.raises(NoKeyError):
                await desk.start()

            assert not await desk.ledger.list(LOCAL_ACCOUNT, limit=1)
    assert not sandbox.requests


async def test_a_cancelled_caller_leaves_the_request_running_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending, go_on = asyncio.Event(), asyncio.Event()
    async with serve_sandbox() as (sandbox, settings):
        async with open_desk(settings, tmp_path / "ledger.db") as desk:
            create = desk.client.create

            async def slowly(wanted: Any, **options: Any) -> str:
                sending.set()
                await go_on.wait()
                return await create(wanted, **options)

            monkeypatch.setattr(desk.client, "create", slowly)
            async with anyio.create_task_group() as group:
                group.start_soon(desk.start, "a boat", "one")
                await sending.wait()
                group.cancel_scope.cancel()
            go_on.set()
        # Closing the desk drained what was being sent.
        async with open_desk(settings, tmp_path / "ledger.db") as desk:
            entry = await desk.ledger.find(LOCAL_ACCOUNT, "one")

    assert entry is not None
    assert entry.state is TaskState.WAIT
    assert creates(sandbox) == 1


async def test_never_more_than_the_limit_in_any_window(tmp_path: Path) -> None:
    clock = QuickClock()
    path = tmp_path / "ledger.db"
    async with (
        serve_sandbox(frozen_at=NOW) as (sandbox, settings),
        open_desk(settings, path, clock) as one,
        open_desk(settings, path, clock) as two,
    ):
        clock.sandbox = sandbox
        with anyio.fail_after(60):
            entries = await asyncio.gather(
                *((one, two)[number % 2].start(f"boat {number}") for number in range(40))
            )

    assert {entry.state for entry in entries} == {TaskState.WAIT}
    assert creates(sandbox) == 40
    with closing(sqlite3.connect(path)) as ledger:
        at = [
            row[0]
            for row in ledger.execute(
                "SELECT at FROM events WHERE to_state = 'submitting' ORDER BY at"
            )
        ]
    assert len(at) >= 40
    assert all(
        late - early >= LIMIT.window_s * 1000
        for early, late in zip(at, at[LIMIT.creates :], strict=False)
    )


async def test_what_never_left_is_sent_again_and_then_given_up_uncharged(tmp_path: Path) -> None:
    async with serve_sandbox() as (_, settings):
        pass  # nobody listens at this address any more
    clock = QuickClock()
    async with open_desk(settings, tmp_path / "ledger.db", clock) as desk:
        entry = await desk.start()

    assert entry.state is TaskState.REJECTED
    assert entry.error is not None
    assert (entry.error.code, entry.error.charged, entry.error.retry) == (
        "unreachable",
        "no",
        "later",
    )
    assert len(clock.slept) == 2


async def test_a_rate_limit_is_waited_out_for_a_whole_window(tmp_path: Path) -> None:
    clock = QuickClock()
    async with serve_sandbox() as (sandbox, settings):
        sandbox.inject(Fault("refuse", "runway/generate", status=429, code=429, times=2))
        async with open_desk(settings, tmp_path / "ledger.db", clock) as desk:
            entry = await desk.start()

    assert entry.state is TaskState.WAIT
    assert creates(sandbox) == 1
    assert all(seconds >= LIMIT.window_s for seconds in clock.slept)
    assert len(clock.slept) == 2


async def test_an_endless_rate_limit_is_rejected_uncharged(tmp_path: Path) -> None:
    async with serve_sandbox() as (sandbox, settings):
        sandbox.inject(Fault("refuse", "runway/generate", status=429, code=429, times=None))
        async with open_desk(settings, tmp_path / "ledger.db") as desk:
            entry = await desk.start()

    assert entry.state is TaskState.REJECTED
    assert entry.error is not None
    assert entry.error.code == "rate_limited"


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
    failures = [LedgerError("full")] * (MAX_COMMITS - 1)
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


def test_the_lease_outlasts_the_longest_request() -> None:
    from kie_runway.client import CREATE_DEADLINE_S

    assert timedelta(seconds=CREATE_DEADLINE_S) < LEASE
