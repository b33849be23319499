"""Follows unfinished tasks: one line of look-ups per task, however many callers wait for it."""

import asyncio
import heapq
import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from kie_runway.client import KieClient
from kie_runway.clock import Clock
from kie_runway.errors import (
    GenerationFailedError,
    KieError,
    KieRunwayError,
    LedgerError,
    OutcomeUnknownError,
    RateLimitedError,
    UnavailableError,
    UnknownTaskError,
)
from kie_runway.failures import explain
from kie_runway.ledger.base import Entry, Ledger
from kie_runway.models import ErrorInfo, TaskKind, TaskState, TaskUpdate
from kie_runway.pace import JITTER, Pace
from kie_runway.updates import Updates

log = logging.getLogger(__name__)

ASK_S = 25.0
GLANCE_S = 10.0  # an agent that asks in passing is not held up; the look goes on
TICK_S = 5.0  # between two progress messages
ELSEWHERE_S = 2.0  # another process may move a row that is not yet at KIE
SWEEP_EVERY_S = 30.0
RATE_LIMITED_S = 10.0  # one whole window of KIE's limiter
TROUBLE_S = 60.0  # a wrong key does not mend itself
MAX_BACKOFF_S = 60.0
INVISIBLE_GRACE_S = 90.0
EMPTY_SUCCESS_GRACE_S = 600.0

