"""Restyled footage: what Aleph's stand-in does to a video."""

import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageFilter, ImageStat
from tests.sandbox.rendered import (
    ALEPH,
    TEXT,
    Rendered,
    difference,
    render,
    video_size,
    write_video,
)

STYLES = ["watercolour", "pencil", "comic", "duotone", "neon", "pixels", "winter", "golden"]
MIDDLE = (0, 30, 160, 68)  # between the captions


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return render(tmp_path_factory.mktemp("footage"), TEXT)


@pytest.mark.parametrize("style", STYLES)
def test_each_style_changes_the_footage_but_keeps_its_shapes(
    tmp_path: Path, footage: Rendered, style: str
) -> None:
    clip = render(tmp_path, replace(ALEPH, prompt=f"as {style}", source=footage.video))

    assert len(clip.frames) == len(footage.frames)
    for before, after in zip(footage.frames[::12], clip.frames[::12], strict=True):
        assert difference(before.crop(MIDDLE), after.crop(MIDDLE)) > 3
        assert likeness(before.crop(MIDDLE), after.crop(MIDDLE)) > 0.3


def likeness(one: Image.Image, other: Image.Image) -> float:
    """How well the outlines of two pictures agree: 0 not at all, 1 wholly."""
    first, second = (
        image.convert("L").filter(ImageFilter.FIND_EDGES).filter(ImageFilter.BoxBlur(1)).tobytes()
        for image in (one, other)
    )
    return statistics.correlation(first, second)


def test_the_seed_chooses_where_the_prompt_does_not(tmp_path: Path, footage: Rendered) -> None:
    plain = replace(ALEPH, prompt="better", source=footage.video)
    looks = [render(tmp_path, replace(plain, seed=seed)).frames[0].tobytes() for seed in range(4)]

    assert len(set(looks)) > 1
    assert render(tmp_path, replace(plain, seed=0)).frames[0].tobytes() == looks[0]


def test_a_reference_lends_its_colour(tmp_path: Path, footage: Rendered) -> None:
    Image.new("RGB", (1, 1), (30, 160, 60)).save(tmp_path / "green.png")
    plain = replace(ALEPH, prompt="golden", source=footage.video)
    before = ImageStat.Stat(render(tmp_path, plain).frames[0]).mean
    after = ImageStat.Stat(
        render(tmp_path, replace(plain, reference=tmp_path / "green.png")).frames[0]
    ).mean

    assert after[1] - after[0] > before[1] - before[0] + 20


def test_an_unreadable_reference_is_refused(tmp_path: Path, footage: Rendered) -> None:
    with pytest.raises(ValueError, match="source image cannot be decoded"):
        render(tmp_path, replace(ALEPH, source=footage.video, reference=footage.video))


@pytest.mark.parametrize(
    ("ratio", "size"), [("", (320, 180)), ("9:16", (180, 320)), ("21:9", (420, 180))]
)
def test_another_ratio_is_cut_out_of_the_footage(
    tmp_path: Path, footage: Rendered, ratio: str, size: tuple[int, int]
) -> None:
    clip = render(tmp_path, replace(ALEPH, aspect_ratio=ratio, source=footage.video))

    assert video_size(clip.video) == size


def test_five_seconds_at_most_are_used(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", (320, 180), 10, ["navy"] * 70)
    clip = render(tmp_path, replace(ALEPH, duration_s=10, source=source))

    assert len(clip.frames) == 5 * 24


@pytest.mark.parametrize("fps", [10, 24, 60])
def test_any_rate_becomes_24_frames_a_second_at_the_same_pace(tmp_path: Path, fps: int) -> None:
    colours = ["black"] * (fps // 2) + ["white"] * (fps // 2)
    source = write_video(tmp_path / "source.mp4", (320, 180), fps, colours)
    clip = render(tmp_path, replace(ALEPH, prompt="golden", source=source))

    light = [ImageStat.Stat(frame.convert("L").crop(MIDDLE)).mean[0] for frame in clip.frames]
    dark = [value < 128 for value in light]
    assert abs(len(dark) - 24) <= 2
    assert abs(sum(dark) - 12) <= 2
    assert dark == sorted(dark, reverse=True)


def test_footage_filmed_sideways_is_turned_upright(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", (320, 180), 24, ["navy"] * 6)
    upright = b"".join(number.to_bytes(4) for number in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0))
    quarter = b"".join(
        number.to_bytes(4, signed=True) for number in (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0)
    )
    content = source.read_bytes()
    track = content.index(b"tkhd")
    source.write_bytes(content[:track] + content[track:].replace(upright, quarter, 1))
    clip = render(tmp_path, replace(ALEPH, source=source))

    assert video_size(clip.video) == (180, 320)
