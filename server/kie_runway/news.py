"""Tells whoever asked that tasks have changed, by whatever process."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from kie_runway.errors import LedgerError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry
from kie_runway.models import RECENT_TASKS
from kie_runway.tracker import Tracker

log = logging.getLogger(__name__)

RETRY_S = 2.0  # for a ledger that cannot be read

Topic = str | None
"""A task's id, of either sort; None: all recent tasks."""


@dataclass(frozen=True, slots=True)
class _Frames:
    """Those of a task, which change when its video does."""

    of: str


_Subject = Topic | _Frames


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
        self._stories: dict[_Subject, _Story] = {}
        self._due: set[_Subject] = set()
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

    async def watch(
        self, topic: Topic, listener: Callable[[], None], *, frames: bool = False
    ) -> Watch:
        """
        Have a listener called after each change of a topic, until the watch is released.

        Args:
            topic: A task id or a request_id; None for all recent tasks.
            listener: Called on the event loop; must neither wait nor raise.
            frames: Whether only the frames of the task matter.

        Raises:
            LedgerError: The ledger cannot be read.
        """
        subject = topic if topic is None or not frames else _Frames(topic)
        token = object()
        is_first = subject not in self._stories
        self._stories.setdefault(subject, _Story()).listeners[token] = listener

        def release() -> None:
            story = self._stories.get(subject)
            if story is None or token not in story.listeners:
                return
            del story.listeners[token]
            if not story.listeners:
                story.watching.close()
                del self._stories[subject]

        try:
            rows = await self._read(subject)
        except BaseException:
            release()
            raise
        if is_first:  # to the others, what is new has yet to be told
            self._turn_page(self._stories[subject], subject, rows)
        return Watch(subject is None or bool(rows), release)

    def tell(self, entry: Entry) -> None:
        """Call the listeners of a task though its row has not changed."""
        for topic in (entry.request_id, entry.task_id):
            if topic is not None and (story := self._stories.get(topic)) is not None:
                story.tell()

    def _note(self, entry: Entry) -> None:
        """A row was committed here."""
        ids = [id for id in (entry.request_id, entry.task_id) if id is not None]
        self._call_for({None, *ids, *map(_Frames, ids)})

    def _note_others(self) -> None:
        self._call_for(set(self._stories))

    def _call_for(self, subjects: set[_Subject]) -> None:
        if subjects := subjects & self._stories.keys():
            self._due |= subjects
            self._moved.set()

    async def _tell(self) -> None:
        while True:
            await self._moved.wait()
            self._moved.clear()
            due, self._due = self._due, set()
            for subject in due:
                try:
                    await self._compare(subject)
                except LedgerError:
                    log.exception("could not read what subscribers wait for")
                    self._due.add(subject)
            if self._due:
                asyncio.get_running_loop().call_later(RETRY_S, self._moved.set)

    async def _compare(self, subject: _Subject) -> None:
        story = self._stories.get(subject)
        if story is None:
            return
        rows = await self._read(subject)
        if rows == story.rows:
            return
        is_seen = not isinstance(subject, _Frames) or _videos(rows) != _videos(story.rows)
        self._turn_page(story, subject, rows)
        if is_seen:
            story.tell()

    def _turn_page(self, story: _Story, subject: _Subject, rows: Sequence[Entry]) -> None:
        """Note what was read, and have an unfinished task looked at as one that is waited for."""
        story.rows = rows
        moving = rows[0].id if subject is not None and rows and rows[0].may_move else None
        if moving != story.watched:
            story.watching.close()
            story.watched = moving
            if moving is not None:
                story.watching.enter_context(self._tracker.watching(moving))

    async def _read(self, subject: _Subject) -> Sequence[Entry]:
        rows: Sequence[Entry]
        if subject is None:
            rows = await self._ledger.list(self._account, limit=RECENT_TASKS)
        else:
            any_id = subject.of if isinstance(subject, _Frames) else subject
            row = await self._ledger.find(self._account, any_id)
            rows = [row] if row is not None else []
        return [_as_shown(row) for row in rows]


def _videos(rows: Sequence[Entry]) -> list[str | None]:
    return [row.video_url for row in rows]


def _as_shown(entry: Entry) -> Entry:
    """A row without what keeps changing and nobody is shown."""
    return replace(entry, owner=None, lease_until=None, looked_at=None, save_after=None)
