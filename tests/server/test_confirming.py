"""Stored callbacks: what KIE confirms is taken over, and nothing else is."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.support import QUICK, serve_sandbox

from kie_runway.app import App
from kie_runway.ledger.records import Callback, Entry
from kie_runway.models import (
    PROBABLY_NOT_CREATED,
    AlephRequest,
    ExtendRequest,
    GenerateRequest,
    PaidRequest,
    TaskKind,
    TaskState,
    TaskUpdate,
)
from kie_runway.opening import open_app
from kie_runway.pace import Pace
from kie_runway.settings import Settings
from kie_runway.tracker import Sight
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import Endpoint
from kie_runway_sandbox.tasks import Task

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

WITHIN_S = 60
PATIENT = Pace()  # looks at nothing by itself within two minutes
STUBBORN = Pace(scale=10.0)  # and takes up no callback a second time
BOAT = GenerateRequest(prompt="a boat", aspect_ratio="16:9")
RIVER = GenerateRequest(prompt="a river", aspect_ratio="16:9")
RESTYLED = AlephRequest(prompt="as ink", video_url="https://media.example.com/in.mp4")

CREATES: dict[TaskKind, Endpoint] = {
    TaskKind.GENERATE: "runway/generate",
    TaskKind.EXTEND: "runway/extend",
    TaskKind.ALEPH: "aleph/generate",
}


@dataclass
class Bench:
    """An app that asks for callbacks, which a test brings itself."""

    app: App
    sandbox: Sandbox
    settings: Settings
    outcomes: list[str] = field(default_factory=list[str])
    settled: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(
        self, request: PaidRequest = BOAT, request_id: str | None = None, **options: Any
    ) -> Entry:
        opened = await self.app.submitter.start(self.app.account, request, request_id, **options)
        return opened.entry

    async def lose(self, request: PaidRequest = BOAT, request_id: str | None = None) -> Entry:
        """Start a task whose id never arrives."""
        self.sandbox.inject(Fault("lost_answer", CREATES[request.kind]))
        entry = await self.start(request, request_id)
        assert entry.state is TaskState.UNKNOWN
        return entry

    def last(self) -> Task:
        """The task that KIE made last."""
        return self.sandbox.tasks[-1]

    async def call_back(self, address: str | None, task_id: str) -> None:
        """A callback that names a task arrives at an address."""
        assert address is not None
        webhooks = self.app.webhooks
        entry = await webhooks.entry_of(address.rsplit("/", 1)[1])
        body = json.dumps({"code": 200, "msg": "", "data": {"task_id": task_id}})
        await webhooks.receive(entry, [], body.encode())

    async def outcome(self) -> str:
        """What came of the next callback."""
        await self.settled.wait()
        self.settled.clear()
        return self.outcomes[-1]

    async def row(self, entry: Entry) -> Entry:
        row = await self.app.ledger.get(entry.id)
        assert row is not None
        return row

    @property
    def looks(self) -> int:
        requests = self.sandbox.requests
        return requests["runway/record-detail"] + requests["aleph/record-info"]


@asynccontextmanager
async def bench(
    monkeypatch: pytest.MonkeyPatch,
    pace: Pace = PATIENT,
    callback_url: str | None = "https://hooks.example",
) -> AsyncGenerator[Bench]:
    monkeypatch.setattr("kie_runway.tracker.ELSEWHERE_S", 0.01)
    async with serve_sandbox() as (sandbox, settings):
        settings = settings.model_copy(update={"callback_url": callback_url})
        async with open_app(settings, pace) as app:
            it = Bench(app, sandbox, settings)
            note_outcomes(monkeypatch, it, app)
            with anyio.fail_after(WITHIN_S):
                yield it


def note_outcomes(monkeypatch: pytest.MonkeyPatch, it: Bench, app: App) -> None:
    settle = app.ledger.inbox.settle

    async def noted(callback_id: int, outcome: str) -> None:
        await settle(callback_id, outcome)
        it.outcomes.append(outcome)
        it.settled.set()

    monkeypatch.setattr(app.ledger.inbox, "settle", noted)


async def test_a_callback_is_a_reason_to_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch) as it:
        entry = await it.start()
        task = it.last()
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()
        row = await it.row(entry)

        assert (outcome, row.state, it.looks) == ("confirmed", TaskState.SUCCESS, 1)
        assert row.video_url is not None


@pytest.mark.parametrize("request_made", [BOAT, RESTYLED], ids=lambda made: str(made.kind))
@pytest.mark.parametrize("ends", [TaskState.SUCCESS, TaskState.FAIL])
async def test_a_callback_brings_the_id_of_a_lost_task_back(
    monkeypatch: pytest.MonkeyPatch, request_made: PaidRequest, ends: TaskState
) -> None:
    async with bench(monkeypatch) as it:
        entry = await it.lose(request_made)
        task = it.last()
        end = it.sandbox.finish if ends is TaskState.SUCCESS else it.sandbox.fail
        end(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()
        row = await it.row(entry)
        history = await it.app.ledger.history(entry.id)

    assert outcome == "confirmed"
    assert (row.id, row.state, row.task_id) == (entry.id, ends, task.task_id)
    assert row.accepted_at == entry.sent_at
    assert (row.error is None) is (ends is TaskState.SUCCESS)
    assert "found by a callback" in [event.detail for event in history]


async def test_a_lost_extension_comes_back_with_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch, QUICK) as it:
        first = await it.start()
        it.sandbox.finish(first.task_id or "")
        await it.app.tracker.wait(first, WITHIN_S)
        lost = await it.lose(ExtendRequest(task_id=first.task_id or "", prompt="it sails on"))
        task = it.last()
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        done = (await it.app.tracker.wait(lost, WITHIN_S)).entry

    assert (done.state, done.task_id) == (TaskState.SUCCESS, task.task_id)
    assert done.parent_task_id == first.task_id


async def test_who_waits_for_an_unknown_request_is_woken_by_its_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, QUICK) as it:
        lost = await it.lose()
        task = it.last()
        waiting = asyncio.create_task(it.app.tracker.wait(lost, WITHIN_S))
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        done = (await waiting).entry

    assert (done.state, done.task_id) == (TaskState.SUCCESS, task.task_id)


async def test_a_task_with_another_prompt_is_not_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kie_runway.confirming.BELIEF_S", 0.0)
    async with bench(monkeypatch) as it:
        lost = await it.lose(BOAT)
        address = it.last().callback_url
        elsewhere = it.settings.model_copy(update={"home": it.settings.home_dir / "other"})
        async with open_app(elsewhere, PATIENT) as other:
            foreign = (await other.submitter.start(other.account, RIVER, None)).entry
        it.sandbox.finish(foreign.task_id or "")
        await it.call_back(address, foreign.task_id or "")
        outcome = await it.outcome()

        assert outcome == "another request"
        assert await it.row(lost) == lost


@pytest.mark.parametrize(
    "odd",
    [
        Fault("edit", "runway/record-detail", drop=("generateParam",)),
        Fault("refuse", "runway/record-detail", code=501),
    ],
    ids=["no request in the record", "failed, without saying what"],
)
async def test_a_record_that_is_odd_once_does_not_lose_the_task(
    monkeypatch: pytest.MonkeyPatch, odd: Fault
) -> None:
    monkeypatch.setattr("kie_runway.confirming.HELD_S", 0.001)
    monkeypatch.setattr("kie_runway.confirming.CHECK_EVERY_S", 0.002)
    async with bench(monkeypatch, STUBBORN) as it:
        lost = await it.lose(BOAT)
        task = it.last()
        it.sandbox.finish(task.task_id)
        it.sandbox.inject(odd)
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()
        row = await it.row(lost)

    assert outcome == "confirmed"
    assert (row.state, row.task_id) == (TaskState.SUCCESS, task.task_id)


async def test_a_task_that_another_row_has_is_not_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as it:
        lost = await it.lose(BOAT, "one")
        address = it.last().callback_url
        other = await it.start(BOAT, "two")
        it.sandbox.finish(other.task_id or "")
        await it.call_back(address, other.task_id or "")
        outcome = await it.outcome()

        assert outcome == "another row's task"
        assert await it.row(lost) == lost
        assert await it.row(other) == other


async def test_a_lost_request_is_still_found_after_a_callback_that_named_a_wrong_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as it:
        lost = await it.lose(BOAT, "one")
        task = it.last()
        other = await it.start(BOAT, "two")
        await it.call_back(task.callback_url, other.task_id or "")
        await it.outcome()
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        done = (await it.app.tracker.wait(lost, WITHIN_S)).entry

    assert (done.state, done.task_id) == (TaskState.SUCCESS, task.task_id)


async def test_a_task_that_kie_does_not_know_is_not_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, QUICK) as it:
        lost = await it.lose()
        await it.call_back(it.last().callback_url, "0" * 32)
        outcome = await it.outcome()

        assert outcome == "not confirmed"
        assert await it.row(lost) == lost


async def test_a_kie_that_cannot_be_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch, QUICK) as it:
        lost = await it.lose()
        task = it.last()
        it.sandbox.finish(task.task_id)
        it.sandbox.inject(Fault("refuse", "runway/record-detail", status=429, code=429, times=3))
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()
        row = await it.row(lost)

    assert outcome == "confirmed"
    assert (row.state, row.task_id) == (TaskState.SUCCESS, task.task_id)


async def test_what_cannot_be_asked_for_a_day_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(monkeypatch, QUICK) as it:
        lost = await it.lose()
        task = it.last()
        fault = Fault("refuse", "runway/record-detail", status=429, code=429, times=None)
        it.sandbox.inject(fault)
        await it.call_back(task.callback_url, task.task_id)
        now = it.app.clock.now
        monkeypatch.setattr(it.app.clock, "now", lambda: now() + timedelta(hours=25))
        outcome = await it.outcome()

        assert outcome == "KIE could not be asked"
        assert await it.row(lost) == lost


async def test_a_callback_while_the_request_is_being_sent_waits_for_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, QUICK) as it:
        create, go_on, sent = it.app.client.create, asyncio.Event(), asyncio.Event()

        async def slowly(*args: Any, **kwargs: Any) -> str:
            task_id = await create(*args, **kwargs)
            sent.set()
            await go_on.wait()
            return task_id

        taken = note_taken(monkeypatch, it.app)
        monkeypatch.setattr(it.app.client, "create", slowly)
        starting = asyncio.create_task(it.start(BOAT, "one"))
        await sent.wait()
        task = it.last()
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        for _ in range(3):
            await taken.get()
        during = await it.app.ledger.find(it.app.account, "one")
        looks, outcomes = it.looks, list(it.outcomes)
        go_on.set()
        entry = await starting
        done = (await it.app.tracker.wait(entry, WITHIN_S)).entry

    assert during is not None
    assert (during.state, during.task_id) == (TaskState.SUBMITTING, None)
    assert (looks, outcomes) == (0, [])
    assert (done.state, done.task_id) == (TaskState.SUCCESS, task.task_id)


def note_taken(monkeypatch: pytest.MonkeyPatch, app: App) -> "asyncio.Queue[Callback]":
    """The callbacks that an app takes up, as it does."""
    take, taken = app.ledger.inbox.take, asyncio.Queue[Callback]()

    async def noted(**times: Any) -> Callback | None:
        callback = await take(**times)
        if callback is not None:
            taken.put_nowait(callback)
        return callback

    monkeypatch.setattr(app.ledger.inbox, "take", noted)
    return taken


async def test_a_callback_for_a_task_that_goes_on_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, QUICK) as it:
        entry = await it.start()
        task = it.last()
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()
        during = await it.row(entry)
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        done = (await it.app.tracker.wait(entry, WITHIN_S)).entry

    assert outcome == "not confirmed"
    assert (during.state, during.video_url, during.took_s) == (TaskState.WAIT, None, None)
    assert done.state is TaskState.SUCCESS


async def test_a_callback_for_a_lost_task_that_goes_on_brings_its_id_but_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, QUICK) as it:
        lost = await it.lose()
        task = it.last()
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()
        row = await it.row(lost)

    assert outcome == "not confirmed"
    assert (row.state, row.task_id, row.video_url) == (TaskState.WAIT, task.task_id, None)


async def test_a_callback_after_the_end_is_late_and_asks_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as it:
        entry = await it.start()
        task = it.last()
        it.sandbox.finish(task.task_id)
        done = (await it.app.tracker.wait(entry, 0)).entry
        looks = it.looks
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()

        assert (outcome, it.looks) == ("late", looks)
        assert await it.row(entry) == done


async def test_a_late_callback_finds_a_request_that_was_superseded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as it:
        lost = await it.lose(BOAT, "one")
        first = it.last()
        now = it.app.clock.now
        monkeypatch.setattr(it.app.clock, "now", lambda: now() + PROBABLY_NOT_CREATED)
        new = await it.start(BOAT, "one", confirmed=True)
        it.sandbox.finish(first.task_id)
        await it.call_back(first.callback_url, first.task_id)
        outcome = await it.outcome()
        old, new = await it.row(lost), await it.row(new)
        by_request = await it.app.finder.find(it.app.account, "one", TaskKind.GENERATE)
        by_task = await it.app.finder.find(it.app.account, first.task_id, TaskKind.GENERATE)

    assert outcome == "confirmed"
    assert (old.state, old.task_id) == (TaskState.SUCCESS, first.task_id)
    assert (new.state, new.task_id) == (TaskState.WAIT, by_request.task_id)
    assert (by_request, by_task) == (new, old)
    assert new.task_id != old.task_id


async def test_a_callback_in_the_hands_of_a_process_that_hangs_is_taken_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, QUICK) as it:
        taken = asyncio.Event()

        async def hang(*_: Any) -> None:
            taken.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(it.app.client, "look_up", hang)
        lost = await it.lose()
        task = it.last()
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        await taken.wait()
        async with open_app(it.settings, QUICK) as other:
            done = (await other.tracker.wait(lost, WITHIN_S)).entry

    assert (done.state, done.task_id) == (TaskState.SUCCESS, task.task_id)


async def test_callbacks_that_a_dead_process_left_are_settled_at_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, QUICK) as it:
        lost = await it.lose()
        task = it.last()
        it.sandbox.finish(task.task_id)
        elsewhere = it.app.ledger.inbox
        await elsewhere.receive(lost.id, task.task_id, signed_at=None, now=it.app.clock.now())
        await elsewhere.take(now=it.app.clock.now(), until=it.app.clock.now())
        async with open_app(it.settings, QUICK) as other:
            done = (await other.tracker.wait(lost, WITHIN_S)).entry

    assert done.state is TaskState.SUCCESS


async def test_a_look_that_began_before_the_end_does_not_answer_for_the_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, STUBBORN) as it:
        entry = await it.start()
        task = it.last()
        look_up, began, go_on = it.app.client.look_up, asyncio.Event(), asyncio.Event()

        async def slowly(*args: Any) -> TaskUpdate | None:
            update = await look_up(*args)
            began.set()
            await go_on.wait()
            return update

        look_now, asked = it.app.tracker.look_now, asyncio.Event()

        async def noted(*args: Any, **kwargs: Any) -> Sight:
            asked.set()
            return await look_now(*args, **kwargs)

        monkeypatch.setattr(it.app.client, "look_up", slowly)
        monkeypatch.setattr(it.app.tracker, "look_now", noted)
        glance = asyncio.create_task(it.app.tracker.wait(entry, 0))
        await began.wait()
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        await asked.wait()
        go_on.set()
        outcome = await it.outcome()
        await glance
        row = await it.row(entry)

    assert (outcome, row.state) == ("confirmed", TaskState.SUCCESS)


async def test_a_look_that_another_process_took_just_now_does_not_answer_for_the_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        bench(monkeypatch, STUBBORN) as it,
        open_app(it.settings, STUBBORN) as other,
    ):
        monkeypatch.setattr(it.app.clock, "tick", never)  # it has not heard of the other's look
        entry = await it.start()
        task = it.last()
        await other.tracker.wait(entry, 0)
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()
        row = await it.row(entry)

    assert (outcome, row.state) == ("confirmed", TaskState.SUCCESS)


async def never(_: float) -> None:
    await asyncio.Event().wait()


async def test_a_task_found_by_its_id_is_that_of_the_request_whose_answer_was_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, STUBBORN, callback_url=None) as it:
        lost = await it.lose(BOAT, "one")
        await it.lose(RIVER, "two")
        task = it.sandbox.tasks[0]
        found = await it.app.finder.find(it.app.account, task.task_id, TaskKind.GENERATE)
        by_request = await it.app.ledger.find(it.app.account, "one")

    assert (found.id, found.task_id, found.state) == (lost.id, task.task_id, TaskState.WAIT)
    assert by_request == found


async def test_an_older_task_with_the_same_words_is_not_that_of_a_lost_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, callback_url=None) as it:
        elsewhere = it.settings.model_copy(update={"home": it.settings.home_dir / "other"})
        async with open_app(elsewhere, PATIENT) as other:
            old = (await other.submitter.start(other.account, BOAT, None)).entry
        it.sandbox.finish(old.task_id or "")
        now = it.app.clock.now()
        monkeypatch.setattr(it.app.clock, "now", lambda: now)
        lost = await it.lose(BOAT, "one")
        found = await it.app.finder.find(it.app.account, old.task_id or "", TaskKind.GENERATE)

        assert found.id != lost.id
        assert await it.row(lost) == lost


@pytest.mark.parametrize("first", [0, 1])
async def test_lost_requests_for_the_same_are_found_by_their_ids_in_any_order(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Otherwise both would seem never to have been created, and be paid for again."""
    async with bench(monkeypatch, callback_url=None) as it:
        lost = [await it.lose(BOAT, "one"), await it.lose(BOAT, "two")]
        tasks = [it.sandbox.tasks[first], it.sandbox.tasks[1 - first]]
        found = [
            await it.app.finder.find(it.app.account, task.task_id, TaskKind.GENERATE)
            for task in tasks
        ]
        now = it.app.clock.now
        monkeypatch.setattr(it.app.clock, "now", lambda: now() + PROBABLY_NOT_CREATED)
        again = [await it.start(BOAT, name, confirmed=True) for name in ("one", "two")]

    assert {row.id for row in found} == {row.id for row in lost}
    assert {row.task_id for row in again} == {task.task_id for task in tasks}
    assert len(it.sandbox.tasks) == 2


