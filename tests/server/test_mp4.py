"""Telling a whole MP4 from half of one and from something else."""

import os
from collections.abc import Generator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_runway.mp4 import is_whole_mp4, looks_like_mp4, promised_samples

START = b"\0\0\0\x10ftypisom\0\0\2\0"


@pytest.fixture
def fd(tmp_path: Path) -> Generator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
    yield fd
    os.close(fd)


def is_whole(fd: int, data: bytes) -> bool:
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)
    return is_whole_mp4(fd)


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\0\0\0\x0amdatxx",
        b"\0\0\0\x0amdatxx\0\0\0\x08free",
        b"\0\0\0\0mdat and so on",
        b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12xx",
        b"\0\0",
        b"tail that players ignore",
    ],
    ids=["start", "data", "two-parts", "open-end", "64-bit", "padding", "unknown"],
)
def test_a_whole_mp4_is_accepted(fd: int, rest: bytes) -> None:
    assert is_whole(fd, START + rest)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ftyp",
        b"<!doctype html><p>No such file",
        START[:-1],
        START + b"\0\0\0\x0amdatx",
        START + b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x13xx",
        START + b"\0\0\0\x01mdat\0\0",
        START + b"\0\0\0\x07moov",
        START + b"\xff\xff\xff\xffmoov",
    ],
)
def test_half_an_mp4_and_other_files_are_not(fd: int, data: bytes) -> None:
    assert not is_whole(fd, data)


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_bytes_end_in_an_answer(fd: int, data: bytes) -> None:
    is_whole(fd, START + data)
    assert is_whole(fd, data) <= looks_like_mp4(data)


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def stsz(count: int) -> bytes:
    """A table of so many samples of ten bytes."""
    return box(b"stsz", bytes(4) + (10).to_bytes(4, "big") + count.to_bytes(4, "big"))


def promised(*parts: bytes) -> int:
    return promised_samples(BytesIO(START + b"".join(parts)))


def test_samples_are_counted_over_all_tables_wherever_they_are() -> None:
    deep = box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", stsz(7)))))
    run = box(b"trun", bytes(4) + (5).to_bytes(4, "big"))
    odd = box(b"stz2", bytes(8) + (3).to_bytes(4, "big"))

    assert promised() == 0
    assert promised(box(b"moov", deep + deep), box(b"moof", run), box(b"what", odd)) == 22


def test_a_table_behind_something_broken_is_counted() -> None:
    assert promised(b"\0\0\0\x04junk", box(b"moov", stsz(9))) == 9


@pytest.mark.parametrize(
    "data",
    [
        box(b"mdat", stsz(9)),
        b"\0\0\0\x01mdat" + (16 + len(stsz(9))).to_bytes(8, "big") + stsz(9),
        b"\0\0\0\0mdat" + stsz(9),
    ],
    ids=["plain", "64-bit", "open-end"],
)
def test_what_looks_like_a_table_in_the_media_is_none(data: bytes) -> None:
    assert promised(data) == 0


@pytest.mark.parametrize("kind", [b"cmov", b"sidx"])
def test_tables_that_could_hide_others_are_refused(kind: bytes) -> None:
    with pytest.raises(ValueError, match="hidden"):
        promised(box(b"moov", box(kind, bytes(8))))


@pytest.mark.parametrize("parts", [1, 3])
def test_tables_larger_than_any_honest_ones_are_refused(parts: int) -> None:
    with pytest.raises(ValueError, match="too large"):
        promised(*[box(b"free", bytes(17 * 1024 * 1024 // parts))] * parts)


@given(st.binary(max_size=200))
def test_counting_any_bytes_ends(data: bytes) -> None:
    try:
        assert promised(data) >= 0
    except ValueError:
        assert b"cmov" in data or b"sidx" in data
