"""Files on their way to KIE: which are taken, what leaves this machine, and how often."""

import base64
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from tests.pictures import MP4, TEXT, picture
from tests.server.desk import QuickClock
from tests.server.kie_stub import client

from kie_runway.errors import (
    BadInputError,
    KieError,
    NoKeyError,
    NoUploadRootsError,
    UnavailableError,
)
from kie_runway.models import AlephRequest, GenerateRequest
from kie_runway.uploading import UPLOAD_MAX_BYTES, Uploader

pytestmark = pytest.mark.anyio

PNG = picture()


@dataclass
class Host:
    """KIE's upload host; keeps what it is sent."""

    parts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    answer: httpx.Response | None = None

    async def take(self, request: httpx.Request) -> httpx.Response:
        head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
        form = BytesParser(policy=policy.HTTP).parsebytes(head + await request.aread())
        sent = {
            part.get_param("name", header="content-disposition"): part for part in form.iter_parts()
        }
        self.parts.append(
            {
                "content": sent["file"].get_payload(decode=True),
                "content_type": sent["file"].get_content_type(),
                "names": (sent["file"].get_filename(), sent["fileName"].get_payload()),
                "folder": sent["uploadPath"].get_payload(),
                "all": request.content,
            }
        )
        await checkpoint()
        return self.answer or self.stored(f"https://files.example/{len(self.parts)}")

    def stored(self, url: str, **more: Any) -> httpx.Response:
        data = {"downloadUrl": url, **more}
        return httpx.Response(200, json={"success": True, "code": 200, "msg": "", "data": data})


@dataclass
class Dispatch:
    """An uploader, what it sends to, and the files it may read."""

    uploader: Uploader
    host: Host
    clock: QuickClock
    root: Path

    def file(self, name: str, content: bytes) -> str:
        (self.root / name).write_bytes(content)
        return (self.root / name).as_uri()

    async def upload(self, content: bytes, name: str = "file") -> str:
        return (await self.uploader.upload_file(self.file(name, content), ())).url


@asynccontextmanager
async def dispatch(root: Path, *, key: str | None = "a-key") -> AsyncGenerator[Dispatch]:
    host, clock = Host(), QuickClock()
    async with client(key=key, handler=host.take) as kie:
        yield Dispatch(Uploader(kie, clock, [root]), host, clock, root)


@pytest.mark.parametrize(
    ("content", "mime_type", "extension"),
    [
        (picture("JPEG"), "image/jpeg", "jpg"),
        (picture("PNG"), "image/png", "png"),
        (picture("WEBP"), "image/webp", "webp"),
        (MP4, "video/mp4", "mp4"),
    ],
)
async def test_type_and_extension_follow_the_bytes_and_nothing_tells_the_files_name(
    tmp_path: Path, content: bytes, mime_type: str, extension: str
) -> None:
    async with dispatch(tmp_path) as here:
        uri = here.file("holiday-with-anna.gif", content)
        upload = await here.uploader.upload_file(uri, ())

    (sent,) = here.host.parts

    assert sent["content"] == content
    assert sent["content_type"] == mime_type == upload.mime_type
    assert sent["names"][0] == sent["names"][1]
    assert re.fullmatch(rf"[0-9a-f]{{32}}\.{extension}", sent["names"][0])
    assert re.fullmatch(r"[0-9a-f]{16}", sent["folder"])
    assert b"anna" not in sent["all"]
    assert tmp_path.name.encode() not in sent["all"]
    assert upload.size_bytes == len(content)
    assert upload.expires_at == here.clock.now() + timedelta(hours=24)


async def test_names_never_repeat(tmp_path: Path) -> None:
    async with dispatch(tmp_path) as here:
        for color in ("red", "green", "blue"):
            await here.upload(picture("PNG", color))

    assert len({sent["names"][0] for sent in here.host.parts}) == 3
    assert len({sent["folder"] for sent in here.host.parts}) == 3


