"""What every store promises when the user accepts to pay again for what stayed unknown."""

import asyncio
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.server.ledger.rows import (
    ENDED,
    LIMIT,
    NOW,
    TEN_MINUTES,
    OpenLedger,
    at_kie,
    clock_at,
    elsewhere,
    intent,
    opened,
    submitting,
    succeeded,
    unknown,
)

from kie_runway.errors import RequestConflictError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Intent, Opened, Transition
from kie_runway.models import RESULT_LIFETIME, TaskState

pytestmark = pytest.mark.anyio

PATIENCE = timedelta(minutes=45)
LATER = NOW + PATIENCE


async def confirmed(ledger: Ledger, wanted: Intent, *, now: datetime = LATER) -> Opened:
    """The user accepts a possible second charge."""
    return await ledger.open_intent(
        wanted, now=now, since=now - TEN_MINUTES, supersede_before=now - PATIENCE
    )


async def test_an_unknown_row_makes_room_for_a_new_one_under_its_request_id(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent(), callback_hash="hash")
        new = await confirmed(ledger, intent())
        found = await ledger.find("local", "r-1")
        left = await ledger.get(old.id)
        called_back = await ledger.inbox.entry_of("hash")

    assert not new.deduplicated
    assert new.entry.id != old.id
    assert (new.entry.state, new.entry.request_id) == (TaskState.QUEUED, "r-1")
    assert new.entry.supersedes == old.id
    assert (new.entry.arguments, new.entry.credits) == (old.arguments, old.credits)
    assert (new.entry.created_at, new.entry.callback_hash, new.entry.error) == (LATER, None, None)
    assert found == new.entry
    assert left is not None
    assert (left.state, left.callback_hash, left.error) == (TaskState.UNKNOWN, "hash", ENDED)
    assert left.superseded_at == LATER
    assert called_back == left


async def test_a_decision_to_pay_again_is_in_the_history_of_both(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent())
        new = await confirmed(ledger, intent())
        before = await ledger.history(old.id)
        after = await ledger.history(new.entry.id)

    assert [event.after for event in before] == [
        TaskState.QUEUED,
        TaskState.SUBMITTING,
        TaskState.UNKNOWN,
        TaskState.UNKNOWN,
    ]
    assert before[-1].at == LATER
    assert "second charge" in (before[-1].detail or "")
    assert [(event.at, event.before, event.after) for event in after] == [
        (LATER, None, TaskState.QUEUED)
    ]


async def test_an_identical_call_without_an_id_supersedes_under_the_old_request_id(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent("r-1", chosen=False))
        new = await confirmed(ledger, intent("r-2", chosen=False))
        made_up = await ledger.find("local", "r-2")

    assert not new.deduplicated
    assert (new.entry.request_id, new.entry.supersedes) == ("r-1", old.id)
    assert made_up is None


@pytest.mark.parametrize(
    ("early", "makes_room"),
    [
        (timedelta(), True),
        (timedelta(milliseconds=1), False),
        (timedelta(minutes=45), False),
    ],
)
async def test_only_what_was_sent_long_enough_ago_makes_room(
    open_ledger: OpenLedger, early: timedelta, makes_room: bool
) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent())
        result = await confirmed(ledger, intent(), now=LATER - early)
        rows = await ledger.list("local", limit=9)

    assert result.deduplicated is not makes_room
    assert (result.entry == old) is not makes_room
    assert len(rows) == 1 + makes_room


async def test_without_the_users_word_nothing_makes_room(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent())
        later = NOW + timedelta(days=300)
        result = await ledger.open_intent(intent(), now=later, since=later - TEN_MINUTES)

    assert result.deduplicated
    assert result.entry == old


@pytest.mark.parametrize("state", [s for s in TaskState if s is not TaskState.UNKNOWN])
async def test_no_row_makes_room_whose_end_is_known_or_still_to_come(
    open_ledger: OpenLedger, state: TaskState
) -> None:
    async with open_ledger() as ledger:
        entry = await submitting(ledger, intent())
        await ledger.transition(Transition(entry.id, (TaskState.SUBMITTING,), state, NOW))
        again = await confirmed(ledger, intent())
        rows = await ledger.list("local", limit=9)

    assert [row.id for row in rows] == [entry.id]
    assert again.entry.supersedes is None
    assert again.entry.superseded_at is None


