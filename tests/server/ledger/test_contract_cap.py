"""What every store promises about what an account may spend in 24 hours."""

import asyncio
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.server.ledger.rows import (
    NOW,
    TEN_MINUTES,
    OpenLedger,
    elsewhere,
    intent,
    opened,
    unknown,
)

from kie_runway.errors import OverBudgetError, RequestConflictError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Foreseen, Intent, Limit, Transition, Turn
from kie_runway.models import TaskState

pytestmark = pytest.mark.anyio

DAY = timedelta(hours=24)
MOMENT = timedelta(milliseconds=1)  # stores know no shorter one
PATIENCE = timedelta(minutes=45)
ANY = Limit(creates=1000, window_s=10)


async def turn(ledger: Ledger, entry_id: int, now: datetime = NOW) -> Turn:
    return await ledger.take_turn(
        entry_id, owner="me", lease=TEN_MINUTES, limit=ANY, now=lambda: now
    )


async def sent(ledger: Ledger, wanted: Intent, now: datetime = NOW) -> Entry:
    """A row that the cap let through."""
    entry = (await opened(ledger, wanted, now=now)).entry
    taken = await turn(ledger, entry.id, now)
    assert taken.entry is not None
    return taken.entry


async def ended(ledger: Ledger, entry: Entry, *states: TaskState) -> None:
    """Move a row on, state by state."""
    before = entry.state
    for state in states:
        assert await ledger.transition(Transition(entry.id, (before,), state, NOW)) is not None
        before = state


async def refused(ledger: Ledger, wanted: Intent, now: datetime = NOW) -> OverBudgetError:
    with pytest.raises(OverBudgetError) as caught:
        await opened(ledger, wanted, now=now)
    return caught.value


async def foreseen(ledger: Ledger, wanted: Intent, now: datetime = NOW) -> Foreseen:
    return await ledger.foresee(
        wanted, now=now, since=now - TEN_MINUTES, supersede_before=now - PATIENCE
    )


async def test_the_last_credit_may_be_spent_and_not_one_more(open_ledger: OpenLedger) -> None:
    async with open_ledger(daily_credits=24) as ledger:
        await sent(ledger, intent("r-1"))
        await sent(ledger, intent("r-2"))
        refusal = await refused(ledger, intent("r-3", credits=0.5))

        assert await ledger.spent("local", now=NOW) == 24
    assert refusal.reason == (
        "This video would cost about 0.5 credits; 24 of the 24 a day (KIE_DAILY_CREDITS) were "
        "spent in the last 24 hours. There is room for it from 2026-11-22 12:00 UTC."
    )
    assert (refusal.charged, refusal.retry) == ("no", "ask_user")


