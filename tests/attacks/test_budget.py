"""No agent spends more than its user allows, however it asks."""

import asyncio
import sqlite3
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.asking import NO, User, connect_for
from tests.attacks.kie import START, VIDEO_URL, Hurry, paid, sent
from tests.journeys.processes import Standalone, standalone_sandbox
from tests.support import Agent, Era, connect, structured
from tests.wire import RAW_ERAS, RawEra, Wire

from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox

pytestmark = pytest.mark.anyio

WITHIN_S = 120
BOAT = START["runway/generate"][1]


@pytest.fixture(name="kie")
def _kie() -> Generator[Standalone]:
    with standalone_sandbox() as sandbox:
        yield sandbox


def capped(settings: Settings, credits: float, **changes: Any) -> Settings:
    return settings.model_copy(update={"daily_credits": credits} | changes)


async def spend(agent: Agent, count: int) -> list[str]:
    """Start so many different videos of 12 credits, one after the other; what came of each."""
    words: list[str] = []
    for number in range(count):
        arguments = {"prompt": f"boat {number}", "request_id": f"r-{number}"}
        result = structured(await agent.client.call_tool("generate_video", arguments))
        words.append(result["error"]["code"] if "error" in result else result["state"])
    return words


async def test_the_cap_is_spent_to_its_edge_and_no_further(
    sandbox: Sandbox, settings: Settings, era: Era
) -> None:
    async with connect(capped(settings, 36), era) as agent:
        words = await spend(agent, 5)
        refused = await agent.fail("generate_video", prompt="boat 9")
        credits = await agent.call("get_credits")
        listed = await agent.call("list_tasks")

    assert words == ["wait", "wait", "wait", "over_budget", "over_budget"]
    error = refused["error"]
    assert error["reason"].startswith(
        "This video would cost about 12 credits; 36 of the 36 a day (KIE_DAILY_CREDITS) were "
        "spent in the last 24 hours. There is room for it from 20"
    )
    assert (error["charged"], error["retry"]) == ("no", "ask_user")
    assert "try again" not in str(refused).lower()
    assert (credits["spent_24h"], credits["daily_credits"]) == (36, 36)
    assert len(listed["tasks"]) == sent(sandbox) == paid(sandbox) == 3


