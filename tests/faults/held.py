"""Time as the harness holds it, and looks at KIE that do not depend on the real one."""

import heapq
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import Any

import pytest
from tests.server.held import HeldClock

from kie_runway import opening
from kie_runway.client import KieClient
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

    def next_look_s(self, looked_s: float, *_: Any, **__: Any) -> float:
        return looked_s + 0.05


def hurry(patch: pytest.MonkeyPatch, clock: Clock, **options: Any) -> None:
    """Let every server from now on live by this clock, and its client (`options`) skip pauses."""

    async def skip(_: float) -> None:
        """Between two tries of a look-up."""

    # Read from disk for every client otherwise, those of the callbacks among them.
    patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
    patch.setattr(opening, "Clock", lambda: clock)
    patch.setattr(opening, "KieClient", partial(KieClient, sleep=skip, **options))


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
