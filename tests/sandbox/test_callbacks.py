"""Callbacks: bodies, signatures, retries."""

from typing import Any

import anyio
import pytest
from tests.sandbox.helpers import ALEPH, ALEPH_GENERATE, WITHIN_S, Kie, receiving, started

from kie_runway_sandbox import Switches
from kie_runway_sandbox.callbacks import sign

pytestmark = pytest.mark.anyio

OPTIONS: dict[str, Any] = {"advance": "manual", "callback_spacing_s": 0.0}


@pytest.mark.parametrize(
    ("task_id", "timestamp", "signature"),
    [
        (
            "ee603959-debb-48d1-98c4-a6d1c717eba6",
            1767225600,
            "we6zGHGX4620X1BJm/ZHCJPs+NLsBfa6MTLbMIGcnQk=",
        ),
        (
            "c0d088df35254cc3e7187fb7116b2efa",
            1787093516,
            "tE25N+fG5g8CYYLVX/7SjWNo1lGPdk/tOrhaRGbT23U=",
        ),
    ],
)
def test_signatures_match_the_contract(task_id: str, timestamp: int, signature: str) -> None:
    assert sign("kie-test-hmac-key", task_id, timestamp) == signature


async def body_of(kind: str, fails: bool, **switches: Any) -> tuple[str, Any, str]:
    """The id, the callback's body, and the sandbox's address."""
    options: dict[str, Any] = {**OPTIONS, "switches": Switches(**switches)}
    async with receiving() as receiver, started(**options) as (sandbox, kie):
        task_id = await create(kie, kind, receiver.url)
        sandbox.fail(task_id, 400, "NSFW") if fails else sandbox.finish(task_id)
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback", task_id)
        url = str(kie.http.base_url).rstrip("/")
    ((headers, body),) = receiver.received
    assert headers["content-type"] == "application/json"
    return task_id, body, f"{url}/media/{task_id}"


async def create(kie: Kie, kind: str, hook: str) -> str:
    if kind == "aleph":
        return await kie.create(ALEPH_GENERATE, ALEPH, callBackUrl=hook)
    if kind == "extend":
        return await kie.extend("parent", callBackUrl=hook)
    return await kie.create(callBackUrl=hook)


@pytest.mark.parametrize("kind", ["generate", "extend"])
async def test_a_runway_success(kind: str) -> None:
    task_id, body, media = await body_of(kind, fails=False)

    video_id = body["data"].pop("video_id")
    assert len(video_id) == 36
    assert body == {
        "code": 200,
        "msg": "All generated successfully.",
        "data": {
            "task_id": task_id,
            "video_url": f"{media}/video.mp4",
            "image_url": f"{media}/cover.png",
        },
    }


async def test_a_generation_failure_has_four_keys_and_an_extension_failure_one() -> None:
    task_id, generation, _ = await body_of("generate", fails=True)
    assert generation["code"] == 400
    assert "NSFW" in generation["msg"]
    empty = {"video_id": "", "video_url": "", "image_url": ""}
    assert generation["data"] == {"task_id": task_id, **empty}

    task_id, extension, _ = await body_of("extend", fails=True)
    assert extension["data"] == {"task_id": task_id}


async def test_aleph_in_the_documented_layout() -> None:
    task_id, body, media = await body_of("aleph", fails=False)
    assert body == {
        "code": 200,
        "msg": "success",
        "data": {
            "result_video_url": f"{media}/video.mp4",
            "result_image_url": f"{media}/cover.png",
        },
        "taskId": task_id,
    }

    task_id, body, _ = await body_of("aleph", fails=True)
    assert (body["code"], body["data"], body["taskId"]) == (400, None, task_id)


@pytest.mark.parametrize("fails", [False, True])
async def test_aleph_in_the_other_layout(fails: bool) -> None:
    task_id, body, media = await body_of("aleph", fails=fails, aleph_callback="block")

    assert body["data"]["task_id"] == task_id
    assert body["data"]["video_url"] == ("" if fails else f"{media}/video.mp4")
    assert "taskId" not in body


