"""The words drawn on a clip, however strange."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageFont, ImageStat
from tests.sandbox.rendered import TEXT, difference, render

from kie_runway_sandbox.caption import Caption, clean, shorten, wrap
from kie_runway_sandbox.picture import Picture

SIZE = (640, 360)
FONT = ImageFont.load_default(20)
STRANGE = [
    "",
    " \n\t ",
    "\x00\x07\x1b[31mred\x1b[0m",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "\ud800 lone surrogate",
    "\U0010ffff\ue000\ufdd0",
    "一只纸船漂过雨中的街道" * 100,
    "قارب ورقي في المطر",
    "Z\u0351\u036b\u0343a\u0328l\u0322g\u0334o" * 20,
    "👩‍👩‍👧‍👦 🏴‍☠️ 🇩🇪",
    "W" * 1800,
    "%s {0} \\n <b>&amp;</b>",
]


def drawn(prompt: str, watermark: str = "", start_s: float = 0) -> Image.Image:
    picture = Picture.from_rgb(Image.new("RGB", SIZE, (90, 120, 150)))
    Caption(SIZE, prompt, "", watermark, start_s=start_s).draw(picture, 0)
    return picture.to_rgb()


@pytest.mark.parametrize("prompt", STRANGE, ids=range(len(STRANGE)))
def test_any_text_can_be_drawn(prompt: str) -> None:
    for aspect in ((320, 180), (180, 320), (720, 720)):
        picture = Picture.from_rgb(Image.new("RGB", aspect))
        Caption(aspect, prompt, prompt[:20], prompt, edge="top").draw(picture, 0)
        Caption(aspect, prompt, "", prompt).draw(picture, 0)


def test_a_strange_prompt_makes_a_clip(tmp_path: Path) -> None:
    prompt = " ".join(STRANGE)
    clip = render(tmp_path, replace(TEXT, prompt=prompt, watermark=prompt))

    assert len(clip.frames) == 24


def test_invisible_and_direction_characters_are_left_out() -> None:
    assert clean("a\x00b\u202e\u200d c\r\n\n d\ud800") == "a b c d"


def test_words_are_kept_whole_where_they_fit() -> None:
    lines, whole = wrap("one two three four five six", FONT, 100, 9)

    assert whole
    assert " ".join(lines) == "one two three four five six"
    assert all(FONT.getlength(line) <= 100 for line in lines)


def test_a_word_longer_than_a_line_is_broken() -> None:
    lines, whole = wrap("a " + "m" * 30, FONT, 100, 99)

    assert whole
    assert "".join(lines) == "a" + "m" * 30


def test_what_does_not_fit_ends_in_an_ellipsis() -> None:
    lines, whole = wrap("many words " * 50, FONT, 150, 3)

    assert not whole
    assert len(lines) == 3
    assert lines[-1].endswith("…")
    assert FONT.getlength(lines[-1]) <= 150
    assert shorten("short", FONT, 150) == "short"


def test_a_long_prompt_leaves_most_of_the_picture_free() -> None:
    empty, full = drawn(""), drawn("long words " * 160)
    upper, lower = (0, 0, 640, 200), (0, 270, 640, 330)

    assert difference(empty.crop(upper), full.crop(upper)) == 0
    assert difference(empty.crop(lower), full.crop(lower)) > 20


def test_the_watermark_is_at_the_bottom_right() -> None:
    corner = (400, 320, 640, 360)
    marked, plain = drawn("", "studio"), drawn("")

    assert ImageStat.Stat(marked.crop(corner)).extrema[0][1] > 200
    assert ImageStat.Stat(plain.crop(corner)).extrema[0][1] < 100


def test_the_time_code_counts_on_from_its_start() -> None:
    chip = (0, 0, 320, 60)

    assert drawn("", start_s=5).crop(chip) != drawn("").crop(chip)


def test_a_machine_without_freetype_gets_captions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def bitmap(size: float | None = None) -> ImageFont.ImageFont:
        return ImageFont.load_default_imagefont()

    monkeypatch.setattr(ImageFont, "load_default", bitmap)

    assert difference(drawn("a boat"), drawn("")) > 0
