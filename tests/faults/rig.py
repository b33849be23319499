"""Apps on one ledger that can die at any await, a KIE that calls back, and a held clock."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from tests.faults.checker import Violation, violations
from tests.faults.evidence import Evidence, Kie, LedgerFile, texts_in, token_of
from tests.faults.held import Eager, OnDemand, SharedClock
from tests.faults.power import Power
from tests.faults.transcript import Transcript
from tests.server.desk import request
from tests.support import KEY

from kie_runway import opening
from kie_runway.app import App
from kie_runway.errors import KieRunwayError
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.log import LogEntry
from kie_runway_tools.described import describe

WITHIN_S = 60.0  # real seconds; nothing waits this long unless it is broken
IDLE_TURNS = 30  # of the event loop without work, until an app counts as idle
STEP_S = 20.0  # shorter than a lease, so that no app seems to have been asleep
PATIENCE_S = 200.0  # of held time that a call may need: the longest backoffs and a lease
SETTLING_S = 1800.0


@dataclass(eq=False)
class Process:
    """One app, as if it were a process of its own."""

    app: App
    power: Power
    context: AsyncExitStack
    calls: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])


class Rig:
    """
    Everything of one run: any number of apps after and beside each other on one ledger.

    The apps are wired by the product itself. Their clock, ledger and client are the real ones,
    but for the power and the time.
    """

    def __init__(self, sandbox: Sandbox, settings: Settings, sightings: dict[int, bool]) -> None:
        self.sandbox = sandbox
        self.settings = settings
        self.clock = SharedClock(sandbox, datetime.now(UTC))
        self.transcript = Transcript(sandbox.log.entries)
        self.processes: list[Process] = []
        self._sightings = sightings
        self.opening_with = Power()
        """The power of the app that is being opened."""
        self.unreachable = 0
        """How many paid requests from now on find no connection."""
        self._eager = False

    async def open(self) -> Process:
        """Start an app."""
        power = self.opening_with = Power()
        context = AsyncExitStack()
        pace = Eager(scale=0.002) if self._eager else OnDemand()
        app = await context.enter_async_context(opening.open_app(self.settings, pace))
        process = Process(app, power, context)
        self.processes.append(process)
        await self.idle()
        return process

    async def close(self, process: Process) -> None:
        """End an app in order, as SIGTERM does."""
        closing = asyncio.create_task(process.context.aclose())
        async with asyncio.timeout(WITHIN_S):
            while process.power.is_on and not closing.done():
                await self.idle()
                await asyncio.wait({closing}, timeout=0.02)
                if not closing.done():
                    self.clock.pass_to_next()
        self.processes.remove(process)
        if process.power.is_on:
            await closing
        else:
            self.transcript.note_kill()  # its fuse burnt while it was ending
        process.power.cut()
        await self._bury(process, closing)

    async def kill(self, process: Process) -> None:
        """End an app at once."""
        if process.power.is_on:
            process.power.cut()
        if process in self.processes:
            self.processes.remove(process)
        self.transcript.note_kill()
        await self._bury(process, asyncio.create_task(process.context.aclose()))

    async def _bury(self, process: Process, closing: asyncio.Task[None]) -> None:
        for call in process.calls:
            call.cancel()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(closing, *process.calls, return_exceptions=True)
        for part in (process.app.client, process.app.ledger):
            with suppress(KieRunwayError, RuntimeError):  # it is closed already
                await part.aclose()

    async def bury_the_dead(self) -> None:
        """Clear away the apps whose fuse has burnt."""
        for process in [p for p in self.processes if not p.power.is_on]:
            await self.kill(process)

    async def generate(
        self,
        process: Process,
        prompt: str,
        request_id: str | None = None,
        *,
        confirm: bool = False,
    ) -> dict[str, Any] | None:
        """
        Call `generate_video`, with time passing as it needs.

        Returns:
            What the client was shown; None if it never heard.
        """
        arguments = {"prompt": prompt}
        arguments |= {"request_id": request_id} if request_id else {}
        number = self.transcript.begin(
            "generate_video", arguments | ({"confirm": True} if confirm else {})
        )
        answers: list[dict[str, Any]] = []

        async def call() -> None:
            try:
                opened = await process.app.submitter.start(
                    LOCAL_ACCOUNT,
                    request(prompt),
                    request_id,
                    confirmed=confirm,
                )
                answer = _shown(process, opened.entry)
            except KieRunwayError as exc:
                answer = {"error": {"code": exc.code, "charged": exc.charged}}
            if process.power.is_on:
                self.transcript.end(number, answer)
                answers.append(answer)

        calling = asyncio.create_task(call())
        process.calls.add(calling)
        calling.add_done_callback(process.calls.discard)
        await self._pump(calling, process)
        if process.power.is_on and not calling.done():
            calling.cancel()
        await self.idle()
        await self.bury_the_dead()
        return answers[0] if answers else None

    async def leave_during(self, process: Process, prompt: str, request_id: str) -> None:
        """Call `generate_video`, and go away while KIE takes its time to answer."""
        number = self.transcript.begin(
            "generate_video", {"prompt": prompt, "request_id": request_id}
        )
        self.sandbox.inject(Fault("slow_head", "runway/generate", seconds=0.05))
        reached = asyncio.create_task(
            self.sandbox.log.wait_for("create", count=len(self.sandbox.log.select("create")) + 1)
        )
        calling = asyncio.create_task(
            process.app.submitter.start(LOCAL_ACCOUNT, request(prompt), request_id)
        )
        async with asyncio.timeout(WITHIN_S):
            while not (calling.done() or reached.done()):
                await asyncio.wait(
                    {calling, reached}, timeout=0.02, return_when=asyncio.FIRST_COMPLETED
                )
                self.clock.pass_to_next()
        reached.cancel()
        calling.cancel()
        with suppress(asyncio.CancelledError, KieRunwayError):
            self.transcript.end(number, _shown(process, (await calling).entry))
        await self.idle()
        await self.bury_the_dead()

    async def look(self, process: Process, any_id: str) -> dict[str, Any] | None:
        """Call `get_task` without waiting; None if there is no answer."""
        number = self.transcript.begin("get_task", {"task_id": any_id})
        found: list[Entry] = []

        async def call() -> None:
            with suppress(KieRunwayError):
                entry = await process.app.ledger.find(LOCAL_ACCOUNT, any_id)
                if entry is not None:
                    found.append((await process.app.tracker.wait(entry, 0)).entry)

        self.clock.pass_time(3)  # looks are not taken more often than that
        calling = asyncio.create_task(call())
        process.calls.add(calling)
        await self._pump(calling, process)
        process.calls.discard(calling)
        if found and process.power.is_on:
            self.transcript.end(number, _shown(process, found[0]))
        await self.idle()
        await self.bury_the_dead()
        return _shown(process, found[0]) if found else None

    async def end(self, create: LogEntry, *, fail: bool = False) -> None:
        """End a task at KIE; returns when its callback was taken, or given up."""
        task_id = str(create.task_id)
        if self.sandbox.task(task_id).is_finished:
            return
        if fail:
            self.sandbox.fail(task_id)
        else:
            self.sandbox.finish(task_id)
        if token_of(create) is None:
            return
        async with asyncio.timeout(WITHIN_S):
            while not self._was_called_back(task_id):
                await self.sandbox.log.wait_for(
                    "callback", task_id, len(self.sandbox.log.select("callback", task_id)) + 1
                )
                await asyncio.sleep(0)
        await self.idle()
        await self.bury_the_dead()

    def _was_called_back(self, task_id: str) -> bool:
        callbacks = self.sandbox.log.select("callback", task_id)
        attempts = self.sandbox.switches.callback_attempts
        return len(callbacks) >= attempts or any(c.details["acknowledged"] for c in callbacks)

    async def call_back(self, url: str, task_id: str) -> int | None:
        """Call back in KIE's place, truly or not; the HTTP status, None if nobody answered."""
        body = {"code": 200, "msg": "ok", "data": {"task_id": task_id, "video_url": "http://x/"}}
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S) as client:
            try:
                status = (await client.post(url, json=body)).status_code
            except httpx.HTTPError:
                status = None
        await self.idle()
        await self.bury_the_dead()
        return status

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and everybody do what is due, in order."""
        end = self.clock.passed_s + seconds
        while (left := end - self.clock.passed_s) > 0:
            self.clock.pass_time(min(left, STEP_S) if self.processes else left)
            await self.idle()
        await self.bury_the_dead()

    async def idle(self) -> None:
        """Return when no app does anything but wait; an eager one always does, so soon."""
        if self._eager:
            await asyncio.sleep(0.005)
            return
        quiet = 0
        async with asyncio.timeout(WITHIN_S):
            while quiet < IDLE_TURNS:
                busy = any(process.power.busy for process in self.processes)
                quiet = 0 if busy else quiet + 1
                await asyncio.sleep(0.001 if busy else 0)

    async def settle(self) -> None:
        """
        Give everything the time it needs: end all apps, let leases run out, end all tasks while
        a new app can be called back, and let it look.
        """
        for process in list(self.processes):
            await self.close(process)
        self.sandbox.faults.clear()
        self._eager = True
        process = await self.open()
        for create in self.sandbox.log.select("create"):
            await self.end(create, fail=create.number % 3 == 0)
        passed = 0.0
        while passed < SETTLING_S and self._is_moving():
            self.clock.pass_time(5)
            passed += 5
            await asyncio.sleep(0.002)
            await self.idle()
        self._eager = False
        await self.close(process)

    def _is_moving(self) -> bool:
        """Whether a row still waits for something that is known."""
        evidence = self.evidence(settled=True)
        waiting = ("I5", "I13")
        return any(found.invariant in waiting for found in violations(evidence))

    def evidence(self, *, settled: bool = False) -> Evidence:
        """Everything that is known now."""
        return Evidence(
            kie=Kie.of(self.sandbox, self._sightings),
            ledger=LedgerFile.read(self.settings.ledger_path),
            calls=list(self.transcript.calls),
            kills=list(self.transcript.kills),
            settled=settled,
            secrets=(KEY,),
            texts=texts_in(self.settings.ledger_path.parent) if settled else (),
        )

    def check(self, *, settled: bool = False) -> list[Violation]:
        """What is broken, as far as can be told now."""
        return violations(self.evidence(settled=settled))

    async def _pump(self, task: asyncio.Task[Any], process: Process) -> None:
        """Let time pass while somebody waits for it, until the task is done or the app is off."""
        passed = 0.0
        while passed < PATIENCE_S and process.power.is_on:
            await self.idle()
            if task.done():
                break
            passed += self.clock.pass_to_next()
        await asyncio.sleep(0)


def _shown(process: Process, entry: Entry) -> dict[str, Any]:
    """A row as every tool shows it."""
    return describe(process.app, entry).model_dump(mode="json", exclude_none=True)