Tick = Callable[[Entry, float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Sight:
    """A task as last seen, and what stood in the way of fresher news, if anything did."""

    entry: Entry
    trouble: KieRunwayError | None = None


@dataclass(slots=True)
class _Follower:
    """What is known, beyond its row, of one task that is being followed."""

    entry: Entry
    due: float = 0.0
    looked: float | None = None
    watchers: int = 0
    failures: int = 0
    empty_since: float | None = None
    looking: asyncio.Task[None] | None = None
    trouble: KieRunwayError | None = None

    @property
    def needs_the_user(self) -> bool:
        """Whether looking again is no use before the user has done something."""
        return self.trouble is not None and self.trouble.retry == "ask_user"


class Tracker:
    """
    Keeps the ledger true to KIE and wakes whoever waits.

    Times inside are seconds of the event loop's clock; the ledger's are UTC.
    """

    def __init__(
        self, ledger: Ledger, client: KieClient, *, clock: Clock, pace: Pace | None = None
    ) -> None:
        self._ledger = ledger
        self._client = client
        self._clock = clock
        self._updates = Updates(ledger, clock)
        self._pace = pace or Pace()
        self._followers: dict[int, _Follower] = {}
        self._queue: list[tuple[float, int, int]] = []  # due, tie-breaker, entry id
        self._order = itertools.count()
        self._waiting: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self._requeued = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take up every task that has not ended, also those of an earlier process."""
        self._ledger.on_change = self._changed
        await self.sweep()
        for entry in await self._ledger.unfinished():
            self._follow(entry)
        self._loops = [
            asyncio.create_task(self._look_when_due(), name="tracker"),
            asyncio.create_task(self._sweep_now_and_then(), name="tracker sweep"),
        ]

    async def aclose(self) -> None:
        """Stop looking; the ledger keeps what is unfinished for the next start."""
        tasks = [*self._loops, *(f.looking for f in self._followers.values() if f.looking)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def find(self, account: str, any_id: str, *kinds: TaskKind) -> Entry:
        """
        A task by KIE's id or by its request_id.

        An id that only KIE knows is looked up there and recorded from then on.

        Args:
            account: Whose task.
            any_id: Either id.
            kinds: Of what the task may be, if only KIE knows it; tried in this order.

        Raises:
            UnknownTaskError: Neither the ledger nor KIE knows the id.
            KieError: The ledger does not know it and KIE could not be asked.
        """
        entry = await self._ledger.find(account, any_id)
        if entry is not None:
            return entry
        for kind in kinds:
            update = await self._ask(kind, any_id)
            if update is not None:
                return await self._adopt(account, kind, any_id, update)
        raise UnknownTaskError(
            "No task has this id. Copy a `task_id` or `request_id` that a tool returned; "
            "list_tasks shows the recent ones."
        )

    async def _adopt(self, account: str, kind: TaskKind, task_id: str, update: TaskUpdate) -> Entry:
        """Record a task that was made elsewhere."""
        adopted = Entry(
            id=0,
            account=account,
            request_id=task_id,
            kind=kind,
            state=TaskState.WAIT,
            arguments={"prompt": update.prompt} if update.prompt else {},
            created_at=self._clock.now(),
            task_id=task_id,
            parent_task_id=update.parent_task_id,
        )
        return await self._updates.apply(await self._ledger.adopt(adopted), update)

    async def _ask(self, kind: TaskKind, task_id: str) -> TaskUpdate | None:
        """What KIE says of a task that nobody follows, without its retries taking a minute."""
        try:
            async with asyncio.timeout(ASK_S):
                return await self._client.look_up(kind, task_id)
        except TimeoutError:
            raise UnavailableError("KIE did not answer in time; asking again is free.") from None

    async def wait(self, entry: Entry, seconds: float, tick: Tick | None = None) -> Sight:
        """
        Wait until a task ends, but no longer than `seconds`; 0 takes one fresh look.

        Cancelling the wait leaves the task followed.

        Args:
            entry: As `find` or `Submitter.start` returned it.
            seconds: The longest wait.
            tick: Called with the row and the seconds waited, every 5 s and on each change.
        """
        if not entry.state.may_move:
            return Sight(entry)
        if entry.state.is_at_kie:
            self._follow(entry)
        with self._watching(entry.id) as changed:
            follower = self._followers.get(entry.id)
            if seconds <= 0 or (follower is not None and follower.needs_the_user):
                await self._glance(entry.id)
            if seconds > 0:
                await self._wait(entry, seconds, changed, tick)
        follower = self._followers.get(entry.id)
        if follower is not None:
            return Sight(follower.entry, follower.trouble)
        return Sight(await self._updates.read(entry))

    async def _wait(
        self, entry: Entry, seconds: float, changed: asyncio.Event, tick: Tick | None
    ) -> None:
        began = asyncio.get_running_loop().time()
        while True:
            waited = asyncio.get_running_loop().time() - began
            follower = self._followers.get(entry.id)
            if follower is not None:
                entry = follower.entry
                if follower.needs_the_user:
                    return
            else:
                entry = await self._updates.read(entry)
                if entry.state.is_at_kie:
                    self._follow(entry)
            if tick is not None:
                await tick(entry, waited)
            if not entry.state.may_move or waited >= seconds:
                return
            changed.clear()
            pause = TICK_S if entry.state.is_at_kie else ELSEWHERE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, seconds - waited)):
                    await changed.wait()

    async def _glance(self, entry_id: int) -> None:
        """One look now, unless the last one is fresh or one is under way."""
        follower = self._followers.get(entry_id)
        if follower is None:
            return
        now = asyncio.get_running_loop().time()
        fresh = follower.looked is not None and now - follower.looked < self._pace.floor_s
        # What the user had to mend may be mended by now; an outage is given its time.
        backing_off = follower.failures and now < follower.due and not follower.needs_the_user
        if follower.looking is None and not fresh and not backing_off:
            self._look(follower)
        if follower.looking is not None:
            await asyncio.wait({follower.looking}, timeout=GLANCE_S)

    @contextmanager
    def _watching(self, entry_id: int) -> Generator[asyncio.Event]:
        """Count a caller among a task's watchers; the event is set on each change."""
        event = asyncio.Event()
        self._waiting[entry_id].add(event)
        self._recount(entry_id)
        try:
            yield event
        finally:
            self._waiting[entry_id].discard(event)
            self._recount(entry_id)
            if not self._waiting[entry_id]:
                del self._waiting[entry_id]

    def _recount(self, entry_id: int) -> None:
        follower = self._followers.get(entry_id)
        if follower is None:
            return
        was_watched, follower.watchers = follower.watchers > 0, len(self._waiting[entry_id])
        if follower.watchers and not was_watched and not follower.failures:
            self._schedule(follower)

    def _changed(self, entry: Entry) -> None:
        """The ledger committed a change: adjust who is followed, wake who waits."""
        if entry.state.is_at_kie:
            self._follow(entry)
            self._followers[entry.id].entry = entry
        else:
            self._followers.pop(entry.id, None)
        self._wake(entry.id)

    def _wake(self, entry_id: int) -> None:
        for event in self._waiting.get(entry_id, ()):
            event.set()

    def _follow(self, entry: Entry) -> None:
        if entry.id not in self._followers:
            follower = _Follower(entry, watchers=len(self._waiting.get(entry.id, ())))
            self._followers[entry.id] = follower
            self._schedule(follower)

    def _schedule(self, follower: _Follower, *, after_s: float | None = None) -> None:
        """Put the next look on the queue: by the waiting policy, or after a given pause."""
        now = asyncio.get_running_loop().time()
        if after_s is None:
            accepted = follower.entry.accepted_at or follower.entry.created_at
            elapsed = max(0.0, (self._clock.now() - accepted).total_seconds())
            looked = None if follower.looked is None else elapsed - (now - follower.looked)
            due = self._pace.next_look_s(looked, watched=follower.watchers > 0)
            after_s = (due - elapsed) * random.uniform(1 - JITTER, 1 + JITTER)
            if follower.looked is not None:
                after_s = max(after_s, self._pace.floor_s - (now - follower.looked))
        follower.due = now + max(0.0, after_s)
        heapq.heappush(self._queue, (follower.due, next(self._order), follower.entry.id))
        self._requeued.set()

    async def _look_when_due(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._requeued.clear()
            while self._queue and self._queue[0][0] <= loop.time():
                due, _, entry_id = heapq.heappop(self._queue)
                follower = self._followers.get(entry_id)
                # A follower that was rescheduled left its older places in the queue.
                if follower is not None and follower.due == due and follower.looking is None:
                    self._look(follower)
            pause = self._queue[0][0] - loop.time() if self._queue else None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._requeued.wait()

    def _look(self, follower: _Follower) -> None:
        async def look() -> None:
            try:
                await self._look_once(follower)
            except LedgerError as exc:
                self._stumble(follower, exc)
            except Exception as exc:
                log.exception("a look-up broke off")
                self._stumble(follower, KieRunwayError(f"Looking failed ({type(exc).__name__})."))
            finally:
                follower.looking = None

        follower.looking = asyncio.create_task(look())

    async def _look_once(self, follower: _Follower) -> None:
        entry = follower.entry
        assert entry.task_id is not None  # every state at KIE has one
        try:
            update = await self._client.look_up(entry.kind, entry.task_id)
        except GenerationFailedError as exc:
            self._changed(await self._updates.fail(entry, explain(exc.message)))
            return
        except KieError as exc:
            self._stumble(follower, exc)
            return
        follower.looked = asyncio.get_running_loop().time()
        follower.failures = 0
        follower.trouble = None if update is not None else self._invisible(entry)
        if update is not None:
            # Also when another process was first to record it: who waits here must wake.
            self._changed(await self._updates.apply(entry, update))
            await self._judge_empty_success(follower, update)
        if follower.entry.id in self._followers:
            self._schedule(follower)

    async def _judge_empty_success(self, follower: _Follower, update: TaskUpdate) -> None:
        """Finished, says KIE, but shows no video: the address may follow, though not for ever."""
        if update.raw_state != TaskState.SUCCESS:
            follower.empty_since = None
            return
        now = asyncio.get_running_loop().time()
        follower.empty_since = follower.empty_since or now
        if now - follower.empty_since >= EMPTY_SUCCESS_GRACE_S * self._pace.scale:
            self._changed(await self._updates.fail(follower.entry, _NO_VIDEO))

    def _stumble(self, follower: _Follower, exc: KieRunwayError) -> None:
        """No news: remember why, tell who waits, look again later and later."""
        follower.looked = asyncio.get_running_loop().time()
        follower.trouble = exc
        follower.failures += 1
        if isinstance(exc, RateLimitedError):
            pause = exc.retry_after_s or RATE_LIMITED_S
        elif follower.needs_the_user:
            pause = TROUBLE_S
        else:
            pause = min(MAX_BACKOFF_S, 2.0**follower.failures)
        self._schedule(follower, after_s=pause * self._pace.scale * random.uniform(1, 1 + JITTER))
        self._wake(follower.entry.id)

    def _invisible(self, entry: Entry) -> KieRunwayError | None:
        """KIE shows nothing for an id it gave us: normal at first, worth saying later."""
        accepted = entry.accepted_at or entry.created_at
        if self._clock.now() - accepted < timedelta(seconds=INVISIBLE_GRACE_S):
            return None
        return UnavailableError(
            "KIE does not show this task, though it accepted it. Do not start it again."
        )

    async def _sweep_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_EVERY_S)
            try:
                await self.sweep()
            except LedgerError:
                log.exception("could not sweep the ledger")

    async def sweep(self) -> None:
        """What time alone changes: submissions of ended processes, and deleted videos."""
        now = self._clock.now()
        await self._ledger.strand(now=now, error=_STRANDED)
        await self._ledger.expire(now=now)


_STRANDED = ErrorInfo.of(OutcomeUnknownError("The process that was sending it ended."))
_NO_VIDEO = ErrorInfo(
    code="no_video",
    reason="KIE says success but gives no video.",
    retry="ask_user",
    charged="yes",
)
