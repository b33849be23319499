"""Calls that are repeated, changed, confirmed and crowded: what was not meant is not paid."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.attacks.kie import START, VIDEO_URL, Hurry, assert_never_sent_again, paid, sent
from tests.server.held import HeldClock
from tests.support import Agent, Era, connect

from kie_runway import opening
from kie_runway.settings import Settings
from kie_runway.submit import LIMIT
from kie_runway_sandbox import Fault, Sandbox
from kie_runway_sandbox.faults import Endpoint

pytestmark = pytest.mark.anyio

WITHIN_S = 120
KIES_LIMIT = 20  # contract §11
WINDOW = timedelta(seconds=10)
BOAT: Mapping[str, Any] = {"prompt": "a paper boat", "request_id": "one"}
MADE = [pytest.param(endpoint, id=endpoint) for endpoint in START]


async def make(agent: Agent, endpoint: Endpoint, **changes: Any) -> dict[str, Any]:
    tool, arguments = START[endpoint]
    return await agent.call(tool, **arguments | changes)


@pytest.mark.parametrize("endpoint", MADE)
async def test_the_same_request_id_twice_in_a_row_is_paid_once(
    sandbox: Sandbox, settings: Settings, era: Era, endpoint: Endpoint
) -> None:
    async with connect(settings, era) as agent:
        first = await make(agent, endpoint)
        second = await make(agent, endpoint)
    async with connect(settings, era) as agent:
        third = await make(agent, endpoint)

    assert "deduplicated" not in first
    for repeat in (second, third):
        assert repeat["deduplicated"] is True
        assert repeat["task_id"] == first["task_id"]
    assert sent(sandbox, endpoint) == paid(sandbox) == 1


@pytest.mark.parametrize("endpoint", MADE)
async def test_fifty_repeats_at_once_are_paid_once(
    sandbox: Sandbox, settings: Settings, era: Era, endpoint: Endpoint
) -> None:
    async with connect(settings, era) as agent:
        tasks = await asyncio.gather(*(make(agent, endpoint) for _ in range(50)))

    assert {task["task_id"] for task in tasks} == {sandbox.tasks[0].task_id}
    assert [task.get("deduplicated", False) for task in tasks].count(False) == 1
    assert sent(sandbox, endpoint) == paid(sandbox) == 1


@pytest.mark.parametrize(
    ("endpoint", "changes"),
    [
        ("runway/generate", {"prompt": "a paper boat."}),
        ("runway/generate", {"prompt": "a paper  boat"}),
        ("runway/generate", {"prompt": "a Paper boat"}),
        ("runway/generate", {"duration": 10}),
        ("runway/generate", {"quality": "1080p"}),
        ("runway/generate", {"aspect_ratio": "9:16"}),
        ("runway/generate", {"watermark": "x"}),
        ("runway/generate", {"image_url": "https://example.com/a.png"}),
        ("aleph/generate", {"seed": 0}),
        ("aleph/generate", {"video_url": f"{VIDEO_URL}?"}),
    ],
)
async def test_a_request_id_with_one_thing_changed_is_a_conflict_and_nothing_is_sent(
    sandbox: Sandbox, settings: Settings, endpoint: Endpoint, changes: dict[str, Any]
) -> None:
    tool, arguments = START[endpoint]
    async with connect(settings) as agent:
        first = await make(agent, endpoint)
        plain = await agent.fail(tool, **arguments | changes)
        confirmed = await agent.fail(tool, **arguments | changes, confirm=True)
        again = await make(agent, endpoint)

    for refused in (plain, confirmed):
        assert refused["error"]["code"] == "request_id_conflict"
        assert refused["error"]["charged"] == "no"
    assert again["task_id"] == first["task_id"]
    assert sent(sandbox, endpoint) == paid(sandbox) == 1


async def test_a_request_id_means_one_video_whatever_tool_is_called_with_it(
    sandbox: Sandbox, settings: Settings
) -> None:
    aleph, arguments = START["aleph/generate"]
    async with connect(settings) as agent:
        await make(agent, "runway/generate")
        refused = await agent.fail(aleph, **arguments | {"prompt": BOAT["prompt"]})

    assert refused["error"]["code"] == "request_id_conflict"
    assert paid(sandbox) == 1


async def test_identical_calls_without_a_request_id_are_paid_once_while_recent_or_unfinished(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, era: Era
) -> None:
    async with connect(settings, era) as agent:
        first = await agent.call("generate_video", prompt="a boat")
        soon = await agent.call("generate_video", prompt="a boat")
        hurry.moved += timedelta(hours=3)
        unfinished = await agent.call("generate_video", prompt="a boat")
        sandbox.finish(first["task_id"])
        hurry.moved += timedelta(hours=1)
        done = await agent.call("get_task", task_id=first["task_id"], wait_seconds=30)
        later = await agent.call("generate_video", prompt="a boat")

    for repeat in (soon, unfinished):
        assert repeat["deduplicated"] is True
        assert (repeat["task_id"], repeat["request_id"]) == (first["task_id"], first["request_id"])
    assert done["state"] == "success"
    assert later["task_id"] != first["task_id"]
    assert paid(sandbox) == 2


async def test_fifty_identical_calls_at_once_without_a_request_id_are_paid_once(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with connect(settings) as agent:
        tasks = await asyncio.gather(
            *(agent.call("generate_video", prompt="a boat") for _ in range(50))
        )

    assert len({task["request_id"] for task in tasks}) == 1
    assert paid(sandbox) == 1


@pytest.mark.parametrize("endpoint", MADE)
async def test_repeating_what_is_unknown_stays_unknown_and_sends_nothing(
    sandbox: Sandbox, settings: Settings, era: Era, endpoint: Endpoint
) -> None:
    tool, arguments = START[endpoint]
    sandbox.inject(Fault("lost_answer", endpoint))
    async with connect(settings, era) as agent:
        await agent.fail(tool, **arguments)
        await assert_never_sent_again(agent, tool, arguments)
        early = await agent.fail(tool, **arguments, confirm=True)
    async with connect(settings, era) as agent:
        await assert_never_sent_again(agent, tool, arguments)

    assert early["state"] == "unknown"
    assert "confirm" not in early["next"]
    assert sent(sandbox, endpoint) == paid(sandbox) == 1


@pytest.mark.parametrize("endpoint", MADE)
async def test_superseding_takes_the_users_word_and_happens_once(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, era: Era, endpoint: Endpoint
) -> None:
    tool, arguments = START[endpoint]
    unnamed = {name: value for name, value in arguments.items() if name != "request_id"}
    sandbox.inject(Fault("lost_answer", endpoint))
    async with connect(settings, era) as agent:
        await agent.fail(tool, **arguments)
        hurry.moved += timedelta(minutes=45, seconds=1)
        without = [
            await agent.fail(tool, **arguments),
            await agent.fail(tool, **arguments, confirm=False),
            await agent.fail(tool, **unnamed),
        ]
        before = sent(sandbox, endpoint)
        confirmed = await agent.call(tool, **arguments, confirm=True)
        repeats = [
            await agent.call(tool, **arguments, confirm=word) for word in (True, False, True)
        ]

    assert before == 1
    for answer in without:
        assert answer["state"] == "unknown"
        assert "Even after all this time it may have been charged" in answer["next"]
        assert "confirm=true" in answer["next"]
        assert "accept a possible second charge" in answer["next"]
    assert (confirmed["state"], confirmed["request_id"]) == ("wait", "one")
    assert {repeat["task_id"] for repeat in repeats} == {confirmed["task_id"]}
    assert all(repeat["deduplicated"] for repeat in repeats)
    assert sent(sandbox, endpoint) == paid(sandbox) == 2


@pytest.mark.parametrize("word", ["true", "yes", 1, 1.0, None, [True], {}])
async def test_only_a_plain_true_is_the_users_word(
    sandbox: Sandbox, settings: Settings, hurry: Hurry, word: object
) -> None:
    sandbox.inject(Fault("lost_answer", "runway/generate"))
    async with connect(settings) as agent:
        await agent.fail("generate_video", **BOAT)
        hurry.moved += timedelta(hours=1)
        refused = await agent.refuse("generate_video", {**BOAT, "confirm": word})

    assert refused["error"]["code"] == "bad_input"
    assert sent(sandbox) == 1


async def test_a_superseded_task_is_listed_and_says_what_took_its_place(
    sandbox: Sandbox, settings: Settings, hurry: Hurry
) -> None:
    sandbox.inject(Fault("lost_answer", "runway/generate"))
    async with connect(settings) as agent:
        await agent.fail("generate_video", **BOAT)
        hurry.moved += timedelta(hours=1)
        new = await agent.call("generate_video", **BOAT, confirm=True)
        listed = (await agent.call("list_tasks"))["tasks"]
        found = await agent.call("get_task", task_id="one")

    assert [task["state"] for task in listed] == ["wait", "unknown"]
    assert found["task_id"] == new["task_id"]


@pytest.mark.parametrize(
    ("processed", "hint"),
    [(True, "The balance fell by 12 credits"), (False, "The balance did not move")],
)
async def test_an_unclear_end_comes_with_what_the_balance_hints_at(
    sandbox: Sandbox, settings: Settings, processed: bool, hint: str
) -> None:
    sandbox.inject(Fault("lost_answer", "runway/generate", processed=processed))
    async with connect(settings) as agent:
        task = await agent.fail("generate_video", **BOAT)

    assert (task["state"], task["charged"]) == ("unknown", "unknown")
    assert hint in task["next"]
    assert "Do not start it again" in task["next"]
    assert paid(sandbox) == processed


async def test_a_client_that_gives_up_during_the_request_changes_nothing(
    sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.inject(Fault("slow_head", "runway/generate", seconds=0.3))
    async with connect(settings) as agent:
        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: agent.call("generate_video", **BOAT))
                await sandbox.log.wait_for("create")
                group.cancel_scope.cancel()
            again = await agent.call("generate_video", **BOAT)

    assert again["deduplicated"] is True
    assert again["task_id"] == sandbox.tasks[0].task_id
    assert sent(sandbox) == paid(sandbox) == 1


class CrowdedClock(HeldClock):
    """Tells when all who wait for their turn are asleep, so that no request is under way."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep = 0
        self._more = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self._asleep += 1
        self._more.set()
        await super().sleep(seconds)

    async def tick(self, every_s: float) -> None:
        await super().sleep(every_s)

    def wake_all(self, seconds: float) -> None:
        """Let so much time pass that nobody sleeps on."""
        self._asleep = 0
        self.pass_time(seconds)

    async def asleep(self, count: int) -> None:
        while self._asleep < count:
            self._more.clear()
            await self._more.wait()


