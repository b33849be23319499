"""When the next look is due, whatever the clock has done; and tasks that take too long."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.server.desk import NOW
from tests.server.held import HeldClock
from tests.support import serve_sandbox

from kie_runway import opening
from kie_runway.app import App
from kie_runway.errors import ExpiredError, StuckError, UnavailableError
from kie_runway.following import Follower, Plan
from kie_runway.ledger.records import Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.medians import Medians
from kie_runway.models import GenerateRequest, TaskKind, TaskState
from kie_runway.pace import (
    JITTER,
    POLL_FLOOR_S,
    STUCK_AFTER_S,
    STUCK_EVERY_S,
    UNWATCHED_CEILING_S,
    Pace,
)
from kie_runway.tracker import SWEEP_EVERY_S, Sight
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_tools.described import describe
from kie_runway_tools.finished import finished

pytestmark = pytest.mark.anyio

WITHIN_S = 60  # less than the pauses that a wrong plan would make
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
A_BOAT = GenerateRequest(prompt="a boat", aspect_ratio="16:9")
HIDDEN = Fault("refuse", "runway/record-detail", status=200, code=200, message="success")
STUCK = timedelta(seconds=STUCK_AFTER_S + 60)
AT_KIE = Entry(
    id=1,
    account="local",
    request_id="r-1",
    kind=TaskKind.GENERATE,
    state=TaskState.WAIT,
    arguments={},
    created_at=NOW,
    accepted_at=NOW,
    task_id="t-1",
)


def plan(clock: HeldClock, pace: Pace | None = None) -> Plan:
    return Plan(pace or Pace(), Medians(SqliteLedger(Path("unused.db"))), clock)


@given(
    age_s=st.floats(0, STUCK_AFTER_S),
    looked=st.none() | st.floats(0, 1),
    jump_s=st.sampled_from([0.0, -3600.0, 3600.0, -1.0, 1.0, -1e7, 1e7]),
    watched=st.booleans(),
)
def test_whatever_the_clock_does_the_next_look_is_within_the_longest_pause(
    age_s: float, looked: float | None, jump_s: float, watched: bool
) -> None:
    clock = HeldClock(NOW + timedelta(seconds=age_s + jump_s))
    looked_at = None if looked is None else NOW + timedelta(seconds=age_s * looked)
    follower = Follower(replace(AT_KIE, looked_at=looked_at), watchers=int(watched), looks=2)
    pause_s = plan(clock).pause_s(follower)

    assert 0 <= pause_s <= UNWATCHED_CEILING_S * (1 + JITTER)


@given(age_s=st.floats(0, STUCK_AFTER_S - 1), called_back=st.booleans())
def test_nobody_is_looked_at_hourly_before_being_called_stuck(
    age_s: float, called_back: bool
) -> None:
    """The look that finds it stuck comes first: until then, waiting may well bring news."""
    clock = HeldClock(NOW + timedelta(seconds=age_s))
    row = replace(AT_KIE, looked_at=clock.now(), callback_hash="hash" if called_back else None)
    follower = Follower(row, watchers=1, looks=100)

    assert plan(clock).pause_s(follower) < STUCK_EVERY_S / 10


def test_a_stuck_task_is_looked_at_soon_by_a_process_that_has_not_seen_much_of_it() -> None:
    clock = HeldClock(NOW + STUCK)
    row = replace(AT_KIE, looked_at=clock.now())

    assert plan(clock).pause_s(Follower(row, looks=0)) <= UNWATCHED_CEILING_S * (1 + JITTER)
    assert plan(clock).pause_s(Follower(row, looks=3)) >= STUCK_EVERY_S * (1 - JITTER)


@asynccontextmanager
async def bench(
    monkeypatch: pytest.MonkeyPatch, pace: Pace | None = None
) -> AsyncGenerator[tuple[App, Sandbox, HeldClock, Entry]]:
    """An app on a held clock, with one task at KIE."""
    clock = HeldClock()
    monkeypatch.setattr(opening, "Clock", lambda: clock)
    monkeypatch.setattr("kie_runway.tracker.GLANCE_S", WITHIN_S)
    async with (
        serve_sandbox() as (sandbox, settings),
        opening.open_app(settings, pace or Pace()) as app,
    ):
        entry = (await app.submitter.start(app.account, A_BOAT, None)).entry
        with anyio.fail_after(WITHIN_S):
            yield app, sandbox, clock, entry


async def test_waiting_for_a_stuck_task_returns_at_once_and_says_in_an_hour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as (app, _, clock, entry):
        clock.set_by(STUCK)
        sight = await app.tracker.wait(entry, 600)
        again = await app.tracker.wait(entry, 600)
        task = describe(app, sight.entry, trouble=sight.trouble)

    assert isinstance(sight.trouble, StuckError)
    assert isinstance(again.trouble, StuckError)
    assert sight.entry.state is TaskState.WAIT
    assert task.error is not None
    assert (task.error.code, task.error.retry, task.error.charged) == ("stuck", "later", "yes")
    assert "do not start it again" in task.error.reason
    assert task.next == "Tell the user. In an hour, call get_task again."


async def test_a_stuck_task_is_stuck_for_a_process_that_has_just_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as (app, _, clock, entry):
        clock.set_by(STUCK)
        await app.tracker.wait(entry, 0)
        clock.set_by(timedelta(minutes=1))
        async with opening.open_app(app.settings, Pace()) as other:
            sight = await other.tracker.wait(entry, 600)

    assert isinstance(sight.trouble, StuckError)


async def test_a_stuck_task_that_ends_after_all_is_seen_by_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as (app, sandbox, clock, entry):
        clock.set_by(STUCK)
        stuck = await app.tracker.wait(entry, 600)
        sandbox.finish(entry.task_id or "")
        clock.set_by(HOUR)
        done = await app.tracker.wait(entry, 600)

    assert stuck.trouble is not None
    assert (done.entry.state, done.trouble) == (TaskState.SUCCESS, None)


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_clock_that_jumps_delays_no_look_that_was_planned(
    monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    async with bench(monkeypatch, Pace(scale=0.02)) as (app, sandbox, clock, entry):
        await app.tracker.wait(entry, 0)
        clock.set_by(jump)
        sandbox.finish(entry.task_id or "")
        done = await app.tracker.wait(entry, 600)

    assert done.entry.state is TaskState.SUCCESS


async def test_a_task_that_a_wrong_clock_called_stuck_is_followed_again_once_it_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, Pace(scale=0.02)) as (app, sandbox, clock, entry):
        clock.set_by(HOUR)
        for _ in range(3):
            await app.tracker.wait(entry, 0)
            clock.set_by(timedelta(seconds=1))
        stuck = await app.tracker.wait(entry, 0)
        clock.set_by(-HOUR)
        clock.pass_time(SWEEP_EVERY_S)
        clock.set_by(-timedelta(seconds=SWEEP_EVERY_S))
        sandbox.finish(entry.task_id or "")
        done = await app.tracker.wait(entry, 600)

    assert isinstance(stuck.trouble, StuckError)
    assert done.entry.state is TaskState.SUCCESS


async def look(app: App, clock: HeldClock, entry: Entry) -> Sight:
    """A fresh look, and time for the next one."""
    sight = await app.tracker.wait(entry, 0)
    clock.set_by(timedelta(seconds=POLL_FLOOR_S))
    return sight


async def test_a_task_whose_record_kie_has_deleted_is_expired_once_and_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, Pace(scale=0.001)) as (app, sandbox, clock, entry):
        sandbox.reset()
        clock.set_by(90 * DAY)
        expired = (await app.tracker.wait(entry, 600)).entry
        history = await app.ledger.history(entry.id)
        task = describe(app, expired)
        with pytest.raises(ExpiredError):
            await finished(app, expired)
        repeated = await app.submitter.start(app.account, A_BOAT, None)

    assert entry.accepted_at is not None
    assert expired.expires_at == entry.accepted_at + 14 * DAY
    assert [event.after for event in history].count(TaskState.EXPIRED) == 1
    assert (task.state, task.charged) == ("expired", "yes")
    assert task.next is not None
    assert "KIE has deleted it" in task.next
    assert not repeated.deduplicated


async def test_a_deleted_record_does_not_come_back_as_a_success_without_a_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch, Pace(scale=0.001)) as (app, sandbox, clock, entry):
        sandbox.reset()
        clock.set_by(90 * DAY)
        expired = (await app.tracker.wait(entry, 600)).entry
        clock.set_by(-90 * DAY)
        await app.tracker.sweep()

        assert await app.ledger.get(entry.id) == expired
    assert expired.state is TaskState.EXPIRED


async def test_a_clock_far_ahead_does_not_expire_a_task_that_kie_is_slow_to_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench(monkeypatch) as (app, sandbox, clock, entry):
        sandbox.inject(replace(HIDDEN, times=4))
        clock.set_by(20 * DAY)
        hidden = [await look(app, clock, entry) for _ in range(4)]
        shown = await look(app, clock, entry)

    assert all(isinstance(sight.trouble, UnavailableError) for sight in hidden)
    assert all(sight.entry.state is TaskState.WAIT for sight in hidden)
    assert not isinstance(shown.trouble, UnavailableError)
    assert shown.entry.state.is_at_kie


@pytest.mark.parametrize(
    ("age", "hidden", "expires"),
    [
        (15 * DAY, [True, True, True], True),
        (15 * DAY, [True, True], False),
        (15 * DAY, [True, True, False, True, True], False),
        (13 * DAY, [True, True, True, True], False),
    ],
)
async def test_an_old_task_expires_when_kie_shows_nothing_three_times_in_a_row(
    monkeypatch: pytest.MonkeyPatch, age: timedelta, hidden: list[bool], expires: bool
) -> None:
    monkeypatch.setattr("kie_runway.following.INVISIBLE_GRACE_S", 0.0)
    async with bench(monkeypatch) as (app, sandbox, clock, entry):
        clock.set_by(age)
        for is_hidden in hidden:
            if is_hidden:
                sandbox.inject(HIDDEN)
            sight = await look(app, clock, entry)
            entry = sight.entry

    assert (entry.state is TaskState.EXPIRED) == expires
