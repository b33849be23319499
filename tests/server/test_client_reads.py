"""Look-ups and the other calls that cost nothing: retries, back-off, what each answer means."""

import asyncio
from decimal import Decimal

import httpx
import pytest
from tests.server.kie_stub import KEY, USER_AGENT, Waits, answer, answering, client

from kie_runway.client import BACKOFF_MAX_S, BACKOFF_MIN_S, MAX_RETRIES, RETRIES_SAVED_UP
from kie_runway.errors import (
    BlockedError,
    GenerationFailedError,
    KieError,
    MaintenanceError,
    NoCreditsError,
    NotAllowedError,
    RateLimitedError,
    RefusedError,
    UnavailableError,
    WrongKeyError,
)
from kie_runway.exchange import MAX_CONNECTIONS
from kie_runway.models import TaskKind, TaskState

pytestmark = pytest.mark.anyio

RECORD = {"taskId": "t-1", "state": "generating"}
# Final at once: asking again would change nothing, or the caller backs off better.
BY_CODE: dict[int, type[KieError]] = {
    400: RefusedError,
    401: WrongKeyError,
    402: NoCreditsError,
    429: RateLimitedError,
    433: NotAllowedError,
    451: RefusedError,
    455: MaintenanceError,
    505: NotAllowedError,
}
UNUSABLE = [
    answer(500),
    answer(500, status=500),
    answer(550),
    answer(777),
    answer(data=RECORD, status=500),
    answer(data=RECORD, status=404),
    httpx.Response(200, text="{"),
    httpx.Response(502, text="<html>"),
    httpx.Response(302, headers={"Location": "https://elsewhere.test"}),
    httpx.Response(408),
    httpx.ReadTimeout("slow"),
    httpx.ConnectError("down"),
    TimeoutError(),
]


@pytest.mark.parametrize(
    ("kind", "path", "record"),
    [
        (TaskKind.GENERATE, "/api/v1/runway/record-detail", RECORD),
        (TaskKind.EXTEND, "/api/v1/runway/record-detail", RECORD),
        (TaskKind.ALEPH, "/api/v1/aleph/record-info", {"taskId": "t-1", "successFlag": 0}),
    ],
)
async def test_a_look_up_asks_the_endpoint_of_its_kind(
    kind: TaskKind, path: str, record: object
) -> None:
    handler, seen = answering(answer(data=record))
    async with client(handler=handler) as kie:
        update = await kie.look_up(kind, "t-1")

    assert update is not None
    assert update.state is TaskState.GENERATING
    assert seen[0].url == f"https://kie.test{path}?taskId=t-1"
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert seen[0].headers["user-agent"] == USER_AGENT


async def test_any_task_id_stays_one_query_value() -> None:
    handler, seen = answering(answer())
    async with client(handler=handler) as kie:
        await kie.look_up(TaskKind.GENERATE, "a/../b?x=1&taskId=2#c d%20")

    assert dict(seen[0].url.params) == {"taskId": "a/../b?x=1&taskId=2#c d%20"}
    assert seen[0].url.path == "/api/v1/runway/record-detail"


@pytest.mark.parametrize("kind", TaskKind)
@pytest.mark.parametrize("status", [200, 404, 422])
@pytest.mark.parametrize("code", [404, 422])
async def test_a_task_that_kie_does_not_have_is_not_visible(
    kind: TaskKind, code: int, status: int
) -> None:
    handler, seen = answering(answer(code, status=status))
    async with client(handler=handler) as kie:
        assert await kie.look_up(kind, "t-1") is None
    assert len(seen) == 1


async def test_success_without_data_is_not_visible() -> None:
    handler, _ = answering(answer(data=None))
    async with client(handler=handler) as kie:
        assert await kie.look_up(TaskKind.ALEPH, "t-1") is None


@pytest.mark.parametrize("status", [404, 422, 405])
async def test_an_http_refusal_without_an_envelope_says_nothing_about_the_task(status: int) -> None:
    handler, _ = answering(httpx.Response(status, json={"status": status, "error": "Not Found"}))
    async with client(handler=handler) as kie:
        with pytest.raises(UnavailableError):
            await kie.look_up(TaskKind.GENERATE, "t-1")


@pytest.mark.parametrize("kind", TaskKind)
@pytest.mark.parametrize("code", [408, 501])
async def test_upstream_failure_on_a_look_up_is_the_end_of_the_task(
    kind: TaskKind, code: int
) -> None:
    handler, seen = answering(answer(code, msg="it broke"))
    async with client(handler=handler) as kie:
        with pytest.raises(GenerationFailedError) as caught:
            await kie.look_up(kind, "t-1")

    assert caught.value.message == "it broke"
    assert caught.value.body_code == code
    assert len(seen) == 1


@pytest.mark.parametrize("code", [408, 501])
async def test_upstream_failure_elsewhere_is_the_end_of_nothing(code: int) -> None:
    handler, _ = answering(answer(code))
    async with client(handler=handler) as kie:
        with pytest.raises(UnavailableError):
            await kie.credits()


@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize("code", sorted(BY_CODE))
async def test_a_clear_answer_is_not_asked_for_again(code: int, status: int) -> None:
    handler, seen = answering(answer(code, status=status))
    async with client(handler=handler) as kie:
        for ask in (kie.look_up(TaskKind.GENERATE, "t-1"), kie.credits()):
            with pytest.raises(KieError) as caught:
                await ask
            assert type(caught.value) is BY_CODE[code]

    assert len(seen) == 2


