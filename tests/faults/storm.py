"""
Many intents at once, each with a fault of its own: two servers on one ledger, impatient agents.

Everything is real but for time, which is moved on, and the transport between agent and server.
In a calm storm agents come one by one, just below the limit of creates; in one of bursts they
come all at once, and most of them have to wait for it.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Literal

import anyio
import pytest
from pydantic import SecretStr
from tests.faults.calling_back import (
    await_callbacks,
    free_port,
    miss_attempts,
    was_called_back,
)
from tests.faults.evidence import ENDED, Evidence, Kie, LedgerFile, texts_in, videos_in
from tests.faults.gate import Plan, PlannedGate
from tests.faults.held import SharedClock, hurry
from tests.faults.kinds import choose
from tests.faults.limiting import note_waits, turns_in
from tests.faults.servers import Answer, Server
from tests.faults.stage import WEBHOOK_KEY
from tests.faults.transcript import Transcript
from tests.support import KEY, settings_for

from kie_runway import submit
from kie_runway.client import Deadlines
from kie_runway_sandbox import Sandbox, SandboxOptions, Switches, callbacks, serve
from kie_runway_sandbox.clips import STAND_IN_VIDEO

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
LANES = 12  # agents at work at once
BURST_LANES = 30  # more than may send in 10 s
PATIENCE_S = 1.0  # what a server grants KIE's answer
BURST_ANSWER_S = 0.3  # what it grants a call there, before it says how things stand
BETWEEN_S = 0.57  # of virtual time between two intents: near the limit of 18 in 10 s
TICK_S = 0.02
HELD_S = 0.005
TICKS_MOVE_S = 0.25
BURST_TICKS_MOVE_S = 0.5  # there is more to wait for
LOOK_UP_FAULTS_PERCENT = 3.0
MISSED_PERCENT = 5.0
NAMED_PERCENT = 85.0
ALEPH_PERCENT = 15.0
SUPERSEDED_PERCENT = 5.0
VIDEO_URL = "https://media.example.com/in.mp4"
MUCH_LATER_S = 46 * 60.0  # after which a user may decide to pay again
FOUND_WITHIN_S = 60.0

Missed = Literal["attempts", "tasks", "all"]
"""
What of KIE's callbacks is missed: 5 % of the attempts, of which KIE makes up to four for a task;
all attempts for 5 % of the tasks; or everything, for the servers ask for none.
"""
Wish = tuple[str, dict[str, Any]]
"""A paid tool, and its arguments."""


@dataclass
class Tally:
    """What was done in a storm."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    """Intents by their fault."""
    restarts: int = 0
    cancelled: int = 0
    decisions: int = 0
    """To pay again, if the first payment is in doubt."""
    waited: int = 0
    """Creates that the limiter let wait."""
    queued: int = 0
    """Agents who were told so."""
    saved: int = 0
    """Videos, by the server itself."""
    signed: int = 0
    """Callbacks that were taken."""

    @property
    def moments(self) -> Counter[str]:
        """All but the kinds, by the names that the report shows."""
        return Counter(
            {
                "create had to wait for the limiter": self.waited,
                "agent was told `queued`": self.queued,
                "call cancelled": self.cancelled,
                "server restarted": self.restarts,
                "decision to pay again": self.decisions,
                "signed callback taken": self.signed,
                "video saved unasked": self.saved,
            }
        )


@dataclass
class Storm:
    """The weather: what its agents work with."""

    random: Random
    sandbox: Sandbox
    gate: PlannedGate
    clock: SharedClock
    servers: list[Server]
    offline: Server
    tally: Tally
    missed: Missed
    bursts: bool
    ledger: Path
    wishes: list[Wish] = field(default_factory=list[Wish])

    async def live(self, number: int) -> None:
        """One intent, from the wish to the video, by an agent that repeats itself."""
        random = self.random
        kind = choose(random)
        self.tally.kinds[kind.name] += 1
        is_missed = random.uniform(0, 100) < MISSED_PERCENT and self.missed == "tasks"
        plan = Plan(list(kind.faults), is_called_back=not is_missed)
        wish = self._wish(number)
        self.gate.plans[wish[1]["prompt"]] = plan
        self.wishes.append(wish)
        if not self.bursts:
            await self.pass_time(BETWEEN_S)
        if kind.is_offline:
            await self.offline.call(*wish)
        if kind.client_leaves:
            await self._leave(wish, plan)
        if random.random() < 0.02:
            random.choice(self.servers).restart()
            self.tally.restarts += 1
        task = await random.choice(self.servers).call(*wish)
        self.tally.queued += task.get("state") == "queued"
        for _ in range(random.choice((0, 1, 2))):
            task = await random.choice(self.servers).call(*wish)
        while task.get("state") == "queued":
            task = await random.choice(self.servers).call(*wish)
        if random.random() < 0.7:
            for task_id in plan.task_ids:
                self.gate.finish(task_id)
        await self._follow(task)

    async def pass_time(self, seconds: float) -> None:
        """
        Move on, but not while a request is on its way: in storms time runs so much faster than
        the machine that KIE would count by other times than the limiter did.
        """
        while self.gate.is_awaiting(turns_in(self.ledger)):  # noqa: ASYNC110 it is told by a file
            await asyncio.sleep(HELD_S)
        self.clock.pass_time(seconds)

    def _wish(self, number: int) -> Wish:
        """Something that no other agent wants, most of the time with a name of its own."""
        arguments: dict[str, Any] = {"prompt": f"a boat on river {number}"}
        if self.random.random() < NAMED_PERCENT / 100:
            arguments["request_id"] = f"river-{number}"
        if self.random.random() < ALEPH_PERCENT / 100:
            return "aleph_generate", arguments | {"video_url": VIDEO_URL}
        return "generate_video", arguments

    async def _leave(self, wish: Wish, plan: Plan) -> None:
        """Begin the call and cancel it when KIE has the request."""
        server = self.random.choice(self.servers)

        async def call() -> None:
            await server.call(*wish)
            plan.posted.set()  # or never will be: the server ended before it was sent

        async with anyio.create_task_group() as calling:
            calling.start_soon(call)
            await plan.posted.wait()
            calling.cancel_scope.cancel()
        self.tally.cancelled += 1

    async def _follow(self, task: Answer) -> None:
        """Look at it, and now and then at what else there is."""
        name = task.get("request_id")
        if name is None:
            return
        server = self.random.choice(self.servers)
        await server.call("get_task", {"task_id": name})
        if self.random.random() < 0.1:
            await server.call("list_tasks", {"limit": 5})


async def storm(
    folder: Path, *, seed: str, intents: int, missed: Missed, bursts: bool = False
) -> tuple[Evidence, Tally]:
    """
    Let a storm pass, settle, and gather what is to be judged.

    Args:
        folder: For the ledger.
        seed: Chooses faults and what agents do; the order of events is left to chance.
        intents: How many.
        missed: Which callbacks do not arrive.
        bursts: Whether agents come all at once.
    """
    random = Random(seed)
    webhook_key = random.choice((None, WEBHOOK_KEY))
    options = SandboxOptions(
        keys=(KEY,),
        advance="manual",
        frozen_at=START,
        render="off",
        credits=Decimal(10_000_000),
        callback_spacing_s=0.2,
        switches=Switches(duplicate_callbacks=True, webhook_key=webhook_key),
    )
    with pytest.MonkeyPatch.context() as patch, Sandbox(options) as sandbox:
        # Made-up answers to look-ups excuse much, so the other half of all storms goes without.
        percent = random.choice((0.0, LOOK_UP_FAULTS_PERCENT))
        gate = sandbox.app = PlannedGate(sandbox, random, percent)
        clock = SharedClock(sandbox, START)
        hurry(patch, clock, deadlines=Deadlines(create_s=PATIENCE_S, read_s=PATIENCE_S))
        # Signed by the real clock otherwise, and so too long ago or not yet.
        signing = SimpleNamespace(time=lambda: clock.now().timestamp())
        patch.setattr(callbacks, "time", signing)
        if bursts:
            patch.setattr(submit, "ANSWER_WITHIN_S", BURST_ANSWER_S)
        waited = note_waits(patch)
        if missed == "attempts":
            miss_attempts(patch, random, MISSED_PERCENT)
        transcript = Transcript(sandbox.log.entries)
        tally = Tally()
        ledger = folder / "ledger.db"
        async with serve(sandbox) as running, anyio.create_task_group() as background:
            port = None if missed == "all" else free_port()
            common = {
                "home": folder,
                "database_url": f"sqlite:///{ledger}",
                "callback_url": f"http://127.0.0.1:{port}" if port else None,
                "webhook_hmac_key": SecretStr(webhook_key) if webhook_key else None,
                "autosave": random.choice((False, True)),
            }
            settings = settings_for(running.url, **common)
            servers = [Server(settings, transcript, port) for _ in range(2)]
            nowhere = settings_for(f"http://127.0.0.1:{free_port()}", **common)
            offline = Server(nowhere, transcript, None)
            weather = Storm(
                random, sandbox, gate, clock, servers, offline, tally, missed, bursts, ledger
            )
            for server in (*servers, offline):
                background.start_soon(server.run)
            await servers[0].call("list_tasks", {})  # there is a ledger now
            background.start_soon(_tick, weather)
            await _work(weather, intents)
            await _settle(weather)
            for server in (*servers, offline):
                server.stop()
            background.cancel_scope.cancel()
        evidence = Evidence(
            Kie.of(sandbox),
            LedgerFile.read(ledger),
            transcript.calls,
            settled=True,
            secrets=(KEY, WEBHOOK_KEY),
            texts=texts_in(folder),
            videos=videos_in(folder / "videos"),
            clip=STAND_IN_VIDEO,
        )
        tally.waited = len(waited)
        tally.saved = len(evidence.videos)
        if webhook_key:
            taken = sandbox.log.select("callback")
            tally.signed = sum(callback.details["acknowledged"] for callback in taken)
    return evidence, tally


async def _tick(weather: Storm) -> None:
    """Time passes also when every agent waits."""
    moved_s = BURST_TICKS_MOVE_S if weather.bursts else TICKS_MOVE_S
    while True:
        await asyncio.sleep(TICK_S)
        await weather.pass_time(moved_s)


async def _work(weather: Storm, intents: int) -> None:
    numbers = iter(range(intents))

    async def lane() -> None:
        for number in numbers:
            await weather.live(number)

    async with anyio.create_task_group() as lanes:
        for _ in range(BURST_LANES if weather.bursts else LANES):
            lanes.start_soon(lane)


async def _settle(weather: Storm) -> None:
    """End every task at KIE, and ask for every intent until nothing moves any more."""
    server = weather.servers[0]
    server.restart()
    names: dict[str, str] = {}
    for tool, arguments in weather.wishes:
        task = await server.call(tool, arguments)
        names[arguments["prompt"]] = task["request_id"]
        await _see_through(weather, (tool, arguments), task["request_id"])
    weather.clock.pass_time(MUCH_LATER_S)
    for tool, arguments in weather.wishes:
        if weather.random.uniform(0, 100) < SUPERSEDED_PERCENT:
            decided = {"request_id": names[arguments["prompt"]], "confirm": True}
            await server.call(tool, arguments | decided)
            weather.tally.decisions += 1
    _finish_all(weather)
    await await_callbacks(weather.sandbox)
    for wish in weather.wishes:
        await _see_through(weather, wish, names[wish[1]["prompt"]])
    for made in weather.sandbox.tasks:
        if was_called_back(weather.sandbox, made.task_id):
            with anyio.move_on_after(FOUND_WITHIN_S):  # the checker says if it was not found
                await _until_found(server, names[made.body["prompt"]])


async def _see_through(weather: Storm, wish: Wish, name: str) -> None:
    """Stay with an intent until its end, or its doubt."""
    server = weather.servers[0]
    while True:
        task = await server.call("get_task", {"task_id": name})
        if task["state"] in (*ENDED, "unknown"):
            return
        if task["state"] == "queued":  # its server ended before it was sent
            await server.call(*wish)
        _finish_all(weather)


async def _until_found(server: Server, name: str) -> None:
    while True:
        task = await server.call("get_task", {"task_id": name})
        if task["state"] != "unknown":
            return
        await asyncio.sleep(TICK_S)


def _finish_all(weather: Storm) -> None:
    for task in weather.sandbox.tasks:
        weather.gate.finish(task.task_id)
