"""What every store promises about callbacks."""

import asyncio
from datetime import timedelta

import pytest
from tests.server.ledger.rows import (
    NOW,
    TEN_MINUTES,
    OpenLedger,
    at_kie,
    intent,
    submitting,
    succeeded,
    unknown,
)

from kie_runway.errors import LedgerError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import CALLBACKS_PER_ENTRY, Callback

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)
STAMP = int(NOW.timestamp())


async def due(ledger: Ledger) -> list[Callback]:
    """Everything that is due, left as it is."""
    found: list[Callback] = []
    while callback := await ledger.inbox.take(now=NOW, until=NOW + TEN_MINUTES):
        found.append(callback)
    return found


async def test_a_callback_outlives_the_process_that_took_it_in(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        fresh = await ledger.inbox.receive(entry.id, "task-1", signed_at=STAMP, now=NOW)
    async with open_ledger() as ledger:
        (callback,) = await due(ledger)

    assert fresh
    assert (callback.entry_id, callback.task_id, callback.received_at) == (entry.id, "task-1", NOW)


async def test_two_processes_never_hold_one_callback_at_once(open_ledger: OpenLedger) -> None:
    async with open_ledger() as one, open_ledger() as two:
        entry = await at_kie(one, intent())
        for number in range(5):
            await one.inbox.receive(entry.id, f"t-{number}", signed_at=None, now=NOW)
        taken = await asyncio.gather(
            *(ledger.inbox.take(now=NOW, until=NOW + HOUR) for ledger in (one, two) * 5)
        )

    ids = [callback.id for callback in taken if callback is not None]
    assert len(ids) == len(set(ids)) == 5


async def test_what_is_not_settled_in_time_is_due_again_and_what_is_never(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        await ledger.inbox.receive(entry.id, "task-1", signed_at=STAMP, now=NOW)
        first = await ledger.inbox.take(now=NOW, until=NOW + HOUR)
        early = await ledger.inbox.take(now=NOW + TEN_MINUTES, until=NOW + HOUR)
        again = await ledger.inbox.take(now=NOW + HOUR, until=NOW + HOUR * 2)
        assert again is not None
        await ledger.inbox.settle(again.id, "confirmed")
        settled = await ledger.inbox.take(now=NOW + HOUR * 9, until=NOW + HOUR * 10)

    assert (first, early, settled) == (again, None, None)


async def test_a_callback_from_before_the_clock_went_back_is_due_in_time(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        entry = await unknown(ledger, intent())
        await ledger.inbox.receive(entry.id, "task-1", signed_at=STAMP, now=NOW)
        back = NOW - timedelta(days=1)
        callback = await ledger.inbox.take(now=back, until=back + TEN_MINUTES)
        held = await ledger.inbox.take(now=back, until=back + TEN_MINUTES)

    assert callback is not None
    assert held is None


async def test_a_signed_callback_counts_once_for_each_stamp(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        fresh = [
            await ledger.inbox.receive(entry.id, "task-1", signed_at=stamp, now=NOW)
            for stamp in (STAMP, STAMP, STAMP + 1)
        ]
        for callback in await due(ledger):
            await ledger.inbox.settle(callback.id, "not confirmed")
        replay = await ledger.inbox.receive(entry.id, "task-1", signed_at=STAMP, now=NOW)

        assert (fresh, replay) == ([True, False, True], False)
        assert not await due(ledger)


async def test_an_unsigned_callback_is_due_each_time_it_comes(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        for _ in range(3):
            assert await ledger.inbox.receive(entry.id, "task-1", signed_at=None, now=NOW)
            (callback,) = await due(ledger)
            await ledger.inbox.settle(callback.id, "not confirmed")


async def test_an_unsigned_callback_that_somebody_holds_is_not_given_to_another(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        await ledger.inbox.receive(entry.id, "task-1", signed_at=None, now=NOW)
        await due(ledger)
        await ledger.inbox.receive(entry.id, "task-1", signed_at=None, now=NOW)

        assert not await due(ledger)


async def test_an_unsigned_repeat_after_the_end_changes_nothing(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await at_kie(ledger, intent())
        await ledger.inbox.receive(entry.id, "task-1", signed_at=None, now=NOW)
        (callback,) = await due(ledger)
        await ledger.inbox.settle(callback.id, "confirmed")
        done = await succeeded(ledger, intent("r-2"), "task-2")
        first = await ledger.inbox.receive(done.id, "task-2", signed_at=None, now=NOW)
        (late,) = await due(ledger)
        await ledger.inbox.settle(late.id, "late")

        assert first
        assert not await ledger.inbox.receive(done.id, "task-2", signed_at=None, now=NOW)
        assert not await due(ledger)


@pytest.mark.parametrize("signed", [True, False])
async def test_no_row_takes_more_callbacks_than_the_cap(
    open_ledger: OpenLedger, signed: bool
) -> None:
    async with open_ledger() as ledger:
        entry = await submitting(ledger, intent("r-1"))
        other = await submitting(ledger, intent("r-2"))
        for number in range(CALLBACKS_PER_ENTRY):
            signed_at = STAMP + number if signed else None
            assert await ledger.inbox.receive(entry.id, f"t-{number}", signed_at=signed_at, now=NOW)
        with pytest.raises(LedgerError, match="too many callbacks"):
            await ledger.inbox.receive(entry.id, "late", signed_at=STAMP, now=NOW)
        elsewhere = await ledger.inbox.receive(other.id, "t", signed_at=None, now=NOW)
        found = await due(ledger)

    assert elsewhere
    assert len(found) == CALLBACKS_PER_ENTRY + 1


async def test_strangers_who_know_an_address_cannot_keep_out_kie(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await submitting(ledger, intent())
        for number in range(CALLBACKS_PER_ENTRY):
            await ledger.inbox.receive(entry.id, f"forged-{number}", signed_at=None, now=NOW)
        for callback in await due(ledger):
            await ledger.inbox.settle(callback.id, "refused")
        for _ in range(2):
            assert await ledger.inbox.receive(entry.id, "true", signed_at=None, now=NOW)

        assert [callback.task_id for callback in await due(ledger)] == ["true"]


async def test_signed_callbacks_never_make_room_for_their_replay(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await submitting(ledger, intent())
        for number in range(CALLBACKS_PER_ENTRY):
            await ledger.inbox.receive(entry.id, "task-1", signed_at=STAMP + number, now=NOW)
        for callback in await due(ledger):
            await ledger.inbox.settle(callback.id, "refused")

        assert not await ledger.inbox.receive(entry.id, "task-1", signed_at=STAMP, now=NOW)
        with pytest.raises(LedgerError, match="too many callbacks"):
            await ledger.inbox.receive(entry.id, "task-1", signed_at=None, now=NOW)


async def test_the_secret_part_of_an_address_finds_its_row_whatever_became_of_it(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        entry = await unknown(ledger, intent(), callback_hash="hash")

        assert await ledger.inbox.entry_of("hash") == entry
        assert await ledger.inbox.entry_of("other") is None
