"""Saving where something is in the way, the directory is not what it seems, or the disk fails."""

# ruff: noqa: ASYNC240 - what a test sets up and looks at may block the loop

import asyncio
import errno
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from tests.server.file_host import FileHost, open_file_host
from tests.server.saving import VIDEO, refuse, store_for
from tests.sockets import http

from kie_runway import folder
from kie_runway.errors import DownloadError
from kie_runway.folder import Folder
from kie_runway.media import VideoStore

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

TIMEOUT_S = 60.0


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


@pytest.mark.parametrize(
    "content", [b"my notes", VIDEO[:-1000], b""], ids=["text", "half-a-video", "empty"]
)
async def test_a_file_in_the_way_is_left_alone(
    store: VideoStore, host: FileHost, directory: Path, content: bytes
) -> None:
    directory.mkdir(parents=True)
    (directory / "clip.mp4").write_bytes(content)

    await refuse(store, host, "clip.mp4 exists and is not a whole video of ours: move it")
    assert (directory / "clip.mp4").read_bytes() == content
    assert host.requests == []


@pytest.mark.parametrize("obstacle", ["link", "dangling link", "FIFO", "directory"])
async def test_what_is_no_file_in_the_way_is_left_alone(
    store: VideoStore, host: FileHost, directory: Path, tmp_path: Path, obstacle: str
) -> None:
    directory.mkdir(parents=True)
    path = directory / "clip.mp4"
    target = tmp_path / "target"
    match obstacle:
        case "link":
            target.write_bytes(VIDEO)
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target)
        case "FIFO":
            os.mkfifo(path)
        case _:
            path.mkdir()
    before = path.lstat()

    with anyio.fail_after(TIMEOUT_S):
        await refuse(store, host, "move it away")

    assert os.path.samestat(path.lstat(), before)
    assert target.exists() == (obstacle == "link")
    assert host.requests == []


async def test_a_link_made_during_the_download_is_left_alone(
    store: VideoStore, host: FileHost, directory: Path, tmp_path: Path
) -> None:
    async def linking(writer: asyncio.StreamWriter) -> None:
        (directory / "clip.mp4").symlink_to(tmp_path / "target")
        writer.write(http(VIDEO))

    host.answers["/clip"] = linking

    await refuse(store, host, "move it away")
    assert os.listdir(directory) == ["clip.mp4"]
    assert not (tmp_path / "target").exists()


async def test_an_output_directory_that_is_a_link_is_refused(
    store: VideoStore, host: FileHost, directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    directory.parent.mkdir()
    directory.symlink_to(tmp_path / "elsewhere")

    await refuse(store, host, "link or no directory")
    assert os.listdir(tmp_path / "elsewhere") == []
    assert host.requests == []


async def test_an_output_directory_that_is_a_file_is_refused(
    store: VideoStore, host: FileHost, directory: Path
) -> None:
    directory.parent.mkdir()
    directory.write_text("mine", encoding="utf-8")

    await refuse(store, host, "link or no directory")
    assert directory.read_text(encoding="utf-8") == "mine"


async def test_an_output_directory_of_another_user_is_refused(
    store: VideoStore, host: FileHost, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: directory.stat().st_uid + 1)

    await refuse(store, host, "belongs to another user")
    assert host.requests == []


async def test_a_platform_without_users_is_served(
    store: VideoStore, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "geteuid")

    assert (await store.save("clip", host.url("/clip"))).exists()


async def test_a_directory_swapped_for_a_link_during_the_download_is_noticed(
    store: VideoStore, host: FileHost, directory: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    async def swapping(writer: asyncio.StreamWriter) -> None:
        directory.rename(tmp_path / "moved")
        directory.symlink_to(elsewhere)
        writer.write(http(VIDEO))

    host.answers["/clip"] = swapping

    await refuse(store, host, "was replaced during the download")
    assert os.listdir(elsewhere) == []
    if folder.DIR_FD_SUPPORTED:
        assert os.listdir(tmp_path / "moved") == []


async def test_a_directory_removed_during_the_download_is_noticed(
    store: VideoStore, host: FileHost, directory: Path, tmp_path: Path
) -> None:
    async def moving(writer: asyncio.StreamWriter) -> None:
        directory.rename(tmp_path / "moved")
        writer.write(http(VIDEO))

    host.answers["/clip"] = moving

    await refuse(store, host, "was replaced during the download")


@pytest.mark.parametrize(
    ("number", "match"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EIO, "Input/output error"),
    ],
)
async def test_a_disk_that_fails_leaves_nothing(
    store: VideoStore,
    host: FileHost,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    match: str,
) -> None:
    def failing(fd: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing)
        with pytest.raises(DownloadError, match=match):
            await store.save("clip", host.url("/clip"))

    assert os.listdir(directory) == []
    assert (await store.save("clip", host.url("/clip"))).exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
async def test_a_directory_that_cannot_be_written_is_a_download_error(
    store: VideoStore, host: FileHost, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def failing(self: Folder, name: str) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Folder, "create", failing)

    await refuse(store, host, "it cannot be written")
    assert host.requests == []


async def test_bytes_that_a_disk_takes_in_small_pieces_all_arrive(
    store: VideoStore, host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def hesitant(fd: int, data: memoryview) -> int:
        return write(fd, data[:50_000])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", hesitant)
        path = await store.save("clip", host.url("/clip"))

    assert path.read_bytes() == VIDEO


async def test_no_descriptor_stays_open(store: VideoStore, host: FileHost, directory: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("no /proc on this platform")
    await store.save("clip", host.url("/clip"))
    await store.save("clip", host.url("/clip"))
    host.answers["/clip"] = http(b"<html>")
    await refuse(store, host, "not an MP4", name="other")

    opened = [os.path.realpath(descriptors / number) for number in os.listdir(descriptors)]
    assert not [path for path in opened if path.startswith(os.path.realpath(directory))]
