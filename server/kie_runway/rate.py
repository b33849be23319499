"""A token bucket that learns from being refused."""

RECOVERY = 0.02  # of the full rate, regained by each success
FLOOR = 0.05  # of the full rate, kept after any number of refusals


class Rate:
    """
    Lets `per_s` things happen a second, and as many at once after a rest of a second.

    Each refusal halves the rate, each success gives a little of it back. Times are seconds of
    any clock that only goes forward.
    """

    def __init__(self, per_s: float) -> None:
        self._full = per_s
        self._burst = max(1.0, per_s)
        self._per_s = per_s
        self._tokens = self._burst
        self._at: float | None = None

    @property
    def per_s(self) -> float:
        """The rate as it is now."""
        return self._per_s

    def take(self, now: float) -> float:
        """0 when it may happen now, which is then counted; else the seconds until it may."""
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_s
        self._tokens -= 1
        return 0.0

    def refused(self) -> None:
        """Halve the rate, and save nothing up."""
        self._per_s = max(self._full * FLOOR, self._per_s / 2)
        self._tokens = 0.0
        self._at = None  # nor for the time that the refused one took

    def succeeded(self) -> None:
        """Regain a little of what refusals cost."""
        self._per_s = min(self._full, self._per_s + self._full * RECOVERY)
