"""Following unfinished tasks: who looks when, and what a look changes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import anyio
import pytest
from tests.support import QUICK, serve_sandbox

from kie_runway.app import App
from kie_runway.errors import UnknownTaskError, WrongKeyError
from kie_runway.ledger.records import Entry
from kie_runway.models import GenerateRequest, TaskKind, TaskState
from kie_runway.opening import open_app
from kie_runway.pace import Pace
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import FaultKind

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

WITHIN_S = 60
PATIENT = Pace(scale=1000.0)  # never looks by itself while a test runs


@dataclass
class Bench:
    """An open app and the sandbox behind it."""

    app: App
    sandbox: Sandbox
    settings: Settings

    async def start(self, prompt: str = "a boat") -> Entry:
        request = GenerateRequest(prompt=prompt, aspect_ratio="16:9")
        return (await self.app.submitter.start(self.app.account, request, None)).entry

    def lookups(self, entry: Entry) -> int:
        return self.sandbox.task(entry.task_id or "").lookups


@asynccontextmanager
async def bench(pace: Pace = QUICK) -> AsyncGenerator[Bench]:
    async with serve_sandbox() as (sandbox, settings), open_app(settings, pace) as app:
        with anyio.fail_after(WITHIN_S):
            yield Bench(app, sandbox, settings)


async def test_a_task_is_followed_without_anybody_waiting() -> None:
    async with bench() as it:
        ended = asyncio.Event()

        def note(entry: Entry) -> None:
            if entry.state is TaskState.SUCCESS:
                ended.set()

        it.app.ledger.subscribe(note)
        entry = await it.start()
        it.sandbox.finish(entry.task_id or "")
        await ended.wait()


async def test_a_glance_takes_one_fresh_look_and_the_next_one_rests() -> None:
    async with bench(PATIENT) as it:
        entry = await it.start()
        for _ in range(5):
            await it.app.tracker.wait(entry, 0)

        assert it.lookups(entry) == 1


async def test_glances_at_many_tasks_keep_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(PATIENT) as it:  # whose rate allows one look, and the next much later
        one, two = await it.start(), await it.start("another boat")
        await it.app.tracker.wait(one, 0)
        monkeypatch.setattr("kie_runway.tracker.GLANCE_S", 0.05)
        sight = await it.app.tracker.wait(two, 0)

        assert (it.lookups(one), it.lookups(two)) == (1, 0)
    assert sight.entry.state is TaskState.WAIT


async def test_a_wait_ends_in_time_with_the_task_still_followed() -> None:
    async with bench() as it:
        entry = await it.start()
        sight = await it.app.tracker.wait(entry, 0.05)
        it.sandbox.finish(entry.task_id or "")
        done = await it.app.tracker.wait(sight.entry, 30)

    assert sight.entry.state is TaskState.WAIT
    assert done.entry.state is TaskState.SUCCESS


async def test_a_cancelled_wait_leaves_the_task_followed() -> None:
    async with bench() as it:
        entry = await it.start()
        with anyio.move_on_after(0.05):
            await it.app.tracker.wait(entry, 30)
        it.sandbox.finish(entry.task_id or "")

        assert (await it.app.tracker.wait(entry, 30)).entry.state is TaskState.SUCCESS


@pytest.mark.parametrize("kind", ["html_502", "truncated_json", "lost_answer"])
async def test_a_look_that_fails_is_repeated_and_harms_nothing(kind: FaultKind) -> None:
    async with bench() as it:
        entry = await it.start()
        it.sandbox.inject(Fault(kind, "runway/record-detail", times=2))
        it.sandbox.finish(entry.task_id or "")

        assert (await it.app.tracker.wait(entry, 30)).entry.state is TaskState.SUCCESS


async def test_a_wrong_key_ends_the_wait_but_not_the_task() -> None:
    async with bench() as it:
        entry = await it.start()
        it.sandbox.inject(Fault("refuse", "runway/record-detail", status=401, code=401))
        sight = await it.app.tracker.wait(entry, 30)

    assert isinstance(sight.trouble, WrongKeyError)
    assert sight.entry.state is TaskState.WAIT


async def test_success_without_a_video_is_not_success_at_first_and_a_failure_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kie_runway.tracker.EMPTY_SUCCESS_GRACE_S", 20.0)
    async with bench(Pace(scale=0.01)) as it:
        entry = await it.start()
        it.sandbox.finish(entry.task_id or "")
        it.sandbox.inject(
            Fault(
                "edit",
                "runway/record-detail",
                times=None,
                merge={"videoInfo": None},
            )
        )
        sight = await it.app.tracker.wait(entry, 30)

    assert sight.entry.state is TaskState.FAIL
    assert sight.entry.error is not None
    assert (sight.entry.error.code, sight.entry.error.charged) == ("no_video", "yes")


async def test_an_unknown_state_is_kept_and_counts_as_generating() -> None:
    async with bench(PATIENT) as it:
        entry = await it.start()
        it.sandbox.inject(Fault("edit", "runway/record-detail", merge={"state": "dreaming"}))
        sight = await it.app.tracker.wait(entry, 0)

    assert (sight.entry.state, sight.entry.raw_state) == (TaskState.GENERATING, "dreaming")


async def test_a_result_expires_by_the_clock_even_when_nobody_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench() as it:
        entry = await it.start()
        it.sandbox.finish(entry.task_id or "")
        done = (await it.app.tracker.wait(entry, 30)).entry
        assert done.expires_at is not None
        now = it.app.clock.now
        monkeypatch.setattr(it.app.clock, "now", lambda: now() + timedelta(days=14, seconds=1))
        await it.app.tracker.sweep()
        listed = await it.app.ledger.list(it.app.account, limit=1)

    assert [entry.state for entry in listed] == [TaskState.EXPIRED]


async def test_an_id_nobody_knows_is_an_error_at_once() -> None:
    async with bench() as it:
        with pytest.raises(UnknownTaskError):
            await it.app.finder.find(it.app.account, "typo", TaskKind.GENERATE)


async def test_two_processes_on_one_ledger_both_see_the_end() -> None:
    async with bench() as it, open_app(it.settings, QUICK) as other:
        entry = await it.start()
        it.sandbox.finish(entry.task_id or "")
        seen = await other.finder.find(other.account, entry.request_id, TaskKind.GENERATE)
        here = (await it.app.tracker.wait(entry, 30)).entry
        there = (await other.tracker.wait(seen, 30)).entry

    assert here == there
    assert here.state is TaskState.SUCCESS


async def test_a_video_noticed_late_expires_from_its_acceptance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(PATIENT) as it:
        entry = await it.start()
        it.sandbox.finish(entry.task_id or "")
        now = it.app.clock.now
        monkeypatch.setattr(it.app.clock, "now", lambda: now() + timedelta(days=10))
        done = (await it.app.tracker.wait(entry, 0)).entry

    assert done.state is TaskState.SUCCESS
    assert entry.accepted_at is not None
    assert done.expires_at == entry.accepted_at + timedelta(days=14)


async def test_an_old_task_from_elsewhere_promises_no_expiry() -> None:
    async with bench() as it:
        entry = await it.start()
        it.sandbox.finish(entry.task_id or "")
        elsewhere = it.settings.model_copy(update={"home": it.settings.home_dir / "other"})
        async with open_app(elsewhere, QUICK) as other:
            adopted = await other.finder.find(other.account, entry.task_id or "", TaskKind.GENERATE)

    assert adopted.state is TaskState.SUCCESS
    assert adopted.expires_at is None


async def test_waiting_for_an_unknown_outcome_does_not_hold_the_agent_up() -> None:
    async with bench() as it:
        it.sandbox.inject(Fault("lost_answer", "runway/generate"))
        entry = await it.start()
        sight = await it.app.tracker.wait(entry, 10 * WITHIN_S)

    assert sight.entry.state is TaskState.UNKNOWN
