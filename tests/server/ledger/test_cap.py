"""The daily cap's arithmetic, and the words of its refusal."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kie_runway.errors import OverBudgetError
from kie_runway.ledger.cap import DAY, Spend, over_budget

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

credits = st.integers(0, 1000).map(lambda tenths: tenths / 10)


@given(
    wanted=credits,
    cap=credits,
    lately=st.lists(st.tuples(st.integers(1, 86_399), credits), max_size=20),
)
def test_refused_is_what_does_not_fit_until_the_moment_when_it_does(
    wanted: float, cap: float, lately: list[tuple[int, float]]
) -> None:
    spends = [Spend(NOW - timedelta(seconds=ago), spent) for ago, spent in sorted(lately)[::-1]]
    refusal = over_budget(wanted, spends, cap)

    def fits(at: datetime) -> bool:
        tenths = (spend.credits * 10 for spend in spends if spend.at > at - DAY)
        return round(sum(tenths)) + round(wanted * 10) <= round(cap * 10)

    assert (refusal is None) == fits(NOW)
    if refusal is not None:
        assert (refusal.room_at is None) == (wanted > cap)
    if refusal is not None and refusal.room_at is not None:
        assert fits(refusal.room_at)
        assert not fits(refusal.room_at - timedelta(seconds=1))


def test_a_refusal_names_the_next_whole_minute_with_its_day_and_never_says_try_again() -> None:
    early = OverBudgetError(12, spent=190, daily_credits=200, room_at=NOW + timedelta(seconds=1))
    exact = OverBudgetError(12, spent=190, daily_credits=200, room_at=NOW)
    never = OverBudgetError(1_500_000, spent=0, daily_credits=1_000_000.5, room_at=None)

    assert early.reason == (
        "This video would cost about 12 credits; 190 of the 200 a day (KIE_DAILY_CREDITS) were "
        "spent in the last 24 hours. There is room for it from 2026-11-21 12:01 UTC."
    )
    assert exact.reason.endswith("from 2026-11-21 12:00 UTC.")
    assert never.reason == (
        "This video would cost about 1,500,000 credits, more than the 1,000,000.5 a day that "
        "KIE_DAILY_CREDITS allows."
    )
