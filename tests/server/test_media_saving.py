"""Saving videos: one whole file of a name, whatever is in the way or goes wrong."""

# ruff: noqa: ASYNC240 - what a test sets up and looks at may block the loop

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from tests.server.file_host import FileHost, open_file_host
from tests.server.saving import VIDEO, box, refuse, store_for
from tests.sockets import http

from kie_runway import folder, media
from kie_runway.errors import DownloadStatusError, UnsafeUrlError
from kie_runway.folder import PART_LIFETIME_S
from kie_runway.media import VideoStore

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

TIMEOUT_S = 60.0

LEFTOVER = "clip.0123abcd.mp4.part"


@pytest.fixture
async def host() -> AsyncGenerator[FileHost]:
    async with open_file_host() as host:
        host.answers["/clip"] = http(VIDEO)
        yield host


@pytest.fixture(params=[True, False], ids=["dir_fd", "paths"])
def directory(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A directory that does not exist yet, on both kinds of platforms."""
    if not request.param:
        monkeypatch.setattr(folder, "DIR_FD_SUPPORTED", False)
    return tmp_path / "home" / "videos"


@pytest.fixture
def store(directory: Path, host: FileHost) -> VideoStore:
    return store_for(directory, host)


@contextmanager
def umask(mask: int) -> Generator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_video_is_saved_whole(store: VideoStore, host: FileHost, directory: Path) -> None:
    path = await store.save("generate-1", host.url("/clip"))

    assert path == directory / "generate-1.mp4"
    assert path.read_bytes() == VIDEO
    assert os.listdir(directory) == ["generate-1.mp4"]


async def test_files_are_for_their_owner_alone_whatever_the_umask(
    store: VideoStore, host: FileHost, directory: Path
) -> None:
    with umask(0):
        path = await store.save("clip", host.url("/clip"))

    assert (mode(path), mode(directory), mode(directory.parent)) == (0o600, 0o700, 0o700)


async def test_a_saved_video_is_not_downloaded_again(store: VideoStore, host: FileHost) -> None:
    first = await store.save("clip", host.url("/clip"))

    assert await store.save("clip", "http://10.0.0.1/expired") == first
    assert len(host.requests) == 1


async def test_saving_one_video_many_times_at_once_downloads_it_once(
    store: VideoStore, host: FileHost
) -> None:
    with anyio.fail_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(store.save, "clip", host.url("/clip"))

    assert len(host.requests) == 1


async def test_different_videos_are_saved_at_the_same_time(
    store: VideoStore, host: FileHost
) -> None:
    both_asked = asyncio.Barrier(2)

    async def together(writer: asyncio.StreamWriter) -> None:
        await both_asked.wait()
        writer.write(http(VIDEO))

    host.answers["/clip"] = together

    with anyio.fail_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.save, "one", host.url("/clip"))
            tasks.start_soon(store.save, "two", host.url("/clip"))


async def test_another_process_that_is_faster_wins(
    store: VideoStore, host: FileHost, directory: Path
) -> None:
    other = VIDEO + box(b"free", b"of the other process")

    async def slower(writer: asyncio.StreamWriter) -> None:
        (directory / "clip.mp4").write_bytes(other)
        writer.write(http(VIDEO))

    host.answers["/clip"] = slower

    path = await store.save("clip", host.url("/clip"))

    assert path.read_bytes() == other
    assert os.listdir(directory) == ["clip.mp4"]


async def test_two_processes_at_once_end_with_one_whole_video(
    host: FileHost, directory: Path
) -> None:
    with anyio.fail_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):  # a store knows nothing of another one, like a process
                tasks.start_soon(store_for(directory, host).save, "clip", host.url("/clip"))

    assert os.listdir(directory) == ["clip.mp4"]
    assert (directory / "clip.mp4").read_bytes() == VIDEO


async def test_the_part_of_a_crash_is_no_obstacle(
    store: VideoStore, host: FileHost, directory: Path
) -> None:
    directory.mkdir(parents=True)
    (directory / LEFTOVER).write_bytes(VIDEO[:1000])
    (directory / "clip.mp4.part").write_bytes(VIDEO[:1000])

    path = await store.save("clip", host.url("/clip"))

    assert path.read_bytes() == VIDEO
    assert (directory / LEFTOVER).exists()  # it may be a living process's


async def test_the_part_of_a_crash_is_removed_once_no_process_can_be_writing_it(
    store: VideoStore, host: FileHost, directory: Path
) -> None:
    directory.mkdir(parents=True)
    names = [LEFTOVER, "my.mp4.part", "notes.txt"]
    for name in names:
        (directory / name).write_bytes(b"")
        past = (directory / name).stat().st_mtime - PART_LIFETIME_S - 60
        os.utime(directory / name, (past, past))

    await store.save("clip", host.url("/clip"))

    assert sorted(os.listdir(directory)) == ["clip.mp4", "my.mp4.part", "notes.txt"]


async def test_an_old_part_that_cannot_be_removed_is_no_obstacle(
    store: VideoStore, host: FileHost, directory: Path
) -> None:
    (directory / LEFTOVER).mkdir(parents=True)
    os.utime(directory / LEFTOVER, (0, 0))

    assert (await store.save("clip", host.url("/clip"))).exists()


@pytest.mark.parametrize(
    "reply",
    [
        http(VIDEO)[:-1000],
        b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n" + VIDEO[:-1000],
        b"HTTP/1.1 200 OK\r\n\r\n" + VIDEO[:100],
        b"",
    ],
    ids=["with-length", "without-length", "in-the-index", "nothing"],
)
async def test_a_download_cut_off_leaves_nothing_and_works_later(
    store: VideoStore, host: FileHost, directory: Path, reply: bytes
) -> None:
    host.answers["/clip"] = reply

    await refuse(store, host, "cut off")
    assert os.listdir(directory) == []

    host.answers["/clip"] = http(VIDEO)
    assert (await store.save("clip", host.url("/clip"))).read_bytes() == VIDEO


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"<!doctype html><title>Expired</title>", "not an MP4"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not an MP4"),
        (b"ftyp", "not an MP4"),
        (b"", "empty"),
    ],
)
async def test_a_result_that_is_no_video_is_refused(
    store: VideoStore, host: FileHost, directory: Path, body: bytes, match: str
) -> None:
    host.answers["/clip"] = http(body)

    await refuse(store, host, match)
    assert os.listdir(directory) == []


async def test_a_result_larger_than_the_cap_is_refused(
    store: VideoStore, host: FileHost, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "VIDEO_MAX_BYTES", len(VIDEO) - 1)
    host.answers["/clip"] = b"HTTP/1.1 200 OK\r\n\r\n" + VIDEO

    await refuse(store, host, "larger than the limit")
    assert os.listdir(directory) == []


async def test_an_expired_result_keeps_its_status(
    store: VideoStore, host: FileHost, directory: Path
) -> None:
    host.answers["/clip"] = http(b"<Error>NoSuchKey</Error>", status="404 Not Found")

    with pytest.raises(DownloadStatusError) as caught:
        await store.save("clip", host.url("/clip"))
    assert caught.value.http_status == 404
    assert os.listdir(directory) == []


async def test_a_result_in_a_private_network_is_refused(store: VideoStore, directory: Path) -> None:
    with pytest.raises(UnsafeUrlError):
        await store.save("clip", "http://169.254.169.254/clip.mp4")
    assert os.listdir(directory) == []


async def test_a_cancelled_download_leaves_nothing(
    store: VideoStore, host: FileHost, directory: Path
) -> None:
    half_sent = anyio.Event()

    async def stalling(writer: asyncio.StreamWriter) -> None:
        writer.write(http(VIDEO)[:-1000])
        await writer.drain()
        half_sent.set()
        await asyncio.Event().wait()

    host.answers["/clip"] = stalling

    with anyio.fail_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.save, "clip", host.url("/clip"))
            await half_sent.wait()
            tasks.cancel_scope.cancel()

    assert os.listdir(directory) == []


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "a/b", "..", ".", "", "a\0b", "ä\udc80"]
)
async def test_no_name_leaves_the_directory(
    store: VideoStore, host: FileHost, directory: Path, name: str
) -> None:
    path = await store.save(name, host.url("/clip"))

    assert path.parent == directory
    assert os.listdir(directory) == [path.name]
    assert not path.name.startswith(".")


async def test_different_names_stay_different(store: VideoStore, host: FileHost) -> None:
    names = ["a-b", "a/b", "a b", "a" * 300, "a" * 301]

    paths = {await store.save(name, host.url("/clip")) for name in names}

    assert len(paths) == len(names)
    assert all(len(path.name) < 200 for path in paths)
