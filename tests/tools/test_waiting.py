"""What a client sees while a call waits for a video, and what its end changes."""

import asyncio
import itertools
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timedelta

import anyio
import pytest
from mcp import Client
from tests.support import QUICK, Era, connect, serve_sandbox

from kie_runway.clock import Clock
from kie_runway.ledger.records import Entry
from kie_runway.pace import MEDIAN_S
from kie_runway.tracker import Tracker

pytestmark = pytest.mark.anyio

WITHIN_S = 60


class Seen:
    """The progress that a client was told of."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, float | None, str | None]] = []
        self._more = asyncio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.messages.append((progress, total, message))
        self._more.set()

    async def reach(self, count: int) -> None:
        with anyio.fail_after(WITHIN_S):
            while len(self.messages) < count:
                self._more.clear()
                await self._more.wait()


def at_age(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on our clock is ahead."""
    now = Clock.now

    def ahead(clock: Clock) -> datetime:
        return now(clock) + timedelta(seconds=seconds)

    monkeypatch.setattr(Clock, "now", ahead)


def never_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on our clock goes on between any two glances, as far as progress can tell."""
    now, glances = Clock.now, itertools.count()

    def later(clock: Clock) -> datetime:
        return now(clock) + timedelta(milliseconds=2 * next(glances))

    monkeypatch.setattr(Clock, "now", later)


def take_usually(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on that is what experience says."""

    def usual_s(_: Tracker, __: Entry) -> float:
        return seconds

    monkeypatch.setattr(Tracker, "usual_s", usual_s)


async def test_progress_is_the_age_of_the_task_out_of_the_usual_time(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it takes no longer than usual; after that, nobody knows the total."""
    monkeypatch.setattr("kie_runway.tracker.TICK_S", 0.01)
    never_stop(monkeypatch)
    take_usually(monkeypatch, 1000.0)
    seen = Seen()
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await agent.call("generate_video", prompt="a boat")
        arguments = {"task_id": task["task_id"], "wait_seconds": 30}
        waiting = asyncio.create_task(
            agent.client.call_tool("get_task", arguments, progress_callback=seen)
        )
        await seen.reach(2)
        take_usually(monkeypatch, 0.001)
        await seen.reach(len(seen.messages) + 2)
        sandbox.finish(task["task_id"])
        await waiting

    ages = [age for age, _, _ in seen.messages]
    totals = [total for _, total, _ in seen.messages]
    assert ages == sorted(set(ages))
    assert ages[0] > 0
    assert totals == sorted(totals, key=lambda total: total is None)
    assert set(totals) == {1000.0, None}
    assert seen.messages[0][2] == "wait"
    assert seen.messages[-1][2] == "success"


async def test_a_second_wait_goes_on_where_the_first_one_was(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kie_runway.tracker.TICK_S", 0.01)
    seen = Seen()
    async with serve_sandbox() as (_, settings), connect(settings, era) as agent:
        task = await agent.call("generate_video", prompt="a boat")
        arguments = {"task_id": task["task_id"], "wait_seconds": 45}

        async def wait() -> None:
            await agent.client.call_tool("get_task", arguments, progress_callback=seen)

        for _ in range(2):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await seen.reach(len(seen.messages) + 2)
                group.cancel_scope.cancel()

    ages = [age for age, _, _ in seen.messages]
    assert len(ages) >= 4
    assert ages == sorted(ages)


async def test_a_clock_that_is_set_back_takes_no_progress_back(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kie_runway.tracker.TICK_S", 0.01)
    seen = Seen()
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await agent.call("generate_video", prompt="a boat")
        arguments = {"task_id": task["task_id"], "wait_seconds": 30}
        waiting = asyncio.create_task(
            agent.client.call_tool("get_task", arguments, progress_callback=seen)
        )
        await seen.reach(2)
        with monkeypatch.context() as patch:
            at_age(patch, -3600)
            sandbox.finish(task["task_id"])
            await waiting

    ages = [age for age, _, _ in seen.messages]
    assert ages == sorted(set(ages))
    assert ages[0] >= 0


async def test_without_experience_the_usual_time_is_a_minute() -> None:
    seen = Seen()
    async with serve_sandbox() as (_, settings), connect(settings) as agent:
        task = await agent.call("generate_video", prompt="a boat")
        arguments = {"task_id": task["task_id"], "wait_seconds": 1}
        await agent.client.call_tool("get_task", arguments, progress_callback=seen)

    assert MEDIAN_S == 60
    assert {total for _, total, _ in seen.messages} <= {MEDIAN_S * QUICK.scale, None}


async def test_a_call_that_is_cancelled_stops_waiting_and_the_task_goes_on(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, stopped = Seen(), anyio.Event()
    watching = Tracker.watching

    @contextmanager
    def noted(tracker: Tracker, entry_id: int) -> Generator[asyncio.Event]:
        with watching(tracker, entry_id) as changed:
            try:
                yield changed
            finally:
                stopped.set()

    monkeypatch.setattr(Tracker, "watching", noted)
    async with serve_sandbox() as (sandbox, settings), connect(settings, era) as agent:
        task = await agent.call("generate_video", prompt="a boat")
        arguments = {"task_id": task["task_id"], "wait_seconds": 45}

        async def wait() -> None:
            await agent.client.call_tool("get_task", arguments, progress_callback=seen)

        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await seen.reach(1)
                group.cancel_scope.cancel()
            await stopped.wait()
        sandbox.finish(task["task_id"])
        await followed_to_the_end(agent.client, task["task_id"])


async def followed_to_the_end(client: Client, task_id: str) -> None:
    """Whether somebody else asked KIE, for reading the resource does not."""
    with anyio.fail_after(WITHIN_S):
        while True:
            (content,) = (await client.read_resource(f"kie://tasks/{task_id}")).contents
            if '"state":"success"' in getattr(content, "text", ""):
                return
            await anyio.sleep(0.01)
