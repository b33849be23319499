"""What the answer to a paid request proves, for every code on both layers."""

import asyncio
import json
from itertools import product

import httpx
import pytest
from tests.server.kie_stub import (
    ALEPH,
    GENERATE,
    KEY,
    PAID,
    USER_AGENT,
    answer,
    answering,
    client,
)

from kie_runway.client import KieClient
from kie_runway.errors import (
    BlockedError,
    KieError,
    MaintenanceError,
    NoCreditsError,
    NoKeyError,
    NotAllowedError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusedError,
    WrongKeyError,
)
from kie_runway.models import PaidRequest, TaskKind

pytestmark = pytest.mark.anyio

BY_CODE: dict[int, type[KieError]] = {
    400: RefusedError,
    401: WrongKeyError,
    402: NoCreditsError,
    404: RefusedError,
    408: OutcomeUnknownError,
    422: RefusedError,
    429: RateLimitedError,
    433: NotAllowedError,
    451: RefusedError,
    455: MaintenanceError,
    500: OutcomeUnknownError,
    501: OutcomeUnknownError,
    505: NotAllowedError,
    550: OutcomeUnknownError,
}
# What HTTP alone proves when the body is no envelope.
BY_STATUS: dict[int, type[KieError]] = {
    **dict.fromkeys((400, 404, 405, 410, 413, 414, 415, 418, 422, 431, 451), RefusedError),
    401: WrongKeyError,
    402: NoCreditsError,
    403: BlockedError,
    429: RateLimitedError,
    433: NotAllowedError,
    455: MaintenanceError,
    **dict.fromkeys(
        (204, 304, 408, 425, 499, 500, 501, 502, 503, 504, 505, 520, 522, 524, 550),
        OutcomeUnknownError,
    ),
}
ENDPOINTS = {
    TaskKind.GENERATE: "/api/v1/runway/generate",
    TaskKind.EXTEND: "/api/v1/runway/extend",
    TaskKind.ALEPH: "/api/v1/aleph/generate",
}


async def failing(*answers: httpx.Response | Exception) -> KieError:
    """The error of a create, sent exactly once."""
    handler, seen = answering(*answers)
    async with client(handler=handler) as kie:
        with pytest.raises(KieError) as caught:
            await kie.create(GENERATE)
    assert len(seen) == 1
    return caught.value


@pytest.mark.parametrize("request_", PAID, ids=lambda request: request.kind.value)
async def test_an_accepted_request_gives_the_task_id(request_: PaidRequest) -> None:
    handler, seen = answering(answer(data={"taskId": "abc-1"}))
    async with client(handler=handler) as kie:
        task_id = await kie.create(request_, callback_url="https://me.example/hook")

    assert task_id == "abc-1"
    assert seen[0].method == "POST"
    assert seen[0].url == f"https://kie.test{ENDPOINTS[request_.kind]}"
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert seen[0].headers["user-agent"] == USER_AGENT
    assert seen[0].headers["content-type"] == "application/json"
    assert json.loads(seen[0].content)["callBackUrl"] == "https://me.example/hook"


@pytest.mark.parametrize(
    ("task_id", "expected"),
    [("x", "x"), ("a/b?c=d", "a/b?c=d"), (4711, "4711"), ("x" * 200, "x" * 200)],
)
async def test_any_printable_task_id_is_taken_as_it_is(task_id: object, expected: str) -> None:
    handler, _ = answering(answer(data={"taskId": task_id, "recordId": 1}))
    async with client(handler=handler) as kie:
        assert await kie.create(GENERATE) == expected


@pytest.mark.parametrize("code", [200, "200", 200.0])
async def test_the_code_may_be_text_and_the_message_may_be_missing(code: object) -> None:
    body = json.dumps({"code": code, "data": {"taskId": "t"}})
    handler, _ = answering(httpx.Response(201, text=body))
    async with client(handler=handler) as kie:
        assert await kie.create(GENERATE) == "t"


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        "abc",
        7,
        {"taskId": None},
        {"taskId": ""},
        {"taskId": "  "},
        {"taskId": True},
        {"taskId": 1.5},
        {"taskId": 0},
        {"taskId": "x" * 201},
        {"taskId": "x" * 10_240},
        {"taskId": "a\nb"},
        {"taskId": "a\u202eb"},
        {"taskId": "\ud800"},
        {"taskId": ["a"]},
        {"task_id": "a"},
    ],
)
async def test_success_without_a_usable_task_id_leaves_the_outcome_unknown(data: object) -> None:
    error = await failing(answer(data=data))

    assert type(error) is OutcomeUnknownError
    assert error.body_code == 200


