"""What KIE says of tasks, asked for no faster than KIE likes."""

import asyncio

from kie_runway.client import KieClient
from kie_runway.errors import RateLimitedError
from kie_runway.models import TaskKind, TaskUpdate
from kie_runway.rate import Rate


class Looker:
    """
    All look-ups of this process, within one `rate` that learns from KIE's refusals.

    Who has a list of its own, as the tracker has, takes its turns from the rate and then asks.
    """

    def __init__(self, client: KieClient, rate: Rate) -> None:
        self.rate = rate
        self._client = client

    async def look_up(self, kind: TaskKind, task_id: str) -> TaskUpdate | None:
        """
        As `KieClient.look_up`, when its turn has come.

        Raises:
            KieError: As there.
        """
        await self.turn()
        return await self.ask(kind, task_id)

    async def turn(self) -> None:
        """Wait until the rate allows one look-up, which is then counted."""
        loop = asyncio.get_running_loop()
        while True:
            pause_s = self.rate.take(loop.time())
            if not pause_s:
                return
            await asyncio.sleep(pause_s)

    async def ask(self, kind: TaskKind, task_id: str) -> TaskUpdate | None:
        """The same for whom has had its turn."""
        try:
            update = await self._client.look_up(kind, task_id)
        except RateLimitedError:
            self.rate.refused()
            raise
        self.rate.succeeded()
        return update
