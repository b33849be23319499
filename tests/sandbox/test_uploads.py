"""Uploads: the three ways, their errors, and how long they last."""

import base64
import re
from typing import Any

import pytest
from tests.sandbox.helpers import (
    BASE64_UPLOAD,
    PNG,
    STREAM_UPLOAD,
    URL_UPLOAD,
    Kie,
    client,
    started,
)

from kie_runway_sandbox import Switches

pytestmark = pytest.mark.anyio

HELLO = {"base64Data": "SGVsbG8gV29ybGQ=", "uploadPath": "documents/in", "fileName": "test.txt"}


async def test_base64_in_the_recorded_shape() -> None:
    async with started() as (sandbox, kie):
        response = await kie.http.post(BASE64_UPLOAD, json=HELLO)
        answer = response.json()
        served = await kie.http.get(answer["data"]["downloadUrl"])

    path = f"kieai/{sandbox.account().number}/documents/in/test.txt"
    assert answer == {
        "success": True,
        "code": 200,
        "msg": "File uploaded successfully",
        "data": {
            "success": True,
            "fileName": "test.txt",
            "filePath": path,
            "downloadUrl": f"{str(kie.http.base_url).rstrip('/')}/files/{path}",
            "fileSize": 11,
            "mimeType": "text/plain",
            "uploadedAt": "2026-06-27T16:26:07.000Z",
        },
    }
    assert response.headers["access-control-allow-origin"] == "*"
    assert (served.content, served.headers["content-type"].partition(";")[0]) == (
        b"Hello World",
        "text/plain",
    )


async def test_a_data_url_brings_its_own_type() -> None:
    async with started() as (_, kie):
        body = {"base64Data": "data:text/css;base64,SGVsbG8=", "uploadPath": "in"}
        data = (await kie.post(BASE64_UPLOAD, body))["data"]

    assert data["mimeType"] == "text/css"
    assert re.fullmatch(r"1782577567000-[0-9a-z]{11}\.css", data["fileName"])


async def test_a_multipart_upload_is_served_to_anybody() -> None:
    async with started() as (_, kie):
        response = await kie.http.post(
            STREAM_UPLOAD,
            data={"uploadPath": "in", "fileName": "b o at.png"},
            files={"file": ("x", PNG)},
        )
        data = response.json()["data"]
        async with client(str(kie.http.base_url), "no key") as stranger:
            served = await stranger.http.get(data["downloadUrl"])

    assert (data["mimeType"], data["fileSize"]) == ("image/png", len(PNG))
    assert served.content == PNG


async def test_the_same_name_overwrites() -> None:
    async with started() as (_, kie):
        await kie.post(BASE64_UPLOAD, HELLO)
        again = await kie.post(BASE64_UPLOAD, {**HELLO, "base64Data": "Qnll"})
        served = await kie.http.get(again["data"]["downloadUrl"])

    assert served.content == b"Bye"


async def test_a_url_of_its_own_is_copied_and_one_elsewhere_is_not_fetched() -> None:
    async with started(advance="lookups", lookups_per_state=0) as (sandbox, kie):
        upload = await kie.post(BASE64_UPLOAD, HELLO)
        result = await kie.create()
        video_url = (await kie.record(result))["videoInfo"]["videoUrl"]
        copies = [
            await kie.post(URL_UPLOAD, {"fileUrl": url, "uploadPath": "copies"})
            for url in (
                upload["data"]["downloadUrl"],
                video_url,
                "https://media.example.com/boat.png",
            )
        ]
        contents = [(await kie.http.get(copy["data"]["downloadUrl"])).content for copy in copies]
        task_id = await kie.create(imageUrl=copies[2]["data"]["downloadUrl"])
        record = await kie.record(task_id)
        order = sandbox.engine.media.order(sandbox.task(task_id))

    assert contents[0] == b"Hello World"
    assert contents[1].startswith(b"generate")
    assert copies[2]["data"]["fileName"] == "boat.png"
    assert (record["state"], order.source) == ("success", None)


