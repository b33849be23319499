"""The words on a clip: its prompt, what made it, a time code, a watermark."""

# Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

import unicodedata
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from kie_runway_sandbox.picture import WHITE_LIGHT, Picture, Size, Sprite, mapped
from kie_runway_sandbox.video import FPS

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# All sizes are shares of the short side, but the heights, which are shares of the height.
PROMPT_SIZES = (0.050, 0.042, 0.036, 0.030)  # the first that lets the whole prompt fit
PROMPT_HEIGHT = 0.26
LINE_SPACING = 1.28  # of the font size
LABEL_SIZE = 0.030
MARGIN = 0.045
SCRIM_ALPHA = 185  # of 255; the dark behind the prompt, which keeps it legible on any picture
CHIP_COLOUR = (14, 16, 24, 175)
DOT_COLOUR = (255, 184, 77, 255)
TIME_CODE_SAMPLE = "00:00:00"
MAX_CHARACTERS = 2_000  # never measure more than can be shown


def clean(text: str) -> str:
    """Return one line: no control, direction or other invisible characters, single spaces."""
    kept = (
        " " if character.isspace() or category == "Cc" else character
        for character in text[:MAX_CHARACTERS]
        # Format (bidi, joiners), surrogates, private use: boxes at best, reversed text at worst.
        if (category := unicodedata.category(character)) not in ("Cf", "Cs", "Co")
    )
    return " ".join("".join(kept).split())


def wrap(text: str, font: Font, width: float, max_lines: int) -> tuple[list[str], bool]:
    """Break `text` into at most `max_lines` lines; say whether all of it fitted."""
    lines: list[str] = []
    rest = text
    while rest and len(lines) < max_lines:
        cut = _fitting(rest, font, width)
        if cut < len(rest) and " " in rest[: cut + 1]:
            cut = rest.rindex(" ", 0, cut + 1)
        lines.append(rest[:cut])
        rest = rest[cut:].lstrip()
    if rest:
        lines[-1] = shorten(lines[-1] + " " + rest[:8], font, width)
    return lines, not rest


def shorten(text: str, font: Font, width: float) -> str:
    """Cut `text` so that it fits in `width`, with an ellipsis where something was lost."""
    if font.getlength(text) <= width:
        return text
    return text[: _fitting(text, font, width - font.getlength("…"))].rstrip(" ,.;:") + "…"


