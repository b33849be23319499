"""Pictures as the video encoder stores them: one full-size plane of light, two half-size of colour.

Drawing straight into those planes costs about a third of drawing in RGB, and nothing has to be
converted on the way into or out of a video. That is what makes a clip take a second, not ten.
"""

# Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeAlias

import av
from av.video.reformatter import Colorspace
from PIL import Image

Size: TypeAlias = tuple[int, int]
Colour: TypeAlias = tuple[int, int, int]

BLACK_LIGHT, WHITE_LIGHT, NO_COLOUR = 16, 235, 128  # of "TV range" video, 8 bits


def mapped(plane: Image.Image, change: Callable[[int], float]) -> Image.Image:
    """Return an "L" image, each of its values changed by the same rule."""
    return plane.point([round(change(value)) for value in range(256)])


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame: light, and blue and red difference. Width and height are even."""

    y: Image.Image
    u: Image.Image
    v: Image.Image

    @classmethod
    def from_rgb(cls, image: Image.Image) -> Self:
        """Convert an RGB image; an odd last row or column is cut off."""
        width, height = image.width // 2 * 2, image.height // 2 * 2
        frame = av.VideoFrame(width, height, "rgb24")
        rows = image.crop((0, 0, width, height)).convert("RGB")
        frame.planes[0].update(rows.tobytes("raw", "RGB", frame.planes[0].line_size, 1))
        return cls.from_frame(frame, (width, height))

    @classmethod
    def from_frame(cls, frame: av.VideoFrame, size: Size) -> Self:
        """Take over a decoded frame, stretched to `size`."""
        frame = frame.reformat(
            *size, format="yuv420p", dst_colorspace=Colorspace.ITU709, interpolation="BILINEAR"
        )
        half = (size[0] // 2, size[1] // 2)
        y, u, v = (
            Image.frombytes("L", shape, bytes(plane), "raw", "L", plane.line_size, 1)
            for plane, shape in zip(frame.planes, (size, half, half), strict=True)
        )
        return cls(y, u, v)

    def to_frame(self) -> av.VideoFrame:
        """Return the frame to encode."""
        frame = av.VideoFrame(*self.size, "yuv420p")
        for plane, image in zip(frame.planes, (self.y, self.u, self.v), strict=True):
            plane.update(image.tobytes("raw", "L", plane.line_size, 1))
        return frame

    def to_rgb(self) -> Image.Image:
        """Return the RGB image."""
        frame = self.to_frame().reformat(format="rgb24", src_colorspace=Colorspace.ITU709)
        plane = frame.planes[0]
        return Image.frombytes("RGB", self.size, bytes(plane), "raw", "RGB", plane.line_size, 1)

    @property
    def size(self) -> Size:
        return self.y.size

    def copy(self) -> Self:
        return type(self)(self.y.copy(), self.u.copy(), self.v.copy())

    def blend(self, other: Self, share: float) -> Self:
        """Return a new picture, `share` (0-1) of it `other`."""
        return type(self)(
            Image.blend(self.y, other.y, share),
            Image.blend(self.u, other.u, share),
            Image.blend(self.v, other.v, share),
        )

    def zoom(self, box: tuple[float, float, float, float], size: Size) -> Self:
        """Return the part inside `box`, scaled to `size`; fractions of a pixel count."""
        half_box = (box[0] / 2, box[1] / 2, box[2] / 2, box[3] / 2)
        half = (size[0] // 2, size[1] // 2)
        bilinear = Image.Resampling.BILINEAR
        return type(self)(
            self.y.resize(size, bilinear, box),
            self.u.resize(half, bilinear, half_box),
            self.v.resize(half, bilinear, half_box),
        )

    def cover(self, size: Size) -> Self:
        """Return the picture filling `size`, its middle kept and the rest cut off."""
        if self.size == size:
            return self
        width, height = self.size
        scale = min(width / size[0], height / size[1])
        left, top = (width - size[0] * scale) / 2, (height - size[1] * scale) / 2
        return self.zoom((left, top, left + size[0] * scale, top + size[1] * scale), size)

    def turn(self, angle_deg: int) -> Self:
        """Return the picture turned counterclockwise by a multiple of 90 degrees."""
        turns = {
            90: Image.Transpose.ROTATE_90,
            180: Image.Transpose.ROTATE_180,
            270: Image.Transpose.ROTATE_270,
        }
        turn = turns.get(angle_deg % 360)
        if turn is None:
            return self
        return type(self)(self.y.transpose(turn), self.u.transpose(turn), self.v.transpose(turn))

    def paste(self, sprite: "Sprite", x: int, y: int) -> None:
        """Draw `sprite` here, in place; what lies outside is cut off."""
        self.y.paste(sprite.picture.y, (x, y), sprite.mask)
        self.u.paste(sprite.picture.u, (x // 2, y // 2), sprite.half_mask)
        self.v.paste(sprite.picture.v, (x // 2, y // 2), sprite.half_mask)


@dataclass(frozen=True, slots=True)
class Sprite:
    """A picture with a transparency, to be pasted again and again."""

    picture: Picture
    mask: Image.Image
    half_mask: Image.Image

    @classmethod
    def cut(cls, colours: Image.Image, mask: Image.Image) -> Self:
        """Cut `mask` ("L") out of an RGB image of the same size."""
        picture = Picture.from_rgb(colours)
        mask = mask.crop((0, 0, *picture.size))
        return cls(picture, mask, mask.reduce(2))

    @classmethod
    def flat(cls, colour: Colour, mask: Image.Image) -> Self:
        """Cut `mask` out of one colour."""
        return cls.cut(Image.new("RGB", mask.size, colour), mask)

    @classmethod
    def from_rgba(cls, image: Image.Image) -> Self:
        return cls.cut(image.convert("RGB"), image.getchannel("A"))
