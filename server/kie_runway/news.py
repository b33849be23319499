"""Tells whoever asked that tasks have changed, by whatever process."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from kie_runway.errors import LedgerError
from kie_runway.ledger.base import Entry, Ledger
from kie_runway.models import RECENT_TASKS
from kie_runway.tracker import Tracker

log = logging.getLogger(__name__)

RETRY_S = 2.0  # for a ledger that cannot be read

Topic = str | None
"""A task's id, of either sort; None: all recent tasks."""


@dataclass(frozen=True, slots=True)
class Watch:
    """
    One subscription to a topic, until it is released.

    Attributes:
        is_known: Whether the topic named a task when the subscription began.
        release: Ends it; doing so again changes nothing.
    """

    is_known: bool
    release: Callable[[], None]


@dataclass(slots=True)
class _Story:
    """A topic that somebody follows: its rows as last seen, and whom to tell."""

    rows: Sequence[Entry] = ()
    listeners: dict[object, Callable[[], None]] = field(
        default_factory=dict[object, Callable[[], None]]
    )
    watched: int | None = None
    watching: ExitStack = field(default_factory=ExitStack)

    def tell(self) -> None:
        for listener in list(self.listeners.values()):
            listener()


class News:
    """
    Compares what subscribers may read with what they could read before.

    So each change is told once, whatever made it and however: a commit here, another process,
    a newer row behind the same id. Only what has a subscriber is read at all. An unfinished task
    with a subscriber counts as watched.
    """

    def __init__(self, account: str, ledger: Ledger, tracker: Tracker) -> None:
        self._account = account
        self._ledger = ledger
        self._tracker = tracker
        self._stories: dict[Topic, _Story] = {}
        self._due: set[Topic] = set()
        self._moved = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen to the ledger and, through the tracker, to other processes."""
        self._ledger.subscribe(self._note)
        self._tracker.heed_others(self._note_others)
        self._telling = asyncio.create_task(self._tell(), name="news")

    async def aclose(self) -> None:
        """Tell nobody anything more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)

    async def watch(self, topic: Topic, listener: Callable[[], None]) -> Watch:
        """
        Have a listener called after each change of a topic, until the watch is released.

        Args:
            topic: A task id or a request_id; None for all recent tasks.
            listener: Called on the event loop; must neither wait nor raise.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        token = object()
        is_first = topic not in self._stories
        self._stories.setdefault(topic, _Story()).listeners[token] = listener

        def release() -> None:
            story = self._stories.get(topic)
            if story is None or token not in story.listeners:
                return
            del story.listeners[token]
            if not story.listeners:
                story.watching.close()
                del self._stories[topic]

        try:
            rows = await self._read(topic)
        except BaseException:
            release()
            raise
        if is_first:  # to the others, what is new has yet to be told
            self._turn_page(self._stories[topic], topic, rows)
        return Watch(topic is None or bool(rows), release)

    def tell(self, entry: Entry) -> None:
        """Call the listeners of a task though its row has not changed."""
        for topic in (entry.request_id, entry.task_id):
            if topic is not None and (story := self._stories.get(topic)) is not None:
                story.tell()

    def _note(self, entry: Entry) -> None:
        """A row was committed here."""
        self._call_for({None, entry.request_id, entry.task_id})

    def _note_others(self) -> None:
        self._call_for(set(self._stories))

    def _call_for(self, topics: set[Topic]) -> None:
        if topics := topics & self._stories.keys():
            self._due |= topics
            self._moved.set()

    async def _tell(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            due, self._due = self._due, set()
            for topic in due:
                try:
                    await self._compare(topic)
                except LedgerError:
                    log.exception("could not read what subscribers wait for")
                    self._due.add(topic)
            if self._due:
                asyncio.get_running_loop().call_later(RETRY_S, self._moved.set)

    async def _compare(self, topic: Topic) -> None:
        story = self._stories.get(topic)
        if story is None:
            return
        rows = await self._read(topic)
        if rows == story.rows:
            return
        self._turn_page(story, topic, rows)
        story.tell()

    def _turn_page(self, story: _Story, topic: Topic, rows: Sequence[Entry]) -> None:
        """Note what was read, and have an unfinished task looked at as one that is waited for."""
        story.rows = rows
        moving = rows[0].id if topic is not None and rows and rows[0].may_move else None
        if moving != story.watched:
            story.watching.close()
            story.watched = moving
            if moving is not None:
                story.watching.enter_context(self._tracker.watching(moving))

    async def _read(self, topic: Topic) -> Sequence[Entry]:
        rows: Sequence[Entry]
        if topic is None:
            rows = await self._ledger.list(self._account, limit=RECENT_TASKS)
        else:
            row = await self._ledger.find(self._account, topic)
            rows = [row] if row is not None else []
        return [_as_shown(row) for row in rows]


def _as_shown(entry: Entry) -> Entry:
    """A row without what keeps changing and nobody is shown."""
    return replace(entry, owner=None, lease_until=None, looked_at=None, save_after=None)
