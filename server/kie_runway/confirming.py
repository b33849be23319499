"""Asks KIE about every callback that was stored: only what KIE says itself is believed."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from typing import Final

from kie_runway.clock import Clock
from kie_runway.errors import GenerationFailedError, KieError, TaskIdTakenError
from kie_runway.ledger.base import Ledger
from kie_runway.ledger.records import Callback, Entry, Transition
from kie_runway.looker import Looker
from kie_runway.models import TaskState
from kie_runway.pace import Pace
from kie_runway.tracker import Tracker
from kie_runway.updates import Updates, is_of

log = logging.getLogger(__name__)

AT_ONCE = 4
CHECK_EVERY_S = 10.0  # another process may have died with a callback in its hands
HELD_S = 15.0  # what was not settled by then is due again
BELIEF_S = 90.0  # KIE's record may lag behind its callback
PATIENCE: Final = timedelta(hours=24)  # for a KIE that cannot be asked


class Confirmer:
    """
    Settles the callbacks in the inbox, and finds lost tasks that way.

    A callback for a task that is followed is a reason to look at it now. One that comes to the
    secret address of an `unknown` request names the task that was made of it: it is taken over
    if KIE's record holds what was asked for.
    """

    def __init__(
        self, ledger: Ledger, looker: Looker, tracker: Tracker, *, clock: Clock, pace: Pace
    ) -> None:
        self._ledger = ledger
        self._inbox = ledger.inbox
        self._looker = looker
        self._tracker = tracker
        self._clock = clock
        self._pace = pace
        self._updates = Updates(ledger, clock)
        self._arrived = asyncio.Event()
        self._in_hand: set[int] = set()
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin with what earlier processes left."""
        self._workers = [
            asyncio.create_task(self._work(), name=f"confirm {number}") for number in range(AT_ONCE)
        ]

    async def aclose(self) -> None:
        """Stop; what is not settled is due again."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def wake(self) -> None:
        """A callback was stored."""
        self._arrived.set()

    async def _work(self) -> None:
        while True:
            self._arrived.clear()
            try:
                while await self._settle_next():
                    pass
            except Exception:  # of the ledger or ours: the callback is due again
                log.exception("could not settle a callback")
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_EVERY_S * self._pace.scale):
                    await self._arrived.wait()

    async def _settle_next(self) -> bool:
        """Try to settle one callback; False when none is due."""
        now = self._clock.now()
        held = timedelta(seconds=HELD_S * self._pace.scale)
        callback = await self._inbox.take(now=now, until=now + held)
        if callback is None:
            return False
        if callback.id not in self._in_hand:
            self._in_hand.add(callback.id)
            try:
                outcome = await self._outcome(callback)
            finally:
                self._in_hand.discard(callback.id)
            if outcome is not None:
                await self._inbox.settle(callback.id, outcome)
        return True

    async def _outcome(self, callback: Callback) -> str | None:
        """What came of a callback; None when that is still open."""
        entry = await self._ledger.get(callback.entry_id)
        assert entry is not None  # a callback refers to its row
        match entry.state:
            case TaskState.QUEUED | TaskState.SUBMITTING:
                return None  # KIE's answer to the request itself comes first
            case TaskState.UNKNOWN:
                return await self._recover(entry, callback)
            case TaskState.WAIT | TaskState.QUEUEING | TaskState.GENERATING:
                return await self._look(entry, callback)
            case _:
                return "late"

    async def _look(self, entry: Entry, callback: Callback) -> str | None:
        if entry.task_id != callback.task_id:
            return "another task"
        sight = await self._tracker.look_now(entry, ended_at=callback.received_at)
        if sight.entry.state.is_terminal:
            return "confirmed"
        return self._still_open(callback, "not confirmed", asked=sight.trouble is None)

    async def _recover(self, entry: Entry, callback: Callback) -> str | None:
        """Take over the task that an `unknown` request became, if KIE's record proves it."""
        try:
            update = await self._looker.look_up(entry.kind, callback.task_id)
        except GenerationFailedError:
            # Failed, says KIE, without saying of which request.
            return self._still_open(callback, "not confirmed", asked=True)
        except KieError:
            return self._still_open(callback, "KIE could not be asked", asked=False)
        if update is None:
            return self._still_open(callback, "not confirmed", asked=True)
        if not is_of(entry, update):
            log.warning(
                "a callback named a task that was not asked for",
                extra={"request_id": entry.request_id},
            )
            return self._still_open(callback, "another request", asked=True)
        now = self._clock.now()
        accepted = Transition.accepted(
            entry.id,
            callback.task_id,
            accepted_at=entry.sent_at or now,
            at=now,
            detail="found by a callback",
        )
        try:
            found = await self._ledger.transition(accepted)
        except TaskIdTakenError:
            joined = await self._ledger.join(entry.id, callback.task_id, now=now)
            return "another row's task" if joined is None else "confirmed"
        if found is None:
            return None
        log.info("a callback brought a lost task back", extra={"request_id": entry.request_id})
        row = await self._updates.apply(found, update, unfinished_at=callback.received_at)
        return "confirmed" if row.state.is_terminal else None

    def _still_open(self, callback: Callback, outcome: str, *, asked: bool) -> str | None:
        """None while it is worth asking again."""
        patience = timedelta(seconds=BELIEF_S * self._pace.scale) if asked else PATIENCE
        return outcome if self._clock.now() - callback.received_at > patience else None
