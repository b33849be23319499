"""Tells from its bytes whether a file is an MP4, and whether its end is missing."""

import os

HEAD_BYTES = 8  # enough for `looks_like_mp4`

# The parts a file consists of at its top level; anything else may be bytes that players ignore.
_PARTS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"sidx", b"mfra", b"uuid")


def looks_like_mp4(head: bytes) -> bool:
    """Whether a file starts like an MP4; `head` is its first bytes."""
    return head[4:8] == b"ftyp"


def is_whole_mp4(fd: int) -> bool:
    """
    Whether a file is an MP4 of which no part reaches past the end.

    Reads a few bytes of each part, from the start, and moves the descriptor's position.
    """
    size = os.fstat(fd).st_size
    start = 0
    while start + HEAD_BYTES <= size:
        os.lseek(fd, start, os.SEEK_SET)
        head = os.read(fd, 16)
        if start == 0 and not looks_like_mp4(head):
            return False
        length = int.from_bytes(head[:4], "big")
        if length == 0 or head[4:8] not in _PARTS:  # 0: up to the end, wherever that is
            return True
        if length == 1:  # the real length follows, in 64 bits
            length = int.from_bytes(head[8:16], "big") if len(head) == 16 else 0
        if length < HEAD_BYTES or start + length > size:
            return False
        start += length
    return start > 0
