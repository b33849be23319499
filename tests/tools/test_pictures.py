"""What an agent sees of a finished video: at once, and later as a resource."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import MCPError
from mcp.types import BlobResourceContents, CallToolResult, ImageContent
from PIL import Image
from tests.sandbox.rendered import render
from tests.server.odd_clips import clip
from tests.support import KEY, PNG, Agent, Era, connect, settings_for

from kie_runway import sheets
from kie_runway.ledger.records import Entry
from kie_runway.settings import MAX_WAIT_S, Settings
from kie_runway.sheets import Sheets
from kie_runway_sandbox import Fault, Sandbox, SandboxOptions, serve
from kie_runway_sandbox.clips import ClipSpec
from kie_runway_tools import pictures
from kie_runway_tools.pictures import PICTURE_WITHIN_S, SHEET_WITHIN_S
from kie_runway_tools.results import SAVED_WITHIN_S

pytestmark = pytest.mark.anyio

INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
VIDEO = cache(clip)


def film(spec: ClipSpec, video: Path, thumbnail: Path) -> None:
    """A renderer of small but real videos."""
    video.write_bytes(VIDEO())
    thumbnail.write_bytes(PNG)


def draw_one(spec: ClipSpec, video: Path, thumbnail: Path) -> None:
    """The sandbox's own renderer, at a quarter of its size."""
    rendered = render(video.parent, spec, "small")
    video.write_bytes(rendered.video.read_bytes())
    thumbnail.write_bytes(rendered.thumbnail.read_bytes())


@asynccontextmanager
async def studio(renderer: Any = film) -> AsyncGenerator[tuple[Sandbox, Settings]]:
    """A sandbox whose videos have pictures, and which notes every download as a fault."""
    with Sandbox(SandboxOptions(keys=(KEY,), advance="manual"), renderer=renderer) as sandbox:
        async with serve(sandbox) as running:
            sandbox.inject(Fault("slow_head", "media", seconds=0, times=None))
            yield sandbox, settings_for(running.url)


@pytest.fixture(name="no_extra")
def _no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `media` were not installed."""
    monkeypatch.setattr(Sheets, "can_draw", False)


async def started(agent: Agent, **arguments: Any) -> str:
    task_id: str = (await agent.call("generate_video", prompt="a boat", **arguments))["task_id"]
    return task_id


async def look(agent: Agent, task_id: str) -> CallToolResult:
    return await agent.client.call_tool("get_task", {"task_id": task_id, "wait_seconds": 30})


async def finished(agent: Agent, sandbox: Sandbox, **arguments: Any) -> tuple[str, CallToolResult]:
    """A task's id, and the first answer with its video."""
    task_id = await started(agent, **arguments)
    sandbox.finish(task_id)
    return task_id, await look(agent, task_id)


def images(result: CallToolResult) -> list[ImageContent]:
    return [block for block in result.content if isinstance(block, ImageContent)]


def downloads(sandbox: Sandbox) -> int:
    return len(sandbox.log.select("fault"))


async def read(agent: Agent, any_id: str) -> bytes:
    """The resource, which comes in one piece."""
    uri = f"kie://tasks/{any_id}/frames"
    (content,) = (await agent.client.read_resource(uri)).contents
    assert isinstance(content, BlobResourceContents)
    assert (content.uri, content.mime_type) == (uri, "image/jpeg")
    return base64.b64decode(content.blob)


async def refused(agent: Agent, any_id: str) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await agent.client.read_resource(f"kie://tasks/{any_id}/frames")
    return caught.value


async def test_the_first_finished_answer_shows_frames_and_no_later_one(era: Era) -> None:
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        task_id, first = await finished(agent, sandbox)
        later = [await look(agent, task_id), await agent.client.call_tool("list_tasks", {})]
        (image,) = images(first)
        data = base64.b64decode(image.data)

        assert await read(agent, task_id) == data
        assert not [block for result in later for block in images(result)]
        assert downloads(sandbox) == 1
    assert image.mime_type == "image/jpeg"
    with Image.open(BytesIO(data)) as sheet:
        assert sheet.format == "JPEG"
        assert sheet.size == (2 * 288, 3 * 162)


