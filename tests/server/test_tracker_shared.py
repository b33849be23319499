"""Processes that follow the same tasks: they share the looks, and what the looks find."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.support import QUICK, serve_sandbox

from kie_runway.app import App
from kie_runway.client import KieClient
from kie_runway.errors import RateLimitedError
from kie_runway.ledger.records import Entry
from kie_runway.models import GenerateRequest, TaskKind, TaskState, TaskUpdate
from kie_runway.opening import open_app
from kie_runway.pace import JITTER, Pace
from kie_runway.rate import Rate
from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

WITHIN_S = 60
INTERVAL_S = 0.05
NEVER_LOOKS = Pace(scale=1000.0)


@dataclass(frozen=True, slots=True)
class Regular(Pace):
    """A look every so often."""

    def next_look_s(self, looked_s: float | None, *_: Any, **__: Any) -> float:
        return (looked_s or 0.0) + INTERVAL_S

    @property
    def floor_s(self) -> float:
        return 0.0


@dataclass
class Bench:
    """A sandbox, and apps on one ledger."""

    sandbox: Sandbox
    settings: Settings
    apps: AsyncExitStack

    async def app(self, pace: Pace = QUICK) -> App:
        return await self.apps.enter_async_context(open_app(self.settings, pace))

    async def start(self, app: App) -> Entry:
        request = GenerateRequest(prompt="a boat", aspect_ratio="16:9")
        return (await app.submitter.start(app.account, request, None)).entry

    def lookups(self, entry: Entry) -> int:
        return self.sandbox.task(entry.task_id or "").lookups


@pytest.fixture(name="it")
async def _bench(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bench]:
    monkeypatch.setattr("kie_runway.tracker.ELSEWHERE_S", 0.01)
    async with serve_sandbox() as (sandbox, settings), AsyncExitStack() as apps:
        yield Bench(sandbox, settings, apps)


class Looks:
    """Counts the looks of one app, or of all."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self._more = asyncio.Event()

    def note(self) -> None:
        self.at.append(asyncio.get_running_loop().time())
        self._more.set()

    async def reach(self, count: int) -> None:
        with anyio.fail_after(WITHIN_S):
            while len(self.at) < count:
                self._more.clear()
                await self._more.wait()


def count_looks(monkeypatch: pytest.MonkeyPatch, target: Any = KieClient) -> Looks:
    looks = Looks()
    look_up = target.look_up

    async def counted(*args: Any) -> TaskUpdate | None:
        looks.note()
        found: TaskUpdate | None = await look_up(*args)
        return found

    monkeypatch.setattr(target, "look_up", counted)
    return looks


