"""When to look at an unfinished task again: often enough to notice, seldom enough to be polite."""

from dataclasses import dataclass

FIRST_LOOK_S = 8.0
MEDIAN_S = 60.0  # until the ledger has enough samples to know better
POLL_FLOOR_S = 2.0
WATCHED_CEILING_S = 30.0
UNWATCHED_FLOOR_S = 30.0
UNWATCHED_CEILING_S = 120.0
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The waiting policy. `scale` shrinks every figure alike, for a sandbox whose time runs faster.

    A watched task, one that somebody waits for, is looked at after 8 s, at half the median
    duration, then every 7 % of it until twice the median, and ever less after that. Unwatched:
    after 8 s, at 1.8 medians, and then after a quarter of the time elapsed.
    """

    median_s: float = MEDIAN_S
    scale: float = 1.0

    def next_look_s(self, looked_s: float | None, *, watched: bool) -> float:
        """
        Seconds after acceptance at which the next look is due.

        Args:
            looked_s: When the last look was, in seconds after acceptance; None before the first.
            watched: Whether somebody is waiting for the task.
        """
        if looked_s is None:
            return FIRST_LOOK_S * self.scale
        elapsed = looked_s / self.scale
        plan = _watched if watched else _unwatched
        return plan(elapsed, self.median_s) * self.scale

    @property
    def floor_s(self) -> float:
        """The least time between two looks at one task."""
        return POLL_FLOOR_S * self.scale


def _watched(elapsed: float, median: float) -> float:
    if elapsed < FIRST_LOOK_S * (1 - JITTER):
        return FIRST_LOOK_S
    if elapsed < median / 2 * (1 - JITTER):
        return median / 2
    if elapsed < median * 2:
        return elapsed + max(POLL_FLOOR_S, median * 0.07)
    return elapsed + min(WATCHED_CEILING_S, elapsed * 0.06)


def _unwatched(elapsed: float, median: float) -> float:
    if elapsed < FIRST_LOOK_S * (1 - JITTER):
        return FIRST_LOOK_S
    if elapsed < median * 1.8 * (1 - JITTER):
        return median * 1.8
    return elapsed + min(max(elapsed * 0.25, UNWATCHED_FLOOR_S), UNWATCHED_CEILING_S)