def test_no_answer_takes_longer_than_clients_bear() -> None:
    assert MAX_WAIT_S + SAVED_WITHIN_S + PICTURE_WITHIN_S < 60
    assert SHEET_WITHIN_S < PICTURE_WITHIN_S
    assert sheets.DOWNLOAD_TIMEOUT_S + sheets.DRAWING_TIMEOUT_S < 60


async def test_what_the_sandbox_renders_can_be_seen(era: Era) -> None:
    async with studio(draw_one) as (sandbox, settings), connect(settings, era) as agent:
        _, first = await finished(agent, sandbox, aspect_ratio="9:16")

    (image,) = images(first)
    with Image.open(BytesIO(base64.b64decode(image.data))) as sheet:
        assert sheet.height > sheet.width / 3 * 2


async def test_frames_are_drawn_once_for_ever(era: Era) -> None:
    async with studio() as (sandbox, settings):
        async with connect(settings, era) as agent:
            task_id, first = await finished(agent, sandbox)
        async with connect(settings, era) as agent:
            again = await look(agent, task_id)
            sheet = await read(agent, task_id)

        assert downloads(sandbox) == 1
    assert base64.b64decode(images(first)[0].data) == sheet
    assert images(again) == images(first)  # another server's agent has not seen it


async def test_a_saved_video_is_not_downloaded_for_its_frames(era: Era) -> None:
    async with studio() as (sandbox, settings):
        settings = settings.model_copy(update={"autosave": True})
        async with connect(settings, era) as agent:
            task_id, first = await finished(agent, sandbox)
            await read(agent, task_id)

        assert downloads(sandbox) == 1
    assert [image.mime_type for image in images(first)] == ["image/jpeg"]


async def test_frames_that_take_too_long_are_replaced_by_the_thumbnail_and_made_all_the_same(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "SHEET_WITHIN_S", 0.0)
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        task_id, first = await finished(agent, sandbox)
        sheet = await read(agent, task_id)
        monkeypatch.setattr(pictures, "SHEET_WITHIN_S", 60.0)
        late, then = await look(agent, task_id), await look(agent, task_id)

        assert downloads(sandbox) == 2  # the video and the thumbnail
    assert [base64.b64decode(image.data) for image in images(first)] == [PNG]
    assert [base64.b64decode(image.data) for image in images(late)] == [sheet]
    assert not images(then)


