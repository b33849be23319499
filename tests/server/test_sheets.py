"""Contact sheets are made once, kept, and never in the way."""

import asyncio
import importlib.util
import logging
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from PIL import Image
from tests.server.file_host import FileHost, moved, open_file_host
from tests.server.odd_clips import clip
from tests.sockets import http, sends

from kie_runway import contact_sheet, sheets
from kie_runway.fetch import Fetcher
from kie_runway.folder import PART_LIFETIME_S
from kie_runway.ledger.records import LOCAL_ACCOUNT, Entry
from kie_runway.models import TaskKind, TaskState
from kie_runway.sheets import Sheets

pytestmark = pytest.mark.anyio

WITHIN_S = 60
VIDEO = cache(clip)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "DRAWING_TIMEOUT_S", 2.0 * WITHIN_S)


@pytest.fixture
async def host() -> AsyncGenerator[FileHost]:
    async with open_file_host() as host:
        host.answers["/clip"] = http(VIDEO())
        yield host


@asynccontextmanager
async def opened(directory: Path, host: FileHost) -> AsyncGenerator[Sheets]:
    """Sheets of a server that is closed at the end, within a bound for all of it."""
    fetcher = Fetcher(trusted_hosts=[host.address], user_agent="agent/1.0")
    with anyio.fail_after(WITHIN_S):
        sheets = Sheets(directory, fetcher)
        yield sheets
        await sheets.aclose()


def row(host: FileHost, task_id: str = "t-1", **changes: Any) -> Entry:
    """A task that ended well."""
    values: dict[str, Any] = {
        "id": 1,
        "account": LOCAL_ACCOUNT,
        "request_id": "r-1",
        "kind": TaskKind.GENERATE,
        "state": TaskState.SUCCESS,
        "arguments": {},
        "created_at": datetime(2026, 11, 21, 12, tzinfo=UTC),
        "task_id": task_id,
        "video_url": host.url("/clip?signature=hush"),
    }
    return Entry(**values | changes)


def kept(directory: Path) -> list[str]:
    return sorted(os.listdir(directory)) if directory.exists() else []


async def test_it_is_made_once_however_many_ask(host: FileHost, tmp_path: Path) -> None:
    async with opened(tmp_path / "frames", host) as sheets:
        got = await asyncio.gather(*(sheets.get(row(host)) for _ in range(10)))
        again = await sheets.get(row(host))

    assert len(host.requests) == 1
    assert len({*got, again}) == 1
    assert again is not None
    with Image.open(BytesIO(again)) as image:
        assert image.format == "JPEG"


async def test_it_outlives_a_restart(host: FileHost, tmp_path: Path) -> None:
    async with opened(tmp_path / "frames", host) as sheets:
        first = await sheets.get(row(host))
    async with opened(tmp_path / "frames", host) as sheets:
        second = await sheets.get(row(host, id=7, request_id="adopted"))
        other = await sheets.get(row(host, kind=TaskKind.ALEPH))

    assert first is not None
    assert first == second
    assert other is not None
    assert len(host.requests) == 2
    assert len(kept(tmp_path / "frames")) == 2


async def test_it_is_kept_for_us_alone(host: FileHost, tmp_path: Path) -> None:
    directory = tmp_path / "home" / "frames"
    async with opened(directory, host) as sheets:
        await sheets.get(row(host, "../../evil"))
    (name,) = kept(directory)

    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / name).stat().st_mode & 0o777 == 0o600


async def test_a_saved_video_is_not_fetched(host: FileHost, tmp_path: Path) -> None:
    saved = tmp_path / "saved.mp4"
    saved.write_bytes(VIDEO())
    async with opened(tmp_path / "frames", host) as sheets:
        success = await sheets.get(row(host, file=str(saved)))
        expired = await sheets.get(row(host, "t-2", file=str(saved), state=TaskState.EXPIRED))

    assert success is not None
    assert success == expired
    assert host.requests == []


@pytest.mark.parametrize("kind", ["gone", "a link to elsewhere", "a directory", "a FIFO"])
async def test_what_is_no_saved_video_any_more_is_fetched(
    host: FileHost, tmp_path: Path, kind: str
) -> None:
    saved, elsewhere = tmp_path / "videos" / "saved.mp4", tmp_path / "elsewhere.mp4"
    saved.parent.mkdir()
    elsewhere.write_bytes(b"secret")
    match kind:
        case "a link to elsewhere":
            saved.symlink_to(elsewhere)
        case "a directory":
            saved.mkdir()
        case "a FIFO":
            os.mkfifo(saved)
        case _:
            saved.parent.rmdir()
    async with opened(tmp_path / "frames", host) as sheets:
        sheet = await sheets.get(row(host, file=str(saved)))

    assert sheet is not None
    assert len(host.requests) == 1


async def test_a_video_that_is_gone_has_the_frames_that_were_kept(
    host: FileHost, tmp_path: Path
) -> None:
    async with opened(tmp_path / "frames", host) as sheets:
        sheet = await sheets.get(row(host))
        assert await sheets.get(row(host, state=TaskState.EXPIRED)) == sheet
        assert await sheets.get(row(host, "t-2", state=TaskState.EXPIRED)) is None

    assert len(host.requests) == 1