@pytest.mark.parametrize(
    ("code", "status"),
    [it for it in product(BY_CODE, (200, 400, 422, 429, 500)) if it != (429, 500)],
)
async def test_a_known_body_code_counts_for_more_than_kies_http_status(
    code: int, status: int
) -> None:
    error = await failing(answer(code, status=status))

    assert type(error) is BY_CODE[code]
    assert (error.http_status, error.body_code) == (status, code)
    assert error.message == "provider words"


@pytest.mark.parametrize(
    ("code", "status"),
    [*product((200, 400, 402, 429, 455), (408, 425, 499, 502, 503, 504, 524)), (429, 500)],
)
async def test_a_code_that_a_gateway_may_have_sent_proves_nothing(code: int, status: int) -> None:
    error = await failing(answer(code, status=status))

    assert type(error) is OutcomeUnknownError
    assert (error.http_status, error.body_code) == (status, code)


@pytest.mark.parametrize("body", ["", "<html>Bad gateway</html>", "[]", "null", '{"status":1}'])
@pytest.mark.parametrize("status", sorted(BY_STATUS))
async def test_without_an_envelope_the_http_status_decides(status: int, body: str) -> None:
    error = await failing(httpx.Response(status, text=body))

    assert type(error) is BY_STATUS[status]
    assert (error.http_status, error.body_code, error.message) == (status, None, None)


@pytest.mark.parametrize("status", sorted(set(BY_STATUS) - {204, 304, 403}))
async def test_an_unknown_body_code_leaves_the_decision_to_an_http_error(status: int) -> None:
    assert type(await failing(answer(777, status=status))) is BY_STATUS[status]


@pytest.mark.parametrize("code", [0, 1, 201, 403, 405, 777, -1, "201"])
async def test_http_success_with_an_unknown_code_leaves_the_outcome_unknown(code: object) -> None:
    assert type(await failing(answer(code, {"taskId": "t"}))) is OutcomeUnknownError


@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404, 429, 455, 500, 502])
async def test_body_success_under_an_http_error_is_neither_success_nor_refusal(status: int) -> None:
    assert type(await failing(answer(data={"taskId": "t"}, status=status))) is OutcomeUnknownError


async def test_an_id_that_comes_with_a_contradiction_is_kept() -> None:
    error = await failing(answer(data={"taskId": "task-7"}, status=500))

    assert type(error) is OutcomeUnknownError
    assert "KIE named the task task-7" in error.reason
    assert error.charged == "unknown"


@pytest.mark.parametrize("code", [401, 402, 422, 429])
async def test_a_redirect_proves_nothing_whatever_its_body_says(code: int) -> None:
    assert type(await failing(answer(code, status=307))) is OutcomeUnknownError


async def test_a_403_with_an_envelope_is_about_the_key() -> None:
    assert type(await failing(answer(403, status=403))) is WrongKeyError


async def test_a_bare_403_says_that_the_cdn_blocks_and_what_helps() -> None:
    error = await failing(httpx.Response(403, text="error code: 1010"))

    assert type(error) is BlockedError
    assert "KIE_USER_AGENT" in error.reason


