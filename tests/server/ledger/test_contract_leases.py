"""What every store promises about rows that a process is sending."""

from datetime import timedelta

import pytest
from tests.server.ledger.rows import (
    ENDED,
    LIMIT,
    NOW,
    TEN_MINUTES,
    OpenLedger,
    intent,
    opened,
    submitting,
)

from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry, Transition
from kie_runway.models import TaskState

pytestmark = pytest.mark.anyio

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
HOUR = timedelta(hours=1)


async def sent_by(ledger: Ledger, owner: str, request_id: str) -> Entry:
    entry = (await opened(ledger, intent(request_id))).entry
    turn = await ledger.take_turn(entry.id, owner=owner, lease=LEASE, limit=LIMIT, now=lambda: NOW)
    assert turn.entry is not None
    return turn.entry


async def test_only_a_dead_owners_rows_are_stranded(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        alive = await sent_by(ledger, "alive", "r-1")
        dead = await sent_by(ledger, "dead", "r-2")
        await ledger.extend_leases("alive", NOW + LEASE * 2)
        stranded = await ledger.strand(now=NOW + LEASE + SECOND, error=ENDED)
        left = await ledger.get(alive.id)

    assert [row.id for row in stranded] == [dead.id]
    assert left is not None
    assert (left.state, left.owner) == (TaskState.SUBMITTING, "alive")
    assert left.lease_until == NOW + LEASE * 2


async def test_a_lease_holds_until_its_last_moment(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        await sent_by(ledger, "me", "r-1")

        assert not await ledger.strand(now=NOW + LEASE, error=ENDED)
        assert await ledger.strand(now=NOW + LEASE + SECOND, error=ENDED)


async def test_one_heartbeat_renews_every_lease_of_its_process_and_no_other(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        mine = [await sent_by(ledger, "me", f"r-{number}") for number in range(2)]
        other = await sent_by(ledger, "other", "r-2")
        await ledger.extend_leases("me", NOW + HOUR)
        rows = {row.id: row.lease_until for row in await ledger.list("local", limit=9)}

    assert rows == {**{row.id: NOW + HOUR for row in mine}, other.id: NOW + LEASE}


async def test_a_heartbeat_gives_no_lease_to_what_is_not_being_sent(
    open_ledger: OpenLedger,
) -> None:
    async with open_ledger() as ledger:
        entry = await submitting(ledger, intent())
        accepted = await ledger.transition(
            Transition(
                entry.id, (TaskState.SUBMITTING,), TaskState.WAIT, NOW, {"lease_until": None}
            )
        )
        await ledger.extend_leases("me", NOW + HOUR)
        left = await ledger.get(entry.id)

    assert left == accepted


async def test_a_lease_from_before_the_clock_went_back_does_not_hold_for_ever(
    open_ledger: OpenLedger,
) -> None:
    """Its owner, if it lived, would have renewed it by the new clock."""
    async with open_ledger() as ledger:
        dead = await sent_by(ledger, "dead", "r-1")
        stranded = await ledger.strand(now=NOW - timedelta(days=1), error=ENDED)

    assert [row.id for row in stranded] == [dead.id]


async def test_a_stranded_row_is_free_of_its_owner_and_says_why(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = await sent_by(ledger, "dead", "r-1")
        (row,) = await ledger.strand(now=NOW + TEN_MINUTES, error=ENDED)
        again = await ledger.strand(now=NOW + TEN_MINUTES, error=ENDED)
        history = await ledger.history(entry.id)

    assert (row.state, row.owner, row.lease_until) == (TaskState.UNKNOWN, None, None)
    assert (row.error, row.sent_at) == (ENDED, NOW)
    assert not again
    assert [event.after for event in history][-2:] == [TaskState.SUBMITTING, TaskState.UNKNOWN]


async def test_what_waits_to_be_sent_is_never_stranded(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        entry = (await opened(ledger, intent())).entry
        stranded = await ledger.strand(now=NOW + timedelta(days=300), error=ENDED)
        left = await ledger.get(entry.id)

    assert not stranded
    assert left == entry
