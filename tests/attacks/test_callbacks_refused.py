"""Callbacks that are none: refused with few words, and nothing comes of them."""

import asyncio
from collections import Counter
from datetime import timedelta

import anyio
import httpx
import pytest
from tests.attacks.hooks import HMAC_KEY, Site, StoppedClock, body, open_site, signed
from tests.attacks.kie import Hurry

from kie_runway.settings import Settings
from kie_runway.signature import FRESH_S
from kie_runway.webhooks import HOOKS_PATH, new_token
from kie_runway_sandbox import Sandbox
from kie_runway_sandbox.callbacks import sign

pytestmark = pytest.mark.anyio

WITHIN_S = 120


async def assert_nothing_came_of_it(site: Site, task_id: str) -> None:
    """Neither a look at KIE nor a change, though the task has ended there by now."""
    listed = await site.agent.call("list_tasks")

    assert site.looks() == 0
    assert [(task["task_id"], task["state"]) for task in listed["tasks"]] == [(task_id, "wait")]


@pytest.mark.parametrize("case", ["unsigned", "no time", "wrong key", "other task", "no signature"])
async def test_without_a_good_signature_a_callback_is_refused(
    sandbox: Sandbox, settings: Settings, case: str
) -> None:
    async with open_site(sandbox, settings, key=HMAC_KEY) as site:
        task_id = await site.start()
        good = signed(task_id)
        headers = {
            "unsigned": {},
            "no time": {"X-Webhook-Signature": good["X-Webhook-Signature"]},
            "wrong key": signed(task_id, key="wrong/Planted"),
            "other task": signed("another"),
            "no signature": {**good, "X-Webhook-Signature": ""},
        }[case]
        answer = await site.http.post(site.address(task_id), content=body(task_id), headers=headers)
        await assert_nothing_came_of_it(site, task_id)

    assert answer.status_code == 401


@pytest.mark.parametrize(("off_s", "status"), [(-301, 401), (-300, 200), (300, 200), (301, 401)])
async def test_a_time_stamp_301_seconds_off_is_refused_both_ways(
    sandbox: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    off_s: int,
    status: int,
) -> None:
    clock = StoppedClock.install(monkeypatch)
    async with open_site(sandbox, settings, key=HMAC_KEY) as site:
        task_id = await site.start()
        seconds = int(clock.at.timestamp()) + off_s
        headers = {
            "X-Webhook-Timestamp": str(seconds),
            "X-Webhook-Signature": sign(HMAC_KEY, task_id, seconds),
        }
        answer = await site.http.post(site.address(task_id), content=body(task_id), headers=headers)

    assert FRESH_S == 300
    assert answer.status_code == status


