"""Tells from its bytes whether a file is an MP4, whether it is whole, and what it promises."""

import os
import re
from collections.abc import Callable
from typing import BinaryIO

HEAD_BYTES = 8  # enough for `looks_like_mp4`
_PART_HEAD_BYTES = 16

# The parts a file consists of at its top level; anything else may be bytes that players ignore.
_PARTS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"sidx", b"mfra", b"uuid")
# What uses the same container: QuickTime, sound, and pictures that move.
_OTHER_BRANDS = (b"qt  ", b"M4A ", b"M4B ", b"M4P ", b"avis", b"hevc", b"hevx", b"msf1")


def looks_like_mp4(head: bytes) -> bool:
    """Whether a file starts like an MP4; `head` is its first bytes."""
    return head[4:8] == b"ftyp"


def is_whole_mp4(fd: int) -> bool:
    """
    Whether a file is an MP4 of which no part reaches past the end.

    Reads a few bytes of each part, from the start, and moves the descriptor's position.
    """

    def head(start: int) -> bytes:
        os.lseek(fd, start, os.SEEK_SET)
        return os.read(fd, _PART_HEAD_BYTES)

    return bool(_parts(head, os.fstat(fd).st_size))


def is_mp4_video(data: bytes) -> bool:
    """Whether a whole file can be played: no sound or picture alone, and none of Apple's MOV."""
    parts = _parts(lambda start: data[start : start + _PART_HEAD_BYTES], len(data))
    return {b"moov", b"mdat"} <= parts and data[8:12] not in _OTHER_BRANDS


def _parts(head: Callable[[int], bytes], size: int) -> set[bytes]:
    """
    The kinds of parts before the first unknown one; empty for half an MP4 and other files.

    Args:
        head: The first bytes from a position on.
        size: Of the file.
    """
    found: set[bytes] = set()
    start = 0
    while start + HEAD_BYTES <= size:
        first = head(start)
        if start == 0 and not looks_like_mp4(first):
            return set()
        if first[4:8] not in _PARTS:
            break
        found.add(first[4:8])
        length = int.from_bytes(first[:4], "big")
        if length == 0:  # up to the end, wherever that is
            break
        if length == 1:  # the real length follows, in 64 bits
            length = int.from_bytes(first[8:16], "big") if len(first) == _PART_HEAD_BYTES else 0
        if length < HEAD_BYTES or start + length > size:
            return set()
        start += length
    return found


# Tables of samples, and where in them their number stands; the last two can hide more tables.
_TABLES = {b"stsz": 12, b"stz2": 12, b"trun": 8, b"cmov": None, b"sidx": None}
_TABLE = re.compile(b"|".join(_TABLES))
_TABLES_MAX_BYTES = 16 * 1024 * 1024


def promised_samples(video: BinaryIO) -> int:
    """
    How many pictures and pieces of sound a file's tables speak of, at least.

    A few bytes can speak of billions, and FFmpeg makes room for all before it looks for the
    first. Reads everything but the media data, and moves the position.

    Raises:
        ValueError: The tables are larger, or more twisted, than any honest file's.
        OSError: It cannot be read.
    """
    size = video.seek(0, os.SEEK_END)
    start = scanned = samples = 0
    while start + HEAD_BYTES <= size:
        video.seek(start)
        head = video.read(_PART_HEAD_BYTES)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < HEAD_BYTES:  # up to the end, or nonsense that readers may yet make sense of
            length = size - start
        if head[4:8] != b"mdat":
            video.seek(start)
            part = video.read(min(length, _TABLES_MAX_BYTES - scanned + 1))
            scanned += len(part)
            samples += sum(_promised(part, table) for table in _TABLE.finditer(part))
        if scanned > _TABLES_MAX_BYTES:
            raise ValueError("the tables are too large")
        start += length
    return samples


def _promised(part: bytes, table: re.Match[bytes]) -> int:
    offset = _TABLES[table[0]]
    if offset is None:
        raise ValueError("the tables are hidden")
    at = table.start() + offset
    return int.from_bytes(part[at : at + 4], "big")
