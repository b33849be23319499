"""Deadlines in time that this process lived through."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

TICK_S = 1.0


@asynccontextmanager
async def patience(seconds: float) -> AsyncGenerator[None]:
    """
    End the block with a TimeoutError after that long, as `asyncio.timeout` does.

    But a process can stand still: Ctrl-Z, a sleeping laptop, a frozen container. The first thing
    it would see afterwards is that its time is over, before it looks at the answer that arrived
    meanwhile. So time is counted in ticks, standing still costs no more than the tick it began
    in, and afterwards there is always a whole tick to read what came.
    """
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def tick(due: float, left_s: float) -> None:
        nonlocal timer
        now = loop.time()
        if now > due + TICK_S:  # the process stood still
            due, left_s = now, max(left_s, TICK_S)
        if left_s > 0:
            step_s = min(left_s, TICK_S)
            timer = loop.call_at(due + step_s, tick, due + step_s, left_s - step_s)
        else:
            deadline.reschedule(now)

    async with asyncio.timeout(None) as deadline:
        tick(loop.time(), seconds)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