def _fitting(text: str, font: Font, width: float) -> int:
    """Count the leading characters that fit in `width`, at least 1."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low


class Caption:
    """Draws the words on frame after frame; what stays the same is drawn once, here."""

    def __init__(
        self,
        size: Size,
        prompt: str,
        label: str,
        watermark: str = "",
        *,
        edge: Literal["top", "bottom"] = "bottom",
        start_s: float = 0,
    ) -> None:
        """Put the prompt at one `edge`; the time code begins at `start_s`."""
        self._size = size
        self._start_frame = round(start_s * FPS)
        short = min(size)
        self._margin = round(short * MARGIN)
        self._label_font = _font(short * LABEL_SIZE)
        self._row = round(short * LABEL_SIZE * 2)  # height of a chip
        mark = shorten(clean(watermark), self._label_font, size[0] * 0.5)
        self._sprites = [self._prompt(clean(prompt), edge, mark_below=bool(mark))]
        self._sprites.append(self._chip(f"sandbox · {label}" if label else "sandbox"))
        if mark:
            self._sprites.append(self._watermark(mark))

    def draw(self, picture: Picture, frame: int) -> None:
        """Draw on `picture`, in place."""
        for sprite, x, y in self._sprites:
            picture.paste(sprite, x, y)
        number = self._start_frame + frame
        seconds = number // FPS
        code = f"{seconds // 60:02}:{seconds % 60:02}:{number % FPS:02}"
        # White has no colour of its own, so the plane of light is all there is to draw in.
        ImageDraw.Draw(picture.y).text(
            self._time_code_at, code, WHITE_LIGHT, self._label_font, anchor="lm"
        )

    def _prompt(
        self, text: str, edge: Literal["top", "bottom"], *, mark_below: bool
    ) -> tuple[Sprite, int, int]:
        width, height = self._size
        short = min(self._size)
        lines: list[str] = []
        font, line_px = self._label_font, 1
        for share in PROMPT_SIZES:
            font, line_px = _font(short * share), round(short * share * LINE_SPACING)
            room = max(1, round(height * PROMPT_HEIGHT) // line_px)
            lines, whole = wrap(text, font, width - 2 * self._margin, room)
            if whole:
                break

        block = line_px * len(lines)
        kept_free = self._margin + (self._row if mark_below and edge == "bottom" else 0)
        if edge == "top":
            kept_free += self._row + self._margin // 2
        faded = round(short * (0.16 if edge == "bottom" else 0.08))
        scrim_height = (kept_free + block + faded) // 2 * 2
        scrim = _scrim((width, scrim_height), faded)
        top = faded
        if edge == "top":
            scrim = scrim.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
            top = kept_free
        image = Image.new("RGBA", scrim.size, "black")
        image.putalpha(scrim)
        draw = ImageDraw.Draw(image)
        for number, line in enumerate(lines):
            middle = top + number * line_px + line_px // 2
            draw.text((self._margin, middle), line, "white", font, anchor="lm")
        return Sprite.from_rgba(image), 0, 0 if edge == "top" else height - scrim_height

    def _chip(self, label: str) -> tuple[Sprite, int, int]:
        dot = self._row // 3
        pad = self._row // 2
        label_width = round(self._label_font.getlength(label))
        code_width = round(self._label_font.getlength(TIME_CODE_SAMPLE))
        width = pad + dot + pad // 2 + label_width + pad + code_width + pad
        scale = 4  # drawn large and shrunk: Pillow's shapes have hard edges
        chip = Image.new("RGBA", (width * scale, self._row * scale), (*CHIP_COLOUR[:3], 0))
        draw = ImageDraw.Draw(chip)
        draw.rounded_rectangle((0, 0, *chip.size), self._row * scale // 2, CHIP_COLOUR)
        middle = self._row // 2
        circle = (pad, middle - dot // 2, pad + dot, middle - dot // 2 + dot)
        draw.ellipse([edge * scale for edge in circle], DOT_COLOUR)
        chip = chip.reduce(scale)
        label_x = pad + dot + pad // 2
        ImageDraw.Draw(chip).text(
            (label_x, middle), label, (255, 255, 255, 255), self._label_font, anchor="lm"
        )
        self._time_code_at = (self._margin + label_x + label_width + pad, self._margin + middle)
        return Sprite.from_rgba(chip), self._margin, self._margin

    def _watermark(self, text: str) -> tuple[Sprite, int, int]:
        width = round(self._label_font.getlength(text)) + 4
        mark = Image.new("RGBA", (width, self._row), (255, 255, 255, 0))
        draw = ImageDraw.Draw(mark)
        for offset, colour in ((2, (0, 0, 0, 160)), (1, (255, 255, 255, 220))):
            draw.text((offset, self._row // 2 + offset), text, colour, self._label_font, "lm")
        x = self._size[0] - self._margin - width
        return Sprite.from_rgba(mark), x, self._size[1] - self._margin // 2 - self._row


def _font(size_px: float) -> Font:
    font = ImageFont.load_default(size_px)
    if isinstance(font, ImageFont.FreeTypeFont):
        # Raqm may or may not be on a machine; the same prompt shall give the same frames.
        return font.font_variant(layout_engine=ImageFont.Layout.BASIC)
    return font


def _scrim(size: Size, faded: int) -> Image.Image:
    """Return a mask that rises from nothing over `faded` rows, then stays."""
    scrim = Image.new("L", size, SCRIM_ALPHA)
    ramp = Image.linear_gradient("L").resize((size[0], faded))
    scrim.paste(mapped(ramp, lambda value: value * SCRIM_ALPHA // 255), (0, 0))
    return scrim