BROKEN: dict[str, bytes] = {
    "expired": http(status="404 Not Found"),
    "text": http(b"<!doctype html>"),
    "empty": http(),
    "half": http(VIDEO()[: len(VIDEO()) // 2]),
    "cut off": http(VIDEO(), length=len(VIDEO()) + 1),
    "private": moved("http://127.0.0.1:1/"),
    "a file": moved("file:///etc/passwd"),
    "no pictures": http(b"\0\0\0\x10ftypisom\0\0\2\0" + b"\0\0\2\0mdat" + bytes(504)),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_cannot_be_had_or_read_is_none_and_leaves_nothing(
    host: FileHost, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    host.answers["/clip"] = BROKEN[kind]
    async with opened(tmp_path / "frames", host) as sheets:
        assert await sheets.get(row(host)) is None
        host.answers["/clip"] = http(VIDEO())
        assert await sheets.get(row(host)) is not None

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "hush" not in caplog.text


async def test_a_video_larger_than_any_is_not_fetched_to_its_end(
    host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "SOURCE_MAX_BYTES", 1_000_000)
    endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

    async def answer(writer: asyncio.StreamWriter) -> None:
        await sends(endless, VIDEO(), forever=bytes(65_536))(None, writer)

    host.answers["/clip"] = answer
    async with opened(tmp_path / "frames", host) as store:
        assert await store.get(row(host)) is None


async def test_a_caller_who_leaves_does_not_stop_it(host: FileHost, tmp_path: Path) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        writer.write(http(VIDEO()))

    host.answers["/clip"] = answer
    async with opened(tmp_path / "frames", host) as sheets:
        hasty = asyncio.create_task(sheets.get(row(host)))
        await asked.wait()
        hasty.cancel()
        patient = asyncio.create_task(sheets.get(row(host)))
        go_on.set()

        assert await patient is not None
    assert hasty.cancelled()
    assert len(host.requests) == 1


async def test_the_oldest_go_when_there_are_too_many(
    host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "KEPT_SHEETS", 2)
    directory = tmp_path / "frames"
    directory.mkdir()
    (directory / "notes.txt").write_text("not ours", encoding="utf-8")
    made: list[str] = []
    async with opened(directory, host) as store:
        for number in range(4):
            await store.get(row(host, f"t-{number}"))
            (new,) = {*kept(directory)} - {*made, "notes.txt"}
            os.utime(directory / new, (number, number))
            made.append(new)

    assert kept(directory) == sorted([*made[2:], "notes.txt"])


async def test_what_a_crash_left_goes_and_what_another_process_writes_stays(
    host: FileHost, tmp_path: Path
) -> None:
    directory = tmp_path / "frames"
    directory.mkdir()
    old, young = directory / f"{'0' * 16}.part", directory / f"{'1' * 16}.part"
    old.touch()
    young.touch()
    long_ago = time.time() - 2 * PART_LIFETIME_S
    os.utime(old, (long_ago, long_ago))
    async with opened(directory, host) as store:
        await store.get(row(host))

    assert not old.exists()
    assert young.exists()


async def test_a_directory_that_takes_nothing_costs_only_the_keeping(
    host: FileHost, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "frames").write_text("in the way", encoding="utf-8")
    async with opened(tmp_path / "frames", host) as sheets:
        assert await sheets.get(row(host)) is not None
        assert await sheets.get(row(host)) is not None

    assert len(host.requests) == 2
    assert "cannot be kept" in caplog.text


async def test_something_else_in_its_place_is_left_alone(host: FileHost, tmp_path: Path) -> None:
    async with opened(tmp_path / "frames", host) as sheets:
        await sheets.get(row(host))
        (name,) = kept(tmp_path / "frames")
        (tmp_path / "frames" / name).unlink()
        (tmp_path / "frames" / name).mkdir()

        assert await sheets.get(row(host)) is not None
    assert kept(tmp_path / "frames") == [name]


async def test_closing_breaks_a_download_off(host: FileHost, tmp_path: Path) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> None:
        asked.set()
        try:
            await sends(http(VIDEO(), length=10**7), forever=b"\0")(None, writer)
        finally:
            left.set()

    host.answers["/clip"] = answer
    async with opened(tmp_path / "frames", host) as sheets:
        waiting = asyncio.create_task(sheets.get(row(host)))
        await asked.wait()
        await sheets.aclose()
        await left.wait()

        assert await waiting is None
        assert await sheets.get(row(host)) is None
    assert kept(tmp_path / "frames") == []
    assert len(host.requests) == 1


async def test_closing_stops_the_thread_that_draws(
    host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing, stopped_at_last = asyncio.Event(), False
    loop = asyncio.get_running_loop()

    def draw(_: object, *, stopped: Callable[[], bool]) -> bytes:
        nonlocal stopped_at_last
        loop.call_soon_threadsafe(drawing.set)
        while not stopped():
            time.sleep(0.001)
        stopped_at_last = True
        raise ValueError("it took too long")

    monkeypatch.setattr(contact_sheet, "contact_sheet", draw)
    async with opened(tmp_path / "frames", host) as sheets:
        waiting = asyncio.create_task(sheets.get(row(host)))
        await drawing.wait()
        await sheets.aclose()

        assert stopped_at_last
        assert await waiting is None
    assert kept(tmp_path / "frames") == []


async def test_drawing_that_takes_too_long_is_given_up(
    host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "DRAWING_TIMEOUT_S", 0.0)
    async with opened(tmp_path / "frames", host) as store:
        assert await store.get(row(host)) is None


async def test_whether_it_can_draw_is_known_without_an_import(
    host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("av", "PIL"):
        monkeypatch.delitem(sys.modules, name)
    async with opened(tmp_path, host) as sheets:
        assert sheets.can_draw
        assert not {"av", "PIL"} & sys.modules.keys()

        def find_no_av(name: str) -> object:
            return None if name == "av" else object()

        monkeypatch.setattr(importlib.util, "find_spec", find_no_av)
        assert not sheets.can_draw
