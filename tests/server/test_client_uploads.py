"""Uploads: what goes out, what comes back, what is refused before anything is sent."""

import io
import json
from collections.abc import Awaitable, Callable
from email import policy
from email.parser import BytesParser
from typing import Any

import httpx
import pytest
from tests.server.kie_stub import KEY, answer, answering, client, stub
from tests.sockets import envelope, http, sends

from kie_runway.client import KieClient
from kie_runway.errors import BadInputError, KieError, RefusedError, UnavailableError, WrongKeyError
from kie_runway.wire import Uploaded

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("unhurried")]

URL = "https://tempfile.example/kieai/1/p/a.png"
# As recorded (contract §9).
ANSWER: dict[str, Any] = {
    "success": True,
    "code": 200,
    "msg": "File uploaded successfully",
    "data": {
        "success": True,
        "fileName": "a.png",
        "filePath": "kieai/1/p/a.png",
        "downloadUrl": URL,
        "fileSize": 11,
        "mimeType": "image/png",
        "uploadedAt": "2026-04-16T07:19:10.400Z",
    },
}
UPLOADED = Uploaded(url=URL, file_name="a.png", size_bytes=11, mime_type="image/png")

Upload = Callable[[KieClient], Awaitable[Uploaded]]


def stream(file_name: str = "a.png", upload_path: str = "p", mime: str = "image/png") -> Upload:
    return lambda kie: kie.upload_stream(
        io.BytesIO(b"hello world"), file_name=file_name, mime_type=mime, upload_path=upload_path
    )


def base64(file_name: str = "a.png", upload_path: str = "p", data: str = "aGVsbG8=") -> Upload:
    return lambda kie: kie.upload_base64(data, file_name=file_name, upload_path=upload_path)


def url(file_name: str = "a.png", upload_path: str = "p", source: str = "https://a.b/c") -> Upload:
    return lambda kie: kie.upload_url(source, file_name=file_name, upload_path=upload_path)


UPLOADS = [stream, base64, url]


@pytest.mark.parametrize(
    ("upload", "path", "body"),
    [
        (base64(), "/api/file-base64-upload", {"base64Data": "aGVsbG8="}),
        (url(), "/api/file-url-upload", {"fileUrl": "https://a.b/c"}),
    ],
)
async def test_data_and_urls_go_out_as_json(upload: Upload, path: str, body: object) -> None:
    handler, seen = answering(httpx.Response(200, json=ANSWER))
    async with client(handler=handler) as kie:
        assert await upload(kie) == UPLOADED

    assert seen[0].url == f"https://kie.test{path}"
    assert json.loads(seen[0].content) == {"uploadPath": "p", "fileName": "a.png"} | dict(body)  # type: ignore[call-overload]
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_file_goes_out_as_multipart_over_a_real_socket() -> None:
    content = bytes(range(256)) * 1024
    reply = sends(http(json.dumps(ANSWER).encode()))
    async with stub(reply) as peer, client(peer.url) as kie:
        file = io.BytesIO(content)
        uploaded = await kie.upload_stream(
            file, file_name='ä".png', mime_type="image/png", upload_path="p/q"
        )

    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    first_line, _, headers = head.partition(b"\r\n")
    form = BytesParser(policy=policy.HTTP).parsebytes(headers + b"\r\n\r\n" + body)
    sent = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in form.iter_parts()
    }

    assert uploaded == UPLOADED
    assert first_line == b"POST /api/file-stream-upload HTTP/1.1"
    assert sent == {"uploadPath": b"p/q", "fileName": 'ä".png'.encode(), "file": content}
    assert not file.closed


async def test_a_large_file_is_read_in_pieces() -> None:
    class Watched(io.BytesIO):
        sizes: list[int] = []  # noqa: RUF012  # one instance

        def read(self, size: int | None = -1) -> bytes:
            piece = super().read(size)
            self.sizes.append(len(piece))
            return piece

    file = Watched(bytes(2 * 1024**2))
    async with stub(sends(http(json.dumps(ANSWER).encode()))) as peer, client(peer.url) as kie:
        await kie.upload_stream(file, file_name="a.mp4", mime_type="video/mp4", upload_path="p")

    assert sum(file.sizes) == 2 * 1024**2
    assert max(file.sizes) <= 64 * 1024


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"downloadUrl": URL, "fileUrl": "https://other.example/x"}, Uploaded(url=URL)),
        ({"fileUrl": URL, "fileId": 1}, Uploaded(url=URL)),
        ({"downloadUrl": "", "fileUrl": URL}, Uploaded(url=URL)),
        ({"downloadUrl": URL, "fileSize": "12", "mimeType": 3}, Uploaded(url=URL, size_bytes=12)),
    ],
)
async def test_both_generations_of_answers_are_read(data: object, expected: Uploaded) -> None:
    handler, _ = answering(answer(data=data))
    async with client(handler=handler) as kie:
        assert await base64()(kie) == expected


@pytest.mark.parametrize("make", UPLOADS)
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RefusedError), (401, WrongKeyError), (405, RefusedError), (500, UnavailableError)],
)
async def test_a_real_http_error_carries_the_hosts_words(
    make: Callable[[], Upload], status: int, error: type[KieError]
) -> None:
    body = {"success": False, "code": status, "msg": "Missing required parameter"}
    handler, seen = answering(httpx.Response(status, json=body))
    async with client(handler=handler) as kie:
        with pytest.raises(KieError) as caught:
            await make()(kie)

    assert type(caught.value) is error
    assert caught.value.message == "Missing required parameter"
    assert len(seen) == 1


@pytest.mark.parametrize("make", UPLOADS)
@pytest.mark.parametrize(
    "bad",
    [
        httpx.Response(200, json=ANSWER | {"success": False}),
        httpx.Response(200, content=envelope({"downloadUrl": "file:///etc/passwd"})),
        httpx.Response(200, content=envelope()),
        httpx.Response(502, text="<html>"),
        httpx.ReadError("gone"),
        httpx.ConnectError("down"),
    ],
    ids=repr,
)
async def test_an_upload_without_a_usable_answer_is_not_repeated(
    make: Callable[[], Upload], bad: httpx.Response | Exception
) -> None:
    handler, seen = answering(bad)
    async with client(handler=handler) as kie:
        with pytest.raises(UnavailableError):
            await make()(kie)

    assert len(seen) == 1


@pytest.mark.parametrize(
    "upload",
    [
        *(
            make(file_name=name)
            for make in UPLOADS
            for name in ("", " ", "..", "a/b.png", "a\\b.png", "a\nb", "x" * 201, "\ud800")
        ),
        *(
            make(upload_path=path)
            for make in UPLOADS
            for path in ("", "/p", "p/", "p//q", "../p", "p q", "p\n", "ä")
        ),
        *(stream(mime=mime) for mime in ("", "png", "image/png\r\nX: y", "image/png; a=b")),
        *(base64(data=data) for data in ("", "ä")),
        *(url(source=source) for source in ("", "ftp://a/b", "/etc/passwd", "https://a b")),
    ],
)
async def test_a_name_that_breaks_the_rules_sends_nothing(upload: Upload) -> None:
    handler, seen = answering(httpx.Response(200, json=ANSWER))
    async with client(handler=handler) as kie:
        with pytest.raises(BadInputError):
            await upload(kie)

    assert seen == []
