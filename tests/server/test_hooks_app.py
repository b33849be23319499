"""Where callbacks arrive, over real sockets."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from tests.hosting import hosted
from tests.server.hooks import HMAC_KEY, SUCCESS, TASK_ID, Hooks, open_hooks, signature

from kie_runway.errors import LedgerError
from kie_runway.hooks_app import AT_ONCE, BODY_MAX_BYTES, HOOKS_ROUTE, HooksEndpoint
from kie_runway.webhooks import HOOKS_PATH, TOKEN_LIVES, Webhooks, new_token

pytestmark = pytest.mark.anyio

WITHIN_S = 60


@pytest.fixture(name="hooks")
async def _hooks(tmp_path: Path) -> AsyncGenerator[Hooks]:
    async with open_hooks(tmp_path) as hooks:
        yield hooks


def app(endpoint: HooksEndpoint) -> Starlette:
    return Starlette(routes=[Route(HOOKS_ROUTE, endpoint.receive, methods=["POST"])])


@pytest.fixture(name="url")
async def _url(hooks: Hooks) -> AsyncGenerator[str]:
    """The callback address of the row."""
    async with hosted(app(HooksEndpoint(hooks.opened))) as base:
        yield f"{base}{HOOKS_PATH}/{hooks.token}"


@pytest.fixture(name="http")
async def _http() -> AsyncGenerator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(trust_env=False, timeout=WITHIN_S, limits=limits) as client:
        yield client


async def test_a_callback_is_stored_before_it_is_acknowledged(
    hooks: Hooks, url: str, http: httpx.AsyncClient
) -> None:
    answer = await http.post(url, content=SUCCESS)

    assert (answer.status_code, answer.json()) == (200, {"status": "received"})
    assert [callback.task_id for callback in await hooks.stored()] == [TASK_ID]


async def test_every_address_that_is_none_gets_the_same_answer(
    hooks: Hooks, url: str, http: httpx.AsyncClient
) -> None:
    base = url.removesuffix(hooks.token)
    wrong = ["", "x", "a/b", f"{hooks.token}/", "%00", "..%2F", "a" * 10_000, new_token()]
    answers = [await http.post(f"{base}{token}", content=SUCCESS) for token in wrong]
    hooks.clock.at += TOKEN_LIVES + timedelta(seconds=1)
    answers.append(await http.post(url, content=SUCCESS))

    assert {(answer.status_code, answer.content) for answer in answers} == {
        (404, b'{"status":"not found"}')
    }
    assert len({tuple(sorted(set(answer.headers) - {"date"})) for answer in answers}) == 1
    assert not await hooks.stored()


async def test_an_unknown_address_reads_no_body(url: str, hooks: Hooks) -> None:
    wrong = url.replace(hooks.token, new_token())
    with anyio.fail_after(WITHIN_S):
        head = await said(wrong, b"Content-Length: 1000", b"{")

    assert head.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD", "DELETE", "PATCH"])
async def test_nothing_but_post_is_allowed(
    url: str, http: httpx.AsyncClient, hooks: Hooks, method: str
) -> None:
    answer = await http.request(method, url, content=SUCCESS)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert not await hooks.stored()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"data": null}', b"\x1f\x8b\x08gzip", b"[" * 60_000]
)
async def test_what_is_no_callback_is_a_bad_request(
    url: str, http: httpx.AsyncClient, hooks: Hooks, content: bytes
) -> None:
    answer = await http.post(url, content=content)

    assert (answer.status_code, answer.json()) == (400, {"status": "not a callback"})
    assert not await hooks.stored()


async def test_a_body_of_64_kib_is_read_and_one_more_byte_is_too_large(
    url: str, http: httpx.AsyncClient
) -> None:
    at_limit = SUCCESS.ljust(BODY_MAX_BYTES)

    assert (await http.post(url, content=at_limit)).status_code == 200
    assert (await http.post(url, content=at_limit + b" ")).status_code == 413


async def test_a_body_that_says_it_is_too_large_is_not_waited_for(url: str) -> None:
    with anyio.fail_after(WITHIN_S):
        head = await said(url, b"Content-Length: 10000000", b"")

    assert head.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_does_not_say_how_large_it_is_ends_at_64_kib(url: str) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    with anyio.fail_after(WITHIN_S):
        head = await said(url, b"Transfer-Encoding: chunked", chunk * 3)  # and no end

    assert head.startswith(b"HTTP/1.1 413 ")


async def test_a_slow_sender_is_cut_off(hooks: Hooks) -> None:
    async with hosted(app(HooksEndpoint(hooks.opened, deadline_s=0.05))) as base:
        with anyio.fail_after(WITHIN_S):
            answer = await said(f"{base}{HOOKS_PATH}/{hooks.token}", b"Content-Length: 99", b"{")

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert not await hooks.stored()


async def test_a_sender_that_hangs_up_leaves_nothing_behind(
    hooks: Hooks, url: str, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    parts = httpx.URL(url)
    _, writer = await asyncio.open_connection(parts.host, parts.port)
    writer.write(request(parts, b"Content-Length: 99", b"{"))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    answer = await http.post(url, content=SUCCESS)

    assert answer.status_code == 200
    assert not [line for line in caplog.records if line.levelno >= logging.WARNING]


async def test_a_signature_is_needed_once_there_is_a_key(
    tmp_path: Path, http: httpx.AsyncClient
) -> None:
    async with open_hooks(tmp_path, [HMAC_KEY]) as hooks:
        headers = signature(at=hooks.clock.now())
        async with hosted(app(HooksEndpoint(hooks.opened))) as base:
            url = f"{base}{HOOKS_PATH}/{hooks.token}"
            unsigned = await http.post(url, content=SUCCESS)
            twice = [*headers.items(), ("x-webhook-timestamp", "1")]
            doubled = await http.post(url, content=SUCCESS, headers=twice)
            signed = await http.post(url, content=SUCCESS, headers=headers)
        stored = await hooks.stored()

    assert [answer.status_code for answer in (unsigned, doubled, signed)] == [401, 401, 200]
    assert unsigned.content == doubled.content
    assert len(stored) == 1


async def test_a_ledger_that_fails_makes_kie_send_it_again(
    hooks: Hooks, url: str, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    ledger = anyio.Path(tmp_path / "ledger.db")
    moved = await ledger.rename(tmp_path / "moved.db")
    answer = await http.post(url, content=SUCCESS)
    await moved.rename(ledger)
    again = await http.post(url, content=SUCCESS)

    assert (answer.status_code, answer.json()) == (503, {"status": "busy"})
    assert again.status_code == 200


async def test_a_callback_after_the_end_is_not_acknowledged(
    tmp_path: Path, http: httpx.AsyncClient
) -> None:
    async with open_hooks(tmp_path) as hooks:
        pass
    async with hosted(app(HooksEndpoint(hooks.opened))) as base:
        answer = await http.post(f"{base}{HOOKS_PATH}/{hooks.token}", content=SUCCESS)

    assert answer.status_code == 503


async def test_an_app_that_cannot_be_opened_makes_kie_send_it_again(
    http: httpx.AsyncClient,
) -> None:
    async def broken() -> Webhooks:
        raise LedgerError("no room")

    async with hosted(app(HooksEndpoint(broken))) as base:
        answer = await http.post(f"{base}{HOOKS_PATH}/{new_token()}", content=SUCCESS)

    assert (answer.status_code, answer.json()) == (503, {"status": "busy"})


async def test_a_flood_is_turned_away_and_what_was_taken_is_answered(
    hooks: Hooks, http: httpx.AsyncClient
) -> None:
    gate = asyncio.Event()
    taken = asyncio.Semaphore(0)

    async def held() -> Webhooks:
        taken.release()
        await gate.wait()
        return hooks.webhooks

    async with hosted(app(HooksEndpoint(held))) as base:
        url = f"{base}{HOOKS_PATH}/{hooks.token}"
        with anyio.fail_after(WITHIN_S):
            first = [asyncio.create_task(http.post(url, content=SUCCESS)) for _ in range(AT_ONCE)]
            for _ in first:
                await taken.acquire()
            flood = [await http.post(url, content=SUCCESS) for _ in range(100)]
            gate.set()
            answers = await asyncio.gather(*first)
            after = await http.post(url, content=SUCCESS)

    assert {answer.status_code for answer in flood} == {503}
    assert {answer.status_code for answer in (*answers, after)} == {200}


async def test_a_fault_of_ours_tells_the_sender_nothing(http: httpx.AsyncClient) -> None:
    async def crashing() -> Webhooks:
        raise RuntimeError("details")

    async with hosted(app(HooksEndpoint(crashing))) as base:
        answer = await http.post(f"{base}{HOOKS_PATH}/{new_token()}", content=SUCCESS)

    assert answer.status_code == 500
    assert answer.text == "Internal Server Error"


async def test_no_log_line_holds_what_was_sent(
    url: str,
    hooks: Hooks,
    http: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    # The sender's own words, and a logger that only pytest gives a handler.
    for name in ("httpx", "httpcore.http11", "uvicorn.access"):
        monkeypatch.setattr(logging.getLogger(name), "disabled", True)
    for content in (SUCCESS, b"SECRET-BODY", b'{"taskId": "SECRET-BODY x"}'):
        await http.post(url, content=content, headers={"X-Webhook-Signature": "SECRET-HEADER"})

    assert "a callback was refused" in caplog.text
    assert hooks.token not in caplog.text
    assert "SECRET" not in caplog.text + repr([vars(record) for record in caplog.records])


def request(url: httpx.URL, framing: bytes, body: bytes) -> bytes:
    """The bytes of a POST."""
    return b"POST %b HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n%b" % (url.raw_path, framing, body)


async def said(url: str, framing: bytes, body: bytes) -> bytes:
    """The head of the answer to a POST that says how long it is, but may never end."""
    parts = httpx.URL(url)
    reader, writer = await asyncio.open_connection(parts.host, parts.port)
    try:
        writer.write(request(parts, framing, body))
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
