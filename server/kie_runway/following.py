"""One task that is being followed, and when it is looked at next."""

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime

from kie_runway.clock import Clock
from kie_runway.errors import KieRunwayError, StuckError, UnavailableError
from kie_runway.ledger.records import Entry
from kie_runway.medians import Medians
from kie_runway.models import RESULT_LIFETIME, TaskUpdate
from kie_runway.pace import JITTER, MEDIAN_S, UNWATCHED_CEILING_S, Pace

INVISIBLE_GRACE_S = 90.0
LOOKS_BEFORE_STUCK = 3

NOT_SHOWN = "KIE does not show this task, though it accepted it. Do not start it again."
STUCK = (
    "KIE has been working on this for over 30 minutes, far longer than usual. It is looked at "
    "every hour; do not start it again."
)


@dataclass(slots=True)
class Follower:
    """
    What is known, beyond its row, of one task that is being followed.

    Attributes:
        due: When the next look is planned, in seconds of the event loop's clock.
        watchers: How many callers wait for it here.
        looks: How many usable answers this process had.
        failures: How many looks in a row had none.
        unfinished_at: When it was last known to be unfinished.
        empty_since: When KIE first called it a success without a video; the loop's clock.
        hidden: How many usable answers in a row showed nothing.
        hidden_since: When the first of these came; the loop's clock.
        looking: The look that is under way.
        trouble: What stands in the way of fresher news, or is odd about them.
    """

    entry: Entry
    due: float = 0.0
    watchers: int = 0
    looks: int = 0
    failures: int = 0
    unfinished_at: datetime | None = None
    empty_since: float | None = None
    hidden: int = 0
    hidden_since: float = 0.0
    looking: asyncio.Task[None] | None = None
    trouble: KieRunwayError | None = None

    def note_answer(self, update: TaskUpdate | None) -> None:
        """Count an answer that was usable."""
        self.looks += 1
        self.failures = 0
        if update is not None:
            self.hidden = 0
            return
        if not self.hidden:
            self.hidden_since = asyncio.get_running_loop().time()
        self.hidden += 1

    @property
    def needs_the_user(self) -> bool:
        """Whether looking again is no use before the user has done something."""
        return self.trouble is not None and self.trouble.retry == "ask_user"

    @property
    def is_no_use_waiting(self) -> bool:
        """Whether a wait of a minute cannot bring news."""
        return self.needs_the_user or isinstance(self.trouble, StuckError)


class Plan:
    """
    The waiting policy, applied to tasks as they stand.

    Whatever the clock does meanwhile, the next look is never further off than the policy's
    longest pause.
    """

    def __init__(self, pace: Pace, medians: Medians, clock: Clock) -> None:
        self._pace = pace
        self._medians = medians
        self._clock = clock

    def pause_s(self, follower: Follower) -> float:
        """Seconds until the next look."""
        entry = follower.entry
        elapsed = max(0.0, self._elapsed_s(entry))
        since_look = self._since_look_s(entry)
        looked = 0.0 if since_look is None else min(elapsed, max(0.0, elapsed - since_look))
        due = self._pace.next_look_s(
            looked,
            self._medians.of(entry),
            watched=follower.watchers > 0,
            called_back=entry.callback_hash is not None,
        )
        pause = (due - elapsed) * random.uniform(1 - JITTER, 1 + JITTER)
        if since_look is not None:
            pause = max(pause, self._pace.floor_s - max(0.0, since_look))
        if follower.looks < LOOKS_BEFORE_STUCK and self._pace.is_stuck(elapsed):
            # The clock may just have been set, or the machine have slept.
            pause = min(pause, UNWATCHED_CEILING_S * self._pace.scale)
        return max(0.0, pause)

    def poll_s(self, entry: Entry) -> float:
        """Seconds until the next look at a task that somebody watches, were the last one now."""
        elapsed = max(0.0, self._elapsed_s(entry))
        due = self._pace.next_look_s(elapsed, self._medians.of(entry), watched=True)
        return max(due - elapsed, self._pace.floor_s)

    def usual_s(self, entry: Entry) -> float:
        """Seconds that tasks like this one usually take."""
        learned = self._medians.of(entry)
        return MEDIAN_S * self._pace.scale if learned is None else learned

    def is_fresh(self, entry: Entry) -> bool:
        """Whether a task was looked at just now, by whatever process."""
        since_look = self._since_look_s(entry)
        return since_look is not None and 0 <= since_look < self._pace.floor_s

    def is_stuck(self, entry: Entry) -> bool:
        """Whether a task has been at KIE for far too long."""
        return self._pace.is_stuck(self._elapsed_s(entry))

    def is_forgotten(self, follower: Follower) -> bool:
        """
        Whether KIE shows nothing of a task because it has deleted its record.

        By then the video is gone. That time has passed is not proof enough: the clock may be far
        ahead, or have been set since, and a young task be slow to show.
        """
        hidden_s = asyncio.get_running_loop().time() - follower.hidden_since
        return (
            follower.hidden >= LOOKS_BEFORE_STUCK
            and hidden_s >= INVISIBLE_GRACE_S * self._pace.scale
            and self._elapsed_s(follower.entry) > RESULT_LIFETIME.total_seconds()
        )

    def oddity(self, entry: Entry, update: TaskUpdate | None) -> KieRunwayError | None:
        """What is worth saying about an answer that was in order."""
        elapsed = self._elapsed_s(entry)
        if update is None:
            # KIE shows nothing for an id it gave us: normal at first.
            if elapsed < INVISIBLE_GRACE_S:
                return None
            return UnavailableError(NOT_SHOWN)
        if not update.state.is_terminal and self.is_stuck(entry):
            return StuckError(STUCK)
        return None

    def _elapsed_s(self, entry: Entry) -> float:
        """Since KIE took the task."""
        return (self._clock.now() - (entry.accepted_at or entry.created_at)).total_seconds()

    def _since_look_s(self, entry: Entry) -> float | None:
        at = entry.looked_at
        return None if at is None else (self._clock.now() - at).total_seconds()