async def test_a_hundred_creates_at_once_keep_kies_limit_and_the_rest_waits_queued(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, settings: Settings
) -> None:
    clock = CrowdedClock()
    monkeypatch.setattr(opening, "Clock", lambda: clock)
    sandbox.set_credits(100_000)
    whole_window_s = LIMIT.window_s * 1.2  # sleepers add up to a tenth

    async def create(agent: Agent, number: int) -> dict[str, Any]:
        return await agent.call("generate_video", prompt=f"boat {number}", request_id=f"r-{number}")

    with anyio.fail_after(WITHIN_S):
        async with connect(settings) as agent, asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(create(agent, number))
            await clock.asleep(100 - LIMIT.creates)
            await sandbox.log.wait_for("create", count=LIMIT.creates)
            first = paid(sandbox)
            monkeypatch.setattr("kie_runway.submit.ANSWER_WITHIN_S", 0.0)
            tasks = [await create(agent, number) for number in range(100)]
            for made in range(2 * LIMIT.creates, 100 + LIMIT.creates, LIMIT.creates):
                sandbox.advance(whole_window_s)
                clock.wake_all(whole_window_s)
                await sandbox.log.wait_for("create", count=min(made, 100))
                await clock.asleep(100 - made)
    at = [entry.at for entry in sandbox.log.select("create")]

    assert first == LIMIT.creates
    states = [task["state"] for task in tasks]
    assert states.count("queued") == 100 - LIMIT.creates
    for task in tasks:
        if task["state"] == "queued":
            assert task["charged"] == "no"
            assert "with wait_seconds=" in task["next"]
    assert all(late - early >= WINDOW for early, late in zip(at, at[KIES_LIMIT:], strict=False))
    assert not sandbox.log.select("refused")
    assert sent(sandbox) == 100