@pytest.mark.parametrize("processes", [1, 2, 3])
async def test_any_number_of_processes_look_as_often_as_one(
    it: Bench, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    looks = count_looks(monkeypatch)
    apps = [await it.app(Regular()) for _ in range(processes)]
    began = asyncio.get_running_loop().time()
    entry = await it.start(apps[0])
    await looks.reach(40)

    assert it.lookups(entry) <= len(looks.at)
    assert len(looks.at) <= 1 + (looks.at[-1] - began) / (INTERVAL_S * (1 - JITTER))


async def test_who_waits_in_one_process_learns_what_another_saw(it: Bench) -> None:
    one, two = await it.app(), await it.app(NEVER_LOOKS)
    entry = await it.start(one)
    seen = await two.finder.find(two.account, entry.request_id, TaskKind.GENERATE)
    with anyio.fail_after(WITHIN_S):
        waiting = asyncio.create_task(two.tracker.wait(seen, WITHIN_S))
        it.sandbox.finish(entry.task_id or "")
        done = (await waiting).entry

    assert done.state is TaskState.SUCCESS


async def test_a_task_that_one_process_starts_is_followed_by_the_others(
    it: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await it.app(NEVER_LOOKS), await it.app()
    looks = count_looks(monkeypatch, two.client)
    entry = await it.start(one)
    it.sandbox.finish(entry.task_id or "")
    with anyio.fail_after(WITHIN_S):
        done = (await one.tracker.wait(entry, WITHIN_S)).entry

    assert done.state is TaskState.SUCCESS
    assert looks.at


async def test_a_request_that_another_process_is_sending_is_waited_for(
    it: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await it.app(NEVER_LOOKS), await it.app()
    create, go_on, sent = one.client.create, asyncio.Event(), asyncio.Event()

    async def slowly(*args: Any, **kwargs: Any) -> str:
        task_id = await create(*args, **kwargs)
        it.sandbox.finish(task_id)
        sent.set()
        await go_on.wait()
        return task_id

    monkeypatch.setattr(one.client, "create", slowly)
    with anyio.fail_after(WITHIN_S):
        starting = asyncio.create_task(it.start(one))
        await sent.wait()
        (row,) = await two.ledger.list(two.account, limit=9)
        waiting = asyncio.create_task(two.tracker.wait(row, WITHIN_S))
        go_on.set()
        done = (await waiting).entry
        await starting

    assert row.state is TaskState.SUBMITTING
    assert done.state is TaskState.SUCCESS


async def test_a_process_that_ends_hands_its_tasks_over(it: Bench) -> None:
    two = await it.app()
    async with open_app(it.settings, QUICK) as one:
        entry = await it.start(one)
        await one.tracker.wait(entry, 0)
    it.sandbox.finish(entry.task_id or "")
    with anyio.fail_after(WITHIN_S):
        done = (await two.tracker.wait(entry, WITHIN_S)).entry

    assert done.state is TaskState.SUCCESS


async def test_a_process_that_hangs_in_its_look_hands_its_tasks_over(
    it: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await it.app()
    claimed = asyncio.Event()

    async def hang(*_: Any) -> None:
        claimed.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(one.client, "look_up", hang)
    entry = await it.start(one)
    with anyio.fail_after(WITHIN_S):
        await claimed.wait()
        two = await it.app()
        it.sandbox.finish(entry.task_id or "")
        done = (await two.tracker.wait(entry, WITHIN_S)).entry
        seen = (await one.tracker.wait(entry, WITHIN_S)).entry

    assert done == seen
    assert done.state is TaskState.SUCCESS


async def at_kie(settings: Settings, count: int) -> None:
    """Put this many unfinished rows into the ledger."""
    async with open_app(settings, NEVER_LOOKS) as app:
        row = await app.ledger.adopt(
            Entry(
                id=0,
                account=app.account,
                request_id="r-0",
                kind=TaskKind.GENERATE,
                state=TaskState.WAIT,
                arguments={},
                created_at=app.clock.now(),
                accepted_at=app.clock.now(),
                task_id="t-0",
            )
        )
    copy_row(settings.ledger_path, row.id, count - 1)


def copy_row(path: Path, row_id: int, count: int) -> None:
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO entries (account, request_id, kind, state, arguments, created_at,"
            " accepted_at, task_id) SELECT account, 'r-' || i, kind, state, arguments,"
            " created_at - 600000, accepted_at - 600000, 't-' || i FROM entries, n WHERE id = ?",
            (count, row_id),
        )


async def test_thousands_of_unfinished_tasks_are_not_looked_at_in_one_go(
    it: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await at_kie(it.settings, 5_000)
    looks = Looks()

    async def not_yet(*_: Any) -> None:
        looks.note()

    monkeypatch.setattr(KieClient, "look_up", not_yet)
    pace = Pace(scale=0.25)
    began = asyncio.get_running_loop().time()
    await it.app(pace)
    await looks.reach(100)

    assert len(looks.at) <= pace.looks_per_s * (1 + looks.at[-1] - began)


async def test_a_refusal_slows_all_looks_down(it: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await at_kie(it.settings, 50)
    take = Rate.take
    refused_at: list[float] = []
    turns_after: list[float] = []
    enough = asyncio.Event()

    async def refuse(*_: Any) -> None:
        refused_at.append(asyncio.get_running_loop().time())
        raise RateLimitedError("slowly")

    def noted(rate: Rate, now: float) -> float:
        pause_s = take(rate, now)
        if refused_at and not pause_s:
            turns_after.append(now - refused_at[-1])
            enough.set()
        return pause_s

    monkeypatch.setattr(KieClient, "look_up", refuse)
    monkeypatch.setattr(Rate, "take", noted)
    pace = Pace(scale=0.25)
    await it.app(pace)
    with anyio.fail_after(WITHIN_S):
        await enough.wait()

    assert turns_after[0] >= 1 / (pace.looks_per_s / 2) - 0.001  # nothing was saved up
