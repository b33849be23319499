"""
The referee has teeth: each way to break the product on purpose breaks the promise it should.

A mutant replaces a piece of the product. If that piece is renamed, replacing it fails; if it is no
longer what makes the promise true, nothing is found: both fail the test. Without the mutant the
same story is clean.
"""

# A mutant replaces what is nobody else's business.
# pyright: reportPrivateUsage=false

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.faults.checker import Violation, violations
from tests.faults.evidence import token_of
from tests.faults.house import open_house
from tests.faults.money import CREATES_MAX
from tests.faults.rig import Rig
from tests.faults.storm import storm

from kie_runway.client import KieClient
from kie_runway.confirming import Confirmer
from kie_runway.errors import NotSentError, OutcomeUnknownError
from kie_runway.ledger.records import LOCAL_ACCOUNT, Callback, Entry, Limit, Transition, Turn
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskState
from kie_runway.outcomes import Outcomes
from kie_runway.submit import Submitter
from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio

WITHIN_S = 300.0

Story = Callable[[Rig], Awaitable[Sequence[Violation]]]
"""Plays something and returns what was broken on the way, before anything could mend it."""


async def the_answer_is_lost(rig: Rig) -> Sequence[Violation]:
    process = await rig.open()
    rig.sandbox.inject(Fault("lost_answer", "runway/generate"))
    await rig.generate(process, "boat 1", "one")
    return rig.check()


async def the_process_dies_after_sending(rig: Rig) -> Sequence[Violation]:
    dying = await rig.open()
    dying.power.cut_at("after create")
    await rig.generate(dying, "boat 1", "one")
    await rig.pass_time(60)
    await rig.generate(await rig.open(), "boat 1", "one")
    return rig.check()


async def the_process_dies_after_answering(rig: Rig) -> Sequence[Violation]:
    process = await rig.open()
    await rig.generate(process, "boat 1", "one")
    await rig.kill(process)
    return rig.check()


async def all_goes_well(rig: Rig) -> Sequence[Violation]:
    await rig.generate(await rig.open(), "boat 1", "one")
    return rig.check()


async def somebody_forges_a_callback(rig: Rig) -> Sequence[Violation]:
    """They know the address, which KIE alone should, and name a task of their own."""
    process = await rig.open()
    rig.sandbox.inject(Fault("lost_answer", "runway/generate"))
    await rig.generate(process, "boat 1", "one")
    await rig.generate(process, "boat 2", "two")
    lost, other = rig.sandbox.log.select("create")
    for forged in ("0" * 32, str(other.task_id)):
        await rig.call_back(lost.details["body"]["callBackUrl"], forged)
    return rig.check()


async def old_news_comes_after_the_end(rig: Rig) -> Sequence[Violation]:
    """Two processes look; the first to ask is the last to hear."""
    slow, quick = await rig.open(), await rig.open()
    await rig.generate(slow, "boat 1", "one")
    (create,) = rig.sandbox.log.select("create")
    entry = await slow.app.ledger.find(LOCAL_ACCOUNT, "one")
    assert entry is not None
    rig.sandbox.inject(Fault("edit", "runway/record-detail", merge={"state": "generating"}))
    hold = slow.power.hold_after("look_up")
    looking = asyncio.create_task(slow.app.tracker.wait(entry, 0))
    await hold.reached.wait()
    rig.sandbox.finish(str(create.task_id))
    await rig.look(quick, "one")
    hold.released.set()
    await looking
    return rig.check()


async def more_come_than_may_be_sent(rig: Rig) -> Sequence[Violation]:
    """To two processes in turn, each of which alone may send them all but for the other."""
    processes = [await rig.open(), await rig.open()]
    for number in range(CREATES_MAX + 1):
        await rig.generate(processes[number % 2], f"boat {number}")
    return rig.check()


@dataclass(frozen=True)
class Mutant:
    """A fault of ours: where it shows, and which promise it breaks."""

    breaks: str
    story: Story
    plant: Callable[[pytest.MonkeyPatch], None]


def ambiguous_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    create = KieClient.create

    async def optimistic(self: KieClient, *args: Any, **kwargs: Any) -> str:
        try:
            return await create(self, *args, **kwargs)
        except OutcomeUnknownError as exc:
            raise NotSentError(exc.reason) from exc

    monkeypatch.setattr(KieClient, "create", optimistic)


def submitting_is_queued_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def strand(self: SqliteLedger, *, now: Any, error: Any) -> Sequence[Entry]:
        stuck = await self.list(LOCAL_ACCOUNT, states=(TaskState.SUBMITTING,), limit=100)
        for entry in stuck:
            await self.transition(Transition(entry.id, (entry.state,), TaskState.QUEUED, now))
        return stuck

    monkeypatch.setattr(SqliteLedger, "strand", strand)


def sent_before_written(monkeypatch: pytest.MonkeyPatch) -> None:
    take_turn, create = SqliteLedger.take_turn, KieClient.create
    postponed: list[Callable[[], Awaitable[Turn]]] = []

    async def take_turn_later(self: SqliteLedger, entry_id: int, **kwargs: Any) -> Turn:
        entry = await self.get(entry_id)
        assert entry is not None
        if entry.state is not TaskState.QUEUED:
            return Turn()
        postponed.append(lambda: take_turn(self, entry_id, **kwargs))
        return Turn(entry)

    async def create_first(self: KieClient, *args: Any, **kwargs: Any) -> str:
        task_id = await create(self, *args, **kwargs)
        await postponed.pop()()
        return task_id

    monkeypatch.setattr(SqliteLedger, "take_turn", take_turn_later)
    monkeypatch.setattr(KieClient, "create", create_first)