CONTENT = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (BASE64_UPLOAD, {"base64Data": CONTENT}, "Missing required parameter: uploadPath"),
        (BASE64_UPLOAD, {"uploadPath": "a"}, "Missing required parameter: base64Data"),
        (BASE64_UPLOAD, {**HELLO, "base64Data": "?"}, "Base64 decoding failed"),
        (BASE64_UPLOAD, {**HELLO, "base64Data": 5}, "base64Data"),
        (BASE64_UPLOAD, {**HELLO, "uploadPath": "/a"}, "uploadPath"),
        (BASE64_UPLOAD, {**HELLO, "uploadPath": "a/"}, "uploadPath"),
        (BASE64_UPLOAD, {**HELLO, "fileName": "../a"}, "fileName"),
        (BASE64_UPLOAD, {**HELLO, "fileName": 5}, "fileName"),
        (BASE64_UPLOAD, [], "JSON object"),
        (URL_UPLOAD, {"uploadPath": "a"}, "fileUrl"),
        (URL_UPLOAD, {"uploadPath": "a", "fileUrl": "ftp://a.example/"}, "fileUrl"),
        (URL_UPLOAD, {"uploadPath": "a", "fileUrl": "https://a.invalid/"}, "fileUrl"),
        (URL_UPLOAD, {"uploadPath": "a", "fileUrl": "http://192.168.0.1/"}, "fileUrl"),
        (URL_UPLOAD, {"fileUrl": "https://a.example/"}, "uploadPath"),
    ],
)
async def test_a_refused_upload_has_a_real_status(path: str, body: Any, message: str) -> None:
    async with started() as (sandbox, kie):
        response = await kie.http.post(path, json=body)

    assert response.status_code == 400
    assert set(response.json()) == {"success", "code", "msg"}
    assert (response.json()["success"], response.json()["code"]) == (False, 400)
    assert message in response.json()["msg"]
    assert sandbox.log.select("upload") == []


async def test_a_multipart_upload_needs_its_parts() -> None:
    async with started() as (_, kie):
        no_path = await kie.http.post(STREAM_UPLOAD, files={"file": ("x", PNG)})
        no_file = await kie.http.post(STREAM_UPLOAD, data={"uploadPath": "in", "file": "text"})

    assert (no_path.status_code, no_path.json()["msg"]) == (
        400,
        "Missing required parameter: uploadPath",
    )
    assert (no_file.status_code, no_file.json()["msg"]) == (
        400,
        "Missing required parameter: file",
    )


@pytest.mark.parametrize("path", [STREAM_UPLOAD, BASE64_UPLOAD, URL_UPLOAD])
async def test_a_wrong_key_is_a_real_401(path: str) -> None:
    async with started(key="wrong") as (_, kie):
        response = await kie.http.post(path, json=HELLO)

    assert response.status_code == 401
    assert response.json() == {
        "success": False,
        "code": 401,
        "msg": "Authentication failed: Invalid API Key",
    }


@pytest.mark.parametrize(("retention", "hours"), [("24h", 24), ("3d", 72)])
async def test_uploads_go_after_their_time(retention: Any, hours: int) -> None:
    async with started(switches=Switches(upload_retention=retention)) as (sandbox, kie):
        url = (await kie.post(BASE64_UPLOAD, HELLO))["data"]["downloadUrl"]
        sandbox.advance(hours * 3600 - 1)
        before = await kie.http.get(url)
        sandbox.advance(1)
        after = await kie.http.get(url)
        failed = await failed_with(kie, url)

    assert (before.status_code, after.status_code) == (200, 404)
    assert failed == 400


async def failed_with(kie: Kie, url: str) -> int:
    """The code with which the service refuses to read a URL."""
    answer = await kie.http.post(URL_UPLOAD, json={"fileUrl": url, "uploadPath": "in"})
    return answer.status_code