async def test_a_task_that_ended_before_the_second_of_two_lost_requests_leaves_it_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, callback_url=None) as it:
        lost = [await it.lose(BOAT, "one")]
        it.sandbox.finish(it.sandbox.tasks[0].task_id)
        it.sandbox.advance(60)
        now = it.app.clock.now
        monkeypatch.setattr(it.app.clock, "now", lambda: now() + timedelta(seconds=60))
        lost.append(await it.lose(BOAT, "two"))
        found = [
            await it.app.finder.find(it.app.account, task.task_id, TaskKind.GENERATE)
            for task in reversed(it.sandbox.tasks)
        ]

    assert [row.id for row in found] == [row.id for row in reversed(lost)]


async def test_lost_requests_for_the_same_are_found_by_ids_asked_for_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, callback_url=None) as it:
        lost = [await it.lose(BOAT, name) for name in ("one", "two", "three")]
        ids = [task.task_id for task in it.sandbox.tasks]
        found = await asyncio.gather(
            *(
                it.app.finder.find(it.app.account, task_id, TaskKind.GENERATE)
                for task_id in ids[:2] * 3
            )
        )
        rows = await it.app.ledger.list(it.app.account, limit=9)

    assert [row.task_id for row in found] == ids[:2] * 3
    assert sorted(row.id for row in rows) == [row.id for row in lost]
    assert [row.state for row in rows].count(TaskState.UNKNOWN) == 1


