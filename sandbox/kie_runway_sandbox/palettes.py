"""The colours of scenes: of a sky at the clip's beginning and end, of its light, of the ground."""

from dataclasses import dataclass

from kie_runway_sandbox.picture import Colour


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours from above to below, the sky's at the clip's beginning and at its end."""

    sky: tuple[Colour, Colour, Colour]
    later: tuple[Colour, Colour, Colour]
    light: Colour
    far: Colour
    near: Colour


PALETTES = {
    "dawn": Palette(
        sky=((38, 42, 92), (170, 96, 138), (255, 176, 128)),
        later=((70, 110, 178), (222, 160, 170), (255, 218, 170)),
        light=(255, 236, 200),
        far=(206, 134, 146),
        near=(34, 26, 62),
    ),
    "day": Palette(
        sky=((52, 128, 204), (132, 190, 228), (226, 240, 240)),
        later=((36, 104, 190), (110, 178, 226), (240, 240, 222)),
        light=(255, 252, 232),
        far=(140, 186, 204),
        near=(20, 66, 74),
    ),
    "dusk": Palette(
        sky=((28, 18, 64), (146, 44, 104), (255, 132, 72)),
        later=((16, 12, 48), (96, 32, 106), (240, 92, 84)),
        light=(255, 212, 140),
        far=(172, 66, 104),
        near=(24, 12, 42),
    ),
    "night": Palette(
        sky=((6, 10, 32), (16, 32, 74), (46, 78, 122)),
        later=((8, 14, 42), (22, 44, 92), (66, 98, 138)),
        light=(240, 244, 255),
        far=(40, 70, 112),
        near=(6, 10, 26),
    ),
    "snow": Palette(
        sky=((112, 150, 190), (178, 206, 226), (238, 240, 246)),
        later=((126, 158, 204), (198, 210, 232), (252, 236, 232)),
        light=(255, 255, 255),
        far=(186, 206, 226),
        near=(52, 82, 118),
    ),
    "autumn": Palette(
        sky=((96, 130, 150), (216, 186, 140), (252, 222, 164)),
        later=((84, 112, 140), (226, 168, 110), (255, 206, 130)),
        light=(255, 246, 210),
        far=(218, 158, 96),
        near=(84, 34, 22),
    ),
    "aurora": Palette(
        sky=((8, 10, 38), (10, 62, 84), (48, 156, 132)),
        later=((20, 10, 56), (34, 62, 118), (98, 190, 152)),
        light=(226, 255, 240),
        far=(32, 112, 116),
        near=(6, 16, 34),
    ),
}

PALETTE_WORDS = {
    "dawn": "dawn morning sunrise pink spring blossom gentle",
    "day": "day noon sunny sun blue summer sky bright beach",
    "dusk": "dusk sunset evening golden orange fire red desert lava",
    "night": "night midnight dark moon star stars space galaxy cosmos neon rain",
    "snow": "snow snowy winter ice frozen cold glacier white",
    "autumn": "autumn fall leaf leaves brown rust harvest old vintage",
    "aurora": "aurora green jungle magic magical glowing alien fairy northern",
}


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Return a colour, `share` (0-1) of it `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
