"""The icon that clients are shown, as the PNG that bundles need."""

import re
from xml.etree import ElementTree

from PIL import Image, ImageChops, ImageDraw

SMOOTHING = 4  # drawn so many times larger, and made smaller again
_STEP = re.compile(r"([a-zA-Z])([^a-zA-Z]*)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

Point = tuple[float, float]


def draw(svg: str, size: int) -> Image.Image:
    """
    A square picture of an SVG with one path of straight lines, transparent around it.

    Where shapes of the path overlap, they cut each other out.
    """
    drawing = ElementTree.fromstring(svg)
    (path,) = drawing
    _, _, width, _ = map(float, drawing.attrib["viewBox"].split())
    large = size * SMOOTHING
    mask = Image.new("1", (large, large))
    for shape in _shapes(path.attrib["d"]):
        layer = Image.new("1", mask.size)
        corners = [(x * large / width, y * large / width) for x, y in shape]
        ImageDraw.Draw(layer).polygon(corners, fill=1)
        mask = ImageChops.logical_xor(mask, layer)
    picture = Image.new("RGB", (size, size), path.attrib["fill"])
    picture.putalpha(mask.convert("L").reduce(SMOOTHING))
    return picture


def _shapes(path: str) -> list[list[Point]]:
    """The corners of each shape: `M`, `L`, `H`, `V` and `Z`, absolute or relative."""
    shapes: list[list[Point]] = []
    x = y = 0.0
    for letter, rest in _STEP.findall(path):
        numbers = [float(number) for number in _NUMBER.findall(rest)]
        from_x, from_y = (x, y) if letter.islower() else (0.0, 0.0)
        match letter.upper(), numbers:
            case "M", [dx, dy]:
                x, y = from_x + dx, from_y + dy
                shapes.append([])
            case "L", [dx, dy]:
                x, y = from_x + dx, from_y + dy
            case "H", [dx]:
                x = from_x + dx
            case "V", [dy]:
                y = from_y + dy
            case "Z", []:
                x, y = shapes[-1][0]
                continue
            case _:
                raise ValueError(f"cannot draw {letter}{rest}")
        shapes[-1].append((x, y))
    return shapes