async def test_a_bare_403_is_the_cdn() -> None:
    handler, _ = answering(httpx.Response(403, text="error code: 1010"))
    async with client(handler=handler) as kie:
        with pytest.raises(BlockedError):
            await kie.look_up(TaskKind.GENERATE, "t-1")


async def test_rate_limiting_is_told_and_not_slept_on() -> None:
    waits = Waits()
    handler, seen = answering(httpx.Response(429, headers={"Retry-After": "30"}))
    async with client(handler=handler, waits=waits) as kie:
        with pytest.raises(RateLimitedError) as caught:
            await kie.look_up(TaskKind.GENERATE, "t-1")

    assert caught.value.retry_after_s == 30
    assert (len(seen), waits.seconds) == (1, [])


@pytest.mark.parametrize("bad", UNUSABLE, ids=repr)
async def test_an_unusable_answer_is_asked_for_again_and_forgotten(
    bad: httpx.Response | Exception,
) -> None:
    handler, seen = answering(bad, bad, answer(data=RECORD))
    async with client(handler=handler) as kie:
        update = await kie.look_up(TaskKind.GENERATE, "t-1")

    assert update is not None
    assert len(seen) == 3


@pytest.mark.parametrize("bad", UNUSABLE, ids=repr)
async def test_after_two_retries_the_answer_is_unavailable(bad: httpx.Response | Exception) -> None:
    waits = Waits()
    handler, seen = answering(bad)
    async with client(handler=handler, waits=waits) as kie:
        with pytest.raises(UnavailableError):
            await kie.look_up(TaskKind.GENERATE, "t-1")

    assert len(seen) == 1 + MAX_RETRIES
    assert waits.seconds == [0.75, 1.5]  # half a second, doubled, plus half of it as jitter
    assert all(BACKOFF_MIN_S <= pause <= BACKOFF_MAX_S for pause in waits.seconds)


async def test_an_outage_does_not_multiply_traffic() -> None:
    handler, seen = answering(httpx.ConnectError("down"))
    async with client(handler=handler) as kie:
        for _ in range(100):
            with pytest.raises(UnavailableError):
                await kie.credits()

    assert len(seen) == 100 + RETRIES_SAVED_UP


async def test_successes_allow_retries_again() -> None:
    down, up = httpx.ConnectError("down"), answer(data=1)
    handler, seen = answering(*[down] * 20, *[up] * 10, down, up)
    async with client(handler=handler) as kie:
        for _ in range(10):
            with pytest.raises(UnavailableError):
                await kie.credits()
        assert len(seen) == 20  # the quota is used up
        for _ in range(10):
            await kie.credits()
        assert await kie.credits() == 1

    assert len(seen) == 32  # one success more than calls: the last one took a retry


async def test_at_most_ten_look_ups_are_under_way() -> None:
    running = most = 0
    full, go_on = asyncio.Event(), asyncio.Event()

    async def handle(_: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == MAX_CONNECTIONS:
            full.set()
        await go_on.wait()
        running -= 1
        return answer(data=RECORD)

    async with client(handler=handle) as kie:
        tasks = [asyncio.create_task(kie.look_up(TaskKind.GENERATE, "t-1")) for _ in range(30)]
        await full.wait()
        go_on.set()
        await asyncio.gather(*tasks)

    assert most == MAX_CONNECTIONS


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5916.25", "5916.25"), ("5454.65", "5454.65"), ("100", "100"), ("0", "0"), ('"7.5"', "7.5")],
)
async def test_credits_are_exact(text: str, expected: str) -> None:
    handler, seen = answering(httpx.Response(200, text=f'{{"code":200,"data":{text}}}'))
    async with client(handler=handler) as kie:
        assert await kie.credits() == Decimal(expected)
    assert seen[0].url == "https://kie.test/api/v1/chat/credit"


@pytest.mark.parametrize("text", ["null", "true", "{}", '""', '"many"', "NaN", "Infinity", "1e99"])
async def test_credits_that_are_no_number_are_unavailable(text: str) -> None:
    handler, _ = answering(httpx.Response(200, text=f'{{"code":200,"data":{text}}}'))
    async with client(handler=handler) as kie:
        with pytest.raises(UnavailableError):
            await kie.credits()


async def test_a_download_url_is_asked_for_by_the_original() -> None:
    handler, seen = answering(answer(data="https://temp.example/v.mp4?sig=1"))
    async with client(handler=handler) as kie:
        url = await kie.download_url("https://file.example/v.mp4")

    assert url == "https://temp.example/v.mp4?sig=1"
    assert seen[0].url == "https://kie.test/api/v1/common/download-url"
    assert seen[0].content == b'{"url":"https://file.example/v.mp4"}'


async def test_a_foreign_download_url_is_refused() -> None:
    handler, _ = answering(answer(422, msg="url is wrong"))
    async with client(handler=handler) as kie:
        with pytest.raises(RefusedError) as caught:
            await kie.download_url("https://file.example/v.mp4")
    assert caught.value.message == "url is wrong"


@pytest.mark.parametrize("data", [None, "", "ftp://a/b", "javascript:alert(1)", {"url": "x"}, 5])
async def test_a_download_url_that_is_no_address_is_unavailable(data: object) -> None:
    handler, _ = answering(answer(data=data))
    async with client(handler=handler) as kie:
        with pytest.raises(UnavailableError):
            await kie.download_url("https://file.example/v.mp4")


async def test_a_closed_client_opens_again_when_it_is_used() -> None:
    handler, _ = answering(answer(data=3))
    kie = client(handler=handler)
    await kie.aclose()
    await kie.credits()
    await kie.aclose()

    assert await kie.credits() == 3

    await kie.aclose()
