"""What every store of the ledger promises; written once, run over each store."""

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
)

from kie_runway.errors import RequestConflictError, TaskIdTakenError
from kie_runway.ledger.records import Entry, Transition
from kie_runway.models import ErrorInfo, TaskKind, TaskState

pytestmark = pytest.mark.anyio


async def test_an_intent_is_queued_and_survives_a_restart(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        first = await opened(ledger, intent())
    async with open_ledger() as ledger:
        again = await ledger.find("local", "r-1")

    assert not first.deduplicated
    assert first.entry.state is TaskState.QUEUED
    assert again is not None
    assert again == first.entry
    assert again.arguments == {"prompt": "a boat"}
    assert again.created_at == NOW


async def test_the_same_request_id_returns_the_first_row(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        first = await opened(ledger, intent())
        second = await opened(ledger, intent(), now=NOW + timedelta(days=3))

    assert second.deduplicated
    assert second.entry == first.entry


async def test_the_same_request_id_with_other_arguments_is_a_conflict(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        await opened(ledger, intent())
        with pytest.raises(RequestConflictError):
            await opened(ledger, intent(prompt="a boat."))

        assert len(await ledger.list("local", limit=10)) == 1


async def test_a_request_id_that_is_a_task_id_names_that_task(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent(), "task-1")
        repeated = await opened(ledger, intent(request_id="task-1"))
        with pytest.raises(RequestConflictError):
            await opened(ledger, intent(prompt="a boat.", request_id="task-1"))

        assert (repeated.entry, repeated.deduplicated) == (entry, True)
        assert await ledger.list("local", limit=10) == [entry]


async def test_a_rejected_request_id_can_be_repeated_because_nothing_was_billed(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        entry = await submitting(ledger, intent())
        error = ErrorInfo(code="no_credits", reason="Empty.", retry="ask_user", charged="no")
        await ledger.transition(
            Transition(
                entry.id,
                (TaskState.SUBMITTING,),
                TaskState.REJECTED,
                NOW,
                {"error": error, "finished_at": NOW},
            )
        )
        rejected = await ledger.find("local", "r-1")
        again = await opened(ledger, intent())

    assert rejected is not None
    assert (rejected.error, rejected.finished_at) == (error, NOW)
    assert not again.deduplicated
    assert (again.entry.id, again.entry.state) == (entry.id, TaskState.QUEUED)
    assert (again.entry.error, again.entry.finished_at) == (None, None)


@pytest.mark.parametrize(
    ("later", "finished", "same"),
    [
        (timedelta(minutes=9), True, True),
        (timedelta(minutes=11), True, False),
        (timedelta(minutes=11), False, True),
    ],
)
async def test_an_identical_call_without_an_id_is_the_same_while_recent_or_unfinished(
    open_ledger: OpenLedger, later: timedelta, finished: bool, same: bool
) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent("r-1", chosen=False))
        if finished:
            await ledger.transition(Transition(entry.id, (TaskState.WAIT,), TaskState.SUCCESS, NOW))
        repeat = await opened(ledger, intent("r-2", chosen=False), now=NOW + later)

    assert repeat.deduplicated is same
    assert (repeat.entry.id == entry.id) is same


async def test_a_chosen_id_means_a_deliberately_new_video(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        first = await opened(ledger, intent("r-1", chosen=False))
        second = await opened(ledger, intent("r-2"))

    assert not second.deduplicated
    assert second.entry.id != first.entry.id


async def test_accounts_do_not_see_each_other(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await at_kie(ledger, intent(account="ann"))
        other = await opened(ledger, intent(account="bob", prompt="other"))

        assert not other.deduplicated
        assert await ledger.find("bob", "task-1") is None
        assert [entry.account for entry in await ledger.list("bob", limit=10)] == ["bob"]


async def test_a_transition_from_another_state_changes_nothing(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        ended = await ledger.transition(
            Transition(entry.id, (TaskState.WAIT,), TaskState.FAIL, NOW)
        )
        second = await ledger.transition(
            Transition(entry.id, (TaskState.WAIT,), TaskState.SUCCESS, NOW)
        )

        assert ended is not None
        assert second is None
        assert await ledger.find("local", "r-1") == ended


async def test_a_task_is_found_by_either_id(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())

        assert await ledger.find("local", "task-1") == entry
        assert await ledger.find("local", "r-1") == entry
        assert await ledger.find("local", "nothing") is None


async def test_listing_is_newest_first_in_pages_by_state(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        for number in range(5):
            await opened(ledger, intent(f"r-{number}"))
        await at_kie(ledger, intent("r-5"))
        page = await ledger.list("local", states=[TaskState.QUEUED], limit=2)
        rest = await ledger.list("local", states=[TaskState.QUEUED], limit=9, before=page[-1].id)

    assert [entry.request_id for entry in page] == ["r-4", "r-3"]
    assert [entry.request_id for entry in rest] == ["r-2", "r-1", "r-0"]


async def test_what_waits_to_be_sent_is_not_at_kie(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await opened(ledger, intent("r-1"))
        entry = await at_kie(ledger, intent("r-2"))

        assert await ledger.at_kie() == [entry]


async def test_a_task_from_elsewhere_is_adopted_once(open_ledger: OpenLedger) -> None:
    foreign = Entry(
        id=0,
        account="local",
        request_id="abc",
        kind=TaskKind.GENERATE,
        state=TaskState.WAIT,
        arguments={},
        created_at=NOW,
        task_id="abc",
    )
    async with open_ledger() as ledger:
        first = await ledger.adopt(foreign)
        second = await ledger.adopt(foreign)

    assert first == second
    assert first.id > 0


async def test_a_success_expires_once_its_time_has_come(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        changes = {"expires_at": NOW + TEN_MINUTES}
        await ledger.transition(
            Transition(entry.id, (TaskState.WAIT,), TaskState.SUCCESS, NOW, changes)
        )
        early = await ledger.expire(now=NOW)
        expired = await ledger.expire(now=NOW + TEN_MINUTES)
        again = await ledger.expire(now=NOW + TEN_MINUTES)

    assert not early
    assert [row.state for row in expired] == [TaskState.EXPIRED]
    assert not again


async def test_a_success_that_expired_by_a_wrong_clock_comes_back(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        changes = {"expires_at": NOW + TEN_MINUTES, "video_url": "https://v.example/1"}
        await ledger.transition(
            Transition(entry.id, (TaskState.WAIT,), TaskState.SUCCESS, NOW, changes)
        )
        await ledger.expire(now=NOW + timedelta(days=15))
        revived = await ledger.expire(now=NOW)

    assert [row.state for row in revived] == [TaskState.SUCCESS]


async def test_a_task_id_belongs_to_one_row(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await at_kie(ledger, intent("r-1"), "task-1")
        with pytest.raises(TaskIdTakenError):
            await at_kie(ledger, intent("r-2", prompt="other"), "task-1")