async def test_a_refused_call_leaves_no_row_and_its_request_id_is_free(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger(daily_credits=12) as ledger:
        await sent(ledger, intent("r-1"))
        await refused(ledger, intent("r-2"))
        found = await ledger.find("local", "r-2")
        later = await sent(ledger, intent("r-2", prompt="other"), NOW + DAY)

    assert found is None
    assert later.arguments == {"prompt": "other"}


@pytest.mark.parametrize("cap", [0, 11.9])
async def test_what_costs_more_than_the_cap_never_has_room(
    open_ledger: OpenLedger, cap: float
) -> None:
    async with open_ledger(daily_credits=cap) as ledger:
        refusal = await refused(ledger, intent())

    assert refusal.room_at is None
    assert refusal.reason == (
        f"This video would cost about 12 credits, more than the {cap:g} a day that "
        "KIE_DAILY_CREDITS allows."
    )


async def test_repeats_that_spend_nothing_are_answered_over_the_cap(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger(daily_credits=24) as ledger:
        named = await sent(ledger, intent("r-1"))
        unnamed = await sent(ledger, intent("r-2", chosen=False, prompt="other"))
    async with open_ledger(daily_credits=0) as ledger:
        again = [
            await opened(ledger, intent("r-1")),
            await opened(ledger, intent("r-9", chosen=False, prompt="other")),
        ]
        with pytest.raises(RequestConflictError):
            await opened(ledger, intent("r-1", prompt="other"))

    assert [repeat.entry for repeat in again] == [named, unnamed]
    assert all(repeat.deduplicated for repeat in again)


async def test_only_what_was_certainly_not_billed_leaves_the_count(
    open_ledger: OpenLedger,
) -> None:
    """KIE says of failures both that they are refunded and that they are not."""
    async with open_ledger() as ledger:
        at_kie = (TaskState.WAIT, TaskState.GENERATING)
        for number, states in enumerate(
            [
                (),
                (TaskState.UNKNOWN,),
                at_kie,
                (*at_kie, TaskState.SUCCESS),
                (*at_kie, TaskState.SUCCESS, TaskState.EXPIRED),
                (*at_kie, TaskState.FAIL),
            ]
        ):
            before = await ledger.spent("local", now=NOW)
            await ended(ledger, await sent(ledger, intent(f"r-{number}")), *states)
            assert await ledger.spent("local", now=NOW) == before + 12
        for number, state in enumerate([TaskState.QUEUED, TaskState.REJECTED]):
            await ended(ledger, await sent(ledger, intent(f"s-{number}")), state)
        await opened(ledger, intent("r-queued"))
        await ledger.adopt(elsewhere("task-9"))

        assert await ledger.spent("local", now=NOW) == 72


async def test_one_request_sent_several_times_counts_once_and_from_the_last_time(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger(daily_credits=12) as ledger:
        entry = await sent(ledger, intent())
        await ended(ledger, entry, TaskState.QUEUED)
        again = await turn(ledger, entry.id, NOW + TEN_MINUTES)
        refusal = await refused(ledger, intent("r-2"), NOW + TEN_MINUTES)

        assert await ledger.spent("local", now=NOW + TEN_MINUTES) == 12
    assert again.entry is not None
    assert refusal.room_at == NOW + TEN_MINUTES + DAY


async def test_a_request_without_a_price_counts_nothing(open_ledger: OpenLedger) -> None:
    async with open_ledger(daily_credits=12) as ledger:
        await sent(ledger, intent("r-1"))
        await sent(ledger, intent("r-2", credits=None))

        assert await ledger.spent("local", now=NOW) == 12


async def test_accounts_spend_their_own(open_ledger: OpenLedger) -> None:
    async with open_ledger(daily_credits=12) as ledger:
        await sent(ledger, intent(account="ann"))
        await sent(ledger, intent(account="bob"))

        assert await ledger.spent("cid", now=NOW) == 0


async def test_after_24_hours_there_is_room_again_and_no_sooner(open_ledger: OpenLedger) -> None:
    async with open_ledger(daily_credits=12) as ledger:
        await sent(ledger, intent("r-1"))
        refusal = await refused(ledger, intent("r-2"), NOW + DAY - MOMENT)
        await sent(ledger, intent("r-2"), NOW + DAY)

    assert refusal.room_at == NOW + DAY


async def test_what_was_queued_before_the_cap_was_reached_is_rejected_in_its_turn(
    open_ledger: OpenLedger,
) -> None:
    seen: list[TaskState] = []
    async with open_ledger(daily_credits=12) as ledger:
        first, second = [(await opened(ledger, intent(f"r-{n}"))).entry for n in range(2)]
        assert (await turn(ledger, first.id)).entry is not None
        ledger.subscribe(lambda entry: seen.append(entry.state))
        taken = await turn(ledger, second.id)
        row, again = taken.refused, await turn(ledger, second.id)
        events = await ledger.history(second.id)

        assert row is not None
        assert row == await ledger.get(second.id)
    assert (taken.entry, taken.wait_s, again) == (None, None, Turn())
    assert (row.state, row.sent_at, row.finished_at) == (TaskState.REJECTED, None, NOW)
    assert row.error is not None
    assert (row.error.code, row.error.charged) == ("over_budget", "no")
    assert seen == [TaskState.REJECTED]
    assert (events[-1].after, events[-1].detail) == (TaskState.REJECTED, "over_budget")


async def test_a_rejected_request_keeps_its_id_until_there_is_room(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger(daily_credits=12) as ledger:
        first, second = [(await opened(ledger, intent(f"r-{n}"))).entry for n in range(2)]
        await turn(ledger, first.id)
        await turn(ledger, second.id)
        await refused(ledger, intent("r-1"))
        left = await ledger.get(second.id)
        later = await opened(ledger, intent("r-1", credits=10), now=NOW + DAY)

    assert left is not None
    assert left.state is TaskState.REJECTED
    assert (later.entry.id, later.entry.state, later.deduplicated) == (
        second.id,
        TaskState.QUEUED,
        False,
    )
    assert (later.entry.error, later.entry.credits) == (None, 10)


async def test_paying_again_for_what_stayed_unknown_counts_as_new(open_ledger: OpenLedger) -> None:
    later = NOW + PATIENCE
    async with open_ledger(daily_credits=23) as ledger:
        lost = await unknown(ledger, intent())
        with pytest.raises(OverBudgetError):
            await ledger.open_intent(
                intent(), now=later, since=later, supersede_before=later - PATIENCE
            )
        left = await ledger.get(lost.id)
    async with open_ledger(daily_credits=24) as ledger:
        new = await ledger.open_intent(
            intent(), now=later, since=later, supersede_before=later - PATIENCE
        )
        await turn(ledger, new.entry.id, later)

        assert await ledger.spent("local", now=later) == 24
    assert left == lost
    assert new.entry.supersedes == lost.id


async def test_a_lost_request_that_is_found_among_the_adopted_counts_once(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        lost = await unknown(ledger, intent())
        await ledger.adopt(elsewhere("task-1"))
        joined = await ledger.join(lost.id, "task-1", now=NOW)

        assert joined is not None
        assert joined.credits == 12
        assert await ledger.spent("local", now=NOW) == 12


async def test_two_processes_at_once_spend_exactly_what_fits(open_ledger: OpenLedger) -> None:
    async with open_ledger(daily_credits=7 * 12 + 11) as one, open_ledger(7 * 12 + 11) as two:
        entries = [(await opened(one, intent(f"r-{number}"))).entry for number in range(20)]
        turns = await asyncio.gather(
            *(
                turn(ledger, entry.id)
                for pair in zip(entries[::2], entries[1::2], strict=True)
                for ledger, entry in zip((one, two), pair, strict=True)
            )
        )

        assert await two.spent("local", now=NOW) == 7 * 12
    assert [taken.entry is not None for taken in turns].count(True) == 7
    assert [taken.refused is not None for taken in turns].count(True) == 13


async def test_a_process_without_a_cap_is_free_and_counted_by_those_with_one(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger(daily_credits=20) as capped, open_ledger() as free:
        await sent(free, intent("r-1"))
        await sent(free, intent("r-2"))
        refusal = await refused(capped, intent("r-3"))

    assert refusal.reason.startswith("This video would cost about 12 credits; 24 of the 20 a day")


@pytest.mark.parametrize("back", [timedelta(hours=1), DAY * 400])
async def test_a_clock_that_goes_back_holds_nobody_up_for_more_than_a_day(
    open_ledger: OpenLedger, back: timedelta
) -> None:
    async with open_ledger(daily_credits=12) as ledger:
        await sent(ledger, intent("r-1"))
        refusal = await refused(ledger, intent("r-2"), NOW - back)
        await refused(ledger, intent("r-2"), NOW - back + DAY - MOMENT)
        await sent(ledger, intent("r-2"), NOW - back + DAY)

    assert refusal.room_at == NOW - back + DAY


async def test_looking_ahead_tells_what_would_happen_and_changes_nothing(
    open_ledger: OpenLedger,
) -> None:
    later = NOW + PATIENCE
    async with open_ledger(daily_credits=48) as ledger:
        lost = await unknown(ledger, intent("lost"))
        known = await sent(ledger, intent("known", prompt="other"))
        queued = (await opened(ledger, intent("queued"))).entry
        rejected = await sent(ledger, intent("rejected"))
        await ended(ledger, rejected, TaskState.REJECTED)
        before = await ledger.list("local", limit=9)
        tale = [
            await foreseen(ledger, intent("new"), later),
            await foreseen(ledger, intent("x", chosen=False, prompt="other"), later),
            await foreseen(ledger, intent("known", prompt="other"), later),
            await foreseen(ledger, intent("queued"), later),
            await foreseen(ledger, intent("rejected"), later),
            await foreseen(ledger, intent("lost"), later),
            await foreseen(ledger, intent("lost"), later - MOMENT),
        ]
        with pytest.raises(RequestConflictError):
            await foreseen(ledger, intent("known"), later)
        with pytest.raises(OverBudgetError):
            await foreseen(ledger, intent("new", credits=25), later)

        assert await ledger.list("local", limit=9) == before
    earlier = [word.earlier and word.earlier.id for word in tale]
    assert earlier == [None, known.id, known.id, queued.id, rejected.id, lost.id, lost.id]
    assert [word.spends for word in tale] == [True, False, False, False, True, True, False]
    assert [word.supersedes for word in tale] == [*[False] * 5, True, False]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
)
@given(
    cap=st.integers(0, 120).map(lambda halves: halves / 2),
    steps=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 60).map(lambda halves: halves / 2)),
        max_size=15,
    ),
)
def test_no_24_hours_ever_hold_more_than_the_cap_and_nothing_that_fits_is_refused(
    open_ledger: OpenLedger, cap: float, steps: list[tuple[int, float]]
) -> None:
    asyncio.run(_play(open_ledger, cap, steps))


async def _play(open_ledger: OpenLedger, cap: float, steps: list[tuple[int, float]]) -> None:
    """Hours that pass, and what is wanted then."""
    async with open_ledger(cap) as ledger:
        account = f"account {len(await ledger.list('all', limit=10_000))}"
        await ledger.adopt(elsewhere(account, account="all"))
        now, spends = NOW, list[tuple[datetime, float]]()
        for number, (hours, credits) in enumerate(steps):
            now += timedelta(hours=hours)
            lately = sum(spent for at, spent in spends if at > now - DAY)
            wanted = intent(f"r-{number}", account=account, credits=credits)
            assert await ledger.spent(account, now=now) == lately
            if lately + credits <= cap:
                await sent(ledger, wanted, now)
                spends.append((now, credits))
                continue
            room_at = (await refused(ledger, wanted, now)).room_at
            assert (room_at is None) == (credits > cap)
            if room_at is not None:
                still = [spent for at, spent in spends if at > room_at - DAY]
                assert sum(still) + credits <= cap
