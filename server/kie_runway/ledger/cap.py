"""The daily cap on what may be spent."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from kie_runway.errors import OverBudgetError

DAY: Final = timedelta(hours=24)


class Spend(NamedTuple):
    """What one request cost, or may have cost, and when it was sent."""

    at: datetime
    credits: float


def over_budget(
    credits: float, lately: Sequence[Spend], daily_credits: float
) -> OverBudgetError | None:
    """
    Why nothing of so many credits can be paid for now, or None if it can.

    Args:
        credits: The price; the last credit of the day may be spent.
        lately: What was sent in the last 24 hours, oldest first.
        daily_credits: The cap.
    """
    spent = left = sum(spend.credits for spend in lately)
    if _fits(credits, spent, daily_credits):
        return None
    room_at = None
    for spend in lately:
        left -= spend.credits
        if _fits(credits, left, daily_credits):
            room_at = spend.at + DAY
            break
    return OverBudgetError(credits, spent=spent, daily_credits=daily_credits, room_at=room_at)


def _fits(credits: float, spent: float, daily_credits: float) -> bool:
    return round(spent + credits - daily_credits, 6) <= 0  # 0.1 + 0.2 is not 0.3
