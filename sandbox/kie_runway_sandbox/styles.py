"""The looks that stand for Aleph's restyling, each a filter over single pictures."""

# Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

from PIL import Image, ImageChops, ImageFilter, ImageStat

from kie_runway_sandbox.picture import BLACK_LIGHT, NO_COLOUR, WHITE_LIGHT, Picture, Size, mapped
from kie_runway_sandbox.words import chance_of, meant

REFERENCE_SHARE = 0.75  # how far colours move towards those of the reference image
STYLE_WORDS = {
    "watercolour": "watercolour watercolor paint painting painted oil brush impressionist canvas",
    "pencil": "pencil sketch drawing drawn ink line charcoal graphite manga storyboard",
    "comic": "comic cartoon poster pop anime toon cel graphic",
    "duotone": "duotone noir monochrome black vintage sepia film retro old 1920s",
    "neon": "neon cyberpunk night glow glowing synthwave electric hologram tron dark",
    "pixels": "pixel pixels pixelated 8-bit 8bit lego blocks mosaic voxel minecraft game",
    "winter": "winter snow snowy ice cold frozen frost blue moonlight",
    "golden": "golden sunset warm autumn fire desert summer sunrise orange dawn",
}


@dataclass(frozen=True)
class Style:
    """A look, chosen by the words of the prompt, else by the seed."""

    name: str
    size: Size
    tint: tuple[float, float] | None = None

    @classmethod
    def choose(
        cls, prompt: str, seed: int | None, size: Size, reference: Picture | None = None
    ) -> "Style":
        name = meant(prompt, STYLE_WORDS, chance_of(prompt, seed))
        return cls(name, size, _mean_colour(reference) if reference else None)

    def apply(self, picture: Picture) -> Picture:
        """Return the picture in this look."""
        looks: dict[str, Callable[[Picture], Picture]] = {
            "watercolour": self._watercolour,
            "pencil": self._pencil,
            "comic": self._comic,
            "duotone": self._duotone,
            "neon": self._neon,
            "pixels": self._pixels,
            "winter": partial(self._graded, 9, -10, 0.55),
            "golden": partial(self._graded, -18, 12, 1.1),
        }
        styled = looks[self.name](picture)
        return _tinted(styled, self.tint) if self.tint else styled

    @cached_property
    def _paper(self) -> Image.Image:
        """A grain that stands still, to multiply light with."""
        grain = random.Random(0).randbytes(256 * 256)
        tile = Image.frombytes("L", (256, 256), grain).filter(ImageFilter.GaussianBlur(1.2))
        tile = mapped(tile, lambda value: min(255, 246 + (value - 128) // 4))
        paper = Image.new("L", self.size)
        for x in range(0, self.size[0], 256):
            for y in range(0, self.size[1], 256):
                paper.paste(tile, (x, y))
        return paper

    def _watercolour(self, picture: Picture) -> Picture:
        # At half size, which also softens: pigment has no fine detail.
        small = picture.y.reduce(2).filter(ImageFilter.BoxBlur(3))
        washes = small.point(_steps(9, soft=True))
        rims = mapped(_edges(washes), lambda value: 255 - min(70, value * 3))
        y = ImageChops.multiply(washes, rims).resize(self.size, Image.Resampling.BILINEAR)
        y = mapped(y, lambda value: min(WHITE_LIGHT, round(66 + value * 0.74)))
        u, v = (
            plane.filter(ImageFilter.BoxBlur(4)).point(_colour(1.35))
            for plane in (picture.u, picture.v)
        )
        return Picture(ImageChops.multiply(y, self._paper), u, v)

    def _pencil(self, picture: Picture) -> Picture:
        lines = mapped(_edges(picture.y), lambda value: max(40, 235 - max(0, value - 6) * 7))
        shade = mapped(picture.y, lambda value: min(255, 150 + value * 2 // 3))
        y = ImageChops.multiply(ImageChops.multiply(lines, shade), self._paper)
        u, v = (plane.point(_colour(0.16)) for plane in (picture.u, picture.v))
        return Picture(y, u, v)

    def _comic(self, picture: Picture) -> Picture:
        flat = picture.y.filter(ImageFilter.BoxBlur(1))
        ink = mapped(_edges(flat.reduce(2)), lambda value: min(255, max(0, value - 10) * 10))
        y = flat.point(_steps(5))
        y.paste(BLACK_LIGHT, (0, 0), ink.resize(self.size, Image.Resampling.BILINEAR))
        u, v = (plane.point(_colour(1.7)) for plane in (picture.u, picture.v))
        return Picture(y, u, v)

    def _duotone(self, picture: Picture) -> Picture:
        small = picture.y.reduce(2)
        y = mapped(picture.y, lambda value: BLACK_LIGHT + round(_curve(value) * 219))
        # Shadows towards teal, lights towards cream.
        u = mapped(small, lambda value: round(NO_COLOUR + 16 - 34 * _curve(value)))
        v = mapped(small, lambda value: round(NO_COLOUR - 14 + 26 * _curve(value)))
        return Picture(y, u, v)

    def _neon(self, picture: Picture) -> Picture:
        lines = _edges(picture.y.reduce(2).filter(ImageFilter.BoxBlur(1)))
        lines = mapped(lines, lambda value: min(255, max(0, value - 10) * 8))
        halo = lines.filter(ImageFilter.BoxBlur(5))
        lit = ImageChops.add(lines, halo)
        base = mapped(picture.y, lambda value: BLACK_LIGHT + max(0, value - BLACK_LIGHT) // 5)
        y = ImageChops.add(base, lit.resize(self.size, Image.Resampling.BILINEAR))
        y = mapped(y, lambda value: min(WHITE_LIGHT, value))
        # From cyan at the top to magenta at the bottom, as strong as the light is near.
        ramp = Image.linear_gradient("L").resize(halo.size)
        strength = mapped(halo, lambda value: min(255, 110 + value * 3))
        neutral = Image.new("L", halo.size, NO_COLOUR)
        u = mapped(ramp, lambda value: 176 - value // 16)
        v = mapped(ramp, lambda value: 70 + value * 125 // 255)
        return Picture(
            y, Image.composite(u, neutral, strength), Image.composite(v, neutral, strength)
        )

    def _pixels(self, picture: Picture) -> Picture:
        block = max(4, min(self.size) // 90 * 2)
        planes = [
            plane.reduce(side).point(lut).resize(plane.size, Image.Resampling.NEAREST)
            for plane, side, lut in (
                (picture.y, block, _steps(12)),
                (picture.u, block // 2, _colour(1.4)),
                (picture.v, block // 2, _colour(1.4)),
            )
        ]
        return Picture(*planes)

    def _graded(self, blue: int, red: int, saturation: float, picture: Picture) -> Picture:
        bloom = picture.y.reduce(8).filter(ImageFilter.BoxBlur(4))
        bloom = mapped(bloom, lambda value: max(0, value - 96) * 2 // 3)
        bloom = bloom.resize(self.size, Image.Resampling.BILINEAR)
        y = mapped(ImageChops.screen(picture.y, bloom), lambda value: min(WHITE_LIGHT, value))
        return Picture(
            y,
            picture.u.point(_colour(saturation, blue)),
            picture.v.point(_colour(saturation, red)),
        )


def _edges(light: Image.Image) -> Image.Image:
    """Return how much light changes along both diagonals."""
    # A third of the time that Pillow's own filters for edges take.
    down, up = ImageChops.offset(light, 1, 1), ImageChops.offset(light, 1, -1)
    edges = ImageChops.add(ImageChops.difference(light, down), ImageChops.difference(light, up))
    # The offset wraps around, which would frame the picture.
    edges.paste(0, (0, 0, edges.width, 1))
    edges.paste(0, (0, edges.height - 1, edges.width, edges.height))
    edges.paste(0, (0, 0, 1, edges.height))
    return edges


def _steps(count: int, *, soft: bool = False) -> list[int]:
    """Return a table that leaves `count` levels of light, `soft` with slopes between them."""
    table: list[int] = []
    for value in range(256):
        level = max(0, min(WHITE_LIGHT, value) - BLACK_LIGHT) / (WHITE_LIGHT - BLACK_LIGHT)
        whole, part = divmod(level * (count - 1), 1)
        part = part * part * (3 - 2 * part) if soft else round(part)
        table.append(BLACK_LIGHT + round((whole + part) / (count - 1) * 219))
    return table


def _curve(light: int) -> float:
    """Return light as 0-1, its contrast raised."""
    level = max(0, min(WHITE_LIGHT, light) - BLACK_LIGHT) / (WHITE_LIGHT - BLACK_LIGHT)
    return level * level * (3 - 2 * level)


def _colour(saturation: float, shift: float = 0) -> list[int]:
    """Return a table that strengthens a plane of colour and moves it."""
    return [
        max(BLACK_LIGHT, min(240, round(NO_COLOUR + (value - NO_COLOUR) * saturation + shift)))
        for value in range(256)
    ]


def _mean_colour(picture: Picture) -> tuple[float, float]:
    return ImageStat.Stat(picture.u).mean[0], ImageStat.Stat(picture.v).mean[0]


def _tinted(picture: Picture, tint: tuple[float, float]) -> Picture:
    """Move the picture's mean colour towards `tint`."""
    u, v = _mean_colour(picture)
    return Picture(
        picture.y,
        picture.u.point(_colour(1, (tint[0] - u) * REFERENCE_SHARE)),
        picture.v.point(_colour(1, (tint[1] - v) * REFERENCE_SHARE)),
    )
