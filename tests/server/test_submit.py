"""One intent, at most one paid request: whatever the answer, whoever goes away."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.server.desk import NOW, QuickClock, creates, open_desk
from tests.support import serve_sandbox

from kie_runway.errors import NoKeyError
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry, Opened
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskState
from kie_runway.submit import LIMIT
from kie_runway_sandbox import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]


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


@pytest.mark.parametrize("step", ["balance", "turn"])
async def test_a_server_that_ends_sends_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        ending: list[asyncio.Task[None]] = []

        place, name = {
            "balance": (desk.client, "credits"),
            "turn": (desk.ledger, "take_turn"),
        }[step]
        method = getattr(place, name)

        async def end_meanwhile(*args: Any, **options: Any) -> Any:
            ending.append(asyncio.create_task(desk.submitter.aclose()))
            await asyncio.sleep(0)
            return await method(*args, **options)

        monkeypatch.setattr(place, name, end_meanwhile)
        with anyio.fail_after(60):
            entry = await desk.start()
            await asyncio.gather(*ending)

    assert entry.state is TaskState.QUEUED
    assert creates(sandbox) == 0


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


async def test_a_repeat_that_comes_as_the_sending_ends_is_given_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve_sandbox() as (_, settings), open_desk(settings, tmp_path / "l.db") as desk:
        open_intent = desk.ledger.open_intent
        starting: list[asyncio.Task[Entry]] = []

        async def read_before_the_end(*args: Any, **kwargs: Any) -> Opened:
            opened = await open_intent(*args, **kwargs)
            if opened.entry.state is TaskState.SUBMITTING:
                go_on.set()
                await asyncio.wait(starting)
            return opened

        create, sent, go_on = desk.client.create, asyncio.Event(), asyncio.Event()

        async def slowly(wanted: Any, **options: Any) -> str:
            sent.set()
            await go_on.wait()
            return await create(wanted, **options)

        monkeypatch.setattr(desk.client, "create", slowly)
        monkeypatch.setattr(desk.ledger, "open_intent", read_before_the_end)
        with anyio.fail_after(60):
            starting.append(asyncio.create_task(desk.start(request_id="one")))
            await sent.wait()
            repeat = await desk.start(request_id="one")
            first = await starting[0]

    assert repeat == first
    assert repeat.task_id is not None
