"""Every code that KIE may answer to a paid request, as body code and as HTTP status."""

import pytest
from tests.attacks.kie import START, Hurry, assert_honest, assert_never_sent_again, paid, sent
from tests.support import connect

from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import Endpoint

pytestmark = pytest.mark.anyio

# Contract §2 and the table of outcomes: what each proves.
REFUSALS = {
    400: "refused",
    401: "wrong_key",
    402: "no_credits",
    404: "refused",
    422: "refused",
    433: "not_allowed",
    451: "refused",
    455: "maintenance",
    505: "not_allowed",
}
UNCLEAR = (408, 500, 501, 550)
NO_CODES = (0, -1, 1, 201, 299, 999, 2**31)
BARE_REFUSALS = {
    400: "refused",
    401: "wrong_key",
    402: "no_credits",
    403: "blocked",
    404: "refused",
    405: "refused",
    413: "refused",
    422: "refused",
    433: "not_allowed",
    451: "refused",
    455: "maintenance",
}
CONTRADICTORY = (
    *((408, 429), (425, 402), (499, 422), (500, 429), (501, 455), (502, 429), (503, 429)),
    *((503, 455), (504, 429), (504, 401), (520, 400), (524, 404)),
)
BARE_UNCLEAR = (200, 201, 204, 300, 304, 408, 425, 499, 500, 501, 502, 503, 504, 505, 520, 550)
RETRY_AFTER = (
    "0",
    "-1",
    "1000000000",
    "9" * 400,
    "1e9",
    "Wed, 21 Oct 2099 07:28:00 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Wed, 99 Foo 99999 99:99:99 GMT",
    "soon",
    "",
)

# Most errors of KIE come with HTTP 200; the other endpoint shows them as HTTP statuses.
BODY_CODE: Endpoint = "runway/generate"
HTTP_STATUS: Endpoint = "aleph/generate"


@pytest.mark.parametrize("endpoint", [BODY_CODE, HTTP_STATUS])
@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_costs_nothing_and_may_be_repeated(
    sandbox: Sandbox, settings: Settings, code: int, endpoint: Endpoint
) -> None:
    tool, arguments = START[endpoint]
    status = 200 if endpoint is BODY_CODE else code
    sandbox.inject(Fault("refuse", endpoint, status=status, code=code, message="because"))
    async with connect(settings) as agent:
        task = await agent.refuse(tool, arguments)
        assert_honest(task, sandbox)
        mended = await agent.call(tool, **arguments)

    assert (task["state"], task["charged"]) == ("rejected", "no")
    assert (task["error"]["code"], task["error"]["message"]) == (REFUSALS[code], "because")
    assert "task_id" not in task
    assert (mended["request_id"], mended["charged"]) == ("one", "yes")
    assert (sent(sandbox, endpoint), paid(sandbox)) == (2, 1)


@pytest.mark.parametrize("status", BARE_REFUSALS)
async def test_an_http_refusal_without_an_envelope_costs_nothing(
    sandbox: Sandbox, settings: Settings, status: int
) -> None:
    tool, arguments = START["runway/generate"]
    sandbox.inject(Fault("refuse", "runway/generate", status=status, code=None))
    async with connect(settings) as agent:
        task = await agent.refuse(tool, arguments)
        assert_honest(task, sandbox)
        mended = await agent.call(tool, **arguments)

    assert (task["state"], task["error"]["code"]) == ("rejected", BARE_REFUSALS[status])
    assert mended["state"] == "wait"


@pytest.mark.parametrize(
    ("endpoint", "code", "status", "processed"),
    [
        *((BODY_CODE, code, 200, True) for code in (*UNCLEAR, *NO_CODES)),
        *((BODY_CODE, code, 200, False) for code in UNCLEAR),
        *((HTTP_STATUS, code, code, True) for code in UNCLEAR),
        *((HTTP_STATUS, code, status, True) for status, code in CONTRADICTORY),
        (HTTP_STATUS, 200, 500, True),
        (HTTP_STATUS, 200, 404, False),
    ],
)
async def test_a_code_that_proves_nothing_is_unknown_and_is_never_sent_again(
    sandbox: Sandbox,
    settings: Settings,
    endpoint: Endpoint,
    code: int,
    status: int,
    processed: bool,
) -> None:
    tool, arguments = START[endpoint]
    sandbox.inject(Fault("refuse", endpoint, status=status, code=code, processed=processed))
    async with connect(settings) as agent:
        task = await agent.refuse(tool, arguments)
        assert_honest(task, sandbox)
        await assert_never_sent_again(agent, tool, arguments)
    async with connect(settings) as agent:
        await assert_never_sent_again(agent, tool, arguments)

    assert (task["state"], task["error"]["code"]) == ("unknown", "outcome_unknown")
    assert task["error"]["retry"] == "never"
    assert (sent(sandbox, endpoint), paid(sandbox)) == (1, 1 if processed else 0)


@pytest.mark.parametrize("status", BARE_UNCLEAR)
async def test_an_http_status_that_proves_nothing_is_unknown(
    sandbox: Sandbox, settings: Settings, status: int
) -> None:
    tool, arguments = START["runway/generate"]
    sandbox.inject(Fault("refuse", "runway/generate", status=status, code=None, processed=True))
    async with connect(settings) as agent:
        task = await agent.refuse(tool, arguments)
        await assert_never_sent_again(agent, tool, arguments)

    assert_honest(task, sandbox)
    assert (sent(sandbox), paid(sandbox)) == (1, 1)


@pytest.mark.parametrize(("status", "code"), [(429, 429), (200, 429), (429, None)])
async def test_too_many_requests_are_sent_again_after_a_whole_window_and_five_times_at_most(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, status: int, code: int | None
) -> None:
    tool, arguments = START["runway/generate"]
    sandbox.inject(Fault("refuse", "runway/generate", status=status, code=code, times=5))
    async with connect(settings) as agent:
        task = await agent.refuse(tool, arguments)
        tries = sent(sandbox)
        assert_honest(task, sandbox)
        mended = await agent.call(tool, **arguments)

    assert (task["state"], task["error"]["code"]) == ("rejected", "rate_limited")
    assert tries == 5
    assert len(hurry.pauses) == 4
    assert all(pause >= 10 for pause in hurry.pauses)
    assert (mended["charged"], paid(sandbox)) == ("yes", 1)


@pytest.mark.parametrize("header", RETRY_AFTER)
async def test_a_strange_retry_after_makes_the_pause_neither_short_nor_endless(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, header: str
) -> None:
    tool, arguments = START["runway/generate"]
    headers = {"Retry-After": header}
    sandbox.inject(Fault("refuse", "runway/generate", status=429, code=429, headers=headers))
    async with connect(settings) as agent:
        task = await agent.call(tool, **arguments)

    assert [10 <= pause <= 660 for pause in hurry.pauses] == [True]
    assert (task["charged"], sent(sandbox), paid(sandbox)) == ("yes", 2, 1)