@pytest.mark.parametrize("key", [None, "kie-test-hmac-key"])
async def test_callbacks_are_signed_only_with_a_key(key: str | None) -> None:
    options: dict[str, Any] = {**OPTIONS, "switches": Switches(webhook_key=key)}
    async with receiving() as receiver, started(**options) as (sandbox, kie):
        task_id = await kie.create(callBackUrl=receiver.url)
        sandbox.finish(task_id)
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback")
    headers, _ = receiver.received[0]

    if key is None:
        assert "x-webhook-signature" not in headers
        assert "x-webhook-timestamp" not in headers
    else:
        timestamp = int(headers["x-webhook-timestamp"])
        assert headers["x-webhook-signature"] == sign(key, task_id, timestamp)


@pytest.mark.parametrize("attempts", [4, 3])
async def test_a_refused_callback_is_tried_again_and_then_given_up(attempts: Any) -> None:
    options: dict[str, Any] = {**OPTIONS, "switches": Switches(callback_attempts=attempts)}
    async with receiving(500, 404, 201, 302) as receiver, started(**options) as (sandbox, kie):
        sandbox.finish(await kie.create(callBackUrl=receiver.url))
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback_not_delivered")

    entries = sandbox.log.select("callback")
    assert len(receiver.received) == attempts
    assert [entry.details["result"] for entry in entries] == ["500", "404", "201", "302"][:attempts]
    assert not any(entry.details["acknowledged"] for entry in entries)


async def test_a_retry_that_is_acknowledged_is_the_last() -> None:
    async with receiving(500) as receiver, started(**OPTIONS) as (sandbox, kie):
        sandbox.finish(await kie.create(callBackUrl=receiver.url))
        with anyio.fail_after(WITHIN_S):
            entry = await sandbox.log.wait_for("callback", count=2)

    assert entry.details["acknowledged"]
    assert sandbox.log.select("callback_not_delivered") == []
    assert receiver.received[0][1] == receiver.received[1][1]


async def test_a_silent_receiver_times_out() -> None:
    options: dict[str, Any] = {**OPTIONS, "callback_timeout_s": 0.1}
    async with receiving(0) as receiver, started(**options) as (sandbox, kie):
        sandbox.finish(await kie.create(callBackUrl=receiver.url))
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback", count=2)

    first, second, *_ = sandbox.log.select("callback")
    assert "Timeout" in first.details["result"]
    assert not first.details["acknowledged"]
    assert second.details["attempt"] == 2


async def test_a_receiver_that_is_down_is_tried_too() -> None:
    async with started(**OPTIONS) as (sandbox, kie):
        sandbox.finish(await kie.create(callBackUrl="http://127.0.0.1:1/hook"))
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback_not_delivered")

    assert [e.details["result"] for e in sandbox.log.select("callback")] == ["ConnectError"] * 4


async def test_duplicates_come_when_switched_on() -> None:
    options: dict[str, Any] = {**OPTIONS, "switches": Switches(duplicate_callbacks=True)}
    async with receiving() as receiver, started(**options) as (sandbox, kie):
        sandbox.finish(await kie.create(callBackUrl=receiver.url))
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback", count=2)

    assert len(receiver.received) == 2


@pytest.mark.parametrize("host", ["hooks.example.com", "10.0.0.1", "8.8.8.8", "loopback.test"])
async def test_the_sandbox_calls_nobody_but_this_machine(host: str) -> None:
    async with started(**OPTIONS) as (sandbox, kie):
        sandbox.finish(await kie.create(callBackUrl=f"http://{host}/hook"))
        with anyio.fail_after(WITHIN_S):
            entry = await sandbox.log.wait_for("callback_not_delivered")

    assert "loopback" in entry.details["reason"]
    assert sandbox.log.select("callback") == []


async def test_a_task_that_fails_by_itself_calls_back() -> None:
    async with receiving() as receiver, started() as (sandbox, kie):
        await kie.create(prompt="[moderated]", callBackUrl=receiver.url)
        sandbox.advance(16)
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback")

    assert receiver.received[0][1]["code"] == 400


async def test_a_reset_stops_what_is_being_delivered() -> None:
    options: dict[str, Any] = {**OPTIONS, "callback_spacing_s": 3600.0}
    async with receiving(500) as receiver, started(**options) as (sandbox, kie):
        sandbox.finish(await kie.create(callBackUrl=receiver.url))
        with anyio.fail_after(WITHIN_S):
            await sandbox.log.wait_for("callback")
        sandbox.reset()
        await kie.credits()

    assert sandbox.log.entries == []
