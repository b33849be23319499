"""What an account sent lately: for KIE's rate limit, and for the daily cap."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

from kie_runway.errors import OverBudgetError
from kie_runway.ledger.cap import DAY, Spend, over_budget
from kie_runway.ledger.database import Database
from kie_runway.ledger.records import Limit
from kie_runway.ledger.rows import CLOCK_JUMP_MS, to_ms, to_time


class SqliteSends:
    """
    Reads `submitting` events, and mends their times where the clock went back.

    All of it runs in one of the database's threads.
    """

    def __init__(self, database: Database, daily_credits: float | None) -> None:
        self._database = database
        self._daily_credits = daily_credits

    @property
    def _db(self) -> sqlite3.Connection:
        return self._database.connection

    def wait_s(self, account: str, limit: Limit, now: datetime) -> float | None:
        """Seconds until the limit allows one more; None when it does now."""
        self._mend(account, now)
        at, window_ms = to_ms(now), round(limit.window_s * 1000)
        recent = self._db.execute(
            "SELECT at FROM events WHERE account = ? AND to_state = 'submitting' AND at > ?"
            " ORDER BY at DESC LIMIT 1 OFFSET ?",
            (account, at - window_ms, limit.creates - 1),
        ).fetchone()
        if recent is None:
            return None
        # The ledger's times are rounded to milliseconds; none may be waited for in vain.
        return (int(recent["at"]) + window_ms - at + 1) / 1000

    def lately(self, account: str, now: datetime) -> Sequence[Spend]:
        """What may have been charged in the last 24 hours, oldest first."""
        rows = self._db.execute(
            "SELECT max(events.at) AS at, coalesce(entries.credits, 0) AS credits"
            " FROM events JOIN entries ON entries.id = events.entry_id"
            " WHERE events.account = ? AND events.to_state = 'submitting' AND events.at > ?"
            " AND entries.state NOT IN ('queued', 'rejected')"
            " GROUP BY entries.id ORDER BY 1",
            (account, to_ms(now - DAY)),
        )
        return [Spend(to_time(row["at"]), row["credits"]) for row in rows]

    def spent(self, account: str, now: datetime) -> float:
        """The credits of it all."""
        return sum(spend.credits for spend in self.lately(account, now))

    def over_budget(
        self, account: str, credits: float | None, now: datetime
    ) -> OverBudgetError | None:
        """Why the cap, if there is one, forbids to send something of so many credits."""
        if self._daily_credits is None:
            return None
        self._mend(account, now)
        return over_budget(credits or 0, self.lately(account, now), self._daily_credits)

    def _mend(self, account: str, now: datetime) -> None:
        """If the clock went back, what was sent in its future was sent by now at the latest."""
        self._db.execute(
            "UPDATE events SET at = ? WHERE account = ? AND to_state = 'submitting' AND at > ?",
            (to_ms(now), account, to_ms(now) + CLOCK_JUMP_MS),
        )
