"""Saving without being asked, when it cannot be done now, or ever."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.server.autosaving import (
    DAY,
    Bench,
    is_expired,
    is_saved,
    open_bench,
    settled,
)
from tests.support import MP4

from kie_runway.autosave import HELD, LOOK_EVERY_S, RETRY_MAX, RETRY_MIN, retry_at
from kie_runway.errors import LedgerError
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskKind, TaskState
from kie_runway.saving import MAY_COME_BACK
from kie_runway_sandbox import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]


@pytest.fixture(name="bench")
async def _bench(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bench]:
    async with open_bench(monkeypatch) as bench:
        yield bench


@pytest.mark.parametrize("kind", ["refuse", "cut_body", "lost_answer", "html_502"])
async def test_a_download_that_fails_succeeds_later(bench: Bench, kind: Any) -> None:
    (entry,) = await bench.finished()
    bench.sandbox.inject(Fault(kind, "media", status=503, code=None))

    async with bench.app() as app:
        line = await bench.lines.next()
        assert bench.videos == []
        bench.clock.pass_time((RETRY_MIN).total_seconds())
        await settled(app, [entry.id], is_saved)

    assert line.startswith(f"generate {entry.task_id} was not saved: ")
    assert "http" not in line
    assert bench.downloads == 2
    assert bench.lines.is_empty


async def test_after_a_failure_there_is_a_pause_that_grows_with_the_age(bench: Bench) -> None:
    (entry,) = await bench.finished()
    bench.sandbox.inject(Fault("html_502", "media", times=None))
    bench.clock.pass_time((timedelta(hours=8)).total_seconds())

    async with bench.app() as app:
        await bench.lines.next()
        for _ in range(10):
            bench.clock.pass_time((timedelta(minutes=10)).total_seconds())
            await anyio.lowlevel.checkpoint()
            await app.ledger.list(app.account, limit=1)
        assert bench.downloads == 1
        bench.sandbox.faults.clear()
        bench.clock.pass_time((timedelta(minutes=21)).total_seconds())
        await settled(app, [entry.id], is_saved)


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (timedelta(), RETRY_MIN),
        (timedelta(minutes=20), RETRY_MIN),
        (timedelta(hours=4), timedelta(hours=1)),
        (timedelta(days=13), RETRY_MAX),
    ],
)
def test_the_pause_is_a_quarter_of_the_age_within_bounds(age: timedelta, pause: timedelta) -> None:
    now = datetime.now(UTC)
    entry = Entry(
        id=1,
        account=LOCAL_ACCOUNT,
        request_id="one",
        kind=TaskKind.GENERATE,
        state=TaskState.SUCCESS,
        arguments={},
        created_at=now - DAY,
        finished_at=now - age,
    )

    assert retry_at(entry, now) - now == pause


async def test_a_server_that_starts_anew_tries_at_once_what_failed(bench: Bench) -> None:
    (entry,) = await bench.finished()
    bench.clock.pass_time((timedelta(hours=8)).total_seconds())
    bench.sandbox.inject(Fault("html_502", "media"))
    async with bench.app():
        await bench.lines.next()
    bench.clock.pass_time((HELD).total_seconds())

    async with bench.app() as app:
        await settled(app, [entry.id], is_saved)


async def test_a_video_that_kie_says_it_deleted_is_expired_and_never_asked_for_again(
    bench: Bench,
) -> None:
    (entry,) = await bench.finished()
    bench.sandbox.advance(15 * 24 * 3600)  # KIE's clock only, so ours does not know

    async with bench.app() as app:
        await bench.lines.next()
        (expired,) = await settled(app, [entry.id], is_expired)
        again = await app.ledger.take_save(now=bench.clock.now() + DAY, until=bench.clock.now())
        revived = await app.ledger.expire(now=bench.clock.now())

    assert expired.file is None
    assert (again, list(revived)) == (None, [])
    assert bench.downloads == 1


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_fresh_video_that_its_host_denies_may_come_back(bench: Bench, status: int) -> None:
    (entry,) = await bench.finished()
    bench.sandbox.inject(Fault("refuse", "media", status=status, code=None))

    async with bench.app() as app:
        line = await bench.lines.next()
        row = await app.ledger.get(entry.id)
        bench.clock.pass_time((RETRY_MIN).total_seconds())
        await settled(app, [entry.id], is_saved)

    assert f"answered {status}" in line
    assert row is not None
    assert row.state is TaskState.SUCCESS


@pytest.mark.parametrize("kind", [TaskKind.GENERATE, TaskKind.ALEPH])
async def test_a_day_old_video_that_its_host_denies_is_gone(bench: Bench, kind: TaskKind) -> None:
    (entry,) = await bench.finished(kind=kind)
    bench.clock.pass_time((MAY_COME_BACK + timedelta(seconds=1)).total_seconds())
    bench.sandbox.inject(Fault("refuse", "media", status=404, code=None))

    async with bench.app() as app:
        (expired,) = await settled(app, [entry.id], is_expired)
        history = await app.ledger.history(entry.id)

    assert expired.file is None
    assert history[-1].detail == "its host answered 404"
    assert bench.downloads == 1


async def test_a_fresh_video_that_is_denied_while_kie_is_silent_may_come_back(
    bench: Bench,
) -> None:
    (entry,) = await bench.finished()
    bench.sandbox.inject(Fault("refuse", "media", status=404, code=None))
    bench.sandbox.inject(Fault("refuse", "runway/record-detail", status=401, code=401))

    async with bench.app() as app:
        await bench.lines.next()
        bench.clock.pass_time((RETRY_MIN).total_seconds())
        await settled(app, [entry.id], is_saved)


async def test_what_has_expired_is_not_asked_for(bench: Bench) -> None:
    (old,) = await bench.finished()
    bench.clock.pass_time((15 * DAY).total_seconds())
    (young,) = await bench.finished()

    async with bench.app() as app:
        await settled(app, [young.id], is_saved)
        row = await app.ledger.get(old.id)

    assert row is not None
    assert (row.state, row.file) == (TaskState.EXPIRED, None)
    assert bench.downloads == 1


async def test_a_foreign_file_with_the_videos_name_is_reported_and_left_alone(
    bench: Bench,
) -> None:
    (entry,) = await bench.finished()
    bench.settings.videos_dir.mkdir(parents=True)
    path = bench.settings.videos_dir / f"generate-{entry.task_id}.mp4"
    path.write_text("my notes", encoding="utf-8")

    async with bench.app() as app:
        line = await bench.lines.next()
        assert path.read_text(encoding="utf-8") == "my notes"
        assert bench.downloads == 0
        path.unlink()
        bench.clock.pass_time((RETRY_MIN).total_seconds())
        await settled(app, [entry.id], is_saved)

    assert "move it away" in line
    assert path.read_bytes() == MP4


async def test_one_video_that_fails_does_not_hold_up_the_others(bench: Bench) -> None:
    broken, *others = await bench.finished(4)
    (bench.settings.videos_dir / f"generate-{broken.task_id}.mp4").mkdir(parents=True)

    async with bench.app() as app:
        await settled(app, [entry.id for entry in others], is_saved)
        await bench.lines.next()

    assert bench.downloads == 3


async def test_a_ledger_that_fails_is_logged_and_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = await bench.finished()

    async def broken(*_: object, **__: object) -> Entry | None:
        raise LedgerError("The disk is on fire.")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteLedger, "take_save", broken)
        async with bench.app() as app:
            line = await bench.lines.next()
            patch.undo()
            bench.clock.pass_time((timedelta(seconds=LOOK_EVERY_S)).total_seconds())
            await settled(app, [entry.id], is_saved)

    assert line == "cannot look for unsaved videos: The disk is on fire."


async def test_a_fault_of_ours_is_logged_without_its_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = await bench.finished()

    async def explode(*_: object, **__: object) -> Path:
        raise RuntimeError("https://host.example/clip.mp4?Signature=hidden")

    monkeypatch.setattr("kie_runway.media.VideoStore.save", explode)
    async with bench.app():
        line = await bench.lines.next()

    assert line == f"generate {entry.task_id} was not saved: RuntimeError"
