"""Each fault, as a client sees it, and what the log says really happened."""

import asyncio
import gzip
import json
from typing import Any

import anyio
import httpx
import pytest
from tests.sandbox.helpers import (
    BASE64_UPLOAD,
    CREDIT,
    GENERATE,
    KEY,
    RECORD,
    TEXT,
    WITHIN_S,
    Kie,
    started,
)

from kie_runway_sandbox import Fault, Sandbox, SandboxOptions
from kie_runway_sandbox.faults import HANDLED_KINDS, FaultKind

pytestmark = pytest.mark.anyio

RESETS: list[FaultKind] = ["lost_answer", "reset_before", "cut_body"]


async def raw_create(kie: Kie) -> tuple[bytes, Exception | None]:
    """Everything a create's connection brings, and how it ends if not in order."""
    url = kie.http.base_url
    body = json.dumps(TEXT).encode()
    head = (
        f"POST {GENERATE} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nConnection: close\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(head.encode() + body)
    received = b""
    try:
        with anyio.fail_after(WITHIN_S):
            while chunk := await reader.read(65_536):
                received += chunk
    except OSError as error:
        return received, error
    finally:
        writer.close()
    return received, None


@pytest.mark.parametrize("kind", RESETS)
async def test_a_reset_is_a_true_reset(kind: FaultKind) -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault(kind))
        received, error = await raw_create(kie)
        after = await kie.credits()

    assert isinstance(error, ConnectionResetError)
    assert (b"200 OK" in received) == (kind == "cut_body")
    assert len(sandbox.tasks) == (0 if kind == "reset_before" else 1)
    assert after == (1000.0 if kind == "reset_before" else 988.0)
    answers = [entry.details["answer"] for entry in sandbox.log.select("create")]
    assert answers == ([] if kind == "reset_before" else ["lost"])


async def test_a_cut_body_ends_in_its_middle() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("cut_body"))
        received, _ = await raw_create(kie)

    head, _, body = received.partition(b"\r\n\r\n")
    announced = int(head.lower().partition(b"content-length: ")[2].split()[0])
    assert len(body) == announced // 2


async def test_a_truncated_body_looks_complete_and_is_no_json() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("truncated_json"))
        response = await kie.http.post(GENERATE, json=TEXT)

    assert response.status_code == 200
    assert response.text.startswith('{"code":200')
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        response.json()
    assert sandbox.log.select("create")[0].details["answer"] == "spoiled"


@pytest.mark.parametrize("processed", [None, True])
@pytest.mark.parametrize(
    ("kind", "status", "content_type", "text"),
    [
        ("not_json", 200, "text/plain", "upstream"),
        ("html_502", 502, "text/html", "502 Bad Gateway"),
        ("cdn_403", 403, "text/plain", "error code: 1010"),
        ("redirect", 307, "", ""),
    ],
)
async def test_an_answer_from_the_edge(
    kind: FaultKind, status: int, content_type: str, text: str, processed: bool | None
) -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault(kind, processed=processed, location="http://b.example/x"))
        response = await kie.http.post(GENERATE, json=TEXT)

    assert response.status_code == status
    assert content_type in response.headers.get("content-type", "")
    assert text in response.text
    assert response.headers.get("location") == ("http://b.example/x" if status == 307 else None)
    assert len(sandbox.tasks) == (1 if processed else 0)


ALL_CODES = (400, 401, 402, 404, 408, 422, 429, 433, 451, 455, 500, 501, 505, 550)


@pytest.mark.parametrize("code", ALL_CODES)
async def test_any_code_comes_on_any_status(code: int) -> None:
    async with started() as (sandbox, kie):
        for status in (200, code):
            sandbox.inject(Fault("refuse", status=status, code=code, message="because"))
            response = await kie.http.post(GENERATE, json=TEXT)

            assert response.status_code == status
            assert response.json()["code"] == code
            assert response.json()["msg"] == "because"
    assert sandbox.tasks == []


