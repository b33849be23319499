"""What the tools work with, opened when the first of them needs it."""

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kie_runway.pace import Pace
from kie_runway.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from kie_runway.client import KieClient
    from kie_runway.clock import Clock
    from kie_runway.finder import Finder
    from kie_runway.ledger.base import Ledger
    from kie_runway.ledger.records import Entry
    from kie_runway.media import Thumbnail
    from kie_runway.news import News
    from kie_runway.saving import Saver
    from kie_runway.sheets import Sheets
    from kie_runway.submit import Submitter
    from kie_runway.tracker import Tracker
    from kie_runway.uploading import Uploader
    from kie_runway.webhooks import Webhooks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class App:
    """The parts, wired. `account` is whose rows, limits and look-ups a call means."""

    account: str
    settings: Settings
    clock: "Clock"
    ledger: "Ledger"
    client: "KieClient"
    submitter: "Submitter"
    uploader: "Uploader"
    finder: "Finder"
    tracker: "Tracker"
    news: "News"
    webhooks: "Webhooks"
    saver: "Saver"
    saved: "Callable[[Entry], Awaitable[Entry]] | None"
    """Waits for a video that is being saved unasked; None: that happens to none."""
    sheets: "Sheets"
    thumbnail: "Callable[[str], Awaitable[Thumbnail | None]]"
    pictured: "dict[int, datetime]"
    """Rows whose picture an agent has already been given: tokens are paid once."""


class Services:
    """
    Opens the app on first use, once.

    The HTTP core, SQLite and what they import are not needed to list tools, so the first
    answer does not wait for them.
    """

    def __init__(self, settings: Settings, pace: Pace) -> None:
        self._settings = settings
        self._pace = pace
        self._opening: asyncio.Task[App] | None = None
        self._app: App | None = None
        self._is_open = asyncio.Event()
        self._stack = AsyncExitStack()
        self._closing: asyncio.Task[None] | None = None

    async def ready(self) -> App:
        """
        The app, opened and following what an earlier process left unfinished.

        Whoever asks meanwhile shares the opening, and its failure.

        Raises:
            LedgerError: The ledger cannot be opened.
        """
        if self._app is not None:
            return self._app
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="opening")
        return await asyncio.shield(self._opening)

    async def _open(self) -> App:
        try:
            # The imports take tens of milliseconds; pings must not wait for them.
            opening = await asyncio.to_thread(importlib.import_module, "kie_runway.opening")
            app: App = await self._stack.enter_async_context(
                opening.open_app(self._settings, self._pace)
            )
            self._app = app
            self._is_open.set()
            return app
        finally:
            self._opening = None

    async def opened(self) -> None:
        """Return once the app is open, and leave it to others to open it."""
        await self._is_open.wait()

    async def webhooks(self) -> "Webhooks":
        """
        What takes callbacks.

        Raises:
            LedgerError: The ledger cannot be opened.
        """
        return (await self.ready()).webhooks

    async def open_early(self) -> None:
        """Open ahead of the first call; whatever fails is told to the call that needs it."""
        try:
            await self.ready()
        except Exception:
            log.exception("could not open the ledger")

    async def aclose(self) -> None:
        """
        Finish what is being sent, up to 65 s, record it, close everything; once.

        Whoever asks meanwhile shares the closing, and cuts nothing short when they are cancelled,
        as one inside the SDK is when that breaks.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="closing")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._opening is not None:
            await asyncio.wait({self._opening})
        await self._stack.aclose()
