"""A video on one picture: its size, its cells, the times in them."""

# Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

from io import BytesIO

import pytest
from PIL import Image, ImageChops, ImageStat
from tests.server.odd_clips import TICKS, clip, grainy_clip

from kie_runway import contact_sheet as module
from kie_runway.contact_sheet import (
    CELL_MIN_PX,
    SHEET_MAX_BYTES,
    SHEET_MAX_PIXELS,
    SHEET_SIDE_PX,
    contact_sheet,
    grid_for,
)

RATIOS = {"16:9": 16 / 9, "4:3": 4 / 3, "1:1": 1, "3:4": 3 / 4, "9:16": 9 / 16, "21:9": 21 / 9}


def sheet_of(video: bytes) -> Image.Image:
    data = contact_sheet(BytesIO(video), stopped=lambda: False)
    image = Image.open(BytesIO(data))
    assert image.format == "JPEG"
    assert len(data) <= SHEET_MAX_BYTES
    assert max(image.size) <= SHEET_SIDE_PX
    assert image.width * image.height <= SHEET_MAX_PIXELS
    return image


def cells_of(sheet: Image.Image, columns: int, rows: int) -> list[Image.Image]:
    """In reading order."""
    width, height = sheet.width // columns, sheet.height // rows
    return [
        sheet.crop((x * width, y * height, (x + 1) * width, (y + 1) * height))
        for y in range(rows)
        for x in range(columns)
    ]


def darkest_and_lightest(image: Image.Image) -> tuple[float, float]:
    (found,) = ImageStat.Stat(image).extrema
    return found


def stamp_of(cell: Image.Image) -> Image.Image:
    """Its upper right corner."""
    return cell.crop((cell.width * 3 // 4, 0, cell.width, cell.height // 6)).convert("L")


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
@pytest.mark.parametrize("count", [1, 2, 5, 6, 9])
def test_a_grid_is_full_and_fits_with_the_largest_cells_there_are(count: int, ratio: float) -> None:
    grid = grid_for(count, ratio, 3840)
    size = (grid.columns * grid.width, grid.rows * grid.height)

    assert grid.columns * grid.rows == count
    assert max(size) <= SHEET_SIDE_PX
    assert size[0] * size[1] <= SHEET_MAX_PIXELS
    assert grid.width / grid.height == pytest.approx(ratio, rel=0.01)
    assert max(size) > SHEET_SIDE_PX - 10 or size[0] * size[1] > SHEET_MAX_PIXELS * 0.99


@pytest.mark.parametrize(
    ("ratio", "shape"), [("16:9", (2, 3)), ("9:16", (3, 2)), ("1:1", (3, 2)), ("21:9", (2, 3))]
)
def test_six_frames_lie_as_their_ratio_wants(ratio: str, shape: tuple[int, int]) -> None:
    assert grid_for(6, RATIOS[ratio], 3840)[:2] == shape


@pytest.mark.parametrize(
    ("size", "columns", "rows"), [((1280, 720), 2, 3), ((720, 1280), 3, 2), ((960, 960), 3, 2)]
)
def test_frames_follow_each_other_in_reading_order(
    size: tuple[int, int], columns: int, rows: int
) -> None:
    cells = cells_of(sheet_of(clip(6, size=size)), columns, rows)
    middles = [cell.resize((3, 3)).convert("L").getpixel((1, 1)) for cell in cells]

    assert middles == pytest.approx([0, 51, 102, 153, 204, 255], abs=6)


def test_a_long_video_has_nine_frames() -> None:
    cells = cells_of(sheet_of(clip(41, fps=4)), 3, 3)
    lights = [ImageStat.Stat(cell.convert("L")).mean[0] for cell in cells]

    assert lights == sorted(lights)
    assert lights[-1] > lights[0] + 200


def test_each_frame_has_its_own_legible_time() -> None:
    ticks = [number * TICKS for number in range(6)]
    video = clip(ticks=ticks, size=(640, 360), lights=(128, 128))
    cells = cells_of(sheet_of(video), 2, 3)
    stamps = [stamp_of(cell) for cell in cells]

    for stamp in stamps:
        darkest, lightest = darkest_and_lightest(stamp)
        assert darkest < 20
        assert lightest > 235
    for number, stamp in enumerate(stamps):
        for other in stamps[:number]:
            assert darkest_and_lightest(ImageChops.difference(stamp, other))[1] > 100


def test_a_grainy_video_is_made_to_fit() -> None:
    sheet_of(grainy_clip((1280, 720)))


def test_what_no_quality_makes_small_enough_gets_fewer_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = clip(6, size=(640, 360))
    whole = sheet_of(video)
    monkeypatch.setattr(module, "SHEET_MAX_BYTES", 22_000)
    smaller = sheet_of(video)

    assert smaller.width < whole.width * 0.8

    monkeypatch.setattr(module, "SHEET_MAX_BYTES", 100)
    with pytest.raises(ValueError, match="small enough"):
        sheet_of(video)


def test_a_small_video_is_not_blown_up() -> None:
    assert sheet_of(clip(6, size=(320, 180))).size == (2 * 324, 3 * 182)


@pytest.mark.parametrize("size", [(16, 16), (2, 2), (16, 320), (320, 16), (32, 18)])
def test_a_tiny_or_thin_video_still_has_room_for_its_times(size: tuple[int, int]) -> None:
    sheet = sheet_of(clip(1, size=size))

    assert min(sheet.size) >= CELL_MIN_PX
    assert darkest_and_lightest(stamp_of(sheet))[1] > 200


def test_a_single_picture_is_a_sheet_of_one() -> None:
    assert sheet_of(clip(1, size=(640, 360))).size == (644, 362)