async def test_a_401_without_data_is_about_the_key() -> None:
    body = '{"code":401,"msg":"You do not have access permissions"}'
    error = await failing(httpx.Response(200, text=body))

    assert type(error) is WrongKeyError
    assert error.message == "You do not have access permissions"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0.0), ("7", 7.0), ("-1", None), ("1000000000", 600.0), ("soon", None), (None, None)],
)
async def test_rate_limiting_tells_how_long_to_wait(
    header: str | None, seconds: float | None
) -> None:
    headers = {} if header is None else {"Retry-After": header}
    for answer_ in (
        answer(429, headers=headers),
        answer(429, status=429, headers=headers),
        httpx.Response(429, headers=headers),
    ):
        error = await failing(answer_)

        assert isinstance(error, RateLimitedError)
        assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    "cause",
    [
        httpx.ConnectError("no"),
        httpx.ConnectTimeout("no"),
        httpx.PoolTimeout("no"),
        httpx.ProxyError("no"),
        httpx.UnsupportedProtocol("no"),
        httpx.InvalidURL("no"),
    ],
    ids=lambda cause: type(cause).__name__,
)
async def test_no_connection_proves_that_nothing_was_sent(cause: Exception) -> None:
    assert type(await failing(cause)) is NotSentError


@pytest.mark.parametrize(
    "cause",
    [
        httpx.WriteError("no"),
        httpx.WriteTimeout("no"),
        httpx.ReadError("no"),
        httpx.ReadTimeout("no"),
        httpx.CloseError("no"),
        httpx.RemoteProtocolError("no"),
        httpx.LocalProtocolError("no"),
        httpx.DecodingError("no"),
        TimeoutError(),
        OSError("ssl"),
        RuntimeError("a bug of ours"),
    ],
    ids=lambda cause: type(cause).__name__,
)
async def test_any_other_fault_leaves_the_outcome_unknown(cause: Exception) -> None:
    error = await failing(cause)

    assert type(error) is OutcomeUnknownError
    assert type(cause).__name__ in error.reason
    assert error.charged == "unknown"


@pytest.mark.parametrize("url", ["ftp://kie.test", "kie.test", "https://[", "https://a:99999"])
async def test_an_unusable_address_sends_nothing(url: str) -> None:
    async with client(url) as kie:
        with pytest.raises(NotSentError):
            await kie.create(GENERATE)


async def test_cancelling_passes_through() -> None:
    started = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets the event")

    async with client(handler=never) as kie:
        task = asyncio.create_task(kie.create(GENERATE))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


CALLS = ["create", "look_up", "credits", "download_url", "upload_base64", "upload_url"]


async def call(kie: KieClient, name: str) -> object:
    if name.startswith("upload"):
        source = "https://example.com/a.png" if name == "upload_url" else "aGk="
        return await getattr(kie, name)(source, file_name="a.png", upload_path="p")
    arguments: dict[str, tuple[object, ...]] = {
        "create": (ALEPH,),
        "look_up": (TaskKind.ALEPH, "t"),
        "credits": (),
        "download_url": ("https://example.com/a.mp4",),
    }
    return await getattr(kie, name)(*arguments[name])


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("key", [None, "", "  \n"])
async def test_without_a_key_every_call_says_how_to_get_one(name: str, key: str | None) -> None:
    handler, seen = answering(answer())
    async with client(key=key, handler=handler) as kie:
        with pytest.raises(NoKeyError) as caught:
            await call(kie, name)

    assert seen == []
    for hint in ("kie.ai/api-key", "KIE_API_KEY", "--sandbox"):
        assert hint in caught.value.reason


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "key", ["abc\ndef", "schlüssel", "ключ-ключ", "abc def", "abc\x7f", "\ud800x"]
)
async def test_what_cannot_be_a_key_is_refused_without_repeating_it(name: str, key: str) -> None:
    handler, seen = answering(answer())
    async with client(key=key, handler=handler) as kie:
        with pytest.raises(WrongKeyError) as caught:
            await call(kie, name)

    assert seen == []
    assert key not in caught.value.reason


async def test_white_space_around_a_key_is_not_sent() -> None:
    handler, seen = answering(answer(data=1))
    async with client(key=f" {KEY}\n", handler=handler) as kie:
        await kie.credits()

    assert seen[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("agent", ["", " ", "a\r\nX: y", "ägent"])
def test_a_user_agent_that_no_header_can_carry_is_refused_at_once(agent: str) -> None:
    with pytest.raises(ValueError, match="user agent"):
        KieClient(None, api_url="https://a", upload_url="https://a", user_agent=agent)
