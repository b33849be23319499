"""Saves finished videos without being asked, before KIE deletes them."""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final

import anyio

from kie_runway.clock import Clock
from kie_runway.errors import loggable
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry
from kie_runway.models import TaskState
from kie_runway.saving import Saver

log = logging.getLogger(__name__)

DOWNLOADS_AT_ONCE = 2
LOOK_EVERY_S = 60.0  # other processes finish tasks, too, and what failed falls due again
# How long a row is kept from other processes, so a crash costs no more. A download that takes
# longer may be begun twice; whichever is whole first stays.
HELD: Final = timedelta(minutes=5)
RETRY_MIN: Final = timedelta(minutes=5)
RETRY_MAX: Final = timedelta(hours=12)


class Autosaver:
    """
    Saves every success in the ledger that has no file, whichever process saw it end.

    What fails is logged and tried again, after pauses that grow with the video's age, until KIE
    deletes it.
    """

    def __init__(self, ledger: Ledger, saver: Saver, clock: Clock) -> None:
        self._ledger = ledger
        self._saver = saver
        self._clock = clock
        self._due = asyncio.Event()
        self._not_before: dict[int, datetime] = {}  # rows that failed
        self._tried: dict[int, asyncio.Event] = {}  # rows that somebody waits for
        # A scope of anyio's and no bare task: its cancelling waits for the thread that writes.
        self._scope = anyio.CancelScope()
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin with what is unsaved now."""
        self._ledger.subscribe(self._changed)
        self._due.set()
        self._running.append(asyncio.create_task(self._run(), name="autosave"))

    async def aclose(self) -> None:
        """Break off; half a download is removed; a later start begins it anew, after `HELD`."""
        self._scope.cancel()
        await asyncio.gather(*self._running)

    async def saved(self, entry: Entry) -> Entry:
        """
        The row of a success once this process has saved its video, or failed to.

        That may take long, or for ever where another process saves it: set a limit.

        Raises:
            LedgerError: The row cannot be read.
        """
        tried = self._tried.setdefault(entry.id, asyncio.Event())
        row = await self._ledger.get(entry.id) or entry
        if row.file is not None or entry.id in self._not_before:
            self._release(entry.id)
            return row
        await tried.wait()
        return await self._ledger.get(entry.id) or row

    def _changed(self, entry: Entry) -> None:
        if entry.state is not TaskState.SUCCESS or entry.file is not None:
            self._release(entry.id)
        else:
            self._due.set()

    def _release(self, entry_id: int) -> None:
        tried = self._tried.pop(entry_id, None)
        if tried is not None:
            tried.set()

    async def _run(self) -> None:
        with self._scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._look_now_and_then)
                for _ in range(DOWNLOADS_AT_ONCE):
                    tasks.start_soon(self._work)

    async def _look_now_and_then(self) -> None:
        while True:
            await self._clock.tick(LOOK_EVERY_S)
            self._due.set()

    async def _work(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                while await self._save_next():
                    pass
            except Exception as exc:  # most likely the ledger; it may be well again later
                log.error("cannot look for unsaved videos: %s", loggable(exc))

    async def _save_next(self) -> bool:
        """Save one video, or fail to; False when there is none to save now."""
        now = self._clock.now()
        entry = await self._ledger.take_save(now=now, until=now + HELD)
        if entry is None:
            return False
        self._due.set()  # there may be one for the other worker
        if self._not_before.get(entry.id, now) <= now:
            await self._save(entry)
        return True

    async def _save(self, entry: Entry) -> None:
        try:
            await self._saver.save(entry)
        except Exception as exc:
            self._not_before[entry.id] = retry_at(entry, self._clock.now())
            self._release(entry.id)
            log.warning("%s %s was not saved: %s", entry.kind, entry.task_id, loggable(exc))
        else:
            self._not_before.pop(entry.id, None)


def retry_at(entry: Entry, now: datetime) -> datetime:
    """When to try again: the longer ago it finished, the later."""
    age = now - (entry.finished_at or entry.created_at)
    return now + min(max(RETRY_MIN, age / 4), RETRY_MAX)
