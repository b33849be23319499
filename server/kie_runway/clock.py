"""Time, as something that tests can hold."""

import asyncio
from datetime import UTC, datetime


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return datetime.now(UTC)

    def steady_s(self) -> float:
        """Seconds that passed while the machine was awake, since whenever; no hand sets them."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(seconds)

    async def tick(self, every_s: float) -> None:
        """Return when the next round of a loop without end is due."""
        await asyncio.sleep(every_s)
