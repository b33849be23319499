"""The sandbox's clock: wall time that can be moved, or a clock that stands still."""

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Everything that ages in the sandbox ages by this clock."""

    def __init__(self, frozen_at: datetime | None = None) -> None:
        self._frozen_at = frozen_at
        self.moved = timedelta()
        """How far the clock was moved by hand."""

    @property
    def runs(self) -> bool:
        """Whether time passes by itself."""
        return self._frozen_at is None

    def now(self) -> datetime:
        """The sandbox's time, aware, in UTC."""
        start = self._frozen_at or datetime.fromtimestamp(time.time(), UTC)
        return start.astimezone(UTC) + self.moved

    def advance(self, seconds: float) -> datetime:
        """Move the clock forward; a clock never goes back."""
        if seconds < 0:
            raise ValueError("the clock only moves forward")
        self.moved += timedelta(seconds=seconds)
        return self.now()


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970, whole seconds, as recorded from KIE (contract §6.3)."""
    return int(moment.timestamp()) * 1000
