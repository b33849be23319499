"""What every store promises to processes that share the work on its rows."""

import asyncio
from datetime import timedelta

import pytest
from tests.server.ledger.rows import (
    NOW,
    TEN_MINUTES,
    OpenLedger,
    at_kie,
    intent,
    opened,
    submitting,
    succeeded,
    unknown,
)

from kie_runway.ledger.records import Look, Transition
from kie_runway.models import TaskState

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def test_one_process_looks_and_the_others_are_told_when(open_ledger: OpenLedger) -> None:
    async with open_ledger() as one, open_ledger() as two:
        entry = await at_kie(one, intent())
        looks = await asyncio.gather(
            *(ledger.take_look(entry.id, now=NOW, known=None) for ledger in (one, two) * 10)
        )

    assert all(looks)
    granted = [look for look in looks if look is not None and look.granted]
    assert len(granted) == 1
    assert {look.entry.looked_at for look in looks if look is not None} == {NOW}


@pytest.mark.parametrize("moved", [SECOND, -SECOND, -timedelta(seconds=59), -HOUR, HOUR, -DAY])
async def test_each_round_has_one_look_whatever_the_clock_does(
    open_ledger: OpenLedger, moved: timedelta
) -> None:
    async with open_ledger() as one, open_ledger() as two:
        entry = await at_kie(one, intent())
        await one.take_look(entry.id, now=NOW, known=None)
        later = NOW + moved
        looks = [
            await ledger.take_look(entry.id, now=later + SECOND * turn, known=NOW)
            for turn, ledger in enumerate((one, two, one, two))
        ]

    assert [look.granted for look in looks if look is not None] == [True, False, False, False]
    assert looks[-1] is not None
    assert looks[-1].entry.looked_at == later


async def test_who_was_refused_a_look_can_have_the_next(open_ledger: OpenLedger) -> None:
    async with open_ledger() as one, open_ledger() as two:
        entry = await at_kie(one, intent())
        await one.take_look(entry.id, now=NOW, known=None)
        refused = await two.take_look(entry.id, now=NOW + SECOND, known=None)
        assert refused is not None
        assert refused.entry.looked_at is not None
        next_one = await two.take_look(
            entry.id, now=NOW + SECOND * 9, known=refused.entry.looked_at
        )

    assert not refused.granted
    assert next_one is not None
    assert next_one.granted


async def test_there_is_no_look_at_what_is_not_at_kie(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        rows = [
            (await opened(ledger, intent("r-1"))).entry,
            await submitting(ledger, intent("r-2")),
            await unknown(ledger, intent("r-3")),
            await succeeded(ledger, intent("r-4")),
        ]
        looks = [await ledger.take_look(row.id, now=NOW, known=None) for row in rows]
        nothing = await ledger.take_look(1000, now=NOW, known=None)

    assert looks == [Look(row, granted=False) for row in rows]
    assert nothing is None


async def test_a_video_is_offered_for_saving_to_one_process_at_a_time(
    open_ledger: OpenLedger,
) -> None:
    later = NOW + TEN_MINUTES
    async with open_ledger() as one, open_ledger() as two:
        rows = [
            await succeeded(one, intent(f"r-{n}"), f"t-{n}", expires_at=NOW + DAY * (3 - n))
            for n in range(3)
        ]
        offers = await asyncio.gather(
            *(ledger.take_save(now=NOW, until=later) for ledger in (one, two) * 5)
        )
        early = await one.take_save(now=later - SECOND, until=later + HOUR)
        again = [await two.take_save(now=later, until=later + HOUR) for _ in range(4)]

    offered = [offer.id for offer in offers if offer is not None]
    assert sorted(offered) == [row.id for row in rows]
    assert early is None
    # The first to be deleted comes first.
    assert [row.id if row else None for row in again] == [rows[2].id, rows[1].id, rows[0].id, None]


async def test_what_is_saved_or_deleted_or_without_a_video_is_not_offered(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        saved = await succeeded(ledger, intent("r-1"), "t-1", expires_at=NOW + DAY)
        await ledger.set_file(saved.id, "/videos/r-1.mp4")
        await succeeded(ledger, intent("r-2"), "t-2", expires_at=NOW)
        await at_kie(ledger, intent("r-3"), "t-3")

        assert await ledger.take_save(now=NOW, until=NOW + HOUR) is None


async def test_only_what_others_wrote_counts_as_written_elsewhere(open_ledger: OpenLedger) -> None:
    async with open_ledger() as one, open_ledger() as two:
        await one.moved_elsewhere()
        entry = await at_kie(one, intent())
        await one.take_look(entry.id, now=NOW, known=None)
        own = await one.moved_elsewhere()
        await two.take_look(entry.id, now=NOW + SECOND, known=NOW)
        others = await one.moved_elsewhere()
        once = await one.moved_elsewhere()

    assert (own, others, once) == (False, True, False)


async def test_reading_and_changing_nothing_is_no_writing(open_ledger: OpenLedger) -> None:
    async with open_ledger() as one, open_ledger() as two:
        entry = await at_kie(one, intent())
        await one.moved_elsewhere()
        await two.list("local", limit=9)
        await two.take_save(now=NOW, until=NOW)
        await two.inbox.take(now=NOW, until=NOW)
        await two.expire(now=NOW)
        await two.extend_leases("nobody", NOW)
        await two.transition(Transition(entry.id, (TaskState.FAIL,), TaskState.WAIT, NOW))

        assert not await one.moved_elsewhere()


async def test_durations_are_those_of_like_tasks_latest_first(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        for number in range(3):
            await succeeded(ledger, intent(f"r-{number}"), f"t-{number}", took_s=60.0 + number)
        await succeeded(ledger, intent("untimed"), "t-3")
        plain = await ledger.durations(intent().kind, duration=None, quality=None)
        other = await ledger.durations(intent().kind, duration=10, quality="720p")

    assert plain == [62.0, 61.0, 60.0]
    assert other == []


async def test_an_update_of_a_row_is_no_event_of_its_history(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await succeeded(ledger, intent(), expires_at=NOW + DAY)
        await ledger.set_file(entry.id, "/videos/r-1.mp4")
        await ledger.take_save(now=NOW, until=NOW)
        history = await ledger.history(entry.id)

    assert [(event.before, event.after) for event in history] == [
        (None, TaskState.QUEUED),
        (TaskState.QUEUED, TaskState.SUBMITTING),
        (TaskState.SUBMITTING, TaskState.WAIT),
        (TaskState.WAIT, TaskState.SUCCESS),
    ]
