"""Servers that save without being asked: a real sandbox, real files, and a held clock."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.server.held import HeldClock
from tests.support import QUICK, serve_sandbox

from kie_runway import opening
from kie_runway.app import App
from kie_runway.ledger.records import Entry
from kie_runway.models import AlephRequest, GenerateRequest, TaskKind, TaskState
from kie_runway.opening import open_app
from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox

WITHIN_S = 60.0
DAY = timedelta(days=1)


class Lines(logging.Handler):
    """What the autosaver logs; the newest line can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._written: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self._written.put_nowait(record.getMessage())

    async def next(self) -> str:
        return await self._written.get()

    @property
    def is_empty(self) -> bool:
        return self._written.empty()


@dataclass
class Bench:
    """KIE, a machine's settings, and the time."""

    sandbox: Sandbox
    settings: Settings
    clock: HeldClock
    lines: Lines

    @property
    def videos(self) -> list[str]:
        """The names of all files in the output directory."""
        directory = self.settings.videos_dir
        return sorted(os.listdir(directory)) if directory.exists() else []

    @property
    def downloads(self) -> int:
        """How often the host of the videos was asked for anything."""
        return self.sandbox.requests["media"]

    @asynccontextmanager
    async def app(self, **changes: Any) -> AsyncGenerator[App]:
        """A server that saves; leaving stops it."""
        settings = self.settings.model_copy(update={"autosave": True} | changes)
        with anyio.fail_after(WITHIN_S):
            async with open_app(settings, QUICK) as app:
                yield app

    async def finished(self, count: int = 1, kind: TaskKind = TaskKind.GENERATE) -> list[Entry]:
        """Tasks that ended well under a server that does not save."""
        entries: list[Entry] = []
        async with self.app(autosave=False) as app:
            for number in range(count):
                request: GenerateRequest | AlephRequest
                if kind is TaskKind.ALEPH:
                    request = AlephRequest(prompt=f"{number}", video_url="https://a.example/v.mp4")
                else:
                    request = GenerateRequest(prompt=f"{number}", aspect_ratio="16:9")
                entry = (await app.submitter.start(app.account, request, None)).entry
                self.sandbox.finish(entry.task_id or "")
                entries.append((await app.tracker.wait(entry, WITHIN_S)).entry)
        assert {entry.state for entry in entries} == {TaskState.SUCCESS}
        assert {entry.file for entry in entries} == {None}
        return entries


@asynccontextmanager
async def open_bench(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bench]:
    """A sandbox that is served, and servers on a held clock."""
    clock = HeldClock(datetime.now(UTC))
    monkeypatch.setattr(opening, "Clock", lambda: clock)
    lines = Lines()
    log = logging.getLogger("kie_runway.autosave")
    log.addHandler(lines)
    try:
        async with serve_sandbox() as (sandbox, settings):
            yield Bench(sandbox, settings, clock, lines)
    finally:
        log.removeHandler(lines)


async def settled(
    app: App, ids: list[int], done: Callable[[Entry], bool], *others: App
) -> list[Entry]:
    """The rows, once all of them have come to what a test waits for, by whichever app."""
    changed = asyncio.Event()
    for changing in (app, *others):
        changing.ledger.subscribe(lambda _: changed.set())
    while True:
        changed.clear()
        rows = [await app.ledger.get(entry_id) for entry_id in ids]
        found = [row for row in rows if row is not None]
        if all(map(done, found)):
            return found
        await changed.wait()


def is_saved(entry: Entry) -> bool:
    return entry.file is not None


def is_expired(entry: Entry) -> bool:
    return entry.state is TaskState.EXPIRED
