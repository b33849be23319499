"""What media some bytes are, told by the bytes alone: names and claims count for nothing."""

from typing import Final

from kie_runway.mp4 import is_mp4_video

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
WEBP: Final = "image/webp"
MP4: Final = "video/mp4"

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 13
_WEBP_FIRST = (b"VP8 ", b"VP8L", b"VP8X")
_WEBP_PICTURES = (b"VP8 ", b"VP8L", b"ANMF")
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
# What announces a frame, and three in its range that announce tables.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_type(data: bytes) -> str | None:
    """The MIME type of what starts like a JPEG, PNG or WebP."""
    if data.startswith(_PNG_START):
        return PNG
    if data.startswith(b"\xff\xd8\xff"):
        return JPEG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WEBP
    return None


def media_type(data: bytes) -> str | None:
    """
    The MIME type of a whole JPEG, PNG, WebP or MP4 video.

    Its parts are checked, not the pictures in them: what is cut off or merely starts like one
    is None.
    """
    kind = image_type(data)
    if kind is None:
        return MP4 if is_mp4_video(data) else None
    is_whole = {PNG: _is_whole_png, JPEG: _is_whole_jpeg, WEBP: _is_whole_webp}[kind]
    return kind if is_whole(data) else None


def _is_whole_png(data: bytes) -> bool:
    start = len(_PNG_START)
    if data[start + 4 : start + 8] != b"IHDR" or _number(data, start) != _PNG_HEADER_BYTES:
        return False
    while start + 12 <= len(data):
        if data[start + 4 : start + 8] == b"IEND":
            return True
        start += 12 + _number(data, start)  # length, name, content, checksum
    return False


def _is_whole_jpeg(data: bytes) -> bool:
    at, has_frame = 2, False
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _JPEG_WITHOUT_LENGTH:
            at += 2
        elif marker == _JPEG_SCAN:
            return has_frame and data.find(_JPEG_END, at) != -1
        else:
            has_frame = has_frame or marker in _JPEG_FRAMES
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _is_whole_webp(data: bytes) -> bool:
    end = 8 + int.from_bytes(data[4:8], "little")
    if data[12:16] not in _WEBP_FIRST or end > len(data):
        return False
    at, has_picture = 12, False
    while at + 8 <= end:
        has_picture = has_picture or data[at : at + 4] in _WEBP_PICTURES
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + size + size % 2  # name, length, content, filling
    return has_picture and at == end


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