async def test_a_500_may_leave_a_task_behind() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("refuse", status=500, code=500, processed=True))
        response = await kie.http.post(GENERATE, json=TEXT)

    assert response.json() == {"code": 500, "msg": "server error", "data": None}
    (entry,) = sandbox.log.select("create")
    assert entry.details["answer"] == "spoiled"


@pytest.mark.parametrize(
    "value", ["0", "-1", "1000000000", "Wed, 21 Oct 2026 07:28:00 GMT", "rubbish"]
)
async def test_a_429_carries_any_retry_after_and_may_be_bare(value: str) -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("refuse", status=429, code=None, headers={"Retry-After": value}))
        response = await kie.http.post(GENERATE, json=TEXT)

    assert (response.status_code, response.content) == (429, b"")
    assert response.headers["retry-after"] == value


@pytest.mark.parametrize("task_id", [12345, "", "x" * 10_000, "../../a/b", None])
async def test_a_task_id_can_be_anything(task_id: Any) -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("edit", endpoint="runway/generate", merge={"taskId": task_id}))
        answer = await kie.post(GENERATE, TEXT)

    assert answer["code"] == 200
    assert answer["data"] == {"taskId": task_id}
    assert len(sandbox.tasks) == 1


async def test_a_task_id_can_be_missing() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("edit", drop=("taskId",)))
        answer = await kie.post(GENERATE, TEXT)

    assert answer == {"code": 200, "msg": "success", "data": {}}


async def test_a_record_can_go_back_be_unknown_or_lack_its_url() -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create()
        sandbox.finish(task_id)
        for merge in ({"state": "generating"}, {"state": "dreaming"}, {"videoInfo": None}):
            sandbox.inject(Fault("edit", endpoint="runway/record-detail", merge=merge))
        records = [await kie.record(task_id) for _ in range(4)]

    assert [record["state"] for record in records] == [
        "generating",
        "dreaming",
        "success",
        "success",
    ]
    assert [bool(record["videoInfo"]) for record in records] == [True, True, False, True]


async def test_edit_leaves_an_unknown_record_alone() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("edit", merge={"state": "success"}))

        assert await kie.record("nothing") is None


async def test_a_slow_head_and_a_slow_body_bring_the_honest_answer() -> None:
    async with started() as (sandbox, kie):
        for kind in ("slow_head", "slow_body"):
            sandbox.inject(Fault(kind, seconds=0.001))
            await kie.create()

    answers = [entry.details["answer"] for entry in sandbox.log.select("create")]
    assert answers == ["delivered", "delivered"]


@pytest.mark.parametrize(("processed", "tasks"), [(True, 1), (False, 0)])
@pytest.mark.parametrize("kind", ["slow_head", "slow_body"])
async def test_who_leaves_a_slow_answer_gets_none(
    kind: FaultKind, processed: bool, tasks: int
) -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault(kind, seconds=60, processed=processed))
        with pytest.raises(httpx.ReadTimeout):
            await kie.http.post(GENERATE, json=TEXT, timeout=httpx.Timeout(WITHIN_S, read=0.2))
        await kie.credits()

    answers = [entry.details["answer"] for entry in sandbox.log.select("create")]
    assert answers == ["lost"] * tasks


async def test_a_slow_body_comes_byte_by_byte() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("slow_body", seconds=0.001))
        async with kie.http.stream("GET", CREDIT) as response:
            chunks = [chunk async for chunk in response.aiter_raw()]

    assert b"".join(chunks) == b'{"code":200,"msg":"success","data":1000.0}'
    assert len(chunks) > 10


async def test_a_slow_refusal_is_a_500_that_did_nothing() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("slow_head", seconds=0.001, processed=False))
        answer = await kie.post(GENERATE, TEXT)

    assert answer["code"] == 500
    assert sandbox.tasks == []


