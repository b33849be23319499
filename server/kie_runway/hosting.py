"""uvicorn with a deadline for request heads, and an end that leaves no connection open."""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

HEAD_DEADLINE_S = 10.0  # longer than uvicorn keeps an idle connection, which it closes politely
TICKS_PER_LOOK = 10  # of 0.1 s


class Host(uvicorn.Server):
    """
    uvicorn that cuts off connections which send no whole request head in time.

    Otherwise anyone could take all there are and keep them. Requests under way, however long their
    answers are, and idle connections that are kept alive are left alone. The configuration has to
    say `http="h11", ws="none"`.

    Args:
        head_deadline_s: How long a connection may take for each request's head.
    """

    def __init__(self, config: uvicorn.Config, *, head_deadline_s: float = HEAD_DEADLINE_S) -> None:
        super().__init__(config)
        self._head_deadline_s = head_deadline_s
        # Each with its last request, so that waiting starts anew with the next one.
        self._waiting: dict[tuple[H11Protocol, RequestResponseCycle | None], float] = {}

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's own clock, ten times a second."""
        if counter % TICKS_PER_LOOK == 0:
            self._cut_off_slow(self.server_state.connections)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        try:
            await stop_accepting(self.servers)
        finally:
            await super().shutdown(sockets)

    def _cut_off_slow(self, connections: Iterable[object]) -> None:
        now = asyncio.get_running_loop().time()
        waiting = {
            (connection, connection.cycle)
            for connection in connections
            if isinstance(connection, H11Protocol) and _awaits_head(connection.cycle)
        }
        self._waiting = {key: self._waiting.get(key, now) for key in waiting}
        for (connection, _), since in self._waiting.items():
            if now - since > self._head_deadline_s:
                connection.transport.abort()


async def stop_accepting(servers: Iterable[asyncio.Server]) -> None:
    """
    Take no more connections, before servers are closed.

    One that asyncio is accepting while its server is closed would stay open for ever; accepting
    takes three steps of the event loop.
    """
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows
        for listener in [found for server in servers for found in server.sockets]:
            loop.remove_reader(listener)
    for _ in range(3):
        await asyncio.sleep(0)


def _awaits_head(last: RequestResponseCycle | None) -> bool:
    return last is None or last.response_complete
