"""A whole journey during which one operation fails, and its recovery with healthy parts."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from mcp import Client
from tests.faults.breaks import Break, DatabaseBreak, SocketBreak
from tests.faults.calling_back import LOOK_EVERY_S, free_port, is_lost, taking_callbacks
from tests.faults.evidence import ENDED, Evidence, Kie, LedgerFile, texts_in, videos_in, witness
from tests.faults.held import hurry
from tests.faults.transcript import Transcript
from tests.support import KEY, MP4, QUICK, serve_sandbox, settings_for, structured

from kie_runway import submit
from kie_runway.clock import Clock
from kie_runway.ledger import database
from kie_runway.server import create_server
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox, Switches

WISH = {"prompt": "a paper boat", "request_id": "boat"}
LATER = timedelta(seconds=60)  # longer than a lease
PAUSES = 0.03  # a server that ends tries for 13 seconds to write down what it knows
PATIENCE_S = 1.0
FOUND_WITHIN_S = 60.0
LASTING = "database fails from a commit on"
SWEEPS: dict[str, Callable[[int], Break]] = {
    "database statement fails": DatabaseBreak,
    "database commit done, reported as failed": lambda n: DatabaseBreak(
        n, commits=True, is_done=True
    ),
    LASTING: lambda n: DatabaseBreak(n, commits=True, lasts=True),
    "socket breaks before": SocketBreak,
    "socket breaks after": lambda n: SocketBreak(n, afterwards=True),
}


@dataclass
class _Moved(Clock):
    """The machine's clock, moved on; pauses are short."""

    by: timedelta = field(default_factory=timedelta)

    def now(self) -> datetime:
        return super().now() + self.by

    def steady_s(self) -> float:
        return super().steady_s() + self.by.total_seconds()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds * PAUSES)


@dataclass
class _Journey:
    """The parts of one journey."""

    settings: Settings
    port: int
    sandbox: Sandbox
    transcript: Transcript

    async def act(self, patience_s: float) -> None:
        """Start, follow, save; an agent that does not mind errors but gives up in the end."""
        server = create_server(self.settings, pace=QUICK)
        async with Client(server) as client, taking_callbacks(server, self.port):
            for _ in range(2):
                await self._call(client, "generate_video", **WISH)
            self.finish_all()
            with anyio.move_on_after(patience_s):
                await self._follow(client)
            await self._call(client, "save_video", task_id=WISH["request_id"])
            await self._call(client, "list_tasks")

    async def _follow(self, client: Client) -> None:
        while True:
            task = await self._call(client, "get_task", task_id=WISH["request_id"])
            state = task.get("state")
            if state in ENDED or (state == "unknown" and is_lost(self.sandbox)):
                return
            if state == "queued":
                await self._call(client, "generate_video", **WISH)
                self.finish_all()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _call(self, client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
        number = self.transcript.begin(tool, arguments)
        answer = structured(await client.call_tool(tool, arguments))
        self.transcript.end(number, answer)
        return answer

    def finish_all(self) -> None:
        for task in self.sandbox.tasks:
            if not task.is_finished:
                self.sandbox.finish(task.task_id)


async def sweep(
    name: str, folder: Path, *, is_unheard: bool, step: int = 1
) -> AsyncGenerator[tuple[int, Evidence]]:
    """Break one operation after the other, or every so-manieth, until there are no more."""
    for number in itertools.count(1, step):
        fault = SWEEPS[name](number)
        with TemporaryDirectory(dir=folder) as home:
            yield number, await run(fault, Path(home), is_unheard=is_unheard)
        if fault.seen < number:
            return


async def run(fault: Break, folder: Path, *, is_unheard: bool) -> Evidence:
    """
    Play the journey with the fault, then once more without it.

    With `is_unheard`, KIE's answer to the paid request gets lost as well, so that the task has
    to be found by its callback.
    """
    switches = Switches(duplicate_callbacks=True)
    async with serve_sandbox(switches=switches, callback_spacing_s=0.2) as (sandbox, plain):
        port, kie_port = free_port(), urlsplit(plain.api_url).port
        assert kie_port is not None
        ledger = folder / "ledger.db"
        settings = settings_for(
            plain.api_url,
            home=folder,
            database_url=f"sqlite:///{ledger}",
            callback_url=f"http://127.0.0.1:{port}",
        )
        journey = _Journey(settings, port, sandbox, Transcript(sandbox.log.entries))
        clock = _Moved()
        with pytest.MonkeyPatch.context() as patch, witness(sandbox, ledger) as sightings:
            hurry(patch, clock)
            patch.setattr(database, "BUSY_TIMEOUT_S", PATIENCE_S)
            patch.setattr(submit, "ANSWER_WITHIN_S", PATIENCE_S)
            fault.install(patch, kie_port)
            if is_unheard:
                sandbox.inject(Fault("lost_answer", "runway/generate"))
            await journey.act(PATIENCE_S)
            fault.is_armed = False
            clock.by += LATER
            await journey.act(FOUND_WITHIN_S)
        return Evidence(
            Kie.of(sandbox, sightings),
            LedgerFile.read(ledger),
            journey.transcript.calls,
            settled=True,
            secrets=(KEY,),
            texts=texts_in(folder),
            videos=videos_in(folder / "videos"),
            clip=MP4,
        )
