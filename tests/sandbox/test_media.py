"""Results: served, cached, extended, linked to and gone."""

import threading
import zlib
from pathlib import Path

import anyio
import httpx
import pytest
from tests.sandbox.helpers import (
    ALEPH,
    ALEPH_GENERATE,
    ALEPH_RECORD,
    BASE64_UPLOAD,
    DOWNLOAD_URL,
    FROZEN_AT,
    KEY,
    PNG,
    WITHIN_S,
    Kie,
    draw,
    started,
)

from kie_runway_sandbox import Sandbox, SandboxOptions
from kie_runway_sandbox.clips import STAND_IN_THUMBNAIL, STAND_IN_VIDEO, ClipPart, ClipSpec

pytestmark = pytest.mark.anyio


class Recorder:
    """A renderer that remembers what it drew, and in which thread."""

    def __init__(self) -> None:
        self.specs: list[ClipSpec] = []
        self.threads: set[str] = set()
        self.begun = threading.Event()

    def __call__(self, spec: ClipSpec, video: Path, thumbnail: Path) -> None:
        self.specs.append(spec)
        self.threads.add(threading.current_thread().name)
        draw(spec, video, thumbnail)
        self.begun.set()


async def video_of(kie: Kie, task_id: str) -> str:
    return str((await kie.record(task_id))["videoInfo"]["videoUrl"])


async def test_results_are_served_in_ranges_and_to_head_requests() -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create()
        sandbox.finish(task_id)
        info = (await kie.record(task_id))["videoInfo"]
        video = await kie.http.get(info["videoUrl"])
        part = await kie.http.get(info["videoUrl"], headers={"Range": "bytes=0-7"})
        head = await kie.http.head(info["videoUrl"])
        image = await kie.http.get(info["imageUrl"])

    assert video.headers["content-type"] == "video/mp4"
    assert (part.status_code, part.content) == (206, b"generate")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(video.content)))
    assert (image.headers["content-type"], image.content) == ("image/png", PNG)


async def test_there_is_no_file_before_success_after_14_days_or_of_another_name() -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create()
        early = await kie.http.get(f"/media/{task_id}/video.mp4")
        sandbox.advance(60)
        url = await video_of(kie, task_id)
        there = await kie.http.get(url)
        strange = await kie.http.get(f"/media/{task_id}/other.mp4")
        sandbox.advance(14 * 86400)
        gone = await kie.http.get(url)

    statuses = [response.status_code for response in (early, there, strange, gone)]
    assert statuses == [404, 200, 404, 404]


async def test_a_download_link_lasts_twenty_minutes() -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create()
        sandbox.finish(task_id)
        url = await video_of(kie, task_id)
        link = (await kie.post(DOWNLOAD_URL, {"url": url}))["data"]
        restyled = await kie.create(ALEPH_GENERATE, ALEPH, videoUrl=link)
        sandbox.advance(20 * 60 - 1)
        before = await kie.http.get(link)
        sandbox.advance(1)
        after = await kie.http.get(link)
        record = await kie.record(restyled, ALEPH_RECORD)

    assert before.content.startswith(b"generate")
    assert after.status_code == 404
    assert record["successFlag"] == 1


@pytest.mark.parametrize("url", ["https://a.example/x.mp4", "OWN/media/none/video.mp4", "", 5])
async def test_a_link_is_minted_only_for_results(url: object) -> None:
    async with started() as (_, kie):
        if isinstance(url, str):
            url = url.replace("OWN", str(kie.http.base_url).rstrip("/"))
        answer = await kie.post(DOWNLOAD_URL, {"url": url})

    assert answer == {"code": 422, "msg": "url is wrong", "data": None}


async def test_an_uploaded_file_is_not_a_result() -> None:
    async with started() as (_, kie):
        upload = {"base64Data": "SGVsbG8=", "uploadPath": "in"}
        url = (await kie.post(BASE64_UPLOAD, upload))["data"]["downloadUrl"]

        assert (await kie.post(DOWNLOAD_URL, {"url": url}))["code"] == 422


async def test_eager_clips_are_begun_when_generating_begins() -> None:
    recorder = Recorder()
    async with started(renderer=recorder) as (sandbox, kie):
        await kie.create()
        sandbox.advance(9)
        before = list(recorder.specs)
        sandbox.advance(1)
        drawn = await anyio.to_thread.run_sync(recorder.begun.wait, WITHIN_S)

    assert (before, drawn) == ([], True)
    assert recorder.threads == {"sandbox-clips_0"}


async def test_lazy_clips_are_drawn_once_when_first_fetched() -> None:
    recorder = Recorder()
    async with started(renderer=recorder, render="lazy") as (sandbox, kie):
        task_id = await kie.create()
        sandbox.advance(60)
        info = (await kie.record(task_id))["videoInfo"]
        before = list(recorder.specs)
        for url in (info["imageUrl"], info["videoUrl"], info["videoUrl"]):
            assert (await kie.http.get(url)).status_code == 200

    assert before == []
    assert len(recorder.specs) == 1


