"""Keys, credits, the rate limit, and the walls between accounts."""

from datetime import datetime
from typing import Any

import pytest
from tests.sandbox.helpers import (
    ALEPH,
    ALEPH_GENERATE,
    CREDIT,
    DOWNLOAD_URL,
    GENERATE,
    RECORD,
    TEXT,
    client,
    started,
)

from kie_runway_sandbox import SandboxOptions, Switches

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("status", [200, 401])
async def test_a_wrong_key_is_code_401_without_data(status: Any) -> None:
    async with started(key="wrong", switches=Switches(auth_http_status=status)) as (_, kie):
        responses = [await kie.http.post(GENERATE, json=TEXT), await kie.http.get(CREDIT)]

    for response in responses:
        assert response.status_code == status
        assert response.json() == {"code": 401, "msg": "You do not have access permissions"}


@pytest.mark.parametrize("header", ["", "Bearer", "Basic sandbox-key", "sandbox-key"])
async def test_a_key_counts_only_as_a_bearer_token(header: str) -> None:
    async with started() as (_, kie):
        answer = (await kie.http.get(CREDIT, headers={"Authorization": header})).json()

    assert answer["code"] == 401


@pytest.mark.parametrize(
    ("path", "body", "cost"),
    [
        (GENERATE, TEXT, 12),
        (GENERATE, {**TEXT, "duration": 10}, 30),
        (GENERATE, {**TEXT, "quality": "1080p"}, 30),
        ("/api/v1/runway/extend", {"taskId": "x", "prompt": "p", "quality": "720p"}, 12),
        ("/api/v1/runway/extend", {"taskId": "x", "prompt": "p", "quality": "1080p"}, 30),
        (ALEPH_GENERATE, ALEPH, 110),
    ],
)
async def test_a_create_costs_its_price_at_once(path: str, body: dict[str, Any], cost: int) -> None:
    async with started() as (sandbox, kie):
        task_id = await kie.create(path, body)

        assert await kie.credits() == 1000.0 - cost
        (entry,) = sandbox.log.select("create")
        assert (entry.task_id, entry.details["credits"]) == (task_id, cost)
        assert entry.details["body"] == body
        assert entry.details["answer"] == "delivered"


async def test_credits_may_be_fractional_and_are_spent_to_the_last() -> None:
    async with started() as (sandbox, kie):
        sandbox.set_credits(24.25)
        await kie.create()
        await kie.create()
        refused = await kie.post(GENERATE, TEXT)

        assert await kie.credits() == 0.25
    assert refused == {
        "code": 402,
        "msg": "Credits insufficient : Your current balance isn\u2019t enough to run this request."
        " Please top up to continue.",
        "data": None,
    }


@pytest.mark.parametrize(("refund", "left"), [(True, 1000.0), (False, 988.0)])
async def test_a_failed_task_is_refunded_if_so_switched(refund: bool, left: float) -> None:
    async with started(switches=Switches(refund_on_failure=refund)) as (sandbox, kie):
        task_id = await kie.create()
        sandbox.fail(task_id)

        assert await kie.credits() == left
        assert len(sandbox.log.select("refund", task_id)) == int(refund)


async def test_a_task_that_succeeds_is_paid_for_good() -> None:
    async with started() as (sandbox, kie):
        sandbox.finish(await kie.create())

        assert await kie.credits() == 988.0
        assert sandbox.log.select("refund") == []


@pytest.mark.parametrize("status", [429, 200])
async def test_the_21st_create_in_ten_seconds_is_refused(status: Any) -> None:
    async with started(switches=Switches(rate_limit_http_status=status)) as (sandbox, kie):
        for _ in range(20):
            await kie.create()
            sandbox.advance(0.4)
        refused = await kie.http.post(GENERATE, json=TEXT)
        sandbox.advance(2)  # the first create is ten seconds old now, the second is not
        accepted = await kie.post(GENERATE, TEXT)
        again = await kie.post(GENERATE, TEXT)

    assert refused.status_code == status
    assert refused.json()["code"] == 429
    assert (accepted["code"], again["code"]) == (200, 429)
    assert len(sandbox.log.select("create")) == 21


async def test_only_creates_count_for_the_rate_limit() -> None:
    async with started() as (_, kie):
        for _ in range(30):
            await kie.credits()
            await kie.record("unknown")
        answer = await kie.post(GENERATE, TEXT)

    assert answer["code"] == 200


async def test_accounts_share_nothing() -> None:
    async with started(keys=("sandbox-key", "another-key")) as (sandbox, kie):
        task_id = await kie.create()
        sandbox.finish(task_id)
        url = (await kie.record(task_id))["videoInfo"]["videoUrl"]
        for _ in range(19):
            await kie.create()
        async with client(str(kie.http.base_url), "another-key") as other:
            seen = await other.http.get(RECORD, params={"taskId": task_id})
            link = await other.post(DOWNLOAD_URL, {"url": url})
            extension = await other.extend(task_id)
            sandbox.advance(60)
            record = await other.record(extension)
            balance = await other.credits()

    assert seen.json() == {"code": 200, "msg": "success", "data": None}
    assert link["code"] == 422
    assert record["state"] == "fail"
    assert balance == 1000.0  # paid 12, refunded 12, and not rate-limited by the other account
    assert sandbox.account("sandbox-key").number != sandbox.account("another-key").number


def test_options_refuse_nonsense() -> None:
    wrong: list[dict[str, Any]] = [
        {"keys": ()},
        {"keys": ("",)},
        {"speed": 0},
        {"spread": -0.1},
        {"lookups_per_state": -1},
        {"frozen_at": datetime(2026, 1, 1)},
    ]
    for nonsense in wrong:
        with pytest.raises(ValueError, match=next(iter(nonsense))):
            SandboxOptions(**nonsense)
