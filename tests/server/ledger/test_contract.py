"""What every store of the ledger promises; written once, run over each store."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from kie_runway.errors import RequestConflictError
from kie_runway.ledger.base import Entry, Intent, Ledger, Limit, Opened, Transition
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import ErrorInfo, TaskKind, TaskState

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
LIMIT = Limit(creates=3, window_s=10)

OpenLedger = Callable[[], AbstractAsyncContextManager[Ledger]]


@pytest.fixture(params=["sqlite"])
def open_ledger(tmp_path: Path) -> OpenLedger:
    """Opens the same store each time, as another process would."""

    @asynccontextmanager
    async def opening() -> AsyncGenerator[Ledger]:
        ledger = SqliteLedger(tmp_path / "deep" / "ledger.db")
        await ledger.open()
        try:
            yield ledger
        finally:
            await ledger.aclose()

    return opening


def intent(
    request_id: str = "r-1", *, chosen: bool = True, prompt: str = "a boat", account: str = "local"
) -> Intent:
    return Intent(
        account=account,
        request_id=request_id,
        request_id_chosen=chosen,
        kind=TaskKind.GENERATE,
        arguments={"prompt": prompt},
        fingerprint=f"print of {prompt}",
        credits=12,
    )


async def opened(
    ledger: Ledger, wanted: Intent, *, now: datetime = NOW, since: datetime | None = None
) -> Opened:
    return await ledger.open_intent(wanted, now=now, since=since or now - TEN_MINUTES)


async def submitting(
    ledger: Ledger, wanted: Intent, *, lease_until: datetime = NOW + TEN_MINUTES
) -> Entry:
    entry = (await opened(ledger, wanted)).entry
    turn = await ledger.take_turn(
        entry.id, owner="me", lease_until=lease_until, limit=Limit(100, 10), now=NOW
    )
    assert turn.entry is not None
    return turn.entry


async def at_kie(ledger: Ledger, wanted: Intent, task_id: str = "task-1") -> Entry:
    entry = await submitting(ledger, wanted)
    accepted = await ledger.transition(
        Transition(entry.id, (TaskState.SUBMITTING,), TaskState.WAIT, NOW, {"task_id": task_id})
    )
    assert accepted is not None
    return accepted


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


async def test_a_rejected_request_id_can_be_repeated_because_nothing_was_billed(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        entry = await submitting(ledger, intent())
        error = ErrorInfo(code="no_credits", reason="Empty.", retry="ask_user", charged="no")
        await ledger.transition(
            Transition(entry.id, (TaskState.SUBMITTING,), TaskState.REJECTED, NOW, {"error": error})
        )
        rejected = await ledger.find("local", "r-1")
        again = await opened(ledger, intent())

    assert rejected is not None
    assert rejected.error == error
    assert not again.deduplicated
    assert (again.entry.id, again.entry.state, again.entry.error) == (
        entry.id,
        TaskState.QUEUED,
        None,
    )


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


async def test_the_limiter_lets_only_so_many_submit_in_a_window(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entries = [(await opened(ledger, intent(f"r-{n}"))).entry for n in range(4)]
        turns = [
            await ledger.take_turn(
                entry.id,
                owner="me",
                lease_until=NOW,
                limit=LIMIT,
                now=NOW + timedelta(seconds=number),
            )
            for number, entry in enumerate(entries)
        ]
        late = await ledger.take_turn(
            entries[3].id,
            owner="me",
            lease_until=NOW,
            limit=LIMIT,
            now=NOW + timedelta(seconds=10),
        )

    assert [turn.entry is not None for turn in turns] == [True, True, True, False]
    assert turns[3].wait_s == 7
    assert late.entry is not None


async def test_only_one_of_two_processes_takes_the_turn(open_ledger: OpenLedger) -> None:
    async with open_ledger() as one, open_ledger() as two:
        entry = (await opened(one, intent())).entry
        turns = await asyncio.gather(
            *(
                ledger.take_turn(entry.id, owner="me", lease_until=NOW, limit=LIMIT, now=NOW)
                for ledger in (one, two)
            )
        )

    assert sorted(turn.entry is not None for turn in turns) == [False, True]


async def test_fifty_repeats_at_once_over_two_processes_make_one_row(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as one, open_ledger() as two:
        results = await asyncio.gather(
            *(opened(ledger, intent()) for ledger in (one, two) for _ in range(25))
        )

    assert {result.entry.id for result in results} == {results[0].entry.id}
    assert [result.deduplicated for result in results].count(False) == 1


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


async def test_unfinished_are_those_at_kie(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await opened(ledger, intent("r-1"))
        entry = await at_kie(ledger, intent("r-2"))

        assert await ledger.unfinished() == [entry]


async def test_a_submission_whose_owner_is_gone_is_unknown_and_never_queued_again(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        alive = await submitting(ledger, intent("r-1"), lease_until=NOW + timedelta(seconds=60))
        dead = await submitting(ledger, intent("r-2"), lease_until=NOW - timedelta(seconds=1))
        stranded = await ledger.strand(now=NOW)

        assert [(entry.id, entry.state) for entry in stranded] == [(dead.id, TaskState.UNKNOWN)]
        assert await ledger.find("local", "r-1") == alive


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


async def test_changes_are_announced_after_they_are_committed(open_ledger: OpenLedger) -> None:
    seen: list[tuple[str, TaskState]] = []
    async with open_ledger() as ledger:
        ledger.on_change = lambda entry: seen.append((entry.request_id, entry.state))
        entry = await at_kie(ledger, intent())
        await ledger.transition(Transition(entry.id, (TaskState.FAIL,), TaskState.SUCCESS, NOW))

    assert seen == [
        ("r-1", TaskState.QUEUED),
        ("r-1", TaskState.SUBMITTING),
        ("r-1", TaskState.WAIT),
    ]


async def test_a_cancelled_caller_does_not_undo_or_hide_a_change(open_ledger: OpenLedger) -> None:
    announced = asyncio.Event()
    async with open_ledger() as ledger:
        ledger.on_change = lambda _: announced.set()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await opened(ledger, intent())
        with anyio.fail_after(5):
            await announced.wait()

        assert await ledger.find("local", "r-1") is not None


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
async def test_files_are_readable_by_their_owner_only(
    open_ledger: OpenLedger, tmp_path: Path
) -> None:
    async with open_ledger() as ledger:
        await opened(ledger, intent())
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "deep").iterdir()}

    assert (tmp_path / "deep").stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}, modes
