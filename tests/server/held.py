"""A clock whose time passes when a test says so."""

import asyncio
import heapq
import itertools
from datetime import datetime, timedelta

from tests.server.desk import NOW

from kie_runway.clock import Clock


class HeldClock(Clock):
    """Who sleeps wakes when enough time has passed; setting the hands wakes nobody."""

    def __init__(self, at: datetime = NOW) -> None:
        self._at = at
        self.passed_s = 0.0
        """Seconds since the beginning, wherever the hands stand."""
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        return self._at

    def steady_s(self) -> float:
        return self.passed_s

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.passed_s + seconds, next(self._numbers), woken))
        self._slept.set()
        await woken

    async def tick(self, every_s: float) -> None:
        await self.sleep(every_s)

    def set_by(self, change: timedelta) -> None:
        """Set the hands forward or back; no time passes."""
        self._at += change

    def pass_time(self, seconds: float) -> None:
        """Let time pass for all who sleep."""
        self._at += timedelta(seconds=seconds)
        self.passed_s += seconds
        while self._sleepers and self._sleepers[0][0] <= self.passed_s:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)

    async def pass_sleep(self, seconds: float) -> None:
        """Let time pass, and return once somebody sleeps again."""
        self._slept.clear()
        self.pass_time(seconds)
        await self._slept.wait()
