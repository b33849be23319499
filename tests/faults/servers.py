"""Servers in this process that end and start anew while agents are calling them."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import anyio
from mcp import Client
from mcp.shared.exceptions import MCPError
from tests.faults.calling_back import taking_callbacks
from tests.faults.transcript import Transcript
from tests.support import Agent, structured

from kie_runway.pace import Pace
from kie_runway.server import create_server
from kie_runway.settings import Settings

PACE = Pace(scale=0.05)
GONE = (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)

Answer = Mapping[str, Any]
T = TypeVar("T")


class Server:
    """
    One process' worth of server, restarted on demand while agents are calling it.

    Args:
        settings: Of the server.
        transcript: Told of calls and answers.
        port: Of callbacks; None: it takes none.
    """

    def __init__(self, settings: Settings, transcript: Transcript, port: int | None) -> None:
        self._settings = settings
        self._port = port
        self._transcript = transcript
        self._agent: asyncio.Future[Agent] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self._restart = asyncio.Event()
        self._stopped = False

    async def run(self) -> None:
        """Serve, until `stop`."""
        while not self._stopped:
            self._restart.clear()
            self._ended = ended = asyncio.Event()
            server = create_server(self._settings, pace=PACE)
            async with Client(server) as client, taking_callbacks(server, self._port):
                self._agent.set_result(Agent(client))
                await self._restart.wait()
                self._agent = asyncio.get_running_loop().create_future()
            ended.set()

    def restart(self) -> None:
        """End what runs and start it anew."""
        self._restart.set()

    def stop(self) -> None:
        """End for good."""
        self._stopped = True
        self._restart.set()

    async def call(self, tool: str, arguments: Answer) -> Answer:
        """A tool's answer; asked again for as long as servers go away without one."""
        while True:
            agent = await asyncio.shield(self._agent)
            number = self._transcript.begin(tool, arguments)
            answer = await _unless(self._ended, _ask(agent, tool, arguments))
            if answer is not None:
                self._transcript.end(number, answer)
                return answer


async def _ask(agent: Agent, tool: str, arguments: Answer) -> Answer | None:
    try:
        return structured(await agent.client.call_tool(tool, dict(arguments)))
    except GONE:
        return None


async def _unless(ended: asyncio.Event, asking: Coroutine[Any, Any, T | None]) -> T | None:
    """What is awaited, or None when the server was faster to end."""
    asked, gone = asyncio.create_task(asking), asyncio.create_task(ended.wait())
    try:
        await asyncio.wait({asked, gone}, return_when=asyncio.FIRST_COMPLETED)
        return asked.result() if asked.done() else None
    finally:
        asked.cancel()
        gone.cancel()
