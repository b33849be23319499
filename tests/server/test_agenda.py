"""Whose turn it is."""

import asyncio

import anyio
import pytest

from kie_runway.agenda import Agenda
from kie_runway.rate import FLOOR, Rate

pytestmark = pytest.mark.anyio


def free() -> Rate:
    return Rate(1000.0)


async def take(agenda: Agenda, count: int) -> list[int]:
    with anyio.fail_after(60):
        return [await agenda.take() for _ in range(count)]


async def test_what_is_due_first_comes_first() -> None:
    agenda = Agenda(free())
    now = asyncio.get_running_loop().time()
    agenda.put(1, now + 0.02, urgent=False)
    agenda.put(2, now + 0.01, urgent=False)

    assert await take(agenda, 2) == [2, 1]


async def test_the_urgent_comes_before_whatever_waits_for_the_rate() -> None:
    agenda = Agenda(free())
    now = asyncio.get_running_loop().time()
    for key in range(100):
        agenda.put(key, now - 1, urgent=False)
    agenda.put(500, now, urgent=True)

    assert await take(agenda, 2) == [500, 0]


async def test_a_key_has_one_place_and_the_last_one_counts() -> None:
    agenda = Agenda(free())
    now = asyncio.get_running_loop().time()
    agenda.put(1, now - 1, urgent=True)
    agenda.put(2, now - 1, urgent=False)
    agenda.put(1, now + 0.01, urgent=False)

    assert await take(agenda, 2) == [2, 1]
    agenda.put(1, now - 1, urgent=False)
    agenda.put(2, now - 1, urgent=False)
    agenda.drop(1)
    assert await take(agenda, 1) == [2]


async def test_a_key_that_was_put_later_wakes_who_waits() -> None:
    agenda = Agenda(free())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, agenda, 1)
        await anyio.lowlevel.checkpoint()
        agenda.put(1, asyncio.get_running_loop().time(), urgent=False)


def test_a_rate_lets_a_burst_through_and_then_one_at_a_time() -> None:
    rate = Rate(10.0)

    assert [rate.take(0.0) for _ in range(10)] == [0.0] * 10
    assert rate.take(0.0) == pytest.approx(0.1)
    assert rate.take(0.1) == 0.0
    assert rate.take(0.1) > 0


def test_a_rate_gives_nothing_for_the_time_before_a_refusal() -> None:
    rate = Rate(10.0)
    rate.take(0.0)
    rate.refused()

    assert rate.take(60.0) == pytest.approx(0.2)
    assert rate.take(60.2) == 0.0
    assert rate.take(60.2) > 0


def test_each_refusal_halves_the_rate_and_successes_bring_it_back() -> None:
    rate = Rate(10.0)
    rate.refused()
    assert rate.per_s == 5.0
    for _ in range(20):
        rate.refused()
    assert rate.per_s == 10.0 * FLOOR
    for _ in range(100):
        rate.succeeded()
    assert rate.per_s == 10.0