async def test_a_valid_signature_over_another_task_is_refused(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with open_site(sandbox, settings, key=HMAC_KEY) as site:
        task_id = await site.start()
        answer = await site.http.post(
            site.address(task_id), content=body("another"), headers=signed(task_id)
        )
        await assert_nothing_came_of_it(site, task_id)

    assert answer.status_code == 401


async def test_a_callback_about_another_task_than_its_address_is_refused(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with open_site(sandbox, settings, key=HMAC_KEY) as site:
        task_id = await site.start()
        answer = await site.http.post(
            site.address(task_id), content=body("another"), headers=signed("another")
        )
        await assert_nothing_came_of_it(site, task_id)

    assert answer.status_code == 400


async def test_an_unknown_an_expired_and_a_misshapen_address_are_not_told_apart(
    sandbox: Sandbox, settings: Settings, hurry: Hurry
) -> None:
    async with open_site(sandbox, settings) as site:
        task_id = await site.start()
        hooks = f"{site.base}{HOOKS_PATH}"
        others = [f"{hooks}/{token}" for token in ("x", new_token(), "a/b", "%2e%2e", "")]
        answers = [await site.http.post(address, content=body(task_id)) for address in others]
        hurry.moved = timedelta(days=14, seconds=1)
        answers.append(await site.http.post(site.address(task_id), content=body(task_id)))

    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b'{"status":"not found"}')
    }


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b" " * 10_000_000, 413),
        (b"{", 400),
        (b"<html>", 400),
        (b"[]", 400),
        (b'[{"taskId": "x"}]', 400),
        (b'{"code": 400, "msg": "no", "data": null}', 400),
        (b'{"data": {"task_id": "a"}, "taskId": "b"}', 400),
        (b"[" * 65_000, 400),
        (b"\x00" * 1000, 400),
    ],
    ids=["10 MB", "cut", "html", "array", "array of one", "null", "two ids", "deep", "zeros"],
)
async def test_a_body_that_is_no_callback_is_refused(
    sandbox: Sandbox, settings: Settings, content: bytes, status: int
) -> None:
    async with open_site(sandbox, settings) as site:
        task_id = await site.start()
        answer = await site.http.post(site.address(task_id), content=content)
        await assert_nothing_came_of_it(site, task_id)

    assert answer.status_code == status


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD", "DELETE"])
async def test_another_method_is_not_allowed(
    sandbox: Sandbox, settings: Settings, method: str
) -> None:
    async with open_site(sandbox, settings) as site:
        task_id = await site.start()
        answer = await site.http.request(method, site.address(task_id), content=body(task_id))
        await assert_nothing_came_of_it(site, task_id)

    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


async def shout(at_once: asyncio.Semaphore, address: str, content: bytes) -> int:
    """Post over a connection of its own, quicker than any client library; the status."""
    url = httpx.URL(address)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    async with at_once:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        try:
            writer.write(head % (url.raw_path, len(content)) + content)
            answer = await reader.read()
        finally:
            writer.close()
    return int(answer.split(b" ")[1])


async def test_a_thousand_at_once_are_answered_or_turned_away_and_the_agent_is_served(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    StoppedClock.install(monkeypatch)
    async with open_site(sandbox, settings) as site:
        task_id = await site.start()
        addresses = (site.address(task_id), f"{site.base}{HOOKS_PATH}/{new_token()}")
        at_once = asyncio.Semaphore(200)
        with anyio.fail_after(WITHIN_S):
            flood = asyncio.gather(
                *(shout(at_once, addresses[n % 2], body(task_id)) for n in range(1000))
            )
            listed = await site.agent.call("list_tasks")
            statuses = Counter(await flood)

    assert set(statuses) <= {200, 404, 408, 503}
    assert statuses[200] > 0
    assert len(listed["tasks"]) == 1
    assert site.looks() <= 1


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"},
        {"X-Forwarded-Host": "127.0.0.1", "Forwarded": "for=127.0.0.1;host=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1", "X-Original-URL": "/health"},
    ],
)
async def test_spoofed_forwarding_headers_make_no_difference(
    sandbox: Sandbox, settings: Settings, headers: dict[str, str]
) -> None:
    async with open_site(sandbox, settings, key=HMAC_KEY) as site:
        task_id = await site.start()
        hook = await site.http.post(site.address(task_id), content=body(task_id), headers=headers)
        foreign = headers | {"Host": "hooks.example"}
        mcp = await site.http.post(f"{site.base}/mcp", json={}, headers=foreign)
        await assert_nothing_came_of_it(site, task_id)

    assert hook.status_code == 401
    assert mcp.status_code == 421


async def test_callbacks_come_under_any_host_name_and_agents_do_not(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with open_site(sandbox, settings) as site:
        task_id = await site.start()
        foreign = {"Host": "hooks.example", "Origin": "https://kie.example"}
        hook = await site.http.post(site.address(task_id), content=body(task_id), headers=foreign)
        mcp = await site.http.post(f"{site.base}/mcp", json={}, headers=foreign)

    assert (hook.status_code, mcp.status_code) == (200, 421)