async def test_one_credit_less_than_the_price_is_not_enough(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with connect(capped(settings, 35)) as agent:
        words = await spend(agent, 3)

    assert words == ["wait", "wait", "over_budget"]
    assert sent(sandbox) == 2


@pytest.mark.parametrize("cap", [0, 11.5])
async def test_a_cap_below_every_price_spends_nothing_at_all(
    sandbox: Sandbox, settings: Settings, era: Era, cap: float
) -> None:
    async with connect(capped(settings, cap), era) as agent:
        refusals = [await agent.fail(tool, **arguments) for tool, arguments in START.values()]

    for refusal in refusals:
        assert f"more than the {cap:g} a day that KIE_DAILY_CREDITS allows" in str(refusal)
        assert "Room" not in str(refusal)
    assert sandbox.requests["runway/generate"] == sandbox.requests["aleph/generate"] == 0


async def test_the_cap_holds_over_restarts_and_without_the_balance(
    sandbox: Sandbox, settings: Settings, era: Era
) -> None:
    sandbox.inject(Fault("html_502", "chat/credit", times=None))
    async with connect(capped(settings, 24), era) as agent:
        before = await spend(agent, 1)
    async with connect(capped(settings, 24), era) as agent:
        after = await spend(agent, 3)

    assert before == ["wait"]
    assert after == ["wait", "wait", "over_budget"]
    assert sent(sandbox) == 2


async def test_repeats_find_their_task_although_nothing_more_may_be_spent(
    sandbox: Sandbox, settings: Settings, era: Era
) -> None:
    async with connect(settings, era) as agent:
        task = await agent.call("generate_video", **BOAT)
        unnamed = await agent.call("generate_video", prompt="a ship")
    async with connect(capped(settings, 0), era) as agent:
        again = [
            await agent.call("generate_video", **BOAT),
            await agent.call("generate_video", prompt="a ship"),
        ]
        conflict = await agent.fail("generate_video", **BOAT | {"prompt": "a car"})

    assert [repeat["task_id"] for repeat in again] == [task["task_id"], unnamed["task_id"]]
    assert all(repeat["deduplicated"] for repeat in again)
    assert conflict["error"]["code"] == "request_id_conflict"
    assert sent(sandbox) == 2


async def test_what_may_have_been_charged_counts_and_what_was_refused_does_not(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with connect(capped(settings, 24)) as agent:
        sandbox.inject(Fault("lost_answer", "runway/generate", processed=False))
        unclear = await agent.fail("generate_video", prompt="one")
        sandbox.inject(Fault("refuse", "runway/generate", code=402))
        refused = await agent.fail("generate_video", prompt="two", request_id="two")
        failed = await agent.call("generate_video", prompt="three")
        sandbox.fail(failed["task_id"])
        await agent.fail("get_task", task_id=failed["task_id"], wait_seconds=30)
        over = await agent.fail("generate_video", prompt="two", request_id="two")

    assert (unclear["state"], refused["state"]) == ("unknown", "rejected")
    assert over["error"]["code"] == "over_budget"
    assert sent(sandbox) == 3


async def test_after_a_day_the_same_request_id_goes_on(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, era: Era
) -> None:
    async with connect(capped(settings, 12), era) as agent:
        first = await spend(agent, 2)
        hurry.moved += timedelta(hours=23, minutes=59)
        early = await agent.fail("generate_video", prompt="boat 1", request_id="r-1")
        hurry.moved += timedelta(minutes=2)
        late = await agent.call("generate_video", prompt="boat 1", request_id="r-1")

    assert first == ["wait", "over_budget"]
    assert early["error"]["code"] == "over_budget"
    assert (late["state"], late["request_id"]) == ("wait", "r-1")
    assert sent(sandbox) == 2


async def test_paying_again_needs_room_like_any_other_video(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, era: Era
) -> None:
    sandbox.inject(Fault("lost_answer", "runway/generate"))
    async with connect(capped(settings, 23), era) as agent:
        await agent.fail("generate_video", **BOAT)
        hurry.moved += timedelta(hours=1)
        refused = await agent.fail("generate_video", **BOAT, confirm=True)
        found = await agent.client.call_tool("get_task", {"task_id": "one"})

    assert refused["error"]["code"] == "over_budget"
    assert structured(found)["state"] == "unknown"
    assert sent(sandbox) == paid(sandbox) == 1


async def test_500_videos_at_once_spend_what_is_allowed(
    sandbox: Sandbox, settings: Settings, era: Era
) -> None:
    """Without a word from the user, and less than KIE's own limit."""
    answers: list[dict[str, Any]] = []
    async with connect(capped(settings, 100), era) as agent:

        async def start(number: int) -> None:
            arguments = {"prompt": f"boat {number}", "request_id": f"r-{number}"}
            answers.append(structured(await agent.client.call_tool("generate_video", arguments)))

        with anyio.fail_after(WITHIN_S):
            await asyncio.gather(*(start(number) for number in range(500)))
        again = await agent.fail("generate_video", prompt="boat 499", request_id="r-499")

    refused = [answer for answer in answers if "error" in answer]
    assert len(answers) - len(refused) == sent(sandbox) == paid(sandbox) == 8
    assert {answer["error"]["code"] for answer in [*refused, again]} == {"over_budget"}
    assert {answer["error"]["charged"] for answer in refused} == {"no"}


async def test_500_videos_one_after_the_other_are_asked_about_one_by_one(
    sandbox: Sandbox, settings: Settings
) -> None:
    user = User()
    async with connect_for(user, capped(settings, 60, confirm_credits=12.0)) as agent:
        words = await spend(agent, 500)
        refused = words[5:]

    assert words[:5] == ["wait"] * 5
    assert set(refused) == {"over_budget"}
    assert len(user.asked) == 5
    assert sent(sandbox) == 5


async def test_a_user_who_says_no_500_times_pays_nothing(
    sandbox: Sandbox, settings: Settings
) -> None:
    user = User(NO)
    async with connect_for(user, settings.model_copy(update={"confirm_credits": 0.0})) as agent:
        words = await spend(agent, 500)
        listed = await agent.call("list_tasks")

    assert set(words) == {"declined"}
    assert listed["tasks"] == []
    assert sent(sandbox) == 0


@pytest.mark.parametrize("era_", RAW_ERAS)
def test_two_processes_on_one_ledger_keep_the_cap_together(
    kie: Standalone, tmp_path: Path, era_: RawEra
) -> None:
    env = {**kie.env, "KIE_DAILY_CREDITS": "65"}
    with Wire(era=era_, env=env) as one, Wire(era=era_, env=env) as two:
        for wire in (one, two):
            wire.open()
        numbers = [
            (wire, wire.ask_tool("generate_video", prompt=f"boat {number} of {index}"))
            for number in range(8)
            for index, wire in enumerate((one, two))
        ]
        answers = [wire.content(number) for wire, number in numbers]
        told = [wire.tool("get_credits") for wire in (one, two)]
    with closing(sqlite3.connect(tmp_path / "home" / "ledger.db")) as ledger:
        states = [state for (state,) in ledger.execute("SELECT state FROM entries")]

    assert len(kie.events("create")) == states.count("wait") == 5
    assert set(states) <= {"wait", "rejected"}
    assert [answer.get("state") for answer in answers].count("wait") == 5
    assert {answer["error"]["code"] for answer in answers if "error" in answer} == {"over_budget"}
    assert [credits["spent_24h"] for credits in told] == [60, 60]


async def test_aleph_and_sharper_videos_count_with_their_own_price(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with connect(capped(settings, 150)) as agent:
        await agent.call("aleph_generate", prompt="at night", video_url=VIDEO_URL)
        await agent.call("generate_video", prompt="a boat", quality="1080p")
        refused = await agent.fail("generate_video", prompt="a ship")
        credits = await agent.call("get_credits")

    assert refused["error"]["code"] == "over_budget"
    assert credits["spent_24h"] == 140
    assert sent(sandbox) == 1