async def test_other_arguments_are_a_conflict_even_with_the_users_word(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent())
        with pytest.raises(RequestConflictError):
            await confirmed(ledger, intent(prompt="a boat."))

        assert await ledger.list("local", limit=9) == [old]


async def test_a_repeated_word_does_not_supersede_what_took_the_place(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        await unknown(ledger, intent())
        first = await confirmed(ledger, intent())
        queued = await confirmed(ledger, intent(), now=LATER + PATIENCE)
        turn = await ledger.take_turn(
            first.entry.id, owner="me", lease=TEN_MINUTES, limit=LIMIT, now=lambda: LATER
        )
        assert turn.entry is not None
        await ledger.strand(now=LATER + TEN_MINUTES, error=ENDED)
        repeat = await confirmed(ledger, intent(), now=LATER + TEN_MINUTES)
        rows = await ledger.list("local", limit=9)

    assert queued.deduplicated
    assert queued.entry == first.entry
    assert repeat.deduplicated
    assert repeat.entry.id == first.entry.id
    assert len(rows) == 2


async def test_what_took_the_place_can_be_superseded_after_its_own_time(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        await unknown(ledger, intent())
        second = (await confirmed(ledger, intent())).entry
        await ledger.take_turn(
            second.id, owner="me", lease=timedelta(minutes=1), limit=LIMIT, now=lambda: LATER
        )
        await ledger.strand(now=LATER + TEN_MINUTES, error=ENDED)
        third = await confirmed(ledger, intent(), now=LATER + PATIENCE)
        found = await ledger.find("local", "r-1")

    assert third.entry.supersedes == second.id
    assert found == third.entry


async def test_two_processes_at_once_make_one_new_row(open_ledger: OpenLedger) -> None:
    async with open_ledger() as one, open_ledger() as two:
        old = await unknown(one, intent())
        results = await asyncio.gather(
            *(confirmed(ledger, intent()) for _ in range(10) for ledger in (one, two))
        )
        rows = await one.list("local", limit=9)

    assert [row.id for row in rows] == [results[0].entry.id, old.id]
    assert {result.entry.id for result in results} == {rows[0].id}
    assert [result.deduplicated for result in results].count(False) == 1


async def test_a_superseded_row_that_is_found_after_all_keeps_its_own_task(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent(), callback_hash="hash")
        new = (await confirmed(ledger, intent())).entry
        found = await ledger.transition(
            Transition(old.id, (TaskState.UNKNOWN,), TaskState.WAIT, LATER, {"task_id": "late"})
        )
        by_task = await ledger.find("local", "late")
        by_request = await ledger.find("local", "r-1")
        unfinished = await ledger.at_kie()

    assert found is not None
    assert by_task == found
    assert by_request == new
    assert unfinished == [found]


async def test_a_call_without_an_id_is_never_a_repeat_of_a_superseded_row(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent("r-1", chosen=False))
        new = (await confirmed(ledger, intent("r-2", chosen=False))).entry
        await ledger.transition(
            Transition(old.id, (TaskState.UNKNOWN,), TaskState.SUCCESS, LATER, {"task_id": "late"})
        )
        repeat = await ledger.open_intent(
            intent("r-3", chosen=False), now=LATER, since=LATER - TEN_MINUTES
        )

    assert repeat.deduplicated
    assert repeat.entry.id == new.id


async def test_an_older_unknown_row_is_not_superseded_by_a_call_that_means_a_newer_one(
    open_ledger: OpenLedger,
) -> None:
    """An identical call means the latest identical row; a finished one ends the matter."""
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent("r-1"))
        done = await succeeded(ledger, intent("r-2"))
        again = await ledger.open_intent(
            intent("r-3", chosen=False),
            now=NOW + timedelta(minutes=5),
            since=NOW - timedelta(minutes=5),
            supersede_before=LATER,
        )
        left = await ledger.get(old.id)

    assert again.entry == done
    assert left == old


async def test_accounts_do_not_supersede_each_other(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        old = await unknown(ledger, intent(account="ann"))
        other = await confirmed(ledger, intent(account="bob"))
        left = await ledger.get(old.id)

    assert other.entry.supersedes is None
    assert left == old


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=30,
)
@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 60),  # minutes later
            st.booleans(),  # with the user's word
            st.booleans(),  # with the request_id
            st.booleans(),  # sent meanwhile, and never heard of again
        ),
        max_size=8,
    )
)
def test_whatever_the_calls_a_request_id_means_one_row_and_sums_are_decisions(
    open_ledger: OpenLedger, calls: list[tuple[int, bool, bool, bool]]
) -> None:
    asyncio.run(_play(open_ledger, calls))


