"""A server, a KIE and a clock for the obedient agent; an hour passes in a moment."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.types import CallToolResult
from tests.obedient.agent import Arguments
from tests.support import Era, structured

from kie_runway import opening
from kie_runway.clock import Clock
from kie_runway.exchange import Exchange
from kie_runway.fetch import Fetcher
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox

WITHIN_S = 3600.0  # of that time; a busy machine is given plenty
STILL_S = 0.02  # of real time without an answer: then only time can bring it
STRIDE_S = 5.0


class MovableClock(Clock):
    """The machine's clock, set forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass
class SmallWorld:
    """
    Where an obedient agent lives.

    The clocks of the server, of its event loop and of KIE are set forward together, whenever a
    call waits and nothing is under way between them, or the agent has been told to wait. So all
    runs at its real pace, and takes no time.
    """

    sandbox: Sandbox
    settings: Settings
    clock: MovableClock = field(default_factory=MovableClock)
    client: Client | None = None
    answers: list[Arguments] = field(default_factory=list[Arguments])
    meanwhile: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])
    """What happens, one each time, while the agent has been told to wait."""
    patient: bool = True
    """Whether time waits for what is under way."""
    _under_way: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put every server that is opened from now on under this world's clock."""
        self._idle.set()
        loop = asyncio.get_running_loop()
        real_time = loop.time
        monkeypatch.setattr(loop, "time", lambda: real_time() + self.clock.ahead.total_seconds())
        monkeypatch.setattr(opening, "Clock", lambda: self.clock)
        for owner, name in (
            (Exchange, "pooled"),
            (Exchange, "fresh"),
            (Fetcher, "fetch_to"),
            (Fetcher, "fetch_bytes"),
            (SqliteLedger, "take_look"),
            (SqliteLedger, "take_turn"),
            (SqliteLedger, "transition"),
        ):
            monkeypatch.setattr(owner, name, self._counted(getattr(owner, name)))

    @asynccontextmanager
    async def server(
        self, era: Era, asked: ElicitationFnT | None = None, **changes: Any
    ) -> AsyncGenerator[None]:
        """
        A server with a client; leaving ends it, as a restart would.

        Args:
            era: Of the protocol.
            asked: What the client does with questions; None: it takes none.
            changes: Of the settings.
        """
        settings = self.settings.model_copy(update=changes)
        async with Client(
            create_server(settings), mode=era, elicitation_callback=asked
        ) as self.client:
            yield

    async def call(self, tool: str, arguments: Arguments) -> CallToolResult:
        assert self.client is not None

        begun = self.now()
        calling = asyncio.create_task(self.client.call_tool(tool, arguments))
        while not calling.done():
            await asyncio.wait({calling}, timeout=STILL_S)
            if not calling.done():
                self._stride()
            assert self.now() - begun < timedelta(seconds=WITHIN_S), (tool, arguments)
        result = calling.result()
        self.answers.append(structured(result))
        return result

    async def pass_time(self, seconds: float) -> None:
        self.move(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        # Whose time has come gets it: callbacks, look-ups, sweeps.
        await asyncio.sleep(STILL_S)
        await self._idle.wait()

    def now(self) -> datetime:
        return self.clock.now()

    @property
    def charges(self) -> int:
        """How many videos KIE has charged for, refunds left aside."""
        return len(self.sandbox.log.select("create"))

    def _stride(self) -> None:
        """Set the clocks forward; nothing that is under way may run out of time by that."""
        if not (self._under_way and self.patient):
            self.move(STRIDE_S)

    def move(self, seconds: float) -> None:
        """Set the clocks forward."""
        self.clock.ahead += timedelta(seconds=seconds)
        self.sandbox.advance(seconds)

    def _counted(self, send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*args: Any, **kwargs: Any) -> Any:
            self._under_way += 1
            self._idle.clear()
            try:
                return await send(*args, **kwargs)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()

        return counted
