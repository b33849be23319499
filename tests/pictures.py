"""Small files of every kind that can be uploaded, and what merely looks like one."""

from functools import cache
from io import BytesIO

from PIL import Image

START_OF_MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
MP4 = START_OF_MP4 + b"\0\0\0\x10moov" + bytes(8) + b"\0\0\0\x10mdat" + bytes(8)
TEXT = b"It was the best of times, it was the worst of times. " * 20


@cache
def picture(form: str = "PNG", color: str = "teal") -> bytes:
    """A whole picture of 8 by 8 pixels; another colour is another content."""
    target = BytesIO()
    Image.new("RGB", (8, 8), color).save(target, form)
    return target.getvalue()