def callbacks_are_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe(self: Confirmer, callback: Callback) -> str:
        changes = {"task_id": callback.task_id, "finished_at": callback.received_at}
        at = callback.received_at
        await self._ledger.transition(
            Transition(callback.entry_id, (TaskState.UNKNOWN,), TaskState.SUCCESS, at, changes)
        )
        return "confirmed"

    monkeypatch.setattr(Confirmer, "_outcome", believe)


def ends_are_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    transition = SqliteLedger.transition

    async def unguarded(self: SqliteLedger, change: Transition) -> Entry | None:
        if change.to.is_at_kie or change.to.is_terminal:
            change = replace(change, expect=tuple(TaskState))
        return await transition(self, change)

    monkeypatch.setattr(SqliteLedger, "transition", unguarded)


def answered_before_written(monkeypatch: pytest.MonkeyPatch) -> None:
    accept, read = Outcomes.accept, Submitter._read
    heard: dict[int, str] = {}
    writing: list[asyncio.Task[None]] = []

    async def accept_later(self: Outcomes, entry: Entry, task_id: str) -> None:
        heard[entry.id] = task_id

        async def later() -> None:
            await self._clock.sleep(1)
            await accept(self, entry, task_id)

        writing.append(asyncio.create_task(later()))

    async def read_memory(self: Submitter, entry: Entry) -> Entry:
        known = await read(self, entry)
        if known.id not in heard:
            return known
        return replace(known, state=TaskState.WAIT, task_id=heard[known.id])

    monkeypatch.setattr(Outcomes, "accept", accept_later)
    monkeypatch.setattr(Submitter, "_read", read_memory)


def each_process_counts_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    take_turn = SqliteLedger.take_turn
    turns: dict[str, list[datetime]] = {}

    async def take_turn_alone(
        self: SqliteLedger,
        entry_id: int,
        *,
        owner: str,
        limit: Limit,
        now: Callable[[], datetime],
        **kwargs: Any,
    ) -> Turn:
        mine = turns.setdefault(owner, [])
        since = now() - timedelta(seconds=limit.window_s)
        if len(mine) >= limit.creates and mine[-limit.creates] > since:
            return Turn(wait_s=(mine[-limit.creates] - since).total_seconds())
        mine.append(now())
        everything = replace(limit, creates=1_000_000)
        return await take_turn(self, entry_id, owner=owner, limit=everything, now=now, **kwargs)

    monkeypatch.setattr(SqliteLedger, "take_turn", take_turn_alone)


def half_the_window_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    take_turn = SqliteLedger.take_turn

    async def take_turn_sooner(
        self: SqliteLedger, entry_id: int, *, limit: Limit, **kwargs: Any
    ) -> Turn:
        half = replace(limit, window_s=limit.window_s / 2)
        return await take_turn(self, entry_id, limit=half, **kwargs)

    monkeypatch.setattr(SqliteLedger, "take_turn", take_turn_sooner)


MUTANTS = {
    "M1 ambiguous treated as not sent": Mutant("I1", the_answer_is_lost, ambiguous_is_not_sent),
    "M2 submitting requeued": Mutant(
        "I1", the_process_dies_after_sending, submitting_is_queued_again
    ),
    "M3 sent before the durable row": Mutant("I3", all_goes_well, sent_before_written),
    "M4 callback trusted without asking": Mutant(
        "I8", somebody_forges_a_callback, callbacks_are_believed
    ),
    "M5 ends overwritten": Mutant("I4", old_news_comes_after_the_end, ends_are_overwritten),
    "M6 answered before the commit": Mutant(
        "I2", the_process_dies_after_answering, answered_before_written
    ),
    "M7 each process counts for itself": Mutant(
        "I9", more_come_than_may_be_sent, each_process_counts_its_own
    ),
    "M8 half the window": Mutant("I9", more_come_than_may_be_sent, half_the_window_counts),
}


async def broken(
    story: Story, monkeypatch: pytest.MonkeyPatch, home: Path
) -> tuple[Sequence[Violation], Sequence[Violation]]:
    """What a story breaks at once, and what is broken when everything has settled."""
    async with open_house(monkeypatch) as house, house.run(home) as rig:
        at_once = await story(rig)
        await rig.settle()
        return at_once, rig.check(settled=True)


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
async def test_a_mutant_is_caught(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mutant.plant(monkeypatch)
    at_once, _ = await broken(mutant.story, monkeypatch, tmp_path)

    assert mutant.breaks in {found.invariant for found in at_once}


@pytest.mark.parametrize("story", {mutant.story: None for mutant in MUTANTS.values()})
async def test_the_product_itself_is_clean(
    story: Story, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert await broken(story, monkeypatch, tmp_path) == ([], [])


async def test_a_storm_of_bursts_overruns_a_broken_limiter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    each_process_counts_its_own(monkeypatch)
    with anyio.fail_after(WITHIN_S):
        evidence, _ = await storm(tmp_path, seed="test", intents=50, missed="attempts", bursts=True)

    assert "I9" in {found.invariant for found in violations(evidence)}


async def test_the_rig_gives_every_create_an_address_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with open_house(monkeypatch) as house, house.run(tmp_path) as rig:
        process = await rig.open()
        for number in range(3):
            await rig.generate(process, f"boat {number}")
        tokens = {token_of(create) for create in rig.sandbox.log.select("create")}

    assert None not in tokens
    assert len(tokens) == 3
