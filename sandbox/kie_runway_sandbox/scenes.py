"""Invented landscapes: a sky that changes, and what drifts before it, nearer things faster."""

# Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from kie_runway_sandbox.palettes import PALETTE_WORDS, PALETTES, mix
from kie_runway_sandbox.picture import Colour, Picture, Size, Sprite, mapped
from kie_runway_sandbox.shapes import bands, boat, disc, glow, ridge, skyline, star_field
from kie_runway_sandbox.stage import Layer, Stage, clouds, sun
from kie_runway_sandbox.words import chance_of, meant

SCENE_WORDS = {
    "hills": "mountain mountains hill hills valley desert forest tree trees field meadow garden "
    "jungle dragon horse village road train landscape snow dunes fox deer",
    "sea": "sea ocean wave waves boat ship sail river lake water beach island fish whale rain "
    "harbour harbor lighthouse coast puddle gutter surf",
    "city": "city street town building buildings skyline tokyo neon car cars robot traffic urban "
    "office bridge downtown rooftop market cyberpunk",
    "space": "space star stars planet planets moon galaxy cosmos astronaut rocket alien orbit "
    "nebula universe comet satellite",
    "ribbons": "abstract silk ribbon ribbons smoke fabric cloth curtain liquid dream dance music",
}


class Scene:
    """A landscape for a prompt; the same prompt and seed give the same one."""

    def __init__(self, prompt: str, seed: int | None, size: Size, frames: int) -> None:
        chance = chance_of(prompt, seed)
        palette = PALETTES[meant(prompt, PALETTE_WORDS, chance)]
        builders: dict[str, Callable[[Stage], list[Layer]]] = {
            "hills": _hills,
            "sea": _sea,
            "city": _city,
            "space": _space,
            "ribbons": _ribbons,
        }
        kind = meant(prompt, SCENE_WORDS, chance)
        if kind == "space":
            # Stars want a dark sky, whatever else the prompt says.
            night = PALETTES["night"]
            palette = replace(palette, sky=night.sky, later=night.later)
        self._frames = frames
        self._sky = _sky(palette.sky, size)
        self._later = _sky(palette.later, size)
        self._layers = builders[kind](Stage(size, frames, palette, chance))

    def draw(self, frame: int) -> Picture:
        """Return a new picture: the scene as it is at `frame`."""
        picture = self._sky.blend(self._later, frame / self._frames)
        for layer in self._layers:
            layer.draw(picture, frame)
        return picture


def _sky(colours: tuple[Colour, Colour, Colour], size: Size) -> Picture:
    # Five pixels stretched, the horizon in the middle; bicubic rounds the bends.
    column = Image.new("RGB", (1, 5), colours[2])
    column.putpixel((0, 0), colours[0])
    column.putpixel((0, 1), colours[1])
    return Picture.from_rgb(column.resize(size, Image.Resampling.BICUBIC))


def _hills(stage: Stage) -> list[Layer]:
    width, height = stage.size
    layers = sun(stage, stage.chance.uniform(0.25, 0.75), 0.34, 0.06, -stage.speed(0.5))
    layers += clouds(stage, 3, 150)
    rough = stage.chance.uniform(0.45, 0.62)
    for number, px in enumerate((0.5, 1, 2, 4)):
        share, speed = number / 3, stage.speed(px)
        trees_px = (0, 0, 40, 80)[number] * stage.unit
        top = (0.36 + 0.13 * number) * height - trees_px
        reach = (width + round(speed * stage.frames) + 2, round(height - top))
        colour = stage.between(share)
        foot = mix(colour, stage.palette.later[2], 0.45 * (1 - share))
        mask = ridge(reach, 0.75 - 0.14 * number, rough, width, stage.chance, trees_px)
        layers.append(Layer(Sprite.cut(bands(colour, foot, reach), mask), 0, top, -speed))
    return layers


def _sea(stage: Stage) -> list[Layer]:
    width, height = stage.size
    horizon, sun_x = 0.46, stage.chance.uniform(0.3, 0.7)
    layers = sun(stage, sun_x, horizon - 0.14, 0.07, stage.speed(0.5))
    layers += clouds(stage, 3, 140)
    reach = (width, round(height * (1 - horizon)))
    water = bands(mix(stage.palette.later[2], stage.between(0.35), 0.6), stage.between(0.9), reach)
    layers.append(Layer(Sprite.cut(water, Image.new("L", reach, 255)), 0, height * horizon))
    layers += _glitter(stage, sun_x, horizon)
    for number, px in enumerate((1, -1.5, 2.5)):
        top = (0.55 + 0.10 * number) * height
        speed = math.copysign(stage.speed(abs(px)), px)
        travel = round(abs(speed) * stage.frames) + 2
        reach = (width + travel, round(height * 0.5))
        crest, colour = stage.between(0.3 + 0.2 * number), stage.between(0.6 + 0.18 * number)
        mask = ridge(reach, 0.14, 0.2, width * 0.5, stage.chance)
        wave = Sprite.cut(bands(crest, colour, reach, 0.5), mask)
        x, phase = (-travel if speed > 0 else 0), stage.chance.uniform(0, math.tau)
        layers.append(Layer(wave, x, top, speed, 0, 9 * stage.unit, 3.4, phase))
        if number == 0:
            layers.append(_boat(stage))
    return layers


def _boat(stage: Stage) -> Layer:
    """A paper boat behind the second wave, whose crest hides the bottom of its hull."""
    side = round(170 * stage.unit)
    paper = mix(stage.palette.light, stage.palette.far, 0.12)
    fold = mix(stage.palette.light, stage.palette.near, 0.35)
    mask = boat(side)
    sprite = Sprite.cut(bands(paper, fold, mask.size, 0.9), mask)
    x = stage.chance.uniform(0.12, 0.3) * stage.size[0]
    y = 0.71 * stage.size[1] - mask.height
    return Layer(sprite, x, y, stage.speed(1.5), 0, 8 * stage.unit, 2.6)


