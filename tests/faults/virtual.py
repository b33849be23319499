"""Time that a storm moves on, for the server and for KIE alike."""

import asyncio
import heapq
import itertools
from datetime import datetime, timedelta

from kie_runway.clock import Clock
from kie_runway_sandbox import Sandbox


class VirtualClock(Clock):
    """Stands still until it is advanced; who sleeps wakes when his time has come."""

    def __init__(self, start: datetime, sandbox: Sandbox) -> None:
        self._at = start
        self._sandbox = sandbox
        self._sleepers: list[tuple[datetime, int, asyncio.Event]] = []
        self._order = itertools.count()

    def now(self) -> datetime:
        return self._at

    async def sleep(self, seconds: float) -> None:
        awake = asyncio.Event()
        due = self._at + timedelta(seconds=seconds)
        heapq.heappush(self._sleepers, (due, next(self._order), awake))
        await awake.wait()

    async def tick(self, every_s: float) -> None:
        await self.sleep(every_s)

    def advance(self, seconds: float) -> None:
        """Move on, KIE's frozen clock along with this one."""
        self._at += timedelta(seconds=seconds)
        self._sandbox.advance(seconds)
        while self._sleepers and self._sleepers[0][0] <= self._at:
            heapq.heappop(self._sleepers)[2].set()
