"""One server process that may die, one sandbox, one agent, and all that was seen of them."""

import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from tests.faults.calling_back import LOOK_EVERY_S, free_port, is_lost
from tests.faults.evidence import ENDED, Evidence, Kie, LedgerFile, texts_in, videos_in, witness
from tests.faults.mortal import MortalServer
from tests.faults.transcript import Transcript
from tests.support import KEY, MP4, serve_sandbox
from tests.wire import sandbox_env

from kie_runway_sandbox import Sandbox, Switches
from kie_runway_sandbox.log import EventName

WEBHOOK_KEY = "webhook-planted-key/Hq4+sD81nX=="
WISH = {"prompt": "a paper boat", "request_id": "boat"}
FOUND_WITHIN_S = 60.0
CAUGHT_UP_TURNS = 100  # of the event loop; KIE needs a few to read a request
T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """
    What a journey is played on.

    `follow`, `in_loop`, and the server's own methods block: call them from a thread, see `play`.
    """

    folder: Path
    url: str
    sandbox: Sandbox
    server: MortalServer
    transcript: Transcript
    sightings: dict[int, bool]
    neighbour: MortalServer | None = None
    """Another server on the same ledger, with no deaths planned."""
    is_over: threading.Event = field(default_factory=threading.Event)
    """Set when the journey has come to its end."""

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.folder / "home" / "ledger.db"

    async def play(self, journey: Callable[["Stage"], T]) -> T:
        """Let an agent act, in a thread, while KIE goes on here."""
        return await anyio.to_thread.run_sync(journey, self)

    def evidence(self) -> Evidence:
        """Everything to judge by, once the server has left."""
        return Evidence(
            Kie.of(self.sandbox, self.sightings),
            LedgerFile.read(self.ledger),
            self.transcript.calls,
            self.transcript.kills,
            settled=True,
            secrets=(KEY, WEBHOOK_KEY),
            texts=texts_in(self.folder),
            videos=videos_in(self.folder / "home" / "videos"),
            clip=MP4,
        )

    def in_loop(self, work: Callable[[Sandbox], T]) -> T:
        """A sandbox belongs to its event loop."""
        return anyio.from_thread.run_sync(work, self.sandbox)

    def await_event(self, event: EventName) -> None:
        """Wait until KIE has done something of this kind."""
        anyio.from_thread.run(self.sandbox.log.wait_for, event)

    def finish_all(self) -> None:
        """End every task at KIE, with a video."""

        def finish(sandbox: Sandbox) -> None:
            for task in sandbox.tasks:
                if not task.is_finished:
                    sandbox.finish(task.task_id)

        self.in_loop(finish)

    def follow(self, name: str) -> dict[str, Any]:
        """Ask for a task until it has ended, or until nothing more can come."""
        deadline = time.monotonic() + FOUND_WITHIN_S
        while True:
            task = self.server.call("get_task", task_id=name)
            if task["state"] in ENDED or time.monotonic() > deadline:
                return task  # what should have ended by then, the checker names
            if task["state"] == "queued":  # its server died before it was sent
                self.server.call("generate_video", **WISH)
                self.finish_all()
            elif task["state"] == "unknown" and self.in_loop(is_lost):
                return task
            anyio.from_thread.run(anyio.sleep, LOOK_EVERY_S)


@asynccontextmanager
async def set_stage(
    folder: Path,
    *,
    is_called_back: bool = False,
    fuses: Sequence[tuple[str, int]] = (),
    has_neighbour: bool = False,
) -> AsyncGenerator[Stage]:
    """A stage of its own in an empty folder; the first call starts a server."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    switches = Switches(webhook_key=WEBHOOK_KEY, duplicate_callbacks=True)
    async with serve_sandbox(switches=switches) as (sandbox, settings):
        env = sandbox_env(settings.api_url) | {
            "KIE_API_KEY": KEY,
            "KIE_HOME": str(home),
            "KIE_LOG_LEVEL": "DEBUG",
            "KIE_WEBHOOK_HMAC_KEY": WEBHOOK_KEY,
            "KIE_AUTOSAVE": "0",
        }
        arguments: list[str] = []
        if is_called_back:
            port = free_port()
            env["KIE_CALLBACK_URL"] = f"http://127.0.0.1:{port}"
            arguments = ["--callbacks-port", str(port)]
        transcript = Transcript(sandbox.log.entries)
        server, neighbour = (
            MortalServer(
                env,
                arguments=arguments,
                fuses=planned,
                transcript=transcript,
                caught_up=_caught_up,
                stderr=folder / "stderr.log",
                has_neighbour=has_neighbour,
            )
            for planned in (fuses, ())
        )
        with witness(sandbox, home / "ledger.db") as sightings, server, neighbour:
            yield Stage(
                folder,
                settings.api_url,
                sandbox,
                server,
                transcript,
                sightings,
                neighbour if has_neighbour else None,
            )


def _caught_up() -> None:
    anyio.from_thread.run(_turn)


async def _turn() -> None:
    for _ in range(CAUGHT_UP_TURNS):
        await anyio.lowlevel.checkpoint()
