"""Every answer fits the OpenAPI document, under every position of every switch."""

import base64
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args, get_origin, get_type_hints

import anyio
import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.sandbox.helpers import (
    ALEPH,
    ALEPH_GENERATE,
    ALEPH_RECORD,
    BASE64_UPLOAD,
    CREDIT,
    DOWNLOAD_URL,
    EXTEND,
    GENERATE,
    PNG,
    RECORD,
    STREAM_UPLOAD,
    TEXT,
    URL_UPLOAD,
    WITHIN_S,
    Kie,
    client,
    receiving,
    started,
)

from kie_runway_sandbox import Switches

pytestmark = pytest.mark.anyio


def positions() -> list[Any]:
    """Each switch in each position, the others at their defaults."""
    found: list[Any] = []
    for name, hint in get_type_hints(Switches).items():
        values: tuple[Any, ...] = (None, "a-webhook-key")
        if hint is bool:
            values = (False, True)
        elif get_origin(hint) is Literal:
            values = get_args(hint)
        found += [pytest.param({name: value}, id=f"{name}={value}") for value in values]
    return found


@cache
def document() -> dict[str, Any]:
    text = files("kie_runway_sandbox").joinpath("openapi.yaml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def check(schema: dict[str, Any], value: object) -> None:
    whole = {**schema, "components": document()["components"]}
    validator: Any = Draft202012Validator(whole)
    validator.validate(value)


def check_response(response: httpx.Response) -> Any:
    """Validate an answer against the schema of its endpoint and HTTP status."""
    request = response.request
    operation = document()["paths"][request.url.path][request.method.lower()]
    responses = operation["responses"]
    declared = responses.get(str(response.status_code)) or responses["default"]
    name = declared.get("$ref", "").rpartition("/")[2]
    described = document()["components"]["responses"][name] if name else declared
    answer = response.json()
    check(described["content"]["application/json"]["schema"], answer)
    return answer


def test_the_document_is_a_whole_one() -> None:
    assert document()["openapi"] == "3.1.0"
    for schema in document()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def all_answers(kie: Kie, hook: str) -> list[httpx.Response]:
    """One answer of every kind."""
    http = kie.http
    answers: list[httpx.Response] = []

    async def follow(path: str, body: dict[str, Any], record: str) -> str:
        created = await http.post(path, json={**body, "callBackUrl": hook})
        task_id = str(created.json()["data"]["taskId"])
        answers.append(created)
        # Four look-ups: wait, queueing, generating, and the end.
        answers.extend([await http.get(record, params={"taskId": task_id}) for _ in range(4)])
        return task_id

    task_id = await follow(GENERATE, TEXT, RECORD)
    video_url = answers[-1].json()["data"]["videoInfo"]["videoUrl"]
    await follow(EXTEND, {"taskId": task_id, "prompt": "On", "quality": "720p"}, RECORD)
    await follow(GENERATE, {**TEXT, "prompt": "[moderated]"}, RECORD)
    await follow(EXTEND, {"taskId": "none", "prompt": "On", "quality": "720p"}, RECORD)
    await follow(ALEPH_GENERATE, {**ALEPH, "videoUrl": video_url}, ALEPH_RECORD)
    await follow(ALEPH_GENERATE, {**ALEPH, "prompt": "[fail:500]"}, ALEPH_RECORD)
    content = base64.b64encode(PNG).decode()
    upload = {"uploadPath": "in", "fileName": "a.png"}
    return [
        *answers,
        await http.post(GENERATE, json={}),
        await http.post(EXTEND, json={}),
        await http.post(ALEPH_GENERATE, json={}),
        await http.get(RECORD, params={"taskId": "unknown"}),
        await http.get(ALEPH_RECORD, params={"taskId": "unknown"}),
        await http.get(CREDIT),
        await http.post(DOWNLOAD_URL, json={"url": video_url}),
        await http.post(DOWNLOAD_URL, json={"url": "https://media.example.com/x.mp4"}),
        await http.post(STREAM_UPLOAD, data={"uploadPath": "in"}, files={"file": ("a.png", PNG)}),
        await http.post(STREAM_UPLOAD, data={"uploadPath": "in"}),
        await http.post(BASE64_UPLOAD, json={**upload, "base64Data": content}),
        await http.post(BASE64_UPLOAD, json={**upload, "base64Data": "!"}),
        await http.post(URL_UPLOAD, json={**upload, "fileUrl": video_url}),
        await http.post(URL_UPLOAD, json={**upload, "fileUrl": "https://nowhere.invalid/"}),
    ]


@pytest.mark.parametrize("position", positions())
async def test_answers_and_callbacks_fit_the_document(position: dict[str, Any]) -> None:
    async with (
        receiving() as receiver,
        started(advance="lookups", switches=Switches(**position)) as (sandbox, kie),
    ):
        answers = await all_answers(kie, receiver.url)
        sandbox.set_credits(0)
        answers.append(await kie.http.post(GENERATE, json=TEXT))
        answers += [await kie.http.post(GENERATE, json=TEXT) for _ in range(20)]
        async with client(str(kie.http.base_url), "wrong") as stranger:
            answers += [
                await stranger.http.post(GENERATE, json=TEXT),
                await stranger.http.get(CREDIT),
                await stranger.http.post(BASE64_UPLOAD, json={}),
            ]
        deliveries = 12 if position.get("duplicate_callbacks") else 6
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback", count=deliveries)

    if position == {"aleph_error_code": ""}:
        # The document knows integers and null only; clients meet texts in sister APIs.
        answers = [answer for answer in answers if answer.request.url.path != ALEPH_RECORD]
    codes = {check_response(answer)["code"] for answer in answers}
    for _, body in receiver.received:
        names = ("AlephCallback", "RunwayCallback")
        refs = [{"$ref": f"#/components/schemas/{name}"} for name in names]
        check({"anyOf": refs}, body)

    assert codes >= {200, 400, 401, 402, 422, 429}
    assert len(receiver.received) == deliveries


async def test_the_document_is_served() -> None:
    async with started() as (_, kie):
        response = await kie.http.get("/openapi.yaml")

    assert yaml.safe_load(response.text) == document()


async def test_an_unknown_path_is_answered_outside_the_envelope() -> None:
    async with started() as (_, kie):
        response = await kie.http.get("/api/v1/runway/nothing")

    assert response.status_code == 404
    assert response.json() == {
        "status": 404,
        "error": "Not Found",
        "path": "/api/v1/runway/nothing",
    }


async def test_a_wrong_method_is_405_in_the_shape_of_its_host() -> None:
    async with started() as (_, kie):
        api = await kie.http.get(GENERATE)
        upload = await kie.http.get(STREAM_UPLOAD)

    assert (api.status_code, api.json()["error"]) == (405, "Method Not Allowed")
    assert upload.status_code == 405
    assert check_response_405(upload)["success"] is False


def check_response_405(response: httpx.Response) -> dict[str, Any]:
    answer: dict[str, Any] = response.json()
    check({"$ref": "#/components/schemas/UploadError"}, answer)
    return answer
