"""The limiter of every store, by clocks that jump."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.server.ledger.rows import LIMIT, NOW, TEN_MINUTES, OpenLedger, intent, opened

from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Turn

pytestmark = pytest.mark.anyio

HOUR_S = 3600.0
SMALL_JUMP_S = 60.0  # by less than that, the clocks of two callers may differ
MS = 0.001  # waits are rounded up


async def turn(ledger: Ledger, entry_id: int, at_s: float) -> Turn:
    now = NOW + timedelta(seconds=at_s)
    return await ledger.take_turn(
        entry_id, owner="me", lease=TEN_MINUTES, limit=LIMIT, now=lambda: now
    )


async def queued(ledger: Ledger, count: int, account: str = "local") -> list[int]:
    return [
        (await opened(ledger, intent(f"r-{number}", account=account))).entry.id
        for number in range(count)
    ]


@pytest.mark.parametrize("back_s", [61.0, HOUR_S, HOUR_S * 24 * 365])
async def test_a_clock_that_goes_back_blocks_nobody_for_longer_than_one_window(
    open_ledger: OpenLedger, back_s: float
) -> None:
    async with open_ledger() as ledger:
        rows = await queued(ledger, LIMIT.creates + 1)
        for row in rows[:-1]:
            await turn(ledger, row, 0)
        blocked = await turn(ledger, rows[-1], -back_s)
        assert blocked.wait_s is not None
        let_through = await turn(ledger, rows[-1], blocked.wait_s - back_s)

    assert blocked.wait_s <= LIMIT.window_s + MS
    assert let_through.entry is not None


@pytest.mark.parametrize("back_s", [0.5, 5.0, 59.0])
async def test_a_clock_that_goes_back_a_little_blocks_for_as_much_longer(
    open_ledger: OpenLedger, back_s: float
) -> None:
    async with open_ledger() as ledger:
        rows = await queued(ledger, LIMIT.creates + 1)
        for row in rows[:-1]:
            await turn(ledger, row, 0)
        blocked = await turn(ledger, rows[-1], -back_s)
        let_through = await turn(ledger, rows[-1], LIMIT.window_s)

    assert blocked.wait_s == LIMIT.window_s + back_s + MS
    assert let_through.entry is not None


async def test_a_refused_turn_leaves_the_row_queued_and_unsent(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        rows = await queued(ledger, LIMIT.creates + 1)
        for row in rows[:-1]:
            await turn(ledger, row, 0)
        await turn(ledger, rows[-1], 1)
        left = await ledger.get(rows[-1])
        history = await ledger.history(rows[-1])

    assert left is not None
    assert (left.owner, left.lease_until, left.sent_at) == (None, None, None)
    assert len(history) == 1


async def test_a_row_that_is_being_sent_gives_no_second_turn(open_ledger: OpenLedger) -> None:
    async with open_ledger() as ledger:
        (row,) = await queued(ledger, 1)
        await turn(ledger, row, 0)

        assert await turn(ledger, row, 60) == Turn()
        assert await turn(ledger, 1000, 0) == Turn()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
)
@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 8, width=32),  # seconds that pass
            st.sampled_from([0.0, 0.0, 0.0, -HOUR_S, -30.0, -1.0]),  # the clock is set back
        ),
        max_size=14,
    )
)
@example(
    [
        (1.6733856201171875, 0.0),
        (0.0, 0.0),
        (0.0, 0.0),
        (1.2946455478668213, 0.0),
        (1.6604690551757812, -30.0),
    ]
)
def test_however_often_the_clock_goes_back_the_limit_holds_and_nobody_starves(
    open_ledger: OpenLedger, steps: list[tuple[float, float]]
) -> None:
    asyncio.run(_play(open_ledger, steps))


async def _play(open_ledger: OpenLedger, steps: list[tuple[float, float]]) -> None:
    """Time only goes forward; what the clock shows does not."""
    async with open_ledger() as ledger:
        account = f"account {len(await ledger.list('all', limit=10_000))}"
        await opened(ledger, intent(account, account="all"))
        rows = await queued(ledger, len(steps) + LIMIT.creates, account)
        passed = shown = 0.0
        sent: list[float] = []
        for pause, jump in [*steps, *[(LIMIT.window_s, 0.0)] * LIMIT.creates]:
            passed += pause
            shown += pause + jump
            result = await turn(ledger, rows[0], shown)
            if result.entry is not None:
                sent.append(passed)
                rows.pop(0)
            else:
                assert result.wait_s is not None
                assert 0 < result.wait_s <= LIMIT.window_s + SMALL_JUMP_S + MS
                passed, shown = passed + result.wait_s, shown + result.wait_s
                assert (await turn(ledger, rows.pop(0), shown)).entry is not None
                sent.append(passed)
        # The clock of the store has milliseconds.
        assert all(
            late - early >= LIMIT.window_s - 0.01
            for early, late in zip(sent, sent[LIMIT.creates :], strict=False)
        )