async def test_a_task_that_different_lost_requests_may_have_made_is_taken_by_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, callback_url=None) as it:
        wide = GenerateRequest(prompt="a  boat", aspect_ratio="16:9")  # KIE may change white space
        lost = [await it.lose(BOAT, "one"), await it.lose(wide, "two")]
        task_id = it.sandbox.tasks[0].task_id
        found = await it.app.finder.find(it.app.account, task_id, TaskKind.GENERATE)

        assert found.id not in [row.id for row in lost]
        assert [await it.row(row) for row in lost] == lost


async def test_a_task_that_several_lost_requests_may_have_made_is_joined_by_its_callback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as it:
        first = await it.lose(BOAT, "one")
        second = await it.lose(BOAT, "two")
        task = it.sandbox.tasks[0]
        adopted = await it.app.finder.find(it.app.account, task.task_id, TaskKind.GENERATE)
        it.sandbox.finish(task.task_id)
        await it.call_back(task.callback_url, task.task_id)
        outcome = await it.outcome()
        by_request = await it.app.ledger.find(it.app.account, "one")
        other = await it.row(second)
        again = await it.start(BOAT, "one", confirmed=True)

    assert outcome == "confirmed"
    assert adopted.id not in (first.id, second.id)
    assert by_request is not None
    assert (by_request.id, by_request.task_id) == (adopted.id, task.task_id)
    assert (other.state, other.task_id) == (TaskState.UNKNOWN, None)
    assert again.id == adopted.id
    assert len(it.sandbox.tasks) == 2
