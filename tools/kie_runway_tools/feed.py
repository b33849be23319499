"""What one client follows, whatever its era."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Literal

import mcp.types as t
from mcp import MCPError

from kie_runway.app import App

SUBSCRIPTIONS_MAX = 256  # of one connection or stream

Subject = tuple[Literal["resource", "task"], str]


class Feed:
    """
    What a client wants to hear of, and what of it has yet to be told.

    However often something changes, a client that reads slowly has one change of it to come.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._releases: dict[Subject, Callable[[], None]] = {}
        self._pending: dict[Subject, None] = {}
        self._arrived = asyncio.Event()
        self._is_closed = False

    async def add(self, subject: Subject, any_id: str | None, *, frames: bool = False) -> bool:
        """
        Follow a task or its `frames`, or with None all recent ones; False if there is no such task.

        Raises:
            MCPError: -32602, it would be one too many.
            LedgerError: The ledger cannot be read.
        """
        watch = await self._app.news.watch(any_id, partial(self.put, subject), frames=frames)
        if not watch.is_known or self._is_closed or subject in self._releases:
            watch.release()
        elif len(self._releases) >= SUBSCRIPTIONS_MAX:
            watch.release()
            raise too_many()
        else:
            self._releases[subject] = watch.release
        return watch.is_known

    def remove(self, subject: Subject) -> None:
        """Follow it no longer; what was not told yet stays untold."""
        if release := self._releases.pop(subject, None):
            release()
        self._pending.pop(subject, None)

    def put(self, subject: Subject) -> None:
        """It has changed."""
        self._pending[subject] = None
        self._arrived.set()

    async def take(self) -> Subject:
        """The next thing to tell."""
        while not self._pending:
            self._arrived.clear()
            await self._arrived.wait()
        subject = next(iter(self._pending))
        del self._pending[subject]
        return subject

    def close(self) -> None:
        """The client has gone."""
        self._is_closed = True
        for subject in list(self._releases):
            self.remove(subject)


def too_many() -> MCPError:
    """The refusal of more subscriptions than one client may have."""
    return MCPError(t.INVALID_PARAMS, f"At most {SUBSCRIPTIONS_MAX} subscriptions.")
