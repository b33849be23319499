"""Redirects: never followed, so the key goes nowhere else."""

import pytest
from tests.attacks.kie import START, assert_never_sent_again, raw_kie
from tests.sockets import http, sends
from tests.support import connect, settings_for

pytestmark = pytest.mark.anyio

TOOL, ARGUMENTS = START["runway/generate"]
STATUSES = ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent")
LOCATIONS = ("{other}/api/v1/runway/generate", "//{netloc}/", "/api/v1/runway/generate", "")


@pytest.mark.parametrize(
    ("status", "location"),
    [
        *((status, LOCATIONS[0]) for status in STATUSES),
        *((STATUSES[3], location) for location in LOCATIONS[1:]),
    ],
)
async def test_a_redirected_paid_request_is_unknown_and_goes_nowhere_else(
    hurry: object, status: str, location: str
) -> None:
    async with raw_kie(sends(http(b"{}"))) as other:
        where = location.format(other=other.url, netloc=other.url.removeprefix("http://"))
        redirect = http(b"", f"Location: {where}", status=status)
        async with raw_kie(sends(redirect)) as kie, connect(settings_for(kie.url)) as agent:
            task = await agent.refuse(TOOL, ARGUMENTS)
            await assert_never_sent_again(agent, TOOL, ARGUMENTS)

    assert task["state"] == "unknown"
    assert len(kie.requests) == 1
    assert other.requests == []


@pytest.mark.parametrize("status", STATUSES)
async def test_a_redirected_look_up_says_nothing_and_goes_nowhere_else(
    hurry: object, status: str
) -> None:
    async with raw_kie(sends(http(b"{}"))) as other:
        redirect = http(b"", f"Location: {other.url}/steal", status=status)
        async with (
            raw_kie(sends(redirect), tells_credits=False) as kie,
            connect(settings_for(kie.url)) as agent,
        ):
            looked = await agent.fail("get_task", task_id="t-1")
            asked = await agent.fail("get_credits")

    for error in (looked["error"], asked["error"]):
        assert (error["code"], error["charged"]) == ("unavailable", "no")
    assert len(kie.requests) == 6  # each was tried three times
    assert other.requests == []