async def test_equal_clips_are_drawn_once() -> None:
    recorder = Recorder()
    async with started(renderer=recorder, render="lazy") as (sandbox, kie):
        for prompt in ("a boat", "a boat", "a train"):
            task_id = await kie.create(prompt=prompt)
            sandbox.finish(task_id)
            await kie.http.get(await video_of(kie, task_id))

    assert [spec.prompt for spec in recorder.specs] == ["a boat", "a train"]


async def test_an_extension_is_drawn_after_its_parents() -> None:
    recorder = Recorder()
    async with started(renderer=recorder, render="lazy") as (sandbox, kie):
        first = await kie.create(aspectRatio="9:16")
        second = await kie.extend(first, prompt="second", waterMark="W")
        third = await kie.extend(second, prompt="third")
        for task_id in (first, second, third):
            sandbox.finish(task_id)
        video = await kie.http.get(await video_of(kie, third))

    assert [spec.kind for spec in recorder.specs] == ["generate", "extend", "extend"]
    assert [spec.aspect_ratio for spec in recorder.specs] == ["9:16"] * 3
    assert [spec.watermark for spec in recorder.specs] == ["", "W", ""]
    assert [spec.duration_s for spec in recorder.specs] == [5, 5, 5]
    assert video.text.startswith("extend 'third' 9:16 from (extend 'second' 9:16 from (generate ")


async def test_an_extension_of_nothing_ended_by_hand_has_no_source() -> None:
    recorder = Recorder()
    async with started(renderer=recorder, render="lazy") as (sandbox, kie):
        task_id = await kie.extend("nothing")
        sandbox.finish(task_id)
        await kie.http.get(await video_of(kie, task_id))

    assert [(spec.kind, spec.source) for spec in recorder.specs] == [("extend", None)]


async def test_through_another_address_urls_are_those_of_that_address() -> None:
    """As in a test that puts the sandbox in the place of KIE's own host."""
    with Sandbox(SandboxOptions(frozen_at=FROZEN_AT), renderer=draw) as sandbox:
        transport = httpx.ASGITransport(sandbox.app)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="https://api.kie.ai", headers=headers
        ) as http:
            kie = Kie(http)
            first = await kie.create()
            sandbox.finish(first)
            url = await video_of(kie, first)
            restyled = await kie.create(ALEPH_GENERATE, ALEPH, videoUrl=url)
            order = sandbox.engine.media.order(sandbox.task(restyled))
            video = await http.get(url)

    assert url == f"https://api.kie.ai/media/{first}/video.mp4"
    assert video.text.startswith("generate")
    assert isinstance(order.source, ClipPart)


async def test_inputs_reach_the_renderer_as_files() -> None:
    recorder = Recorder()
    async with started(renderer=recorder, render="lazy") as (sandbox, kie):
        upload = {"base64Data": "iVBORw0KGgo=", "uploadPath": "in"}
        image_url = (await kie.post(BASE64_UPLOAD, upload))["data"]["downloadUrl"]
        clip = await kie.create(imageUrl=image_url, duration=10)
        sandbox.finish(clip)
        video_url = await video_of(kie, clip)
        body = {**ALEPH, "videoUrl": video_url, "referenceImage": image_url, "seed": 7}
        restyled = await kie.create(ALEPH_GENERATE, body, aspectRatio="21:9")
        sandbox.finish(restyled)
        record = await kie.record(restyled, ALEPH_RECORD)
        await kie.http.get(record["response"]["resultVideoUrl"])

        first, second = recorder.specs
        assert (first.duration_s, first.quality, first.source is None) == (10, "720p", False)
        assert first.source is not None
        assert first.source.read_bytes() == b"\x89PNG\r\n\x1a\n"
        assert second.source is not None
        assert second.source.suffix == ".mp4"
        assert second.reference == first.source
        assert (second.kind, second.seed, second.aspect_ratio) == ("aleph", 7, "21:9")


async def test_rendering_can_be_off() -> None:
    recorder = Recorder()
    async with started(renderer=recorder, render="off") as (sandbox, kie):
        task_id = await kie.create()
        sandbox.finish(task_id)
        video = await kie.http.get(await video_of(kie, task_id))

    assert video.content == STAND_IN_VIDEO
    assert zlib.crc32(STAND_IN_THUMBNAIL[37:51]) == int.from_bytes(STAND_IN_THUMBNAIL[51:55])
    assert recorder.specs == []


async def test_a_renderer_that_fails_is_named_in_the_log() -> None:
    def broken(spec: ClipSpec, video: Path, thumbnail: Path) -> None:
        raise RuntimeError("no codec")

    async with started(renderer=broken) as (sandbox, kie):
        task_id = await kie.create()
        sandbox.finish(task_id)
        response = await kie.http.get(await video_of(kie, task_id))

    assert response.status_code == 500
    assert "no codec" in sandbox.log.select("render_failed")[0].details["error"]
