"""The sandbox: all its parts wired together, and its controls as plain methods."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter

from kie_runway_sandbox.accounts import Account
from kie_runway_sandbox.app import create_app
from kie_runway_sandbox.callbacks import Callbacks
from kie_runway_sandbox.clips import Clips, Renderer
from kie_runway_sandbox.clock import Clock
from kie_runway_sandbox.engine import Engine
from kie_runway_sandbox.faults import Endpoint, Fault, Faults
from kie_runway_sandbox.gate import Gate
from kie_runway_sandbox.log import Log
from kie_runway_sandbox.options import SWITCHES, SandboxOptions, SwitchBoard, Switches
from kie_runway_sandbox.outcomes import reason
from kie_runway_sandbox.store import Store
from kie_runway_sandbox.tasks import Failure, Task

MOVED = TypeAdapter(timedelta)


class Sandbox:
    """
    A stand-in for KIE: no key, no money, nothing leaves this machine.

    Serve it with `serve`, or mount `app` in any ASGI server. Close it when done. Its
    methods belong to the event loop in which it is served; from elsewhere, use the
    control API under `/_sandbox`.
    """

    def __init__(
        self, options: SandboxOptions | None = None, *, renderer: Renderer | None = None
    ) -> None:
        self.options = options = options or SandboxOptions()
        self._temporary: TemporaryDirectory[str] | None = None
        if options.data_dir is None:
            self._temporary = TemporaryDirectory(prefix="kie-runway-sandbox-")
        root = options.data_dir or Path(self._temporary.name if self._temporary else "")
        clips_dir, uploads_dir = root / "clips", root / "uploads"
        for folder in (clips_dir, uploads_dir):
            folder.mkdir(parents=True, exist_ok=True)

        self._store = Store(root / "sandbox.db" if options.data_dir else None)
        self._board = SwitchBoard(options.switches)
        self.clock = Clock(options.frozen_at)
        for moved in self._store.load("clock", MOVED):
            self.clock.moved = moved
        self.log = Log(self.clock, self._store)
        self.faults = Faults()
        self.clips = Clips(clips_dir, options.render, renderer)
        self._wake: asyncio.Event | None = None  # only while running
        self._deliveries: set[asyncio.Task[None]] = set()
        self._finished: deque[Task] = deque()
        """Tasks whose callbacks have not been begun."""
        self.engine = Engine(
            options,
            self._board,
            self.clock,
            self._store,
            self.log,
            uploads_dir,
            self.clips,
            on_scheduled=self._nudge,
            on_finished=self._on_finished,
        )
        self._callbacks = Callbacks(options, self._board, self.engine.media, self.log)
        self.app = Gate(create_app(self), self.faults, self.log, self.settle)
        """The ASGI application."""

    @property
    def switches(self) -> Switches:
        """The positions that are valid now."""
        return self._board.switches

    @property
    def requests(self) -> Counter[Endpoint]:
        """Requests that reached each endpoint, whatever became of them."""
        return self.app.requests

    @property
    def tasks(self) -> list[Task]:
        """All tasks of all accounts, oldest first."""
        self.settle()
        return sorted(self.engine.tasks.values(), key=lambda task: task.created_at)

    def task(self, task_id: str) -> Task:
        """One task, without counting a look-up; KeyError if there is none."""
        self.settle()
        return self.engine.tasks[task_id]

    def account(self, key: str | None = None) -> Account:
        """The account of a key (None: the first one); KeyError if the key is not accepted."""
        account = self.engine.account(key or self.options.keys[0])
        if account is None:
            raise KeyError("no such key")
        return account

    def set_credits(self, credits: Decimal | float, key: str | None = None) -> Account:
        """Set the balance of an account."""
        account = self.account(key)
        self.engine.set_credits(account, Decimal(str(credits)))
        return account

    def set_switches(self, **changes: Any) -> Switches:
        """Change some switches; ValueError for a position that does not exist."""
        positions = asdict(self._board.switches)
        self._board.switches = SWITCHES.validate_python({**positions, **changes})
        return self._board.switches

    def inject(self, fault: Fault) -> None:
        """Arm a fault."""
        self.faults.inject(fault)

    def advance(self, seconds: float) -> datetime:
        """Move the clock, and with it tasks, expiry, links and the rate limit."""
        now = self.clock.advance(seconds)
        self._store.put("clock", "moved", MOVED, self.clock.moved)
        self.settle()
        return now

    def finish(self, task_id: str) -> Task:
        """End a task with a video, at once; ValueError if it has ended."""
        task = self.task(task_id)
        self.engine.finish(task)
        return task

    def fail(self, task_id: str, code: int = 400, message: str = "AI moderator") -> Task:
        """End a task with a failure, at once; `message` may be a fragment of contract §7.5."""
        task = self.task(task_id)
        self.engine.finish(task, Failure(code, reason(message)))
        return task

    def settle(self) -> None:
        """Move every task to where the clock says it is."""
        self.engine.settle()

    def reset(self) -> None:
        """Back to the beginning: no tasks, full credits, no faults, an empty log."""
        for delivery in self._deliveries:
            delivery.cancel()
        self._finished.clear()
        self.faults.clear()
        self.engine.clear()
        self.clips.forget()
        self.log.clear()
        self._store.clear()
        self.app.requests.clear()
        self.clock.moved = timedelta()
        self._board.switches = self.options.switches

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """While this is open, tasks end on time and callbacks go out; the app's lifespan."""
        self._wake = asyncio.Event()
        ticker = asyncio.create_task(self._tick(self._wake))
        try:
            yield
        finally:
            self._wake = None
            jobs = [ticker, *self._deliveries]
            for job in jobs:
                job.cancel()
            for result in await asyncio.gather(*jobs, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    def close(self) -> None:
        """Free the worker thread, the database and the temporary directory."""
        self.clips.close()
        self._store.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def _tick(self, wake: asyncio.Event) -> None:
        while True:
            self.settle()
            while self._finished:
                delivery = asyncio.create_task(self._callbacks.deliver(self._finished.popleft()))
                self._deliveries.add(delivery)
                delivery.add_done_callback(self._deliveries.discard)
            due = self.engine.next_due()
            sleep_s = None
            if due is not None and self.clock.runs:
                sleep_s = max(0.0, (due - self.clock.now()).total_seconds())
            try:
                async with asyncio.timeout(sleep_s):
                    await wake.wait()
            except TimeoutError:
                continue
            wake.clear()

    def _on_finished(self, task: Task) -> None:
        if task.callback_url is not None:
            self._finished.append(task)
            self._nudge()

    def _nudge(self) -> None:
        if self._wake is not None:
            self._wake.set()