async def _play(open_ledger: OpenLedger, calls: list[tuple[int, bool, bool, bool]]) -> None:
    async with open_ledger() as ledger:
        seen = len(await ledger.list("local", limit=10_000))
        name = f"r-{seen}"
        now = NOW
        made = decided = 0
        for minutes, word, named, sent in calls:
            now += timedelta(minutes=minutes)
            wanted = intent(name if named else f"{name}-made-up", chosen=named, prompt=name)
            before = await ledger.find("local", name)
            result = (
                await confirmed(ledger, wanted, now=now)
                if word
                else await ledger.open_intent(wanted, now=now, since=now - TEN_MINUTES)
            )
            if result.entry.request_id != name:
                return  # the first call made a name up; the rest is about that one
            made += not result.deduplicated
            decided += result.entry.supersedes is not None and not result.deduplicated
            if result.entry.supersedes is not None and not result.deduplicated:
                assert word
                assert before is not None
                assert before.id == result.entry.supersedes
                assert before.state is TaskState.UNKNOWN
                assert before.sent_at is not None
                assert now - before.sent_at >= PATIENCE
            if sent:
                await ledger.take_turn(
                    result.entry.id, owner="me", lease=TEN_MINUTES, limit=LIMIT, now=clock_at(now)
                )
                await ledger.strand(now=now + timedelta(seconds=1), error=ENDED)
            assert await ledger.find("local", name) == await ledger.get(result.entry.id)
        assert made <= 1 + decided


async def test_a_row_at_kie_never_makes_room(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        result = await confirmed(ledger, intent(), now=NOW + timedelta(days=10))

    assert result.deduplicated
    assert result.entry == entry


async def test_an_unknown_row_whose_task_was_adopted_is_joined_with_it(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        lost = await unknown(ledger, intent())
        stranger = await ledger.adopt(elsewhere("task-1"))
        joined = await ledger.join(lost.id, "task-1", now=LATER)
        by_request = await ledger.find("local", "r-1")
        old = await ledger.get(lost.id)
        again = await opened(ledger, intent(), now=LATER)

    assert joined is not None
    assert by_request == joined == again.entry
    assert (joined.id, joined.supersedes) == (stranger.id, lost.id)
    assert joined.arguments == lost.arguments
    assert old is not None
    assert (old.state, old.superseded_at) == (TaskState.UNKNOWN, LATER)
    assert again.deduplicated


async def test_a_row_that_is_being_sent_is_joined_in_one_step(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        sending = await submitting(ledger, intent())
        await ledger.adopt(elsewhere("task-1"))
        joined = await ledger.join(sending.id, "task-1", now=LATER)
        old = await ledger.get(sending.id)

    assert joined is not None
    assert (joined.kind, joined.sent_at, joined.accepted_at) == (
        sending.kind,
        sending.sent_at,
        sending.sent_at,
    )
    assert old is not None
    assert (old.state, old.superseded_at, old.owner) == (TaskState.UNKNOWN, LATER, None)
    assert old.error is not None


async def test_a_success_that_is_joined_has_a_time_at_which_it_expires(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        lost = await unknown(ledger, intent())
        stranger = await ledger.adopt(elsewhere("task-1"))
        ended = Transition(stranger.id, (TaskState.WAIT,), TaskState.SUCCESS, NOW)
        await ledger.transition(ended)
        joined = await ledger.join(lost.id, "task-1", now=LATER)

    assert joined is not None
    assert joined.accepted_at is not None
    assert joined.expires_at == joined.accepted_at + RESULT_LIFETIME


async def test_only_an_adopted_task_is_joined(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        lost = await unknown(ledger, intent())
        other = await at_kie(ledger, intent("r-2", prompt="a river"), "task-2")

        assert await ledger.join(lost.id, "task-2", now=LATER) is None
        assert await ledger.join(lost.id, "nobody's", now=LATER) is None
        assert await ledger.get(lost.id) == lost
        assert await ledger.get(other.id) == other