async def test_the_same_content_is_uploaded_again_only_when_its_address_grows_old(
    tmp_path: Path,
) -> None:
    async with dispatch(tmp_path) as here:
        first = await here.upload(PNG)
        again = await here.upload(PNG, "another-name")
        as_data = await here.uploader.upload_data(base64.b64encode(PNG).decode())
        other = await here.upload(MP4)
        here.clock.at += timedelta(hours=20)
        late = await here.upload(PNG)
        here.clock.at += timedelta(seconds=1)
        later = await here.upload(PNG)

    assert first == again == as_data.url == late
    assert len({first, other, later}) == 3
    assert len(here.host.parts) == 3


async def test_a_clock_that_was_put_back_makes_no_address_younger(tmp_path: Path) -> None:
    async with dispatch(tmp_path) as here:
        await here.upload(PNG)
        here.clock.at -= timedelta(days=2)
        await here.upload(PNG)

    assert len(here.host.parts) == 2


async def test_uploads_of_the_same_content_at_once_are_one(tmp_path: Path) -> None:
    async with dispatch(tmp_path) as here, anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(here.upload, PNG, f"file-{number}")

    assert len(here.host.parts) == 1


@pytest.mark.parametrize("beyond", [0, 1])
async def test_ten_megabytes_are_the_limit(tmp_path: Path, beyond: int) -> None:
    content = PNG + bytes(UPLOAD_MAX_BYTES - len(PNG) + beyond)
    async with dispatch(tmp_path) as here:
        if not beyond:
            await here.upload(content)
            await here.uploader.upload_data(base64.b64encode(content).decode())
        else:
            with pytest.raises(BadInputError, match="`path` is larger than 10 MB"):
                await here.upload(content)
            with pytest.raises(BadInputError, match="`data` is larger than 10 MB"):
                await here.uploader.upload_data(base64.b64encode(content).decode())

    assert UPLOAD_MAX_BYTES == 10_000_000
    assert len(here.host.parts) == 1 - beyond


@pytest.mark.parametrize("content", [b"", TEXT, b"\x89PNG\r\n\x1a\n" + TEXT, PNG[:-12]])
async def test_what_is_no_picture_or_video_stays_here(tmp_path: Path, content: bytes) -> None:
    async with dispatch(tmp_path) as here:
        with pytest.raises(BadInputError, match="`path` holds no whole JPG, PNG, WebP or MP4"):
            await here.upload(content, "picture.png")
        with pytest.raises(BadInputError, match="`data` holds no whole JPG, PNG, WebP or MP4"):
            await here.uploader.upload_data(base64.b64encode(content).decode())

    assert here.host.parts == []


BASE64 = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "data",
    [
        BASE64,
        base64.encodebytes(PNG).decode(),
        f" {BASE64}\r\n",
        f"data:image/png;base64,{BASE64}",
        f"data:text/html;charset=utf-8;base64,{BASE64}",
    ],
    ids=["plain", "lines", "space", "data URL", "data URL that lies"],
)
async def test_base64_comes_plain_or_as_a_data_url(tmp_path: Path, data: str) -> None:
    async with dispatch(tmp_path) as here:
        upload = await here.uploader.upload_data(data)

    assert upload.mime_type == "image/png"
    assert here.host.parts[0]["content"] == PNG


@pytest.mark.parametrize(
    "data",
    [
        BASE64[:-1],
        BASE64[:-4] + "ä===",
        BASE64.replace("+", "-").replace("/", "_") + "-_",
        f"data:image/png,{BASE64}",
        "data:image/png;base64",
        "file:///etc/passwd",
        "\ud800",
    ],
)
async def test_what_is_not_base64_is_refused(tmp_path: Path, data: str) -> None:
    async with dispatch(tmp_path) as here:
        with pytest.raises(BadInputError, match="`data` must be Base64"):
            await here.uploader.upload_data(data)


