"""Paying again for what stayed unknown: on the user's word, after 45 minutes, once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.server.desk import Desk, QuickClock, creates, open_desk
from tests.support import serve_sandbox

from kie_runway.errors import RequestConflictError
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.models import PROBABLY_NOT_CREATED, TaskState
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

SECOND = timedelta(seconds=1)


@dataclass
class Case:
    """A row whose answer was lost, though KIE made the task."""

    sandbox: Sandbox
    settings: Settings
    path: Path
    desk: Desk
    clock: QuickClock
    lost: Entry

    async def rows(self) -> list[Entry]:
        """Everything in the ledger, newest first."""
        return list(await self.desk.ledger.list(LOCAL_ACCOUNT, limit=99))


@asynccontextmanager
async def lost_answer(folder: Path, request_id: str | None = "one") -> AsyncGenerator[Case]:
    clock = QuickClock()
    path = folder / "ledger.db"
    async with serve_sandbox() as (sandbox, settings), open_desk(settings, path, clock) as desk:
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        lost = await desk.start(request_id=request_id)
        assert lost.state is TaskState.UNKNOWN
        yield Case(sandbox, settings, path, desk, clock, lost)


async def test_before_its_time_the_users_word_changes_nothing(tmp_path: Path) -> None:
    async with lost_answer(tmp_path) as it:
        assert it.lost.sent_at is not None
        it.clock.at = it.lost.sent_at + PROBABLY_NOT_CREATED - SECOND
        again = await it.desk.start(request_id="one", confirmed=True)

        assert again == it.lost
        assert creates(it.sandbox) == 1
        assert it.sandbox.requests["runway/generate"] == 1


async def test_after_its_time_the_users_word_starts_a_new_task_under_the_same_id(
    tmp_path: Path,
) -> None:
    async with lost_answer(tmp_path) as it:
        it.clock.at += PROBABLY_NOT_CREATED
        again = await it.desk.start(request_id="one", confirmed=True)
        found = await it.desk.ledger.find(LOCAL_ACCOUNT, "one")

        assert again.state is TaskState.WAIT
        assert (again.supersedes, again.request_id) == (it.lost.id, "one")
        assert found == again
        assert creates(it.sandbox) == 2


async def test_without_the_users_word_time_alone_changes_nothing(tmp_path: Path) -> None:
    async with lost_answer(tmp_path) as it:
        it.clock.at += timedelta(days=30)
        again = [await it.desk.start(request_id=name) for name in ("one", None)]

        assert again == [it.lost, it.lost]
        assert creates(it.sandbox) == 1


async def test_repeating_the_confirmed_call_pays_no_third_time(tmp_path: Path) -> None:
    async with lost_answer(tmp_path) as it:
        it.clock.at += PROBABLY_NOT_CREATED
        first = await it.desk.start(request_id="one", confirmed=True)
        it.clock.at += timedelta(days=2)
        repeats = [await it.desk.start(request_id="one", confirmed=word) for word in (True, False)]

        assert repeats == [first, first]
        assert creates(it.sandbox) == 2


async def test_a_confirmed_call_whose_answer_is_lost_as_well_waits_its_own_time(
    tmp_path: Path,
) -> None:
    async with lost_answer(tmp_path) as it:
        it.clock.at += PROBABLY_NOT_CREATED
        it.sandbox.inject(Fault("lost_answer", "runway/generate"))
        second = await it.desk.start(request_id="one", confirmed=True)
        it.clock.at += PROBABLY_NOT_CREATED - timedelta(minutes=1)
        early = await it.desk.start(request_id="one", confirmed=True)
        it.clock.at += timedelta(minutes=1)
        third = await it.desk.start(request_id="one", confirmed=True)

        assert (second.state, early) == (TaskState.UNKNOWN, second)
        assert (third.state, third.supersedes) == (TaskState.WAIT, second.id)
        assert creates(it.sandbox) == 3


async def test_the_users_word_works_for_a_call_that_never_had_an_id(tmp_path: Path) -> None:
    async with lost_answer(tmp_path, request_id=None) as it:
        it.clock.at += PROBABLY_NOT_CREATED
        again = await it.desk.start(confirmed=True)

        assert (again.supersedes, again.request_id) == (it.lost.id, it.lost.request_id)
        assert creates(it.sandbox) == 2


async def test_the_users_word_for_other_arguments_is_a_conflict(tmp_path: Path) -> None:
    async with lost_answer(tmp_path) as it:
        it.clock.at += PROBABLY_NOT_CREATED
        with pytest.raises(RequestConflictError):
            await it.desk.start("a boat.", request_id="one", confirmed=True)

        assert creates(it.sandbox) == 1


async def test_confirmed_from_two_processes_at_once_pays_once(tmp_path: Path) -> None:
    async with lost_answer(tmp_path) as it, open_desk(it.settings, it.path, it.clock) as other:
        it.clock.at += PROBABLY_NOT_CREATED
        entries = await asyncio.gather(
            *(
                desk.start(request_id="one", confirmed=True)
                for _ in range(10)
                for desk in (it.desk, other)
            )
        )

        assert {entry.id for entry in entries} == {entries[0].id}
        assert len(await it.rows()) == 2
        assert creates(it.sandbox) == 2


async def test_confirming_the_first_call_of_all_is_an_ordinary_start(tmp_path: Path) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        open_desk(settings, tmp_path / "ledger.db") as desk,
    ):
        first = await desk.start(request_id="one", confirmed=True)
        again = await desk.start(request_id="one", confirmed=True)

        assert (first.state, first.supersedes) == (TaskState.WAIT, None)
        assert again == first
        assert creates(sandbox) == 1
