"""News of a task that has ended: late, twice, or from another process."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kie_runway.clock import Clock
from kie_runway.ledger.records import Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import ErrorInfo, TaskKind, TaskState, TaskUpdate
from kie_runway.updates import Updates

pytestmark = pytest.mark.anyio

STARTED = datetime(2026, 11, 21, 12, tzinfo=UTC)
GONE = ErrorInfo(code="gone", reason="It is gone.", retry="ask_user", charged="unknown")
RUNNING = Entry(
    id=0,
    account="local",
    request_id="r-1",
    kind=TaskKind.GENERATE,
    state=TaskState.WAIT,
    arguments={},
    created_at=STARTED,
    task_id="t-1",
    accepted_at=STARTED,
)


def news(state: TaskState, name: str = "late") -> TaskUpdate:
    """What a look-up says, told apart from other news by a name in all it brings."""
    return TaskUpdate(
        task_id="t-1",
        state=state,
        raw_state=name,
        video_url=f"https://{name}.example/v.mp4",
        thumbnail_url=f"https://{name}.example/v.png",
        parent_task_id=name,
        fail_message=name,
    )


AT_KIE = [state for state in TaskState if state.is_at_kie]
ENDS = [TaskState.SUCCESS, TaskState.FAIL]


@pytest.fixture(name="updates")
def _updates(ledger: SqliteLedger) -> Updates:
    return Updates(ledger, Clock())


@pytest.mark.parametrize("later", [*AT_KIE, *ENDS])
@pytest.mark.parametrize("end", ENDS)
async def test_the_first_end_stands_whatever_a_look_says_later(
    ledger: SqliteLedger, updates: Updates, end: TaskState, later: TaskState
) -> None:
    running = await ledger.adopt(RUNNING)
    ended = await updates.apply(running, news(end, "first"))
    seen_ended = await updates.apply(ended, news(later))
    seen_running = await updates.apply(running, news(later))  # as a process that knew no end

    assert ended.state is end
    assert seen_ended == seen_running == ended
    assert await ledger.find("local", "r-1") == ended


@pytest.mark.parametrize("end", ENDS)
async def test_an_ended_task_does_not_fail_afterwards(
    ledger: SqliteLedger, updates: Updates, end: TaskState
) -> None:
    running = await ledger.adopt(RUNNING)
    ended = await updates.apply(running, news(end, "first"))

    assert await updates.fail(running, GONE) == await updates.fail(ended, GONE) == ended
    assert await ledger.find("local", "r-1") == ended


@pytest.mark.parametrize("end", ENDS)
async def test_an_ended_task_is_not_expired_by_who_did_not_know(
    ledger: SqliteLedger, updates: Updates, end: TaskState
) -> None:
    running = await ledger.adopt(RUNNING)
    ended = await updates.apply(running, news(end, "first"))

    assert await updates.expire(running) == await updates.expire(ended) == ended
    assert await ledger.find("local", "r-1") == ended


async def test_a_task_expires_once_14_days_after_its_acceptance(
    ledger: SqliteLedger, updates: Updates
) -> None:
    running = await ledger.adopt(RUNNING)
    expired = await updates.expire(running)
    again = await updates.expire(running)  # another process found the same
    history = await ledger.history(running.id)

    assert expired == again
    assert (expired.state, expired.finished_at) == (TaskState.EXPIRED, None)
    assert expired.expires_at == STARTED + timedelta(days=14)
    assert [event.after for event in history].count(TaskState.EXPIRED) == 1


async def test_an_expired_video_does_not_come_back(ledger: SqliteLedger, updates: Updates) -> None:
    expired = await ledger.adopt(replace(RUNNING, state=TaskState.EXPIRED, expires_at=STARTED))

    for later in (*AT_KIE, *ENDS):
        assert await updates.apply(expired, news(later)) == expired
    assert await ledger.find("local", "r-1") == expired
