"""
Pictures out of a video, spread evenly over its time. Imports PyAV, of the extra `media`.

The video is somebody else's: what its container and its streams may be is listed, and how large
its pictures and how many they are is limited.
"""

# PyAV's and Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias, cast

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from kie_runway.mp4 import promised_samples

FEW_FRAMES = 6
MANY_FRAMES = 9
MANY_FROM_S = 7.0  # how long a video has to be for many
SOURCE_MAX_FRAMES = 2_000  # 33 s at 60 a second
SOURCE_MAX_SAMPLES = 500_000  # five seconds of uncompressed sound have half as many
SOURCE_MAX_PIXELS = 10_000_000  # 4K has 8.8 million
DECODER_THREADS = 2  # each keeps frames in memory
FORMATS = "mov"  # MP4; playlists and the like name other files and addresses
CODECS = "h264,hevc,av1,libdav1d,vp9,libvpx-vp9"

_NO_FRAMES = "the video has no pictures"

Stopped: TypeAlias = Callable[[], bool]
"""Asked again and again; true: give up."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture as a player shows it, and when, in seconds from the first one."""

    image: Image.Image
    at_s: float


def read_frames(video: BinaryIO, *, side_px: int, stopped: Stopped) -> list[Frame]:
    """
    Six pictures, nine of a video longer than seven seconds; fewer where it has no more.

    The first and the last are among them. Blocks, about a second for ten seconds of 1080p.

    Args:
        side_px: The pictures are made smaller until they have no longer side.

    Raises:
        ValueError: It cannot be decoded, exceeds the limits, or it was told to stop.
        OSError: It cannot be read.
    """
    if promised_samples(video) > SOURCE_MAX_SAMPLES:
        raise ValueError("the video has too many samples")
    with _open(video) as (container, stream):
        wanted = _spread(list(_times(container, stream, stopped)), float(stream.time_base or 0))
    frames: list[Frame] = []
    with _open(video) as (container, stream):
        for frame in container.decode(stream):
            _go_on_unless(stopped)
            if frame.pts is None or frame.pts < wanted[len(frames)]:
                continue
            at_s = float((frame.pts - wanted[0]) * (stream.time_base or 0))
            frames.append(Frame(_upright(frame, stream, side_px), at_s))
            if len(frames) == len(wanted):
                break
    if not frames:
        raise ValueError(_NO_FRAMES)
    return frames


@contextmanager
def _open(video: BinaryIO) -> Generator[tuple[InputContainer, VideoStream]]:
    video.seek(0)
    try:
        # A file object, not a name: FFmpeg reads some names as addresses.
        options = {
            "format_whitelist": FORMATS,
            "codec_whitelist": CODECS,
            "max_streams": "8",
            "advanced_editlist": "0",  # FFmpeg copies all samples once for each of its entries
        }
        with av.open(video, "r", options=options) as container:
            stream = next(iter(container.streams.video), None)
            # PyAV's stubs say that every stream has a decoder.
            if stream is None or cast("object", stream.codec_context) is None:
                raise ValueError(_NO_FRAMES)
            stream.thread_type, stream.thread_count = "AUTO", DECODER_THREADS
            # A stream may change its size in its midst; the decoder refuses to follow then.
            limits = {"max_pixels": str(SOURCE_MAX_PIXELS), "codec_whitelist": CODECS}
            stream.codec_context.options = limits
            yield container, stream
    except FFmpegError as exc:
        raise ValueError(f"the video cannot be decoded: {exc.strerror}") from exc


def _times(container: InputContainer, stream: VideoStream, stopped: Stopped) -> Iterator[int]:
    """When each picture is shown, in the stream's own unit; nothing is decoded."""
    count = 0
    for packet in container.demux(stream):
        _go_on_unless(stopped)
        if packet.pts is None or packet.is_discard:
            continue
        count += 1
        if count > SOURCE_MAX_FRAMES:
            raise ValueError("the video has too many pictures")
        yield packet.pts


def _spread(times: list[int], unit_s: float) -> list[int]:
    """Of all times those of the pictures that are seen at even intervals, each once, in order."""
    if not times:
        raise ValueError(_NO_FRAMES)
    times = sorted(set(times))
    length = times[-1] - times[0]
    count = MANY_FRAMES if length * unit_s > MANY_FROM_S else FEW_FRAMES
    if len(times) <= count:
        return times
    moments = (times[0] + length * number / (count - 1) for number in range(count))
    return sorted({_shown_at(times, moment) for moment in moments})


def _shown_at(times: Sequence[int], moment: float) -> int:
    """The last time before a moment, for a picture stays until the next one comes."""
    return times[max(0, bisect_right(times, moment) - 1)]


def _upright(frame: VideoFrame, stream: VideoStream, side_px: int) -> Image.Image:
    """A frame turned as its file says, with square pixels, at most so wide and high."""
    width, height = frame.width * float(stream.sample_aspect_ratio or 1), float(frame.height)
    scale = min(1.0, side_px / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    plane = frame.reformat(*size, format="rgb24", interpolation="AREA").planes[0]
    image = Image.frombytes("RGB", size, bytes(plane), "raw", "RGB", plane.line_size, 1)
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _go_on_unless(stopped: Stopped) -> None:
    if stopped():
        raise ValueError("it took too long")
