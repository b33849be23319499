"""Shapes to cut sprites from: masks ("L", 255 where something is) and their colouring."""

# Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

import math
import random

from PIL import Image, ImageDraw, ImageFilter

from kie_runway_sandbox.picture import Colour, Size

OVERSAMPLING = 2  # drawn larger and shrunk, since Pillow draws hard edges


def disc(radius_px: int) -> Image.Image:
    """Return a full circle with a smooth edge."""
    side = radius_px * 2
    mask = Image.new("L", (side * 4, side * 4))
    ImageDraw.Draw(mask).ellipse((0, 0, side * 4 - 1, side * 4 - 1), 255)
    return mask.reduce(4)


def glow(radius_px: int, alpha: int, squash: float = 1) -> Image.Image:
    """Return light that fades outwards, `squash` times as high as wide."""
    size = (max(2, radius_px * 2), max(2, round(radius_px * 2 * squash)))
    # Pillow's gradient is 180 at the middle of each side; squared, it fades as light does.
    fading = [round((1 - min(value, 180) / 180) ** 2 * alpha) for value in range(256)]
    return Image.radial_gradient("L").resize(size).point(fading)


def cloud(size: Size, alpha: int, chance: random.Random) -> Image.Image:
    """Return a soft heap of ellipses that leaves the edges of `size` free."""
    width, height = size
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    for _ in range(9):
        long, high = chance.uniform(0.08, 0.20) * width, chance.uniform(0.10, 0.20) * height
        x = chance.triangular(long + height / 4, width - long - height / 4)
        y = chance.uniform(0.4, 0.62) * height
        draw.ellipse((x - long, y - high, x + long, y + high), alpha)
    return mask.filter(ImageFilter.GaussianBlur(height / 14))


def ridge(
    size: Size,
    relief: float,
    rough: float,
    wave_px: float,
    chance: random.Random,
    trees_px: float = 0,
) -> Image.Image:
    """
    Return ground below a skyline of summed waves.

    Args:
        relief: How much of the height the skyline takes up, 0-1.
        rough: How much of each wave the next, twice as short, has: 0.2 rolls, 0.6 is rocky.
        wave_px: The longest wave.
        trees_px: The height of the firs on it, 0 for none.
    """
    width, height = size
    waves = [
        (rough**octave, math.tau * 2**octave / wave_px, chance.uniform(0, math.tau))
        for octave in range(7)
    ]
    total = sum(share for share, _, _ in waves)
    step = 3
    line = [
        (x, sum(share * math.sin(x * pace + phase) for share, pace, phase in waves) / total)
        for x in range(0, width + step, step)
    ]
    top = min(value for _, value in line)
    scale = OVERSAMPLING
    mask = Image.new("L", (width * scale, height * scale))
    points = [
        (x * scale, (trees_px + (value - top) / 2 * relief * height) * scale) for x, value in line
    ]
    points += [(width * scale, height * scale), (0, height * scale)]
    draw = ImageDraw.Draw(mask)
    draw.polygon(points, 255)
    if trees_px:
        for x, y in points[: -2 : max(1, round(trees_px / 10))]:
            high = chance.triangular(0.2, 1, 0.4) * trees_px * scale
            wide, foot = high * 0.22, y + trees_px * 0.1 * scale
            draw.polygon(((x, y - high), (x + wide, foot), (x - wide, foot)), 255)
    return mask.reduce(scale)


def boat(side_px: int) -> Image.Image:
    """Return the outline of a folded paper boat, as wide as `side_px` and 0.7 times as high."""
    scale = side_px * 4
    size = (scale, scale * 7 // 10)
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    hull = ((0.0, 0.32), (0.25, 0.44), (0.75, 0.44), (1.0, 0.32), (0.80, 0.69), (0.20, 0.69))
    for outline in (hull, ((0.5, 0.02), (0.72, 0.42), (0.28, 0.42))):
        draw.polygon([(x * scale, y * scale) for x, y in outline], 255)
    return mask.reduce(4)


def skyline(size: Size, house_px: int, chance: random.Random) -> tuple[Image.Image, Image.Image]:
    """Return houses about `house_px` wide, and their lit windows."""
    width, height = size
    houses, windows = Image.new("L", size), Image.new("L", size)
    draw, light = ImageDraw.Draw(houses), ImageDraw.Draw(windows)
    pane = max(3, house_px // 9)
    x = -house_px
    while x < width:
        long = round(house_px * chance.uniform(0.7, 1.5))
        top = round(height * chance.triangular(0.02, 0.5, 0.3))
        draw.rectangle((x, top, x + long, height), 255)
        if chance.random() < 0.3:
            middle = x + long // 2
            draw.rectangle((middle - 1, max(0, top - house_px // 2), middle + 1, top), 255)
        for row in range(top + pane * 2, height, pane * 3):
            for column in range(x + pane, x + long - pane * 2, pane * 2):
                if chance.random() < 0.3:
                    light.rectangle((column, row, column + pane - 1, row + pane), 255)
        x += long + chance.choice((0, 0, pane))
    return houses, windows


def star_field(size: Size, count: int, radius_px: float, chance: random.Random) -> Image.Image:
    """Return `count` points of light, few of them bright."""
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    for _ in range(count):
        x, y = chance.uniform(0, size[0]), chance.uniform(0, size[1])
        radius = radius_px * chance.uniform(0.4, 1)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), chance.randint(90, 255))
    return mask.filter(ImageFilter.GaussianBlur(0.6))


def bands(top: Colour, bottom: Colour, size: Size, share: float = 1) -> Image.Image:
    """Return an RGB image going from `top` to `bottom` within the upper `share` of it."""
    ramp = Image.new("L", size, 255)
    ramp.paste(Image.linear_gradient("L").resize((size[0], max(1, round(size[1] * share)))))
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), ramp)
