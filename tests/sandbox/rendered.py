"""Clips for the tests of the renderer, and ways to look at them."""

# PyAV's and Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from unittest.mock import patch

import av
from PIL import Image, ImageChops, ImageStat

from kie_runway_sandbox.clips import ClipSpec
from kie_runway_sandbox.picture import Picture, Size
from kie_runway_sandbox.render import render_clip

# One second is enough to look at, and keeps the suite fast.
TEXT = ClipSpec("generate", "A paper boat on the ocean at sunset", 1, "720p", "16:9")
EXTEND = replace(TEXT, kind="extend", prompt="It reaches a mountain valley at dawn", duration_s=2)
ALEPH = replace(TEXT, kind="aleph", prompt="Make it a watercolour", aspect_ratio="")


@dataclass(frozen=True)
class Rendered:
    """A clip's files, and its frames, shrunk."""

    video: Path
    thumbnail: Path
    frames: list[Image.Image]


def render(directory: Path, spec: ClipSpec, name: str = "clip") -> Rendered:
    """Render `spec` at a quarter of its size, which is quicker, and decode what was written."""
    video, thumbnail = directory / f"{name}.mp4", directory / f"{name}.png"
    with patch.dict("kie_runway_sandbox.render.SHORT_SIDE_PX", {"720p": 180, "1080p": 270}):
        render_clip(spec, video, thumbnail)
    return Rendered(video, thumbnail, frames_of(video))


def frames_of(video: Path, size: Size = (160, 90)) -> list[Image.Image]:
    """Decode every frame, shrunk to `size`."""
    with av.open(str(video), "r") as container:
        return [Picture.from_frame(frame, size).to_rgb() for frame in container.decode(video=0)]


def difference(one: Image.Image, other: Image.Image) -> float:
    """How far apart two pictures are on average, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


def video_size(video: Path) -> Size:
    """Width and height of a video."""
    with av.open(str(video), "r") as container:
        return container.streams.video[0].width, container.streams.video[0].height


def write_video(path: Path, size: Size, fps: int, colours: list[str]) -> Path:
    """Write a film of single-coloured frames, as somebody else's camera would."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, colour in enumerate(colours):
            frame = Picture.from_rgb(Image.new("RGB", size, colour)).to_frame()
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