async def test_an_endless_body_goes_on_until_the_client_leaves() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("endless_body"))
        read = 0
        async with kie.http.stream("POST", GENERATE, json=TEXT) as response:
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > 5_000_000:
                    break

        assert await kie.credits() == 988.0
    assert sandbox.log.select("create")[0].details["answer"] == "lost"


async def test_a_gzip_bomb_is_small_on_the_wire_and_ends_in_the_answer() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("gzip_bomb", size_bytes=20_000_000))
        async with kie.http.stream("GET", CREDIT) as response:
            wire = b"".join([chunk async for chunk in response.aiter_raw()])
        inflated = gzip.decompress(wire)

    assert response.headers["content-encoding"] == "gzip"
    assert len(wire) < 100_000
    assert len(inflated) > 20_000_000
    assert json.loads(inflated)["data"] == 1000.0


async def test_huge_headers_are_as_huge_as_wanted() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("huge_headers", size_bytes=1_000_000))
        received, error = await raw_create(kie)

    head, _, body = received.partition(b"\r\n\r\n")
    assert error is None
    assert len(head) > 1_000_000
    assert json.loads(body)["data"]["taskId"] == sandbox.tasks[0].task_id


async def test_faults_are_played_as_often_as_told_and_in_order() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("refuse", code=455, times=2))
        sandbox.inject(Fault("refuse", code=501))
        sandbox.inject(Fault("refuse", code=400, times=0))
        codes = [(await kie.http.get(CREDIT)).json()["code"] for _ in range(4)]
        sandbox.inject(Fault("refuse", code=505, times=None))
        always = {(await kie.http.get(CREDIT)).json()["code"] for _ in range(10)}
        sandbox.faults.clear()
        healed = (await kie.http.get(CREDIT)).json()["code"]

    assert codes == [455, 455, 501, 200]
    assert always == {505}
    assert healed == 200


async def test_a_fault_hits_only_its_endpoint() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("refuse", endpoint="runway/record-detail"))
        task_id = await kie.create()
        await kie.credits()
        first = (await kie.http.get(RECORD, params={"taskId": task_id})).json()
        second = (await kie.http.get(RECORD, params={"taskId": task_id})).json()

    assert (first["code"], second["code"]) == (500, 200)
    assert sandbox.task(task_id).lookups == 1
    assert sandbox.requests["runway/record-detail"] == 2


async def test_uploads_and_downloads_can_be_faulty_too() -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create()
        sandbox.finish(task_id)
        url = (await kie.record(task_id))["videoInfo"]["videoUrl"]
        sandbox.inject(Fault("cut_body", endpoint="media"))
        with pytest.raises(httpx.HTTPError):
            await kie.http.get(url)
        whole = await kie.http.get(url)
        sandbox.inject(Fault("html_502", endpoint="file-base64-upload"))
        upload = await kie.http.post(BASE64_UPLOAD, json={})

    assert whole.status_code == 200
    assert upload.status_code == 502


async def test_faults_leave_the_controls_alone() -> None:
    async with started() as (sandbox, kie):
        sandbox.inject(Fault("reset_before", times=None))
        state = await kie.http.get("/_sandbox/state")

    assert state.status_code == 200


def test_every_kind_says_whether_it_handles_the_request() -> None:
    assert Fault("lost_answer").handles
    assert not Fault("reset_before").handles
    assert not Fault("refuse").handles
    assert Fault("refuse", processed=True).handles
    assert "edit" in HANDLED_KINDS


async def test_without_a_socket_a_reset_is_an_exception() -> None:
    """Through `httpx.ASGITransport` there is no connection to reset."""
    with Sandbox(SandboxOptions()) as sandbox:
        sandbox.inject(Fault("lost_answer"))
        transport = httpx.ASGITransport(sandbox.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            with pytest.raises(ConnectionResetError):
                await http.get(CREDIT)
            http.headers["Authorization"] = f"Bearer {KEY}"
            answer = await http.get(CREDIT)

    assert answer.json()["data"] == 1000.0
