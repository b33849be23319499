"""Pictures compared by where their blocks are, for fonts differ between machines."""

# Pillow's stubs name numpy's types, unknown where numpy is absent, as it is here.
# pyright: reportUnknownMemberType=false

from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter

CELL_PX = 48  # of the page; text is about as dark in it whatever its font
FAR = 40  # of 255, how light a cell is, or how much of it is drawn on
EDGE = 24  # of 255, between neighbouring pixels
HEIGHT_MAX = 0.06
LIGHT_MAX = 0.03
DRAWN_MAX = 0.02  # four buttons come to more than twice that


@dataclass(frozen=True)
class Difference:
    """How far two pictures are apart."""

    height: float
    """Of the higher one, as a share."""
    light: float
    """The share of cells that are lighter or darker by far."""
    drawn: float
    """The share of cells with far more or fewer edges: text, frames, drawings."""

    @property
    def is_same_structure(self) -> bool:
        """Whether the same blocks are in the same places."""
        return self.height <= HEIGHT_MAX and self.light <= LIGHT_MAX and self.drawn <= DRAWN_MAX


def compare(one: Image.Image, other: Image.Image, *, page_width_px: int) -> Difference:
    """Two pictures of a page, however many pixels each has for one of the page's."""
    pages = [_as_page(picture, page_width_px) for picture in (one, other)]
    height = max(page.height for page in pages)
    size = (page_width_px // CELL_PX, sum(page.height for page in pages) // 2 // CELL_PX)
    edges = [_edges(page) for page in pages]
    return Difference(
        height=abs(pages[0].height - pages[1].height) / height,
        light=_far_cells(pages[0], pages[1], size),
        drawn=_far_cells(edges[0], edges[1], size),
    )


def _as_page(picture: Image.Image, width: int) -> Image.Image:
    height = round(picture.height * width / picture.width)
    return picture.convert("L").resize((width, height), Image.Resampling.BOX)


def _edges(page: Image.Image) -> Image.Image:
    """White where neighbouring pixels differ, black elsewhere."""
    most, least = page.filter(ImageFilter.MaxFilter(3)), page.filter(ImageFilter.MinFilter(3))
    return ImageChops.difference(most, least).point([255 * (level > EDGE) for level in range(256)])


def _far_cells(one: Image.Image, other: Image.Image, size: tuple[int, int]) -> float:
    first, second = (page.resize(size, Image.Resampling.BOX) for page in (one, other))
    return sum(ImageChops.difference(first, second).histogram()[FAR:]) / (size[0] * size[1])
