"""Clips: what to draw for a task, drawn once, in one worker thread."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kie_runway_sandbox.options import RenderMode


@dataclass(frozen=True)
class ClipSpec:
    """
    Everything a renderer needs to know about one clip.

    `duration_s` counts the seconds this task makes; for an extension these are
    the seconds added to `source`. In image mode the image decides the shape and
    `aspect_ratio` is what the client sent; empty keeps the shape of the source, or is 16:9.
    """

    kind: Literal["generate", "extend", "aleph"]
    prompt: str
    duration_s: int
    quality: Literal["720p", "1080p"]
    aspect_ratio: str
    """`16:9` and the like, up to `21:9`."""
    watermark: str = ""
    seed: int | None = None
    source: Path | None = None
    """Image for image mode, parent clip for extend, input video for aleph; None: draw your own."""
    reference: Path | None = None
    """Reference image of aleph."""


Renderer = Callable[[ClipSpec, Path, Path], None]
"""`renderer(spec, video, thumbnail)` writes an H.264 MP4 and a PNG; may block."""


@dataclass(frozen=True)
class ClipOrder:
    """A clip to draw, with inputs that may themselves still have to be drawn."""

    spec: ClipSpec
    source: "Path | ClipPart | None" = None
    reference: "Path | ClipPart | None" = None


@dataclass(frozen=True)
class ClipPart:
    """The video or the thumbnail of another clip, as an input."""

    order: ClipOrder
    part: Literal["video", "thumbnail"]


@dataclass(frozen=True)
class Clip:
    """The two files of one clip."""

    video: Path
    thumbnail: Path


# Not playable, only recognisable: an MP4 brand box and an empty media box, for
# load tests, where drawing would be what is measured (`render="off"`).
STAND_IN_VIDEO = bytes.fromhex("00000018667479706d703432000000006d70343269736f6d000000086d646174")
# A whole PNG of one grey pixel.
STAND_IN_THUMBNAIL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)


class Clips:
    """Draws clips in one worker thread and keeps them under a hash of spec and inputs."""

    def __init__(self, directory: Path, mode: RenderMode, renderer: Renderer | None = None) -> None:
        self.mode = mode
        self._directory = directory
        self._renderer = renderer
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-clips")
        self._clips: dict[str, Future[Clip]] = {}

    def start(self, task_id: str, order: ClipOrder) -> Future[Clip]:
        """Begin drawing a task's clip, unless that has happened already."""
        if task_id not in self._clips:
            self._clips[task_id] = self._worker.submit(self._draw, order)
        return self._clips[task_id]

    async def get(self, task_id: str, order: ClipOrder) -> Clip:
        """A task's clip; waits for the drawing. Raises what the renderer raised."""
        # Shielded: a downloader who leaves must not cancel the drawing for the next one.
        return await asyncio.shield(asyncio.wrap_future(self.start(task_id, order)))

    def forget(self) -> None:
        """Drop the memory of which task has which clip; files stay as a cache."""
        self._clips.clear()

    def close(self) -> None:
        """Wait for the clip being drawn and drop those not begun."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _draw(self, order: ClipOrder) -> Clip:
        # Inputs are drawn in this same thread, by recursion: a second job in the
        # one-thread pool would wait for ever behind the job that waits for it.
        spec = replace(
            order.spec, source=self._input(order.source), reference=self._input(order.reference)
        )
        name = _fingerprint(spec) if self.mode != "off" else "stand-in"
        clip = Clip(self._directory / f"{name}.mp4", self._directory / f"{name}.png")
        if clip.video.exists() and clip.thumbnail.exists():
            return clip
        # Drawn aside and renamed, so that a killed process leaves no half clip behind.
        aside = Clip(clip.video.with_suffix(".part.mp4"), clip.thumbnail.with_suffix(".part.png"))
        if self.mode == "off":
            aside.video.write_bytes(STAND_IN_VIDEO)
            aside.thumbnail.write_bytes(STAND_IN_THUMBNAIL)
        else:
            self._render(spec, aside)
        os.replace(aside.video, clip.video)
        os.replace(aside.thumbnail, clip.thumbnail)
        return clip

    def _input(self, source: Path | ClipPart | None) -> Path | None:
        if isinstance(source, ClipPart):
            clip = self._draw(source.order)
            return clip.video if source.part == "video" else clip.thumbnail
        return source

    def _render(self, spec: ClipSpec, clip: Clip) -> None:
        if self._renderer is None:
            # Imported late: it needs the extra [sandbox], which load tests do without.
            from kie_runway_sandbox.render import render_clip

            self._renderer = render_clip
        self._renderer(spec, clip.video, clip.thumbnail)


def _fingerprint(spec: ClipSpec) -> str:
    """Names a clip by what is drawn; inputs count by content, not by path."""
    digest = hashlib.sha256(repr(replace(spec, source=None, reference=None)).encode())
    for path in (spec.source, spec.reference):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path else "-"
        digest.update(content.encode())
    return digest.hexdigest()[:32]
