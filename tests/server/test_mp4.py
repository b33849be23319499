"""Telling a whole MP4 from half of one and from something else."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_runway.mp4 import is_whole_mp4, looks_like_mp4

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
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_end_in_an_answer(fd: int, data: bytes) -> None:
    is_whole(fd, START + data)
    assert is_whole(fd, data) <= looks_like_mp4(data)