def _glitter(stage: Stage, sun_x: float, horizon: float) -> list[Layer]:
    """The sun's road on the water."""
    width, height = stage.size
    layers: list[Layer] = []
    for number in range(22):
        depth = (number + 1) / 22
        long = round((0.04 + 0.14 * depth * stage.chance.uniform(0.5, 1)) * width)
        mask = glow(long // 2, 255, squash=0.05 + 0.02 * depth)
        x = sun_x * width - mask.width / 2 + stage.chance.uniform(-0.06, 0.06) * width * depth
        y = (horizon + 0.01 + 0.16 * depth) * height
        drift = stage.speed(0.5) * stage.chance.choice((-1, 0, 1))
        swing, phase = 3 * stage.unit, stage.chance.uniform(0, math.tau)
        sprite = Sprite.flat(stage.palette.light, mask)
        layers.append(Layer(sprite, x, y, drift, 0, swing, 2.5, phase))
    return layers


def _city(stage: Stage) -> list[Layer]:
    width, height = stage.size
    layers = sun(stage, stage.chance.uniform(0.55, 0.8), 0.26, 0.055, -stage.speed(0.5))
    layers += clouds(stage, 2, 90)
    lamps = mix(stage.palette.light, (255, 190, 90), 0.6)
    for number, px in enumerate((0.5, 1.5, 3)):
        share, speed = 0.15 + number * 0.42, stage.speed(px)
        top = (0.26 + 0.12 * number) * height
        reach = (width + round(speed * stage.frames) + 2, round(height - top))
        house = round((52 + 34 * number) * stage.unit)
        mask, windows = skyline(reach, house, stage.chance)
        colour = stage.between(share)
        walls = bands(mix(colour, stage.palette.later[1], 0.25 * (1 - share)), colour, reach)
        lit = Image.new("RGB", reach, mix(colour, lamps, 0.35 + 0.3 * number))
        layers.append(Layer(Sprite.cut(Image.composite(lit, walls, windows), mask), 0, top, -speed))
    return layers


def _space(stage: Stage) -> list[Layer]:
    width, height = stage.size
    layers: list[Layer] = []
    for number in range(5):
        mask = glow(round(stage.chance.uniform(0.4, 0.8) * min(stage.size)), 90, squash=0.7)
        colour = mix((150, 60, 190), (40, 170, 190), stage.chance.random())
        x = stage.chance.uniform(0, 1) * width - mask.width / 2
        y = stage.chance.uniform(0.1, 0.8) * height - mask.height / 2
        drift = stage.speed(0.5 + number % 2)
        layers.append(Layer(Sprite.flat(colour, mask), x, y, -drift))
    for number, px in enumerate((0.5, 1.5, 3)):
        speed = stage.speed(px)
        reach = (width + round(speed * stage.frames) + 2, height)
        mask = star_field(reach, 150 // (number + 1), 1 + number * stage.unit, stage.chance)
        layers.append(Layer(Sprite.flat(stage.palette.light, mask), 0, 0, -speed))
    radius = round(min(stage.size) * 0.23)
    x, y = stage.chance.uniform(0.3, 0.7) * width, height * 0.40
    layers.append(
        Layer(Sprite.flat(stage.palette.far, glow(radius * 2, 110)), x - radius * 2, y - radius * 2)
    )
    shade = Image.radial_gradient("L").resize((radius * 4, radius * 4))
    shade = shade.crop((radius, radius + radius // 4, radius * 3, radius * 3 + radius // 4))
    lit, dark = (
        Image.new("RGB", shade.size, colour)
        for colour in (mix(stage.palette.far, stage.palette.light, 0.6), stage.palette.near)
    )
    planet = Image.composite(dark, lit, mapped(shade, lambda value: min(255, value * 2)))
    layers.append(Layer(Sprite.cut(planet, disc(radius)), x - radius, y - radius))
    return layers


def _ribbons(stage: Stage) -> list[Layer]:
    width, height = stage.size
    layers = sun(stage, stage.chance.uniform(0.3, 0.7), 0.3, 0.10, stage.speed(0.5))
    for number in range(6):
        speed = stage.speed(1 + number % 3) * (-1) ** number
        travel = round(abs(speed) * stage.frames) + 2
        reach = (width + travel, round(height * 0.75))
        top = (0.16 + 0.11 * number) * height
        colour = mix(stage.between(number / 5), stage.palette.later[number % 3], 0.35)
        mask = ridge(reach, 0.38, 0.22, width * 0.9, stage.chance)
        mask = mapped(mask, lambda value: value * 190 // 255)
        ribbon = Sprite.cut(bands(mix(colour, stage.palette.light, 0.35), colour, reach, 0.5), mask)
        x, phase = (-travel if speed > 0 else 0), stage.chance.uniform(0, math.tau)
        layers.append(Layer(ribbon, x, top, speed, 0, 16 * stage.unit, 5, phase))
    for _ in range(9):
        px = round(stage.chance.uniform(0.012, 0.045) * min(stage.size))
        mask = mapped(disc(px), lambda value: value * 90 // 255)
        x, y = stage.chance.uniform(0, 1) * width, stage.chance.uniform(0.2, 1) * height
        rise = -stage.speed(stage.chance.uniform(0.5, 2))
        layers.append(Layer(Sprite.flat(stage.palette.light, mask), x, y, 0, rise))
    return layers
