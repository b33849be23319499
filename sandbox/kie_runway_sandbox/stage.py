"""What scenes are made of: sprites that move, and the sky's furniture."""

import math
import random
from dataclasses import dataclass

from kie_runway_sandbox.palettes import Palette, mix
from kie_runway_sandbox.picture import Colour, Picture, Size, Sprite
from kie_runway_sandbox.shapes import cloud, disc, glow
from kie_runway_sandbox.video import FPS


@dataclass(frozen=True, slots=True)
class Layer:
    """A sprite and its path: a steady drift in pixels a frame, and a slow swing."""

    sprite: Sprite
    x: float
    y: float
    drift_x: float = 0
    drift_y: float = 0
    swing_px: float = 0
    swing_s: float = 6
    phase: float = 0

    def draw(self, picture: Picture, frame: int) -> None:
        """Draw on `picture`, in place."""
        swing = self.swing_px * math.sin(self.phase + frame / FPS / self.swing_s * math.tau)
        x, y = self.x + self.drift_x * frame, self.y + self.drift_y * frame + swing
        picture.paste(self.sprite, round(x), round(y))


@dataclass(frozen=True, slots=True)
class Stage:
    """What the builders of scenes build with."""

    size: Size
    frames: int
    palette: Palette
    chance: random.Random

    @property
    def unit(self) -> float:
        """A pixel, were the short side 720."""
        return min(self.size) / 720

    def speed(self, px: float) -> float:
        """A drift in pixels a frame, halves only: other fractions judder."""
        return max(0.5, round(px * self.unit * 2) / 2)

    def between(self, share: float) -> Colour:
        """A colour from far (0) to near (1)."""
        return mix(self.palette.far, self.palette.near, share)


def sun(stage: Stage, x: float, y: float, radius: float, drift_y: float) -> list[Layer]:
    """A sun or moon with its halo; place and radius are shares, the drift in pixels a frame."""
    width, height = stage.size
    px = round(radius * min(stage.size))
    halo = Sprite.flat(stage.palette.light, glow(px * 5, 150))
    orb = Sprite.flat(stage.palette.light, disc(px))
    at_x, at_y = x * width, y * height
    return [
        Layer(halo, at_x - px * 5, at_y - px * 5, 0, drift_y),
        Layer(orb, at_x - px, at_y - px, 0, drift_y),
    ]


def clouds(stage: Stage, count: int, alpha: int) -> list[Layer]:
    """Clouds that drift at two speeds."""
    width, height = stage.size
    layers: list[Layer] = []
    colour = mix(stage.palette.light, stage.palette.sky[2], 0.4)
    for number in range(count):
        cloud_width = round(stage.chance.uniform(0.35, 0.6) * width)
        mask = cloud((cloud_width, round(cloud_width * 0.22)), alpha, stage.chance)
        x = (number + stage.chance.uniform(0, 0.8)) / count * width * 1.2 - cloud_width / 2
        y = stage.chance.uniform(0.10, 0.36) * height
        layers.append(Layer(Sprite.flat(colour, mask), x, y, stage.speed(0.5 + number % 2)))
    return layers
