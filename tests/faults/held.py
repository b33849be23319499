"""Time as the harness holds it, and looks at KIE that do not depend on the real one."""

import heapq
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.server.held import HeldClock

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


class SharedClock(HeldClock):
    """One that KIE has, too; but the hands of KIE's are never set."""

    def __init__(self, sandbox: Sandbox, at: datetime) -> None:
        super().__init__(at)
        self._sandbox = sandbox

    def pass_time(self, seconds: float) -> None:
        self._sandbox.advance(seconds)
        super().pass_time(seconds)

    def pass_to_next(self) -> float:
        """Let time pass until somebody's sleep is over; returns the seconds."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        seconds = max(0.0, self._sleepers[0][0] - self.passed_s) if self._sleepers else 1.0
        self.pass_time(seconds)
        return seconds
