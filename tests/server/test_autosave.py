"""Saving without being asked: when, how often, by whom."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Coroutine
from datetime import timedelta
from typing import Any

import pytest
from tests.server.autosaving import (
    WITHIN_S,
    Bench,
    is_saved,
    open_bench,
    settled,
)
from tests.support import MP4

from kie_runway import http_app, server, serving
from kie_runway.autosave import HELD, LOOK_EVERY_S
from kie_runway.models import GenerateRequest
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]


@pytest.fixture(name="bench")
async def _bench(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bench]:
    async with open_bench(monkeypatch) as bench:
        yield bench


async def test_a_video_is_saved_as_soon_as_it_is_finished(bench: Bench) -> None:
    async with bench.app() as app:
        request = GenerateRequest(prompt="a boat", aspect_ratio="16:9")
        entry = (await app.submitter.start(app.account, request, None)).entry
        bench.sandbox.finish(entry.task_id or "")
        (saved,) = await settled(app, [entry.id], is_saved)

    path = bench.settings.videos_dir / f"generate-{entry.task_id}.mp4"
    assert saved.file == str(path)
    assert path.read_bytes() == MP4
    assert bench.lines.is_empty


async def test_what_finished_while_no_server_saved_is_saved_at_the_next_start(
    bench: Bench,
) -> None:
    entries = await bench.finished(3)

    async with bench.app() as app:
        await settled(app, [entry.id for entry in entries], is_saved)

    assert bench.videos == sorted(f"generate-{entry.task_id}.mp4" for entry in entries)


async def test_two_servers_on_one_ledger_download_each_video_once(bench: Bench) -> None:
    entries = await bench.finished(5)

    async with bench.app() as one, bench.app() as other:
        await settled(one, [entry.id for entry in entries], is_saved, other)

    assert bench.downloads == 5
    assert len(bench.videos) == 5


async def test_what_another_process_finished_is_saved_at_the_next_look(bench: Bench) -> None:
    async with bench.app() as app:
        (entry,) = await bench.finished()
        bench.clock.pass_time((timedelta(seconds=LOOK_EVERY_S)).total_seconds())
        (saved,) = await settled(app, [entry.id], is_saved)

    assert bench.videos == [f"generate-{saved.task_id}.mp4"]


async def test_no_more_than_two_videos_are_downloaded_at_a_time(bench: Bench) -> None:
    await bench.finished(4)
    bench.sandbox.inject(Fault("slow_head", "media", times=None, seconds=3600))

    async with bench.app() as app:
        await bench.sandbox.log.wait_for("fault", count=2)
        rows = await app.ledger.list(app.account, limit=10)

    assert [row.save_after is not None for row in rows].count(True) == 2
    assert bench.downloads == 2


async def test_stopping_during_a_download_leaves_nothing_and_the_next_start_saves(
    bench: Bench,
) -> None:
    (entry,) = await bench.finished()
    bench.sandbox.inject(Fault("slow_body", "media", seconds=3600))
    async with bench.app():
        await bench.sandbox.log.wait_for("fault")
        assert [name.endswith(".part") for name in bench.videos] == [True]

    assert bench.videos == []
    assert bench.lines.is_empty
    bench.clock.pass_time((HELD).total_seconds())
    async with bench.app() as app:
        await settled(app, [entry.id], is_saved)
    assert bench.videos == [f"generate-{entry.task_id}.mp4"]


async def test_stopping_waits_for_the_thread_that_writes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would write to a descriptor that is closed, or by then another file's."""
    await bench.finished()
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()
    go_on = threading.Event()
    written: list[int] = []
    write = os.write

    def hesitant(fd: int, data: bytes) -> int:
        loop.call_soon_threadsafe(begun.set)
        assert go_on.wait(WITHIN_S)
        written.append(write(fd, data))
        return written[-1]

    monkeypatch.setattr(os, "write", hesitant)
    async with bench.app():
        await begun.wait()
        loop.call_later(0.1, go_on.set)

    assert written == [len(MP4)]
    assert bench.videos == []


async def test_an_embedded_server_saves_nothing_unasked(bench: Bench) -> None:
    assert Settings().autosave is None
    (entry,) = await bench.finished()

    async with bench.app(autosave=None) as app:
        bench.clock.pass_time((timedelta(seconds=LOOK_EVERY_S)).total_seconds())
        await app.ledger.list(app.account, limit=1)
        taken = await app.ledger.take_save(now=bench.clock.now(), until=bench.clock.now())

    assert taken is not None
    assert taken.id == entry.id
    assert bench.downloads == 0


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize(
    ("http", "chosen", "autosave"),
    [
        (False, "", True),
        (True, "", False),
        (False, "0", False),
        (True, "1", True),
    ],
)
def test_it_is_on_for_stdio_and_off_for_http_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, http: bool, chosen: str, autosave: bool, sandbox: bool
) -> None:
    monkeypatch.setenv("KIE_AUTOSAVE", chosen)
    given: list[Settings] = []

    def noted(settings: Settings, **changes: Any) -> object:
        given.append(settings)
        return server.create_server(settings, **changes)

    def keep_quiet(*_: object) -> None:
        pass

    def do_nothing(*_: object, **__: object) -> Coroutine[Any, Any, None]:
        return asyncio.sleep(0)

    monkeypatch.setattr(serving, "create_server", noted)
    monkeypatch.setattr(serving, "serve_stdio", do_nothing)
    monkeypatch.setattr(http_app, "serve_http", do_nothing)
    monkeypatch.setattr(serving, "configure_logging", keep_quiet)

    assert serving.serve(http=http, sandbox=sandbox) == 0
    assert [settings.autosave for settings in given] == [autosave]
