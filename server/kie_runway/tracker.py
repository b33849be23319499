"""Follows unfinished tasks: one line of look-ups per task, whoever and however many wait for it."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from kie_runway.agenda import Agenda
from kie_runway.clock import Clock
from kie_runway.errors import (
    GenerationFailedError,
    KieError,
    KieRunwayError,
    LedgerError,
    RateLimitedError,
    UnavailableError,
)
from kie_runway.failures import explain
from kie_runway.following import Follower, Plan
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Entry
from kie_runway.looker import Looker
from kie_runway.medians import Medians
from kie_runway.models import ErrorInfo, TaskState, TaskUpdate
from kie_runway.pace import JITTER, Pace
from kie_runway.updates import Updates

log = logging.getLogger(__name__)

GLANCE_S = 10.0  # an agent that asks in passing is not held up; the look goes on
TICK_S = 5.0  # between two progress messages
ELSEWHERE_S = 2.0  # between two glances at what other processes wrote
SWEEP_EVERY_S = 30.0
CLOCK_JUMP_S = 5.0
RATE_LIMITED_S = 10.0  # one whole window of KIE's limiter
TROUBLE_S = 60.0  # a wrong key does not mend itself
MAX_BACKOFF_S = 60.0
EMPTY_SUCCESS_GRACE_S = 600.0

Tick = Callable[[Entry, float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Sight:
    """A task as last seen, and what stood in the way of fresher news, if anything did."""

    entry: Entry
    trouble: KieRunwayError | None = None


class Tracker:
    """
    Keeps the ledger true to KIE and wakes whoever waits.

    All processes on a ledger follow all of its tasks, and share the looks: a row says when
    anybody last set out to look, and each look begins by claiming the next one there.
    """

    def __init__(self, ledger: Ledger, looker: Looker, *, clock: Clock, pace: Pace) -> None:
        self._ledger = ledger
        self._looker = looker
        self._clock = clock
        self._pace = pace
        self._updates = Updates(ledger, clock)
        self._medians = Medians(ledger)
        self._plan = Plan(self._pace, self._medians, clock)
        self._agenda = Agenda(looker.rate)
        self._followers: dict[int, Follower] = {}
        self._waiting: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self._heeding: list[Callable[[], None]] = []
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """
        Take up every task that has not ended, also those of an earlier process.

        Raises:
            LedgerError: The ledger cannot be read or written.
        """
        self._ledger.subscribe(self._changed)
        await self._ledger.moved_elsewhere()
        await self.sweep()
        for entry in await self._ledger.at_kie():
            self._follow(entry)
        self._loops = [
            asyncio.create_task(self._look_when_due(), name="tracker"),
            asyncio.create_task(self._sweep_now_and_then(), name="tracker sweep"),
            asyncio.create_task(self._notice_other_processes(), name="tracker elsewhere"),
        ]

    async def aclose(self) -> None:
        """Stop looking; the ledger keeps what is unfinished for the next start."""
        tasks = [*self._loops, *(f.looking for f in self._followers.values() if f.looking)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(self, entry: Entry, seconds: float, tick: Tick | None = None) -> Sight:
        """
        Wait until a task ends, but no longer than `seconds`; 0 takes one fresh look.

        Cancelling the wait leaves the task followed.

        Args:
            entry: As `Finder.find` or `Submitter.start` returned it.
            seconds: The longest wait.
            tick: Called with the row and the seconds waited, at least every 5 s and on each change.
        """
        if not entry.may_move:
            return Sight(entry)
        if entry.state.is_at_kie:
            self._follow(entry)
        with self.watching(entry.id) as changed:
            follower = self._followers.get(entry.id)
            began = asyncio.get_running_loop().time()
            # What is stuck is looked at so seldom that a wait alone would bring nothing.
            if follower is not None and (
                seconds <= 0 or follower.is_no_use_waiting or self._plan.is_stuck(follower.entry)
            ):
                await self._glance(follower)
            left = seconds - (asyncio.get_running_loop().time() - began)
            if left > 0:
                await self._wait(entry, left, changed, tick)
        return await self._sight(entry)

    async def look_now(self, entry: Entry, *, ended_at: datetime) -> Sight:
        """
        Look at a task of which KIE said, at `ended_at`, that it has ended.

        Nothing is believed but what the look finds; its failure is the `trouble`.
        """
        self._follow(entry)
        follower = self._followers[entry.id]
        if follower.looking is not None:  # it may have begun before the end
            await asyncio.wait({follower.looking})
            entry = await self._updates.read(entry)
        if entry.state.is_at_kie:
            self._follow(entry)
            follower = self._followers[entry.id]
            follower.entry, follower.unfinished_at = entry, ended_at
            await self._looker.turn()
            await asyncio.wait({self._look(follower)})
        return await self._sight(entry)

    @contextmanager
    def watching(self, entry_id: int) -> Generator[asyncio.Event]:
        """
        Count a caller among a task's watchers: it is then looked at more often.

        The event is set on each change.
        """
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

    def heed_others(self, listener: Callable[[], None]) -> None:
        """Call a listener after another process has written to the ledger, some 2 s later."""
        self._heeding.append(listener)

    def usual_s(self, entry: Entry) -> float:
        """Seconds that tasks like this one usually take."""
        return self._plan.usual_s(entry)

    def learned_s(self, entry: Entry) -> float | None:
        """The same, if the ledger has taught it; None while it is a guess."""
        return self._medians.of(entry)

    def poll_s(self, entry: Entry) -> float:
        """Seconds after which it is worth asking again for a task that has not ended."""
        return self._plan.poll_s(entry)

    async def sweep(self) -> None:
        """What time alone changes: videos that KIE has deleted by now, and what is usual."""
        await self._ledger.expire(now=self._clock.now())
        await self._medians.refresh()

    async def _sight(self, entry: Entry) -> Sight:
        follower = self._followers.get(entry.id)
        if follower is not None:
            return Sight(follower.entry, follower.trouble)
        row = await self._updates.read(entry)
        if row.state is TaskState.UNKNOWN and row.superseded_at is not None:
            row = await self._ledger.find(row.account, row.request_id) or row  # its name leads on
        return Sight(row)

    async def _wait(
        self, entry: Entry, seconds: float, changed: asyncio.Event, tick: Tick | None
    ) -> None:
        began = asyncio.get_running_loop().time()
        while True:
            waited = asyncio.get_running_loop().time() - began
            follower = self._followers.get(entry.id)
            if follower is not None:
                entry = follower.entry
                if follower.is_no_use_waiting:
                    return
            else:
                entry = await self._updates.read(entry)
                if entry.state.is_at_kie:
                    self._follow(entry)
            if tick is not None:
                await tick(entry, waited)
            if not entry.may_move or waited >= seconds:
                return
            changed.clear()
            pause = TICK_S if entry.state.is_at_kie else ELSEWHERE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, seconds - waited)):
                    await changed.wait()

    async def _glance(self, follower: Follower) -> None:
        """One look now, unless the last one is fresh or one is under way."""
        fresh = self._plan.is_fresh(follower.entry)
        # What the user had to mend may be mended by now; an outage is given its time.
        now = asyncio.get_running_loop().time()
        backing_off = follower.failures and now < follower.due and not follower.needs_the_user
        with suppress(TimeoutError):
            async with asyncio.timeout(GLANCE_S):
                if follower.looking is None:
                    if fresh or backing_off:
                        return
                    await self._looker.turn()
                await asyncio.wait({self._look(follower)})

    def _recount(self, entry_id: int) -> None:
        follower = self._followers.get(entry_id)
        if follower is None:
            return
        was_watched, follower.watchers = follower.watchers > 0, len(self._waiting[entry_id])
        if follower.watchers and not was_watched and not follower.failures:
            self._schedule(follower)

    def _changed(self, entry: Entry) -> None:
        """A row has changed: adjust who is followed, wake who waits."""
        self._medians.note(entry)
        follower = self._followers.get(entry.id)
        if not entry.state.is_at_kie:
            self._followers.pop(entry.id, None)
            self._agenda.drop(entry.id)
        elif follower is None:
            self._follow(entry)
        else:
            looked_elsewhere = entry.looked_at != follower.entry.looked_at
            follower.entry = entry
            if looked_elsewhere and follower.looking is None and not follower.failures:
                self._schedule(follower)
        self._wake(entry.id)

    def _wake(self, entry_id: int) -> None:
        for event in self._waiting.get(entry_id, ()):
            event.set()

    def _follow(self, entry: Entry) -> None:
        if entry.id not in self._followers:
            follower = Follower(entry, watchers=len(self._waiting.get(entry.id, ())))
            self._followers[entry.id] = follower
            self._schedule(follower)

    def _schedule(self, follower: Follower, *, after_s: float | None = None) -> None:
        """Plan the next look: by the waiting policy, or after a given pause."""
        if after_s is None:
            after_s = self._plan.pause_s(follower)
        follower.due = asyncio.get_running_loop().time() + after_s
        self._agenda.put(follower.entry.id, follower.due, urgent=follower.watchers > 0)

    async def _look_when_due(self) -> None:
        while True:
            follower = self._followers.get(await self._agenda.take())
            if follower is not None:
                self._look(follower)

    def _look(self, follower: Follower) -> asyncio.Task[None]:
        """Begin a look, or join the one that is under way."""

        async def look() -> None:
            try:
                await self._look_once(follower)
            except LedgerError as exc:
                self._stumble(follower, exc)
            except Exception as exc:
                log.exception("a look-up broke off")
                reason = f"Looking failed inside the server ({type(exc).__name__})."
                self._stumble(follower, UnavailableError(reason))
            finally:
                follower.looking = None

        if follower.looking is None:
            follower.looking = asyncio.create_task(look())
        return follower.looking

    async def _look_once(self, follower: Follower) -> None:
        known = follower.entry
        look = await self._ledger.take_look(known.id, now=self._clock.now(), known=known.looked_at)
        if look is None:
            return
        entry = follower.entry = look.entry
        if not look.granted or entry.task_id is None:
            self._changed(entry)  # another process was faster
            if entry.id in self._followers:
                self._schedule(follower)
            return
        try:
            update = await self._looker.ask(entry.kind, entry.task_id)
        except GenerationFailedError as exc:
            self._changed(await self._updates.fail(entry, explain(exc.message)))
            return
        except KieError as exc:
            self._stumble(follower, exc)
            return
        follower.note_answer(update)
        follower.trouble = self._plan.oddity(entry, update)
        if update is not None:
            # Also when another process was first to record it: who waits here must wake.
            unfinished_at = follower.unfinished_at or entry.accepted_at
            self._changed(await self._updates.apply(entry, update, unfinished_at=unfinished_at))
            follower.unfinished_at = entry.looked_at
            await self._judge_empty_success(follower, update)
        elif self._plan.is_forgotten(follower):
            self._changed(await self._updates.expire(entry))
        if entry.id in self._followers:
            self._schedule(follower)

    async def _judge_empty_success(self, follower: Follower, update: TaskUpdate) -> None:
        """Finished, says KIE, but shows no video: the address may follow, though not for ever."""
        if update.raw_state != TaskState.SUCCESS:
            follower.empty_since = None
            return
        now = asyncio.get_running_loop().time()
        follower.empty_since = follower.empty_since or now
        if now - follower.empty_since >= EMPTY_SUCCESS_GRACE_S * self._pace.scale:
            self._changed(await self._updates.fail(follower.entry, _NO_VIDEO))

    def _stumble(self, follower: Follower, exc: KieRunwayError) -> None:
        """No news: remember why, tell who waits, look again later and later."""
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

    async def _sweep_now_and_then(self) -> None:
        loop = asyncio.get_running_loop()
        offset = self._clock.now().timestamp() - loop.time()
        while True:
            await self._clock.tick(SWEEP_EVERY_S)
            try:
                await self.sweep()
            except LedgerError:
                log.exception("could not sweep the ledger")
            before, offset = offset, self._clock.now().timestamp() - loop.time()
            if abs(offset - before) > CLOCK_JUMP_S:  # set by hand, or the machine slept
                for follower in self._followers.values():
                    if follower.looking is None and not follower.failures:
                        self._schedule(follower)

    async def _notice_other_processes(self) -> None:
        while True:
            await self._clock.tick(ELSEWHERE_S)
            try:
                if await self._ledger.moved_elsewhere():
                    await self._reread()
                    for listener in self._heeding:
                        listener()
            except LedgerError:
                log.exception("could not read the ledger")

    async def _reread(self) -> None:
        """Take over what other processes wrote."""
        unfinished = {entry.id: entry for entry in await self._ledger.at_kie()}
        for entry in unfinished.values():
            follower = self._followers.get(entry.id)
            if follower is None or follower.entry != entry:
                self._changed(entry)
        for follower in [f for f in self._followers.values() if f.entry.id not in unfinished]:
            self._changed(await self._updates.read(follower.entry))
        for entry_id in self._waiting.keys() - self._followers.keys():
            self._wake(entry_id)


_NO_VIDEO = ErrorInfo(
    code="no_video",
    reason="KIE says success but gives no video.",
    retry="ask_user",
    charged="yes",
)
