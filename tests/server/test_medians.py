"""What is usual, learned from what KIE took; and how long a task took, as well as it is known."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.server.desk import NOW
from tests.server.held import HeldClock

from kie_runway.following import Follower, Plan
from kie_runway.ledger.records import Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.medians import SAMPLES_MIN, Medians
from kie_runway.models import TaskKind, TaskState, TaskUpdate
from kie_runway.pace import JITTER, Pace
from kie_runway.updates import GAP_MAX, Updates

pytestmark = pytest.mark.anyio

SHORT: Mapping[str, object] = {"prompt": "a boat", "duration": 5, "quality": "720p"}
LONG: Mapping[str, object] = {**SHORT, "duration": 10}
SECOND = timedelta(seconds=1)


def row(number: int, arguments: Mapping[str, object] = SHORT, took_s: float | None = None) -> Entry:
    """A task that was taken at `NOW`, and that has succeeded if it took some time."""
    return Entry(
        id=number,
        account="local",
        request_id=f"r-{number}",
        kind=TaskKind.GENERATE,
        state=TaskState.WAIT if took_s is None else TaskState.SUCCESS,
        arguments=arguments,
        created_at=NOW,
        accepted_at=NOW,
        task_id=f"t-{number}",
        took_s=took_s,
    )


async def learn(
    ledger: SqliteLedger, *took_s: float, arguments: Mapping[str, object] = SHORT
) -> None:
    first = len(await ledger.list("local", limit=1000)) + 1
    for number, seconds in enumerate(took_s, first):
        await ledger.adopt(replace(row(number, arguments, seconds), id=0))


async def test_a_median_is_known_from_twenty_samples_on(ledger: SqliteLedger) -> None:
    medians = Medians(ledger)
    await learn(ledger, *[40.0] * (SAMPLES_MIN - 1))
    await medians.refresh()
    before = medians.of(row(0))
    await learn(ledger, 40.0)
    medians.note(row(0, took_s=40.0))
    unrefreshed = medians.of(row(0))
    await medians.refresh()

    assert SAMPLES_MIN == 20
    assert (before, unrefreshed, medians.of(row(0))) == (None, None, 40.0)


async def test_a_few_that_took_for_ever_do_not_move_what_is_usual(ledger: SqliteLedger) -> None:
    medians = Medians(ledger)
    await learn(ledger, *[40.0] * 15, *[100_000.0] * 5)
    await medians.refresh()

    assert medians.of(row(0)) == 40.0


async def test_each_sort_of_task_has_its_own_median(ledger: SqliteLedger) -> None:
    medians = Medians(ledger)
    await learn(ledger, *[40.0] * 20)
    await learn(ledger, *[90.0] * 20, arguments=LONG)
    await medians.refresh()

    assert medians.of(row(0)) == 40.0
    assert medians.of(row(0, LONG)) == 90.0
    assert medians.of(replace(row(0), kind=TaskKind.ALEPH, arguments={})) is None


async def test_what_another_process_learned_is_known_at_the_next_start(
    ledger: SqliteLedger,
) -> None:
    await learn(ledger, *[40.0] * 20)
    medians = Medians(ledger)
    await medians.refresh()

    assert medians.of(row(0)) == 40.0


@pytest.mark.parametrize(("samples", "second_look_s"), [(19, 30.0), (20, 60.0)])
async def test_the_looks_follow_the_median_once_it_is_known(
    ledger: SqliteLedger, samples: int, second_look_s: float
) -> None:
    medians = Medians(ledger)
    await learn(ledger, *[120.0] * samples)
    await medians.refresh()
    clock = HeldClock(NOW + 8 * SECOND)
    looked = replace(row(0), looked_at=clock.now())
    pause_s = Plan(Pace(), medians, clock).pause_s(Follower(looked, watchers=1))

    assert pause_s == pytest.approx(second_look_s - 8, rel=JITTER)


async def end(
    ledger: SqliteLedger,
    found: datetime,
    unfinished: datetime | None,
    completed: datetime | None = None,
    state: TaskState = TaskState.SUCCESS,
) -> float | None:
    """How long a task took that was found ended."""
    entry = await ledger.adopt(replace(row(1), id=0))
    update = TaskUpdate(task_id="t-1", state=state, completed_at=completed)
    ended = await Updates(ledger, HeldClock(found)).apply(entry, update, unfinished_at=unfinished)
    assert ended.state is state
    return ended.took_s


async def test_a_task_took_until_the_middle_of_the_gap_between_two_looks(
    ledger: SqliteLedger,
) -> None:
    assert await end(ledger, NOW + 64 * SECOND, NOW + 60 * SECOND) == 62.0


@pytest.mark.parametrize("gap_s", [None, GAP_MAX.total_seconds() + 1, 3601.0, -1.0])
async def test_nothing_is_learned_where_nobody_was_there_to_look(
    ledger: SqliteLedger, gap_s: float | None
) -> None:
    """How long it took is then a matter of our own looking, not of KIE's work."""
    found = NOW + timedelta(hours=1)
    unfinished = None if gap_s is None else found - timedelta(seconds=gap_s)

    assert await end(ledger, found, unfinished) is None


async def test_kies_own_time_of_the_end_says_how_long_it_took(ledger: SqliteLedger) -> None:
    assert await end(ledger, NOW + timedelta(hours=1), None, NOW + 45 * SECOND) == 45.0


@pytest.mark.parametrize("completed_s", [-10.0, 0.0, 3_600.0, 5_000.0])
async def test_a_time_of_the_end_by_a_clock_that_differs_from_ours_teaches_nothing(
    ledger: SqliteLedger, completed_s: float
) -> None:
    """Cut to what can be, it would be the time of our look, and looks would come ever later."""
    completed = NOW + timedelta(seconds=completed_s)

    assert await end(ledger, NOW + timedelta(hours=1), None, completed) is None


async def test_looks_close_to_the_end_teach_something_even_if_kies_clock_differs(
    ledger: SqliteLedger,
) -> None:
    found = NOW + 64 * SECOND

    assert await end(ledger, found, NOW + 60 * SECOND, found + 99 * SECOND) == 62.0


async def test_nothing_is_learned_from_failures(ledger: SqliteLedger) -> None:
    found = NOW + 16 * SECOND

    assert await end(ledger, found, NOW + 15 * SECOND, found, TaskState.FAIL) is None


async def test_nothing_is_learned_while_the_clock_is_behind_the_beginning(
    ledger: SqliteLedger,
) -> None:
    assert await end(ledger, NOW - 60 * SECOND, NOW - 61 * SECOND) is None
