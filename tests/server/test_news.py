"""News of tasks: each change is told once, whoever made it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from tests.support import QUICK, serve_sandbox

from kie_runway.app import App
from kie_runway.clock import Clock
from kie_runway.errors import LedgerError
from kie_runway.ledger.records import Entry, Transition
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import ErrorInfo, GenerateRequest, TaskState
from kie_runway.news import Topic, Watch
from kie_runway.opening import open_app
from kie_runway.pace import Pace
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

WITHIN_S = 60
NEVER_LOOKS = Pace(scale=1000.0)
FAILED = ErrorInfo(code="x", reason="X.", retry="ask_user", charged="unknown")


@dataclass
class Bench:
    """A sandbox, and apps on one ledger."""

    sandbox: Sandbox
    settings: Settings
    apps: AsyncExitStack

    async def app(self, pace: Pace = NEVER_LOOKS) -> App:
        return await self.apps.enter_async_context(open_app(self.settings, pace))

    async def start(self, app: App, prompt: str = "a boat", request_id: str | None = None) -> Entry:
        request = GenerateRequest(prompt=prompt, aspect_ratio="16:9")
        return (await app.submitter.start(app.account, request, request_id)).entry


@dataclass(frozen=True)
class Noting(Pace):
    """Looks at nothing, and notes for whom it would."""

    watched: list[bool] = field(default_factory=list[bool])

    def next_look_s(self, *_: Any, watched: bool, **__: Any) -> float:
        self.watched.append(watched)
        return 1e6


class Ear:
    """A listener, and how often it was told."""

    def __init__(self) -> None:
        self.told = 0
        self._told = asyncio.Event()

    def __call__(self) -> None:
        self.told += 1
        self._told.set()

    async def hears(self) -> None:
        """Wait to be told."""
        with anyio.fail_after(WITHIN_S):
            await self._told.wait()
        self._told.clear()


async def listen(app: App, topic: Topic) -> tuple[Ear, Watch]:
    ear = Ear()
    return ear, await app.news.watch(topic, ear)


async def settled(app: App) -> None:
    """Everything that has been committed so far has been told."""
    ear, watch = await listen(app, None)
    await app.ledger.adopt(row(app, f"marker-{id(ear)}"))
    await ear.hears()
    watch.release()


def row(app: App, task_id: str) -> Entry:
    return Entry(
        id=0,
        account=app.account,
        request_id=task_id,
        kind=GenerateRequest.kind,
        state=TaskState.SUCCESS,
        arguments={},
        created_at=app.clock.now(),
        task_id=task_id,
    )


@pytest.fixture(name="it")
async def _bench(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bench]:
    monkeypatch.setattr("kie_runway.tracker.ELSEWHERE_S", 0.01)
    async with serve_sandbox() as (sandbox, settings), AsyncExitStack() as apps:
        yield Bench(sandbox, settings, apps)


def moving(to: TaskState, **changes: object) -> Callable[[App, Entry], Awaitable[object]]:
    async def move(app: App, entry: Entry) -> object:
        return await app.ledger.transition(
            Transition(entry.id, tuple(TaskState), to, app.clock.now(), changes)
        )

    return move


async def save(app: App, entry: Entry) -> object:
    return await app.ledger.set_file(entry.id, "/videos/boat.mp4")


@pytest.mark.parametrize(
    "change",
    [
        moving(TaskState.GENERATING),
        moving(TaskState.SUCCESS, video_url="https://kie.example/v.mp4"),
        moving(TaskState.FAIL, error=FAILED),
        moving(TaskState.EXPIRED),
        moving(TaskState.REJECTED, error=FAILED),
        moving(TaskState.UNKNOWN, error=FAILED),
        save,
    ],
    ids=["moved", "finished", "failed", "expired", "rejected", "unknown", "saved"],
)
@pytest.mark.parametrize("where", ["here", "in another process"])
async def test_each_change_is_told_once_to_each_name_and_to_the_list(
    it: Bench, change: Callable[[App, Entry], Awaitable[object]], where: str
) -> None:
    here = await it.app()
    changing = here if where == "here" else await it.app()
    entry = await it.start(here)
    await settled(here)
    ears = [(await listen(here, topic))[0] for topic in (entry.task_id, entry.request_id, None)]
    other, _ = await listen(here, (await it.start(here, "another boat")).task_id)
    await change(changing, entry)
    for ear in ears:
        await ear.hears()
    await settled(here)

    assert [ear.told for ear in ears[:2]] == [1, 1]
    assert other.told == 0


async def test_being_accepted_and_being_lost_is_told(it: Bench) -> None:
    app = await it.app()
    ear, _ = await listen(app, None)
    await it.start(app)
    await ear.hears()
    it.sandbox.inject(Fault("lost_answer", "runway/generate"))
    lost = await it.start(app, "another boat", "lost")
    ear_of_lost, _ = await listen(app, "lost")
    task_id = it.sandbox.log.select("create")[-1].task_id
    assert task_id is not None
    await app.ledger.transition(
        Transition.accepted(lost.id, task_id, accepted_at=app.clock.now(), at=app.clock.now())
    )
    await ear_of_lost.hears()

    assert lost.state is TaskState.UNKNOWN


async def test_a_row_that_takes_the_place_of_another_is_told_by_their_common_name(
    it: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await it.app()
    it.sandbox.inject(Fault("lost_answer", "runway/generate"))
    lost = await it.start(app, request_id="one")
    ear, _ = await listen(app, "one")
    later = app.clock.now() + timedelta(hours=1)

    def now(_: Clock) -> datetime:
        return later

    monkeypatch.setattr(Clock, "now", now)
    request = GenerateRequest(prompt="a boat", aspect_ratio="16:9")
    new = (await app.submitter.start(app.account, request, "one", confirmed=True)).entry
    await ear.hears()

    assert new.id != lost.id
    assert new.supersedes == lost.id


async def test_what_no_reader_can_see_is_not_told(it: Bench) -> None:
    app, other = await it.app(), await it.app()
    entry = await it.start(app)
    await settled(app)
    ears = [(await listen(app, topic))[0] for topic in (entry.task_id, None)]
    await other.ledger.take_look(entry.id, now=app.clock.now(), known=None)
    await it.start(app, request_id=entry.request_id)  # a repeat, which changes nothing
    ear, watch = await listen(app, "marker")
    assert not watch.is_known
    await other.ledger.adopt(row(app, "marker"))
    await ear.hears()

    assert ears[0].told == 0
    assert ears[1].told <= 1  # of the marker


async def test_only_the_released_hear_nothing_more(it: Bench) -> None:
    app = await it.app()
    entry = await it.start(app)
    gone, watch = await listen(app, entry.task_id)
    here, _ = await listen(app, entry.task_id)
    watch.release()
    watch.release()
    await save(app, entry)
    await here.hears()

    assert gone.told == 0


async def test_a_second_listener_does_not_hide_news_from_the_first(it: Bench) -> None:
    app = await it.app()
    entry = await it.start(app)
    first, _ = await listen(app, entry.task_id)
    changing = asyncio.create_task(app.ledger.set_file(entry.id, "/videos/boat.mp4"))
    await listen(app, entry.task_id)
    await first.hears()
    await changing

    assert first.told == 1


async def test_an_unfinished_task_is_watched_until_it_ends_or_nobody_listens(
    it: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await it.app()
    entry, other = await it.start(app), await it.start(app, "another boat")
    watched: set[int] = set()
    original = app.tracker.watching

    @contextmanager
    def noted(entry_id: int) -> Generator[None]:
        watched.add(entry_id)
        with original(entry_id):
            yield
        watched.discard(entry_id)

    monkeypatch.setattr(app.tracker, "watching", noted)
    ear, _ = await listen(app, entry.task_id)
    _, watch = await listen(app, other.request_id)
    at_first = set(watched)
    await moving(TaskState.FAIL, error=FAILED)(app, entry)
    await ear.hears()
    after_the_end = set(watched)
    watch.release()

    assert at_first == {entry.id, other.id}
    assert after_the_end == {other.id}
    assert not watched


async def test_what_is_watched_is_looked_at_as_for_one_who_waits(it: Bench) -> None:
    pace = Noting()
    app = await it.app(pace)
    entry = await it.start(app)
    followed = len(pace.watched)
    for topic in (entry.task_id, entry.request_id) * 3:
        await listen(app, topic)

    assert not any(pace.watched[:followed])
    assert pace.watched[followed:] == [True]  # planned anew once, for the first of them
    assert it.sandbox.task(entry.task_id or "").lookups == 0


async def test_news_come_to_subscribers_of_a_process_that_never_looks(it: Bench) -> None:
    sleepy, awake = await it.app(), await it.app(QUICK)
    entry = await it.start(sleepy)
    ear, _ = await listen(sleepy, entry.task_id)
    it.sandbox.finish(entry.task_id or "")
    await ear.hears()
    done = await sleepy.ledger.get(entry.id)
    del awake

    assert done is not None
    assert done.state is TaskState.SUCCESS


async def test_a_ledger_that_cannot_be_read_for_a_while_delays_news(
    it: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = await it.app()
    entry = await it.start(app)
    ear, _ = await listen(app, entry.task_id)
    failed = asyncio.Event()
    monkeypatch.setattr("kie_runway.news.RETRY_S", 0)

    async def broken(*_: object) -> Entry:
        failed.set()
        raise LedgerError("It failed.")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteLedger, "find", broken)
        await save(app, entry)
        with anyio.fail_after(WITHIN_S):
            await failed.wait()
        with pytest.raises(LedgerError):
            await app.news.watch("anything", Ear())
    await ear.hears()

    assert ear.told == 1
    assert "could not read what subscribers wait for" in caplog.text
