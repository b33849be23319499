"""Time as the harness holds it, and looks at KIE that do not depend on the real one."""

import asyncio
import heapq
import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kie_runway.clock import Clock
from kie_runway.pace import Pace
from kie_runway_sandbox import Sandbox


@dataclass(frozen=True, slots=True)
class OnDemand(Pace):
    """Looks when it is told to, so that runs repeat: a test's real seconds decide nothing."""

    def next_look_s(self, *_: Any, **__: Any) -> float:
        return 1e6

    @property
    def floor_s(self) -> float:
        return 0.0


@dataclass(frozen=True, slots=True)
class Eager(Pace):
    """Looks again and again: with a held clock, what is usual cannot be told."""

    def next_look_s(self, looked_s: float | None, *_: Any, **__: Any) -> float:
        return (looked_s or 0.0) + 0.05


class HeldClock(Clock):
    """Time passes when the harness says so; it can be set back without that anything unhappens."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._at = datetime.now(UTC)
        self.passed_s = 0.0
        """Seconds since the beginning, wherever the hands stand."""
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return self._at

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.passed_s + seconds, next(self._numbers), woken))
        await woken

    async def tick(self, every_s: float) -> None:
        await self.sleep(every_s)

    def set_back(self, seconds: float) -> None:
        """Put the hands of this machine's clock back; KIE's goes on, and so does time itself."""
        self._at -= timedelta(seconds=seconds)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, here and at KIE; who slept until then wakes at the next turn."""
        self._at += timedelta(seconds=seconds)
        self.passed_s += seconds
        self._sandbox.advance(seconds)
        while self._sleepers and self._sleepers[0][0] <= self.passed_s:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)

    def pass_to_next(self) -> float:
        """Let time pass until somebody's sleep is over; returns the seconds."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        seconds = max(0.0, self._sleepers[0][0] - self.passed_s) if self._sleepers else 1.0
        self.pass_time(seconds)
        return seconds
