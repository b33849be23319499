"""What every store promises when several processes, or callers who leave, use it at once."""

import asyncio
from datetime import timedelta

import anyio
import pytest
from tests.server.ledger.rows import (
    ENDED,
    LIMIT,
    NOW,
    TEN_MINUTES,
    OpenLedger,
    at_kie,
    clock_at,
    intent,
    opened,
    submitting,
)

from kie_runway.ledger.records import Transition
from kie_runway.models import TaskState

pytestmark = pytest.mark.anyio


async def test_the_limiter_lets_only_so_many_submit_in_a_window(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entries = [(await opened(ledger, intent(f"r-{n}"))).entry for n in range(4)]
        turns = [
            await ledger.take_turn(
                entry.id,
                owner="me",
                lease=TEN_MINUTES,
                limit=LIMIT,
                now=clock_at(NOW + timedelta(seconds=number)),
            )
            for number, entry in enumerate(entries)
        ]
        late = await ledger.take_turn(
            entries[3].id,
            owner="me",
            lease=TEN_MINUTES,
            limit=LIMIT,
            now=lambda: NOW + timedelta(seconds=10),
        )

    assert [turn.entry is not None for turn in turns] == [True, True, True, False]
    assert turns[3].wait_s == pytest.approx(7, abs=0.002)  # rounded up
    assert late.entry is not None


async def test_only_one_of_two_processes_takes_the_turn(open_ledger: OpenLedger) -> None:
    async with open_ledger() as one, open_ledger() as two:
        entry = (await opened(one, intent())).entry
        turns = await asyncio.gather(
            *(
                ledger.take_turn(
                    entry.id, owner="me", lease=TEN_MINUTES, limit=LIMIT, now=lambda: NOW
                )
                for ledger in (one, two)
            )
        )

    assert sorted(turn.entry is not None for turn in turns) == [False, True]


async def test_two_processes_at_once_never_take_more_turns_than_the_limit(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as one, open_ledger() as two:
        entries = [(await opened(one, intent(f"r-{number}"))).entry for number in range(20)]
        turns = await asyncio.gather(
            *(
                ledger.take_turn(
                    entry.id, owner="me", lease=TEN_MINUTES, limit=LIMIT, now=lambda: NOW
                )
                for pair in zip(entries[::2], entries[1::2], strict=True)
                for ledger, entry in zip((one, two), pair, strict=True)
            )
        )
        sending = await one.list("local", states=[TaskState.SUBMITTING], limit=20)

    assert [turn.entry is not None for turn in turns].count(True) == LIMIT.creates
    assert len(sending) == LIMIT.creates


async def test_identical_calls_without_an_id_at_once_over_two_processes_make_one_row(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as one, open_ledger() as two:
        results = await asyncio.gather(
            *(
                opened(ledger, intent(f"r-{number}-{process}", chosen=False))
                for number in range(25)
                for process, ledger in enumerate((one, two))
            )
        )
        rows = await one.list("local", limit=50)

    assert [row.id for row in rows] == [results[0].entry.id]
    assert {result.entry.id for result in results} == {results[0].entry.id}
    assert [result.deduplicated for result in results].count(False) == 1


async def test_fifty_repeats_at_once_over_two_processes_make_one_row(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as one, open_ledger() as two:
        results = await asyncio.gather(
            *(opened(ledger, intent()) for ledger in (one, two) for _ in range(25))
        )

    assert {result.entry.id for result in results} == {results[0].entry.id}
    assert [result.deduplicated for result in results].count(False) == 1


async def test_a_submission_whose_owner_is_gone_is_unknown_and_never_queued_again(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        alive = await submitting(ledger, intent("r-1"), lease=timedelta(seconds=60))
        dead = await submitting(ledger, intent("r-2"), lease=-timedelta(seconds=1))
        stranded = await ledger.strand(now=NOW, error=ENDED)

        assert [(row.id, row.state, row.error) for row in stranded] == [
            (dead.id, TaskState.UNKNOWN, ENDED)
        ]
        assert await ledger.find("local", "r-1") == alive


async def test_changes_are_announced_after_they_are_committed(open_ledger: OpenLedger) -> None:
    seen: list[tuple[str, TaskState]] = []
    async with open_ledger() as ledger:
        ledger.subscribe(lambda entry: seen.append((entry.request_id, entry.state)))
        entry = await at_kie(ledger, intent())
        await ledger.transition(Transition(entry.id, (TaskState.FAIL,), TaskState.SUCCESS, NOW))

    assert seen == [
        ("r-1", TaskState.QUEUED),
        ("r-1", TaskState.SUBMITTING),
        ("r-1", TaskState.WAIT),
    ]


async def test_a_listener_that_breaks_silences_nobody(
    open_ledger: OpenLedger, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def fail(_: object) -> None:
        raise RuntimeError("broken")

    async with open_ledger() as ledger:
        ledger.subscribe(fail)
        ledger.subscribe(lambda entry: seen.append(entry.request_id))
        await opened(ledger, intent())

    assert seen == ["r-1"]
    assert "a listener broke off" in caplog.text


async def test_a_cancelled_caller_does_not_undo_or_hide_a_change(open_ledger: OpenLedger) -> None:
    announced = asyncio.Event()
    async with open_ledger() as ledger:
        ledger.subscribe(lambda _: announced.set())
        with anyio.CancelScope() as scope:
            scope.cancel()
            await opened(ledger, intent())
        with anyio.fail_after(60):
            await announced.wait()

        assert await ledger.find("local", "r-1") is not None


async def test_a_row_that_another_process_holds_is_not_moved_on(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await submitting(ledger, intent())
        moved = await ledger.transition(
            Transition(entry.id, (TaskState.SUBMITTING,), TaskState.QUEUED, NOW, owner="other")
        )

        assert moved is None
        assert await ledger.get(entry.id) == entry
