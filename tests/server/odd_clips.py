"""Videos as other people's programs write them, usual and odd."""

# PyAV's and Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

from collections.abc import Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from random import Random

import av
from av.packet import Packet
from av.video.stream import VideoStream
from PIL import Image

Size = tuple[int, int]
TICKS = 1200  # a second


def clip(
    count: int = 48,
    *,
    size: Size = (192, 108),
    fps: int = 24,
    ticks: Sequence[int] = (),
    lights: tuple[int, int] = (0, 255),
    rotation_deg: int = 0,
    wide_pixels: int = 1,
    codec: str = "libx264",
    container: str = "mp4",
    fragmented: bool = False,
) -> bytes:
    """
    A video that goes evenly from one light to another, as a rule from black to white.

    Args:
        ticks: When each picture is shown; by default at even intervals.
        wide_pixels: How many times wider than high a pixel is.
        fragmented: Without a length in its head.
    """
    ticks = ticks or [number * TICKS // fps for number in range(count)]
    file = BytesIO()
    flags = {"movflags": "frag_keyframe+empty_moov"} if fragmented else {}
    with av.open(file, "w", format=container, options=flags) as output:
        stream = output.add_stream(codec, rate=fps)
        assert isinstance(stream, VideoStream)
        _set_up(stream, size)
        stream.codec_context.sample_aspect_ratio = Fraction(wide_pixels)
        if rotation_deg:
            stream.set_display_rotation(rotation_deg)
        for number, tick in enumerate(ticks):
            light = lights[0] + (lights[1] - lights[0]) * number // max(1, len(ticks) - 1)
            frame = frame_of(Image.new("RGB", size, (light, light, light)))
            frame.pts, frame.time_base = tick, Fraction(1, TICKS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def grainy_clip(size: Size) -> bytes:
    """Six pictures that no format makes small."""
    random, file = Random(1), BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=6, options={"crf": "1", "preset": "ultrafast"})
        _set_up(stream, size)
        for number in range(6):
            frame = frame_of(Image.frombytes("RGB", size, random.randbytes(size[0] * size[1] * 3)))
            frame.pts, frame.time_base = number, Fraction(1, 6)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def growing_clip(size: Size, later: Size) -> bytes:
    """A video whose head promises one size, and whose pictures have another from the third on."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=24)
        _set_up(stream, size)
        for number in range(2):
            frame = frame_of(Image.new("RGB", size))
            frame.pts, frame.time_base = number, Fraction(1, 24)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        with av.open(BytesIO(_raw(later)), "r") as grown:
            for number, packet in enumerate(grown.demux(video=0), start=2):
                if packet.size:
                    output.mux(_at(packet, stream, number))
    return file.getvalue()


def clip_without_key_frames() -> bytes:
    """Pictures that say how they differ from one that is not there."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as output, av.open(BytesIO(clip(6)), "r") as whole:
        stream = output.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size and not packet.is_keyframe:
                packet.stream = stream
                output.mux(packet)
    return file.getvalue()


def sound() -> bytes:
    """An MP4 without pictures."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=44_100)
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.planes[0].update(bytes(4096))
        frame.sample_rate, frame.pts = 44_100, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def frame_of(image: Image.Image) -> av.VideoFrame:
    """A picture for an encoder."""
    frame = av.VideoFrame(*image.size, "rgb24")
    frame.planes[0].update(image.tobytes("raw", "RGB", frame.planes[0].line_size, 1))
    return frame.reformat(format="yuv420p")


def _set_up(stream: VideoStream, size: Size) -> None:
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
    stream.codec_context.thread_count = 1


def _raw(size: Size) -> bytes:
    """H.264 that repeats its own head, as it is sent over the air."""
    file = BytesIO()
    with av.open(file, "w", format="h264") as output:
        stream = output.add_stream("libx264", rate=24)
        _set_up(stream, size)
        for number in range(6):
            frame = frame_of(Image.new("RGB", size))
            frame.pts, frame.time_base = number * TICKS // 24, Fraction(1, TICKS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def _at(packet: "Packet[VideoStream]", stream: VideoStream, number: int) -> "Packet[VideoStream]":
    packet.stream = stream
    packet.time_base = Fraction(1, TICKS)
    packet.pts = packet.dts = number * TICKS // 24
    return packet


def with_edits(video: bytes, count: int) -> bytes:
    """An MP4 whose head comes last, with so many edits of its first track."""
    boxes = dict(_boxes(video, 0, len(video)))
    start = boxes[b"moov"]
    track = start + 8
    inside = dict(_boxes(video, track, len(video)))
    track = inside[b"trak"]
    size = int.from_bytes(video[track : track + 4], "big")
    old = dict(_boxes(video, track + 8, track + size))[b"edts"]
    old_size = int.from_bytes(video[old : old + 4], "big")
    edit = (10).to_bytes(4, "big") + bytes(4) + b"\0\1\0\0"
    entries = _box(b"elst", bytes(4) + count.to_bytes(4, "big") + edit * count)
    edits = _box(b"edts", entries)
    growth = len(edits) - old_size
    changed = bytearray(video[:old] + edits + video[old + old_size :])
    for at in (start, track):
        grown = int.from_bytes(changed[at : at + 4], "big") + growth
        changed[at : at + 4] = grown.to_bytes(4, "big")
    return bytes(changed)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Name and position of each box of a stretch."""
    while start + 8 <= end:
        yield data[start + 4 : start + 8], start
        start += int.from_bytes(data[start : start + 4], "big")


def _box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content