async def test_a_picture_whose_call_was_given_up_comes_with_the_next_one(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = anyio.Event()
    get = Sheets.get

    async def never(_: Sheets, __: Entry) -> bytes | None:
        drawing.set()
        await anyio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(Sheets, "get", never)
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        task_id = await started(agent)
        sandbox.finish(task_id)
        async with anyio.create_task_group() as calling:
            calling.start_soon(look, agent, task_id)
            with anyio.fail_after(60):
                await drawing.wait()
            calling.cancel_scope.cancel()
        monkeypatch.setattr(Sheets, "get", get)
        second = await look(agent, task_id)

    assert [image.mime_type for image in images(second)] == ["image/jpeg"]


async def test_another_conversation_sees_the_picture_as_well(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        task_id, _ = await finished(agent, sandbox)
        soon = await look(agent, task_id)
        monkeypatch.setattr(pictures, "SEEN_FOR", timedelta())
        later = await look(agent, task_id)

    assert not images(soon)
    assert len(images(later)) == 1


async def test_a_host_that_sends_nothing_holds_no_answer_up(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "PICTURE_WITHIN_S", 0.0)
    async with studio() as (sandbox, settings):
        async with connect(settings, era) as agent:
            task_id = await started(agent)
            sandbox.faults.armed.clear()
            sandbox.inject(Fault("slow_head", "media", seconds=3600, times=None))
            sandbox.finish(task_id)
            with anyio.fail_after(60):
                first = await look(agent, task_id)

        assert not images(first)
    assert not first.is_error


async def test_without_the_extra_there_is_the_thumbnail(era: Era, no_extra: None) -> None:
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        task_id, first = await finished(agent, sandbox)
        error = await refused(agent, task_id)

    assert [base64.b64decode(image.data) for image in images(first)] == [PNG]
    assert error.code == INTERNAL_ERROR
    assert error.message == "Frames need this package's extra `media` (PyAV and Pillow)."


async def test_without_the_extra_and_without_a_thumbnail_there_is_no_picture(
    era: Era, no_extra: None
) -> None:
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        task_id = await started(agent)
        video = {"videoUrl": f"{settings.api_url}/media/{task_id}/video.mp4", "imageUrl": ""}
        merge = {"videoInfo": video}
        sandbox.inject(Fault("edit", "runway/record-detail", times=None, merge=merge))
        sandbox.finish(task_id)
        first = await look(agent, task_id)

    assert not images(first)
    assert not first.is_error


async def test_a_broken_video_has_its_thumbnail_and_an_error_as_frames(era: Era) -> None:
    def broken(spec: ClipSpec, video: Path, thumbnail: Path) -> None:
        film(spec, video, thumbnail)
        video.write_bytes(VIDEO()[:3000])

    async with studio(broken) as (sandbox, settings), connect(settings, era) as agent:
        task_id, first = await finished(agent, sandbox)
        error = await refused(agent, task_id)

    assert [base64.b64decode(image.data) for image in images(first)] == [PNG]
    assert error.code == INTERNAL_ERROR
    assert error.message == "No frames: the video cannot be fetched or decoded now."


async def test_frames_of_a_task_that_finished_unseen_are_found_by_either_id(era: Era) -> None:
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        task_id = await started(agent, request_id="r-1")
        sandbox.finish(task_id)
        one, other = await asyncio.gather(read(agent, task_id), read(agent, "r-1"))

        assert downloads(sandbox) == 1
    assert one == other


async def test_without_a_video_there_are_no_frames_and_it_says_why(era: Era) -> None:
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        running, failed = await started(agent), await started(agent, request_id="r-2")
        sandbox.fail(failed)
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        await agent.fail("generate_video", prompt="a boat", request_id="r-3")
        errors = [await refused(agent, any_id) for any_id in (running, failed, "r-3", "r-4")]

    assert [error.code for error in errors] == [*[INTERNAL_ERROR] * 3, INVALID_PARAMS]
    assert "not finished" in errors[0].message
    assert "ended as fail" in errors[1].message
    assert "unknown" in errors[2].message
    assert errors[3].message == "No task here has this id; kie://tasks names the latest."


async def test_frames_outlive_their_video_but_cannot_be_drawn_without_it(era: Era) -> None:
    async with studio() as (sandbox, settings), connect(settings, era) as agent:
        seen, _ = await finished(agent, sandbox)
        unseen = await started(agent, request_id="r-2")
        sandbox.finish(unseen)
        sandbox.advance(15 * 24 * 3600)
        await look(agent, unseen)
        sheet = await read(agent, seen)
        error = await refused(agent, unseen)

    assert sheet.startswith(b"\xff\xd8\xff")
    assert error.message == "KIE has deleted this video."


async def test_a_server_that_ends_while_it_downloads_ends_at_once(era: Era) -> None:
    async with studio() as (sandbox, settings):
        with anyio.fail_after(60):
            async with connect(settings, era) as agent:
                task_id, _ = await finished(agent, sandbox)
                sandbox.inject(Fault("slow_head", "media", seconds=3600, times=None))
                sandbox.faults.armed.reverse()
                for kept in (settings.home_dir / "frames").iterdir():
                    kept.unlink()
                reading = asyncio.create_task(refused(agent, task_id))
                await sandbox.log.wait_for("fault", count=2)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