async def test_a_request_is_sent_with_addresses_and_means_the_contents(tmp_path: Path) -> None:
    async with dispatch(tmp_path) as here:
        request = AlephRequest(
            prompt="file:///not/a/file",
            video_url=here.file("a.mp4", MP4),
            reference_image_url=here.file("b.webp", picture("WEBP")),
        )
        given = await here.uploader.read(request)
        sent = await here.uploader.upload(given)

    assert isinstance(sent, AlephRequest)
    assert sent.prompt == "file:///not/a/file"
    assert sent.video_url == "https://files.example/1"
    assert sent.reference_image_url == "https://files.example/2"
    assert sent.local_files == {}
    assert set(given.stands_for) == {"video_url", "reference_image_url"}
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in given.stands_for.values())


async def test_a_request_without_files_is_left_alone(tmp_path: Path) -> None:
    request = GenerateRequest(prompt="a", image_url="https://a.example/b.png")
    async with dispatch(tmp_path, key=None) as here:
        given = await here.uploader.read(request)

        assert await here.uploader.upload(given) == request
        assert given.stands_for == {}


@pytest.mark.parametrize(
    ("argument", "content", "words"),
    [
        ("image_url", MP4, "`image_url` takes JPG or PNG, and this file is MP4"),
        ("image_url", picture("WEBP"), "`image_url` takes JPG or PNG, and this file is WEBP"),
        ("video_url", PNG, "`video_url` takes MP4, and this file is PNG"),
        ("reference_image_url", MP4, "`reference_image_url` takes JPG or PNG or WEBP"),
    ],
)
async def test_a_kind_that_the_argument_does_not_take_is_refused_before_anything_is_uploaded(
    tmp_path: Path, argument: str, content: bytes, words: str
) -> None:
    async with dispatch(tmp_path) as here:
        uri, good = here.file("wrong", content), here.file("good.mp4", MP4)
        request = (
            GenerateRequest(prompt="a", image_url=uri)
            if argument == "image_url"
            else AlephRequest.model_validate({"prompt": "a", "video_url": good} | {argument: uri})
        )
        with pytest.raises(BadInputError, match=words):
            await here.uploader.read(request)

    assert here.host.parts == []


async def test_settings_outweigh_what_the_client_offers(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "theirs").mkdir()
    async with dispatch(tmp_path / "mine") as here:
        (tmp_path / "theirs" / "a.png").write_bytes(PNG)
        with pytest.raises(BadInputError, match="outside"):
            await here.uploader.upload_file(
                str(tmp_path / "theirs" / "a.png"), [(tmp_path / "theirs").as_uri()]
            )


@pytest.mark.parametrize("offered", [[], ["https://a.example/"], ["file://other.example/"]])
async def test_without_a_directory_of_this_machine_nothing_is_read(
    tmp_path: Path, offered: list[str]
) -> None:
    async with dispatch(tmp_path) as here, client(handler=here.host.take) as kie:
        uploader = Uploader(kie, here.clock, [])
        with pytest.raises(NoUploadRootsError, match="KIE_UPLOAD_ROOTS"):
            await uploader.upload_file(here.file("a.png", PNG), offered)


async def test_without_a_key_nothing_is_read(tmp_path: Path) -> None:
    async with dispatch(tmp_path, key=None) as here:
        for address in (str(tmp_path / "no-such"), "/etc/passwd"):
            with pytest.raises(NoKeyError):
                await here.uploader.upload_file(address, ())
        with pytest.raises(NoKeyError):
            await here.uploader.upload_data("rubbish")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(500, json={"success": False, "code": 500, "msg": "no"}), "KIE"),
        (httpx.Response(502, text="<html>"), "HTTP 502"),
        (Host().stored("https://a.example/", fileSize=3), "only a part"),
    ],
)
async def test_a_failed_upload_says_that_nothing_was_started_and_can_be_repeated(
    tmp_path: Path, answer: httpx.Response, words: str
) -> None:
    async with dispatch(tmp_path) as here:
        here.host.answer = answer
        with pytest.raises(KieError, match=words) as caught:
            await here.upload(PNG)
        here.host.answer = None

        assert await here.upload(PNG) == "https://files.example/2"
    assert type(caught.value) is UnavailableError
    assert caught.value.charged == "no"
    assert caught.value.reason.startswith(
        "The upload of `path` failed, and this call started nothing."
    )
