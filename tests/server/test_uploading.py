"""Files on their way to KIE: which are taken, what leaves this machine, and how often."""

import base64
import re
from collections.abc import AsyncGenerator, Sequence
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
    LedgerError,
    NoKeyError,
    NoUploadRootsError,
    UnavailableError,
)
from kie_runway.ledger.records import LOCAL_ACCOUNT
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import AlephRequest, GenerateRequest
from kie_runway.uploading import UPLOAD_MAX_BYTES, Uploader

pytestmark = pytest.mark.anyio

PNG = picture()
BASE64 = base64.b64encode(PNG).decode()
SERVICE = "https://upload.example"


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
        number = len(self.parts)
        await checkpoint()
        return self.answer or self.stored(f"https://files.example/{number}")

    def stored(self, url: str, **more: Any) -> httpx.Response:
        data = {"downloadUrl": url, **more}
        return httpx.Response(200, json={"success": True, "code": 200, "msg": "", "data": data})


@dataclass
class Dispatch:
    """An uploader, what it sends to, and the files it may read."""

    uploader: Uploader
    ledger: SqliteLedger
    host: Host
    clock: QuickClock
    root: Path

    def file(self, name: str, content: bytes) -> str:
        (self.root / name).write_bytes(content)
        return (self.root / name).as_uri()

    async def upload(self, content: bytes, name: str = "file") -> str:
        return (await self.uploader.upload_file(self.file(name, content), ())).url


@asynccontextmanager
async def dispatch(
    root: Path,
    *,
    key: str | None = "a-key",
    account: str = LOCAL_ACCOUNT,
    host: Host | None = None,
    roots: Sequence[Path] | None = None,
    service: str = SERVICE,
) -> AsyncGenerator[Dispatch]:
    """All that read one directory share one ledger, as processes do."""
    host, clock, ledger = host or Host(), QuickClock(), SqliteLedger(root / "ledger.db")
    await ledger.open()
    try:
        async with client(key=key, handler=host.take) as kie:
            uploader = Uploader(
                account,
                kie,
                ledger.uploads,
                clock=clock,
                service=service,
                roots=[root] if roots is None else roots,
            )
            yield Dispatch(uploader, ledger, host, clock, root)
    finally:
        await ledger.aclose()


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


async def test_an_address_is_given_again_after_a_restart_and_by_another_process(
    tmp_path: Path,
) -> None:
    host = Host()
    async with dispatch(tmp_path, host=host) as one, dispatch(tmp_path, host=host) as other:
        first = await one.uploader.upload_data(BASE64)
        elsewhere = await other.uploader.upload_data(BASE64)
    async with dispatch(tmp_path, host=host) as restarted:
        again = await restarted.uploader.upload_data(BASE64)
        restarted.clock.at += timedelta(hours=20, seconds=1)
        late = await restarted.uploader.upload_data(BASE64)

    assert first == elsewhere == again
    assert late.url != first.url
    assert len(host.parts) == 2


async def test_an_address_of_another_account_or_service_is_not_given(tmp_path: Path) -> None:
    host = Host()
    async with (
        dispatch(tmp_path, host=host) as mine,
        dispatch(tmp_path, host=host, account="other") as theirs,
        dispatch(tmp_path, host=host, service="https://sandbox.example") as rehearsal,
    ):
        urls = {await here.upload(PNG) for here in (mine, theirs, rehearsal)}

    assert len(urls) == 3


async def test_a_ledger_that_fails_makes_an_upload_fail_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise LedgerError("The ledger failed.")

    async with dispatch(tmp_path) as here:
        for method in ("living", "remember"):
            with monkeypatch.context() as broken:
                broken.setattr(here.ledger.uploads, method, fail)
                with pytest.raises(LedgerError) as caught:
                    await here.upload(PNG)
        whole = await here.upload(PNG)

    assert caught.value.charged == "no"
    assert whole == "https://files.example/2"  # the one that could not be noted was not given


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
    types = {
        f"https://files.example/{number}": part["content_type"]
        for number, part in enumerate(here.host.parts, 1)
    }
    assert types == {sent.video_url: "video/mp4", sent.reference_image_url: "image/webp"}
    assert sent.local_files == {}
    assert set(given.stands_for) == {"video_url", "reference_image_url"}
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", value) for value in given.stands_for.values())


async def test_an_address_of_an_upload_means_the_content_wherever_and_whenever_it_is_repeated(
    tmp_path: Path,
) -> None:
    host = Host()

    async def meaning(here: Dispatch, url: str) -> dict[str, str]:
        request = AlephRequest(prompt="a", video_url=url)
        given = await here.uploader.read(request)

        assert await here.uploader.upload(given) == request  # it is sent as it was given
        return dict(given.stands_for)

    async with dispatch(tmp_path, host=host) as here:
        file = AlephRequest(prompt="a", video_url=here.file("a.mp4", MP4))
        as_file = dict((await here.uploader.read(file)).stands_for)
        early = await here.upload(MP4)
        here.clock.at += timedelta(days=30)
        late, other = await here.upload(MP4), await here.upload(MP4 + bytes(8))
    async with dispatch(tmp_path, host=host) as restarted:
        means = [await meaning(restarted, url) for url in (early, late, other)]
        unheard = await meaning(restarted, f"{early}?")
    async with dispatch(tmp_path, host=host, account="other") as stranger:
        elsewhere = await meaning(stranger, early)

    assert means[0] == means[1] == as_file
    assert means[2] not in ({}, as_file)
    assert unheard == elsewhere == {}


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
    async with dispatch(tmp_path, roots=[]) as here:
        with pytest.raises(NoUploadRootsError, match="KIE_UPLOAD_ROOTS"):
            await here.uploader.upload_file(here.file("a.png", PNG), offered)


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
