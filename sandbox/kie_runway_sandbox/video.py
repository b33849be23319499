"""Reads the pictures out of images and videos that people send, and writes clips and thumbnails."""

# PyAV's and Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

import io
import os
import secrets
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageOps

from kie_runway_sandbox.picture import Picture, Size

FPS = 24
CRF = 23  # x264's quality: fine for flat colours, small files
MAX_BITS_PER_PIXEL_S = 4.8  # caps grainy clips: 5 s at 720p stay below 3 MB
BT709 = 1  # H.273's number for HD colours, the same for primaries and for transfer

THUMBNAIL_PX = 640
THUMBNAIL_BYTES = 140_000
THUMBNAIL_AT_FRAME = 2 * FPS  # past the dissolve that an extension starts with

MAX_SOURCE_PIXELS = 50_000_000
# Playlists and scripts name other files and addresses; these formats hold the video itself.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
VIDEO_FORMATS = "mov,mp4,matroska,webm"
NO_PICTURES = "the source video has no pictures"


@dataclass(frozen=True)
class Footage:
    """A video's size as a player shows it, and its length, 0 where the file does not say it."""

    width: int
    height: int
    seconds: float


def read_image(path: Path) -> Image.Image:
    """
    Return the image upright, in RGB, what is transparent on black.

    Raises:
        ValueError: It cannot be read, or it is too large.
    """
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            _check_pixels(image.size)
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "black"), upright)
            return upright.convert("RGB")
    # Pillow's decoders raise SyntaxError and others on broken files.
    except (OSError, SyntaxError, Image.DecompressionBombError, Warning) as exc:
        raise ValueError("the source image cannot be decoded") from exc


def probe_video(path: Path) -> Footage:
    """
    Return what is known of the video before it is decoded.

    Raises:
        ValueError: It cannot be read, or it is too large.
    """
    with _open(path) as container:
        frame = next(container.decode(video=0), None)
        if frame is None:
            raise ValueError(NO_PICTURES)
        sideways = frame.rotation % 180 != 0
        width, height = (frame.height, frame.width) if sideways else (frame.width, frame.height)
        return Footage(width, height, (container.duration or 0) / av.time_base)


def read_video(path: Path, size: Size, seconds: float) -> Iterator[Picture]:
    """
    Yield the first `seconds` at `FPS`, stretched to `size`, whatever the video's own rate.

    Raises:
        ValueError: It cannot be read, or it is too large.
    """
    with _open(path) as container:
        yield from islice(_at_constant_rate(container, size), round(seconds * FPS))


def read_last_frame(path: Path, size: Size) -> Picture:
    """
    Return the last picture, stretched to `size`.

    Raises:
        ValueError: It cannot be read, or it is too large.
    """
    with _open(path) as container:
        # Decoding begins at the key frame before the last second, or at the first.
        container.seek(max(0, (container.duration or 0) - av.time_base))
        last = None
        for frame in container.decode(video=0):
            last = frame
        if last is None:
            raise ValueError(NO_PICTURES)
        return _upright(last, size)


def write_clip(pictures: Iterable[Picture], video: Path, thumbnail: Path) -> None:
    """Write both files, each appearing whole or not at all; `pictures` are at `FPS`."""
    with _replacing(video) as new_video, _replacing(thumbnail) as new_thumbnail:
        new_thumbnail.write_bytes(_thumbnail(_encode(pictures, new_video)))


def _encode(pictures: Iterable[Picture], path: Path) -> Picture:
    """Write an MP4; return the picture for its thumbnail."""
    chosen: Picture | None = None
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        for number, picture in enumerate(pictures):
            if chosen is None:
                width, height = picture.size
                max_rate = round(width * height * MAX_BITS_PER_PIXEL_S)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                # A fixed number of threads: x264's output depends on it.
                stream.codec_context.thread_count = 2
                stream.codec_context.gop_size = 2 * FPS
                stream.codec_context.time_base = Fraction(1, FPS)
                stream.codec_context.colorspace = Colorspace.ITU709
                stream.codec_context.color_range = ColorRange.MPEG
                stream.codec_context.color_primaries = BT709
                stream.codec_context.color_trc = BT709
                stream.codec_context.options = {
                    "preset": "veryfast",
                    "crf": str(CRF),
                    "maxrate": str(max_rate),
                    "bufsize": str(max_rate),
                    # With B-frames, x264 gives other bytes for the same pictures once in 50 runs.
                    # The rest makes it a third faster, and flat pictures lose nothing by it.
                    "x264-params": "bframes=0:ref=1:subme=1:rc-lookahead=5",
                }
            if chosen is None or number == THUMBNAIL_AT_FRAME:
                chosen = picture
            frame = picture.to_frame()
            frame.pts = number
            frame.time_base = Fraction(1, FPS)
            container.mux(stream.encode(frame))
        if chosen is None:
            raise ValueError(NO_PICTURES)
        container.mux(stream.encode(None))
    return chosen


def _thumbnail(picture: Picture) -> bytes:
    """Return a PNG of at most `THUMBNAIL_BYTES`: in fewer colours, then smaller, if it must be."""
    image = picture.to_rgb()
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    for colours in (None, 256, 64):
        content = _png(image, colours)
        if len(content) <= THUMBNAIL_BYTES:
            return content
    image.thumbnail((THUMBNAIL_PX // 2, THUMBNAIL_PX // 2))
    return _png(image, 64)


def _png(image: Image.Image, colours: int | None) -> bytes:
    buffer = io.BytesIO()
    (image.quantize(colours) if colours else image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@contextmanager
def _replacing(path: Path) -> Generator[Path, None, None]:
    """Lend a path beside `path` that takes its place, unless an error ends the block."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield new
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def _open(path: Path) -> Generator[InputContainer, None, None]:
    try:
        # A file object, not a name: FFmpeg reads some names as addresses.
        with (
            path.open("rb") as file,
            av.open(file, "r", options={"format_whitelist": VIDEO_FORMATS}) as container,
        ):
            if not container.streams.video:
                raise ValueError(NO_PICTURES)
            context = container.streams.video[0].codec_context
            _check_pixels((context.width, context.height))
            context.thread_type = "AUTO"
            yield container
    except (FFmpegError, OSError) as exc:
        raise ValueError(f"the source video cannot be decoded: {exc.strerror}") from exc


def _at_constant_rate(container: InputContainer, size: Size) -> Iterator[Picture]:
    """Hold each frame until the next is due, drop those that come too close together."""
    shown: Picture | None = None
    start_s: float | None = None
    count = 0
    for frame in container.decode(video=0):
        if start_s is None:
            start_s = frame.time
        # Half a frame of tolerance: time stamps are rounded.
        while shown is not None and (count + 0.5) / FPS < frame.time - start_s:
            yield shown
            count += 1
        shown = _upright(frame, size)
    if shown is not None:
        yield shown


def _upright(frame: av.VideoFrame, size: Size) -> Picture:
    stored = (size[1], size[0]) if frame.rotation % 180 else size
    return Picture.from_frame(frame, stored).turn(frame.rotation)


def _check_pixels(size: Size) -> None:
    if size[0] * size[1] > MAX_SOURCE_PIXELS:
        raise ValueError(f"the source is too large: {size[0]} x {size[1]} pixels")
