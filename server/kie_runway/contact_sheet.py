"""A video on one picture: some of its frames in a grid, each with its time. Needs `media`."""

import math
from collections.abc import Sequence
from io import BytesIO
from typing import BinaryIO, NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

from kie_runway.frames import Frame, Stopped, read_frames

SHEET_SIDE_PX = 1_568
# Vision models pay one token for about 750 pixels; some make smaller what has more than 1,568.
SHEET_MAX_PIXELS = 1_568 * 750
SHEET_MAX_BYTES = 700_000
SHEET_SHRINKS = (1.0, 0.7, 0.5)
QUALITIES = (85, 70, 50)  # of the JPEG

CELL_MIN_PX = 160  # smaller videos are enlarged, or no time would be legible
CELL_MAX_RATIO = 3.0  # frames longer than this get margins
GAP_PX = 4
STAMP_SHARE = 1 / 12  # of the cell's short side
STAMP_MIN_PX = 14
BACKGROUND, STAMP_BACKGROUND, STAMP_COLOUR = "#404040", "black", "white"


class Grid(NamedTuple):
    """How many cells there are, and how large each is in pixels, its share of the gaps included."""

    columns: int
    rows: int
    width: int
    height: int


def contact_sheet(video: BinaryIO, *, stopped: Stopped) -> bytes:
    """
    A JPEG of at most 700 kB, 1,568 px a side and 1.2 megapixels: 6 to 9 frames in reading order.

    Blocks, for a second or two.

    Args:
        video: An MP4 that can be read from any position.

    Raises:
        ValueError: It cannot be decoded, exceeds what is sensible, or was stopped.
        OSError: It cannot be read.
    """
    frames = read_frames(video, side_px=SHEET_SIDE_PX, stopped=stopped)
    return _encode(_draw(frames))


def grid_for(count: int, ratio: float, frame_width_px: int) -> Grid:
    """
    The full grid in which so many frames are largest, but hardly larger than in their video.

    Args:
        ratio: Of a frame, width over height.
        frame_width_px: Of the video itself.
    """
    width, columns = max(
        (_widest(columns, count // columns, ratio), columns)
        for columns in range(1, count + 1)
        if count % columns == 0
    )
    width = min(width, max(frame_width_px, CELL_MIN_PX * max(1.0, ratio)) + GAP_PX)
    return Grid(columns, count // columns, int(width), int(width / ratio))


def _widest(columns: int, rows: int, ratio: float) -> float:
    """The width at which so many cells still fit."""
    by_area = math.sqrt(SHEET_MAX_PIXELS * ratio / (columns * rows))
    return min(SHEET_SIDE_PX / columns, SHEET_SIDE_PX / rows * ratio, by_area)


def _draw(frames: Sequence[Frame]) -> Image.Image:
    first = frames[0].image
    ratio = max(1 / CELL_MAX_RATIO, min(CELL_MAX_RATIO, first.width / first.height))
    grid = grid_for(len(frames), ratio, first.width)
    sheet = Image.new("RGB", (grid.columns * grid.width, grid.rows * grid.height), BACKGROUND)
    cell = (grid.width - GAP_PX, grid.height - GAP_PX)
    is_long = frames[-1].at_s >= len(frames) / 10
    for number, frame in enumerate(frames):
        row, column = divmod(number, grid.columns)
        corner = (column * grid.width + GAP_PX // 2, row * grid.height + GAP_PX // 2)
        picture = ImageOps.pad(frame.image, cell)
        _stamp(picture, f"{frame.at_s:.1f} s" if is_long else f"{frame.at_s:.2f} s")
        sheet.paste(picture, corner)
    return sheet


def _stamp(picture: Image.Image, text: str) -> None:
    """Write a time into the upper right corner, in place: captions and watermarks are elsewhere."""
    size_px = max(STAMP_MIN_PX, round(min(picture.size) * STAMP_SHARE))
    font = ImageFont.load_default(size_px)
    draw = ImageDraw.Draw(picture)
    margin = size_px // 3
    at = (picture.width - margin, margin)
    left, top, right, bottom = draw.textbbox(at, text, font=font, anchor="rt")
    box = (left - margin, top - margin, right + margin, bottom + margin)
    draw.rectangle(box, fill=STAMP_BACKGROUND)
    draw.text(at, text, font=font, anchor="rt", fill=STAMP_COLOUR)


def _encode(sheet: Image.Image) -> bytes:
    for shrink in SHEET_SHRINKS:
        smaller = sheet if shrink == 1 else ImageOps.scale(sheet, shrink)
        for quality in QUALITIES:
            target = BytesIO()
            smaller.save(target, "JPEG", quality=quality)
            if target.tell() <= SHEET_MAX_BYTES:
                return target.getvalue()
    raise ValueError("no quality makes the picture small enough")
