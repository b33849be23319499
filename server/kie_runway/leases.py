"""Whose hands a paid request is in: a process that sends one keeps saying that it lives."""

import asyncio
import logging
import os
import secrets
from datetime import datetime, timedelta
from typing import Final

from kie_runway.clock import Clock
from kie_runway.errors import LedgerError, OutcomeUnknownError
from kie_runway.ledger.base import Ledger
from kie_runway.models import ErrorInfo
from kie_runway.rescue import Rescue

log = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=30)
HEARTBEAT_S = 10.0  # leases are renewed this often, so one that ran out had a dead owner
CLOCK_JUMP_S = 5.0
PATIENCE_S = 2 * HEARTBEAT_S  # until all who live have renewed theirs by a clock that was set


class Leases:
    """
    The leases of this process, the `owner` of the rows that it is sending, of one `length`.

    Rows whose owner died while sending become `unknown`: never `queued` again, for the request
    may have left.
    """

    def __init__(self, ledger: Ledger, clock: Clock, rescue: Rescue) -> None:
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.length = LEASE
        self._ledger = ledger
        self._clock = clock
        self._rescue = rescue
        self._heart: asyncio.Task[None] | None = None
        self._offset_s: float | None = None
        self._judging_from_s = 0.0

    async def open(self) -> None:
        """
        Find what ended processes left half sent; show from now on that this one lives.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        await self.beat()
        self._heart = asyncio.create_task(self._beat_on(), name="heartbeat")

    async def aclose(self) -> None:
        """Stop; what this process still holds is stranded when its lease runs out."""
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)

    async def beat(self) -> None:
        """
        Renew this process's leases, then strand those that ran out, less what was rescued.

        None is stranded soon after the clock was set, or the machine slept: then all have run
        out, also those of the living.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        now = self._clock.now()
        await self._ledger.extend_leases(self.owner, now + self.length)
        try:
            await self._rescue.give_back(self._ledger)
        except LedgerError:  # what was kept may wait; the server may start
            log.exception("could not give back kept task ids")
        if self._may_judge(now):
            await self._ledger.strand(now=now, error=_STRANDED)
        await self._rescue.stock()

    def _may_judge(self, now: datetime) -> bool:
        """Whether the clock has gone evenly for long enough to tell dead owners by it."""
        steady_s = self._clock.steady_s()
        before, self._offset_s = self._offset_s, now.timestamp() - steady_s
        if before is not None and abs(self._offset_s - before) > CLOCK_JUMP_S:
            self._judging_from_s = steady_s + PATIENCE_S
        return steady_s >= self._judging_from_s

    async def _beat_on(self) -> None:
        while True:
            await self._clock.tick(HEARTBEAT_S)
            try:
                await self.beat()
            except Exception:  # a heart that stopped would give up requests under way
                log.exception("could not renew leases")


_STRANDED = ErrorInfo.of(OutcomeUnknownError("The process that was sending it ended, or hangs."))
