"""Draws the clips of the sandbox: real videos of invented pictures."""

import math
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageOps

from kie_runway_sandbox.caption import Caption
from kie_runway_sandbox.clips import ClipSpec
from kie_runway_sandbox.picture import Picture, Size
from kie_runway_sandbox.scenes import Scene
from kie_runway_sandbox.styles import Style
from kie_runway_sandbox.video import (
    FPS,
    Footage,
    probe_video,
    read_image,
    read_last_frame,
    read_video,
    write_clip,
)

SHORT_SIDE_PX = {"720p": 720, "1080p": 1080}
WIDEST = 2.5  # sources wider or taller than this lose their ends
DISSOLVE_S = 1.6  # from a parent's last frame into the extension's own scene
IMAGE_ZOOM = 0.14  # how much nearer an image comes during a clip
PARENT_ZOOM = 0.05
ALEPH_MAX_S = 5
REFERENCE_PX = (64, 64)


def render_clip(spec: ClipSpec, video: Path, thumbnail: Path) -> None:
    """
    Write the clip (MP4, H.264, 24 frames a second, no sound) and its thumbnail (PNG).

    The same spec and source give the same frames. A clip lasts `spec.duration_s`; how much a real
    extension adds is undocumented, the new part alone is written. Aleph's lasts as long as its
    source, at most five seconds. Both files appear whole or not at all. Blocks for seconds.

    Raises:
        ValueError: The source or the reference cannot be decoded.
    """
    write_clip(_pictures(spec), video, thumbnail)


def _pictures(spec: ClipSpec) -> Iterator[Picture]:
    if spec.kind == "aleph":
        return _restyled(spec)
    if spec.source is None:
        return _scene(spec)
    if spec.kind == "extend":
        return _extension(spec, spec.source)
    return _animated_image(spec, spec.source)


def _scene(spec: ClipSpec) -> Iterator[Picture]:
    size = _size(_ratio(spec.aspect_ratio), spec.quality)
    frames = spec.duration_s * FPS
    scene = Scene(spec.prompt, spec.seed, size, frames)
    caption = Caption(size, spec.prompt, "", spec.watermark)
    for number in range(frames):
        picture = scene.draw(number)
        caption.draw(picture, number)
        yield picture


def _animated_image(spec: ClipSpec, source: Path) -> Iterator[Picture]:
    image = read_image(source)
    size = _size(image.width / image.height, spec.quality)
    still = Picture.from_rgb(ImageOps.fit(image, size, Image.Resampling.BICUBIC))
    caption = Caption(size, spec.prompt, "image", spec.watermark)
    frames = spec.duration_s * FPS
    for number in range(frames):
        # Nearer and a little sideways, starting and ending at rest.
        done = _eased(number / frames)
        picture = _closer(still, IMAGE_ZOOM * done, 0.5 + 0.35 * done)
        caption.draw(picture, number)
        yield picture


def _extension(spec: ClipSpec, source: Path) -> Iterator[Picture]:
    parent = probe_video(source)
    size = _size(parent.width / parent.height, spec.quality)
    last = read_last_frame(source, _stretched(parent, size)).cover(size)
    frames = spec.duration_s * FPS
    scene = Scene(spec.prompt, spec.seed, size, frames)
    caption = Caption(size, spec.prompt, "extend", spec.watermark, start_s=parent.seconds)
    dissolve = round(DISSOLVE_S * FPS)
    for number in range(frames):
        done = min(1, number / dissolve)
        if number == 0:
            yield last
            continue
        picture = scene.draw(number)
        if done < 1:
            picture = _closer(last, PARENT_ZOOM * done * done, 0.5).blend(picture, _eased(done))
        # The parent's own caption dissolves with it; the new one waits until that is faint.
        if done > 0.5:
            captioned = picture.copy()
            caption.draw(captioned, number)
            picture = picture.blend(captioned, _eased(2 * done - 1))
        yield picture


def _restyled(spec: ClipSpec) -> Iterator[Picture]:
    reference = None
    if spec.reference:
        # Small: only its colours count. It may be a single pixel, too.
        reference = Picture.from_rgb(ImageOps.fit(read_image(spec.reference), REFERENCE_PX))
    seconds = min(spec.duration_s, ALEPH_MAX_S)
    if spec.source is None:
        size = _size(_ratio(spec.aspect_ratio), spec.quality)
        scene = Scene(spec.prompt, spec.seed, size, seconds * FPS)
        pictures: Iterator[Picture] = (scene.draw(number) for number in range(seconds * FPS))
    else:
        footage = probe_video(spec.source)
        ratio = _ratio(spec.aspect_ratio, footage.width / footage.height)
        size = _size(ratio, spec.quality)
        pictures = read_video(spec.source, _stretched(footage, size), seconds)
    style = Style.choose(spec.prompt, spec.seed, size, reference)
    # At the top: a source made here has its own prompt at the bottom.
    caption = Caption(size, spec.prompt, f"aleph {style.name}", spec.watermark, edge="top")
    for number, source in enumerate(pictures):
        picture = style.apply(source.cover(size))
        caption.draw(picture, number)
        yield picture


def _ratio(aspect_ratio: str, otherwise: float = 16 / 9) -> float:
    """Return width over height; `otherwise` for an empty one."""
    width, _, height = aspect_ratio.partition(":")
    return int(width) / int(height) if height else otherwise


def _size(ratio: float, quality: str) -> Size:
    """Return width and height, both even, the shorter one as the quality says."""
    ratio = max(1 / WIDEST, min(WIDEST, ratio))
    short = SHORT_SIDE_PX[quality]
    long = round(short * max(ratio, 1 / ratio) / 2) * 2
    return (long, short) if ratio >= 1 else (short, long)


def _stretched(footage: Footage, size: Size) -> Size:
    """Return the smallest even size of the footage's shape that covers `size`."""
    scale = max(size[0] / footage.width, size[1] / footage.height)
    # What is off by the rounding of the shape is meant to be `size` itself.
    wide, high = (
        wanted if abs(side * scale - wanted) < 2 else math.ceil(side * scale / 2) * 2
        for side, wanted in ((footage.width, size[0]), (footage.height, size[1]))
    )
    return wide, high


def _closer(picture: Picture, zoom: float, across: float) -> Picture:
    """Cut `zoom` (a share) off the picture's edges and fill the frame; `across` 0.5 is centred."""
    width, height = picture.size
    left, top = width * zoom * across, height * zoom * 0.5
    box = (left, top, left + width * (1 - zoom), top + height * (1 - zoom))
    return picture.zoom(box, picture.size)


def _eased(share: float) -> float:
    return share * share * (3 - 2 * share)
