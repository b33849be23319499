"""When to look at an unfinished task again: often enough to notice, seldom enough to be polite."""

from dataclasses import dataclass

FIRST_LOOK_S = 8.0
MEDIAN_S = 60.0  # until the ledger has enough samples to know better
POLL_FLOOR_S = 2.0
WATCHED_CEILING_S = 30.0
UNWATCHED_FLOOR_S = 30.0
UNWATCHED_CEILING_S = 120.0
STUCK_AFTER_S = 30 * 60.0
STUCK_EVERY_S = 60 * 60.0
LOOKS_PER_S = 10.0  # over all tasks of one process
JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The waiting policy. `scale` shrinks every figure alike, for a sandbox whose time runs faster.

    A watched task, one that somebody waits for, is looked at after 8 s, at half the median
    duration, then every 7 % of it until twice the median, and ever less after that. Unwatched:
    after 8 s, at 1.8 medians, and then after a quarter of the time elapsed. Where KIE calls
    back, looks are a safety net: at twice the median and then after 15 % of the time elapsed.
    After 30 minutes a task is stuck and looked at hourly.
    """

    scale: float = 1.0

    def next_look_s(
        self,
        looked_s: float,
        median_s: float | None = None,
        *,
        watched: bool,
        called_back: bool = False,
    ) -> float:
        """
        Seconds after acceptance at which the next look is due.

        Args:
            looked_s: When the last look was, in seconds after acceptance; 0 before the first.
            median_s: How long such tasks usually take, where that is known.
            watched: Whether somebody is waiting for the task.
            called_back: Whether KIE was asked to call back.
        """
        elapsed = looked_s / self.scale
        median = MEDIAN_S if median_s is None else median_s / self.scale
        if elapsed >= STUCK_AFTER_S:  # not a moment before it is called stuck
            due = elapsed + STUCK_EVERY_S
        elif called_back:
            due = _called_back(elapsed, median)
        elif elapsed < FIRST_LOOK_S * (1 - JITTER):
            due = FIRST_LOOK_S
        elif watched:
            due = _watched(elapsed, median)
        else:
            due = _unwatched(elapsed, median)
        return due * self.scale

    @property
    def floor_s(self) -> float:
        """The least time between two looks at one task."""
        return POLL_FLOOR_S * self.scale

    @property
    def looks_per_s(self) -> float:
        """The most looks a second at all tasks together."""
        return LOOKS_PER_S / self.scale

    def is_stuck(self, elapsed_s: float) -> bool:
        """Whether a task has been at KIE for so long that something must be wrong."""
        return elapsed_s >= STUCK_AFTER_S * self.scale


def _called_back(elapsed: float, median: float) -> float:
    if elapsed < median * 2 * (1 - JITTER):
        return median * 2
    return elapsed + max(POLL_FLOOR_S, elapsed * 0.15)


def _watched(elapsed: float, median: float) -> float:
    if elapsed < median / 2 * (1 - JITTER):
        return median / 2
    if elapsed < median * 2:
        return elapsed + max(POLL_FLOOR_S, median * 0.07)
    return elapsed + min(WATCHED_CEILING_S, elapsed * 0.06)


def _unwatched(elapsed: float, median: float) -> float:
    if elapsed < median * 1.8 * (1 - JITTER):
        return median * 1.8
    return elapsed + min(max(elapsed * 0.25, UNWATCHED_FLOOR_S), UNWATCHED_CEILING_S)
