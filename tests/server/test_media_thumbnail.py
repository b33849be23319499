"""The small picture of a video, or none."""

import builtins
import importlib.util
import struct
import zlib
from collections.abc import AsyncGenerator
from io import BytesIO
from random import Random

import pytest
from PIL import Image
from tests.server.file_host import FileHost, moved, open_file_host
from tests.sockets import http

from kie_runway import media
from kie_runway.fetch import Fetcher
from kie_runway.media import THUMBNAIL_MAX_BYTES, Thumbnail, thumbnail

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]


@pytest.fixture
async def host(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[FileHost]:
    monkeypatch.setattr(media, "THUMBNAIL_TIMEOUT_S", 60.0)
    async with open_file_host() as host:
        yield host


def noise(side_px: int, mode: str = "RGB") -> Image.Image:
    """A picture that no format makes small."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = Random(1).randbytes(side_px * side_px * bands)
    return Image.frombytes(mode, (side_px, side_px), data)


def encoded(image: Image.Image, name: str) -> bytes:
    target = BytesIO()
    image.save(target, name)
    return target.getvalue()


async def get(host: FileHost, path: str = "/image") -> Thumbnail | None:
    fetcher = Fetcher(trusted_hosts=[host.address], user_agent="agent/1.0")
    return await thumbnail(fetcher, host.url(path))


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
async def test_a_small_picture_stays_as_it_is(host: FileHost, name: str) -> None:
    data = encoded(noise(64), name)
    host.answers["/image"] = http(data, "Content-Type: text/html")

    assert await get(host) == Thumbnail(data, f"image/{name.lower()}")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
async def test_a_large_picture_is_made_smaller(host: FileHost, mode: str) -> None:
    host.answers["/image"] = http(encoded(noise(900, mode), "PNG"))

    picture = await get(host)

    assert picture is not None
    assert picture.mime_type == "image/jpeg"
    assert len(picture.data) <= THUMBNAIL_MAX_BYTES
    with Image.open(BytesIO(picture.data)) as image:
        assert image.format == "JPEG"


async def test_a_picture_that_cannot_be_made_small_enough_is_none(
    host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "THUMBNAIL_MAX_BYTES", 100)
    host.answers["/image"] = http(encoded(noise(64), "PNG"))

    assert await get(host) is None


async def test_a_large_picture_is_none_without_pillow(
    host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nothing(name: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    large, small = encoded(noise(900), "PNG"), encoded(noise(64), "PNG")
    host.answers["/image"] = http(large)

    assert await get(host) is None

    host.answers["/image"] = http(small)

    assert await get(host) == Thumbnail(small, "image/png")


async def test_a_small_picture_does_not_load_pillow(
    host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def guarded(name: str, *args: object) -> object:
        assert not name.startswith("PIL")
        return real_import(name, *args)  # type: ignore[arg-type] # passed on as it came

    host.answers["/image"] = http(encoded(noise(64), "PNG"))
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", guarded)
        picture = await get(host)

    assert picture is not None


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html>",
        b"",
        b"GIF89a" + bytes(100),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"RIFF\0\0\0\0WAVE",
        b"\x89PNG\r\n\x1a\n" + bytes(THUMBNAIL_MAX_BYTES),
        b"\xff\xd8\xff" + bytes(THUMBNAIL_MAX_BYTES),
        b"RIFF\0\0\0\0WEBP" + bytes(THUMBNAIL_MAX_BYTES),
    ],
    ids=["html", "empty", "gif", "svg", "wave", "broken-png", "broken-jpeg", "broken-webp"],
)
async def test_what_is_no_picture_is_none(host: FileHost, body: bytes) -> None:
    host.answers["/image"] = http(body, "Content-Type: image/png")

    assert await get(host) is None


async def test_a_picture_cut_off_in_a_large_file_is_none(host: FileHost) -> None:
    host.answers["/image"] = http(encoded(noise(900), "PNG")[:-1_000_000])

    assert await get(host) is None


async def test_a_picture_with_too_many_pixels_is_none(
    host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "THUMBNAIL_SOURCE_MAX_PIXELS", 300 * 300 - 1)
    host.answers["/image"] = http(encoded(noise(300), "PNG"))

    assert await get(host) is None


def png_of_size(side_px: int) -> bytes:
    """A PNG that claims a size and has no picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", bytes(THUMBNAIL_MAX_BYTES))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side_px", [6_000, 10_000, 20_000])
async def test_a_picture_that_unpacks_to_gigabytes_is_none(host: FileHost, side_px: int) -> None:
    host.answers["/image"] = http(png_of_size(side_px))

    assert await get(host) is None


@pytest.mark.parametrize(
    "reply",
    [http(status="404 Not Found"), b"", moved("http://127.0.0.1:1/"), moved("file:///etc/passwd")],
    ids=["expired", "cut-off", "private", "file"],
)
async def test_a_picture_that_cannot_be_had_is_none(host: FileHost, reply: bytes) -> None:
    host.answers["/image"] = reply

    assert await get(host) is None


async def test_a_jpeg_of_endless_scans_is_none(host: FileHost) -> None:
    target = BytesIO()
    noise(300, "L").save(target, "JPEG", progressive=True, quality=95)
    whole = target.getvalue()
    last = whole.rindex(b"\xff\xda")
    scan = whole[last : whole.rindex(b"\xff\xd9")]
    host.answers["/image"] = http(whole[:last] + scan * 90 + b"\xff\xd9")
    host.answers["/some"] = http(whole[:last] + scan * 40 + b"\xff\xd9")

    assert await get(host) is None
    assert await get(host, "/some") is not None


async def test_a_picture_larger_than_any_source_is_none(
    host: FileHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "THUMBNAIL_SOURCE_MAX_BYTES", 100)
    host.answers["/image"] = http(encoded(noise(64), "PNG"))

    assert await get(host) is None
