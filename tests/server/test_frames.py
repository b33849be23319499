"""Pictures out of a video: which ones, and from what they are not taken."""

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from random import Random

import pytest
from PIL import Image, ImageStat
from tests.server.odd_clips import (
    TICKS,
    clip,
    clip_without_key_frames,
    growing_clip,
    sound,
    with_edits,
)

from kie_runway import frames
from kie_runway.frames import Frame, read_frames

PEAK = """
import sys
from io import BytesIO
from resource import RUSAGE_SELF, getrusage
from kie_runway.frames import read_frames
video, before = BytesIO(sys.stdin.buffer.read()), getrusage(RUSAGE_SELF).ru_maxrss
frames = read_frames(video, side_px=100, stopped=lambda: False)
print(before, getrusage(RUSAGE_SELF).ru_maxrss, len(frames))
"""


def read(video: bytes, side_px: int = 400) -> list[Frame]:
    return read_frames(BytesIO(video), side_px=side_px, stopped=lambda: False)


def refuse(video: bytes, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        read(video)


def light(image: Image.Image) -> float:
    """0 to 255."""
    (mean,) = ImageStat.Stat(image.convert("L")).mean
    return mean


def times(found: list[Frame]) -> list[float]:
    return [round(frame.at_s, 2) for frame in found]


def test_six_are_spread_over_the_whole_video_and_differ() -> None:
    found = read(clip(121))

    assert times(found) == [0, 1, 2, 3, 4, 5]
    assert [light(frame.image) for frame in found] == pytest.approx(
        [0, 51, 102, 153, 204, 255], abs=3
    )


def test_a_longer_video_gives_nine() -> None:
    assert times(read(clip(81, fps=8))) == [0, 1.25, 2.5, 3.75, 5, 6.25, 7.5, 8.75, 10]


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_of_a_few_all_are_taken(count: int) -> None:
    assert times(read(clip(count, fps=10))) == [number / 10 for number in range(count)]


def test_times_count_from_the_first_picture() -> None:
    ticks = [TICKS * 100 + number * TICKS for number in range(6)]

    assert times(read(clip(ticks=ticks))) == [0, 1, 2, 3, 4, 5]


def test_at_an_uneven_rate_they_are_what_is_seen_at_even_times() -> None:
    """Twenty pictures in the first second; then one stays for two, another for a third."""
    ticks = [*range(0, TICKS, TICKS // 20), TICKS, TICKS * 3, TICKS * 4]

    assert times(read(clip(ticks=ticks))) == [0, 0.8, 1, 3, 4]


def test_a_video_without_a_length_in_its_head_is_read() -> None:
    assert times(read(clip(121, fragmented=True))) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_every_usual_codec_is_read(codec: str) -> None:
    found = read(clip(6, codec=codec, size=(128, 128)))

    assert len(found) == 6
    assert light(found[-1].image) > light(found[0].image) + 200


@pytest.mark.parametrize(
    ("rotation_deg", "size"), [(90, (108, 192)), (-90, (108, 192)), (180, (192, 108))]
)
def test_pictures_are_turned_as_the_file_says(rotation_deg: int, size: tuple[int, int]) -> None:
    assert read(clip(1, rotation_deg=rotation_deg))[0].image.size == size


def test_pixels_are_square() -> None:
    assert read(clip(1, wide_pixels=2))[0].image.size == (384, 108)


@pytest.mark.parametrize("size", [(400, 200), (200, 400), (50, 50)])
def test_pictures_are_made_smaller_but_never_larger(size: tuple[int, int]) -> None:
    found = read(clip(1, size=size), side_px=100)

    assert found[0].image.size == (size if max(size) < 100 else (size[0] // 4, size[1] // 4))


NO_VIDEOS: dict[str, Callable[[], bytes]] = {
    "empty": bytes,
    "text": lambda: b"hello" * 1000,
    "a playlist": lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "a script": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "half": lambda: clip()[: len(clip()) // 2],
    "zeros": lambda: clip()[:40] + bytes(5000),
    "matroska": lambda: clip(container="matroska"),
    "an old codec": lambda: clip(codec="mpeg4"),
    "sound": sound,
    "differences": clip_without_key_frames,
}


@pytest.mark.parametrize("kind", NO_VIDEOS)
def test_what_is_no_video_of_the_usual_kinds_is_refused(kind: str) -> None:
    refuse(NO_VIDEOS[kind](), r"cannot be decoded|no pictures")


def test_pictures_larger_than_4k_are_not_decoded() -> None:
    refuse(clip(1, size=(4096, 2448)), "cannot be decoded")


def test_pictures_that_grow_in_the_midst_of_a_video_are_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = growing_clip((64, 64), (640, 640))
    monkeypatch.setattr(frames, "SOURCE_MAX_PIXELS", 640 * 640 + 50_000)

    assert read(video)[-1].image.size == (400, 400)

    monkeypatch.setattr(frames, "SOURCE_MAX_PIXELS", 100 * 100)

    refuse(video, "cannot be decoded")


def test_a_video_of_too_many_pictures_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "SOURCE_MAX_FRAMES", 47)

    refuse(clip(48), "too many pictures")


def test_a_video_that_promises_too_many_samples_is_not_even_opened() -> None:
    """A few bytes that speak of 50 million pictures would take 3.5 GB."""
    video = bytearray(clip())
    at = video.index(b"stsz") + 8
    video[at : at + 8] = (10).to_bytes(4, "big") + (50_000_000).to_bytes(4, "big")

    refuse(bytes(video), "too many samples")


def test_a_list_of_endless_edits_costs_no_memory() -> None:
    """FFmpeg would copy the samples once for each edit; in a process of its own, for its peak."""
    video = with_edits(clip(2000, size=(64, 64)), 40_000)
    done = subprocess.run(
        (sys.executable, "-c", PEAK), input=video, capture_output=True, check=True, timeout=120
    )

    before_kb, after_kb, frames = map(int, done.stdout.split())
    assert frames > 0
    assert after_kb - before_kb < 200_000


@pytest.mark.parametrize("after", [0, 20, 60])
def test_it_stops_when_it_is_told_to(after: int) -> None:
    asked = 0

    def stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    with pytest.raises(ValueError, match="took too long"):
        read_frames(BytesIO(clip(48)), side_px=100, stopped=stopped)
    assert asked == after + 1


@pytest.mark.parametrize("fragmented", [False, True])
def test_damage_of_any_kind_is_an_error_and_no_crash(fragmented: bool) -> None:
    whole, random = clip(24, size=(64, 64), fragmented=fragmented), Random(1)
    refused = 0
    for _ in range(300):
        video = bytearray(whole)
        at = random.randrange(len(video) - 4)
        video[at : at + 4] = random.choice((random.randbytes(4), bytes(4), b"\xff" * 4))
        try:
            read(bytes(video))
        except ValueError:
            refused += 1

    assert 0 < refused < 300
