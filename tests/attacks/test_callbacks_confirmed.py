"""Callbacks that are true, early, late, repeated or half true: only KIE's own word counts."""

import asyncio
from typing import Any

import anyio
import pytest
from tests.attacks.hooks import EVIL_URL, HMAC_KEY, Site, StoppedClock, body, open_site, signed
from tests.attacks.kie import VIDEO_URL, paid
from tests.support import KEY, Era

from kie_runway.client import KieClient
from kie_runway.ledger.records import LOCAL_ACCOUNT
from kie_runway.ledger.sqlite import SqliteLedger
from kie_runway.models import TaskState
from kie_runway.pace import Pace
from kie_runway.settings import Settings
from kie_runway_sandbox import Fault, Sandbox

pytestmark = pytest.mark.anyio

WITHIN_S = 60
ALEPH = {"video_url": VIDEO_URL}


async def ended(site: Site, task_id: str, tool: str = "get_task") -> dict[str, Any]:
    """The task once it has ended, which the agent waits for as agents do."""
    with anyio.fail_after(WITHIN_S):
        return await site.agent.call(tool, task_id=task_id, wait_seconds=30)


async def failed(site: Site, task_id: str, tool: str = "get_task") -> dict[str, Any]:
    with anyio.fail_after(WITHIN_S):
        return await site.agent.fail(tool, task_id=task_id, wait_seconds=30)


@pytest.mark.parametrize("key", [None, HMAC_KEY])
async def test_a_callback_is_confirmed_by_one_look(
    sandbox: Sandbox, settings: Settings, era: Era, key: str | None
) -> None:
    async with open_site(sandbox, settings, era=era, key=key) as site:
        task_id = await site.start()
        sandbox.finish(task_id)
        task = await ended(site, task_id)
        await site.acknowledged(task_id)

    assert task["state"] == "success"
    assert site.looks() == 1


@pytest.mark.parametrize("key", [None, HMAC_KEY])
async def test_a_forged_callback_changes_nothing_after_the_look(
    sandbox: Sandbox, settings: Settings, era: Era, key: str | None
) -> None:
    """It came to the right address and is well signed, but KIE says that the task goes on."""
    async with open_site(sandbox, settings, era=era, key=key) as site:
        task_id = await site.start()
        answer = await site.http.post(
            site.address(task_id), content=body(task_id), headers=signed(task_id)
        )
        with anyio.fail_after(WITHIN_S):
            await site.looked()
        task = await site.agent.call("get_task", task_id=task_id, wait_seconds=0)

    assert answer.status_code == 200
    assert task["state"] == "wait"
    assert "video_url" not in task
    assert paid(sandbox) == 1


async def test_a_valid_signature_over_a_changed_body_shows_only_what_kie_says(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with open_site(sandbox, settings, key=HMAC_KEY) as site:
        task_id = await site.start()
        sandbox.finish(task_id)
        await site.http.post(site.address(task_id), content=body(task_id), headers=signed(task_id))
        task = await ended(site, task_id)

    assert task["state"] == "success"
    assert EVIL_URL not in str(task)
    assert task["video_url"].endswith(f"/media/{task_id}/video.mp4")


async def test_a_replay_is_acknowledged_and_changes_nothing(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with open_site(sandbox, settings, key=HMAC_KEY) as site:
        task_id = await site.start()
        sandbox.finish(task_id)
        await ended(site, task_id)  # the first answer has the picture
        task = await ended(site, task_id)
        headers = signed(task_id)
        answers = [
            await site.http.post(site.address(task_id), content=body(task_id), headers=headers)
            for _ in range(5)
        ]
        after = await ended(site, task_id)

    assert {answer.status_code for answer in answers} == {200}
    assert after == task
    assert site.looks() == 1


async def test_a_callback_brings_back_a_task_whose_answer_was_lost(
    sandbox: Sandbox, settings: Settings, era: Era
) -> None:
    sandbox.inject(Fault("lost_answer", "runway/generate"))
    async with open_site(sandbox, settings, era=era) as site:
        unclear = await site.agent.fail("generate_video", prompt="a boat", request_id="one")
        task_id = sandbox.tasks[0].task_id
        sandbox.finish(task_id)
        task = await ended(site, "one")

    assert unclear["state"] == "unknown"
    assert (task["state"], task["task_id"]) == ("success", task_id)
    assert paid(sandbox) == 1


async def test_a_callback_before_the_answer_to_the_request_is_kept_for_it(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged = asyncio.Event()
    create = KieClient.create

    async def slow(self: KieClient, *args: Any, **kwargs: Any) -> str:
        task_id = await create(self, *args, **kwargs)
        await acknowledged.wait()
        return task_id

    monkeypatch.setattr(KieClient, "create", slow)
    async with open_site(sandbox, settings, pace=Pace(scale=0.01)) as site:
        with anyio.fail_after(WITHIN_S):
            starting = asyncio.create_task(site.start())
            task_id = (await sandbox.log.wait_for("create")).task_id
            assert task_id is not None
            sandbox.finish(task_id)
            await site.acknowledged(task_id)
            assert site.looks() == 0
            acknowledged.set()
            assert await starting == task_id
        task = await ended(site, task_id)

    assert task["state"] == "success"
    assert paid(sandbox) == 1


async def test_a_callback_after_the_end_changes_nothing(
    sandbox: Sandbox, settings: Settings
) -> None:
    async with open_site(sandbox, settings) as site:
        task_id = await site.start()
        sandbox.fail(task_id)
        task = await failed(site, task_id)
        answer = await site.http.post(site.address(task_id), content=body(task_id))
        after = await site.agent.fail("get_task", task_id=task_id, wait_seconds=0)

    assert answer.status_code == 200
    assert (task["state"], after) == ("fail", task)
    assert site.looks() == 1


async def test_a_hundred_callbacks_are_one_end(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    StoppedClock.install(monkeypatch)
    async with open_site(sandbox, settings) as site:
        task_id = await site.start()
        sandbox.finish(task_id)
        address = site.address(task_id)
        answers = [await site.http.post(address, content=body(task_id)) for _ in range(100)]
        task = await ended(site, task_id)

    ledger = SqliteLedger(settings.ledger_path)
    await ledger.open()
    entry = await ledger.find(LOCAL_ACCOUNT, task_id)
    assert entry is not None
    events = await ledger.history(entry.id)
    await ledger.aclose()
    assert {answer.status_code for answer in answers} == {200}
    assert task["state"] == "success"
    assert [event.after for event in events if event.after.is_terminal] == [TaskState.SUCCESS]
    assert site.looks() == 1


async def test_a_hundred_forged_callbacks_make_one_look(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    StoppedClock.install(monkeypatch)
    async with open_site(sandbox, settings) as site:
        task_id = await site.start()
        address = site.address(task_id)
        answers = [await site.http.post(address, content=body(task_id)) for _ in range(100)]
        with anyio.fail_after(WITHIN_S):
            await site.looked()
        task = await site.agent.call("get_task", task_id=task_id, wait_seconds=0)

    assert {answer.status_code for answer in answers} == {200}
    assert task["state"] == "wait"
    assert site.looks() == 1


@pytest.mark.parametrize("layout", ["documented", "block"])
@pytest.mark.parametrize("fails", [False, True], ids=["success", "failure"])
@pytest.mark.parametrize("kind", ["generate", "extend", "aleph"])
async def test_callbacks_of_every_kind_and_layout_end_their_task(
    sandbox: Sandbox, settings: Settings, kind: str, fails: bool, layout: str
) -> None:
    sandbox.set_switches(aleph_callback=layout)
    async with open_site(sandbox, settings, key=HMAC_KEY) as site:
        task_id = await started(site, kind)
        looks = site.looks()
        sandbox.fail(task_id) if fails else sandbox.finish(task_id)
        tool = "aleph_get_task" if kind == "aleph" else "get_task"
        task = await (failed if fails else ended)(site, task_id, tool)
        await site.acknowledged(task_id)

    assert task["state"] == ("fail" if fails else "success")
    assert site.looks() == looks + 1


async def started(site: Site, kind: str) -> str:
    match kind:
        case "aleph":
            return await site.start("aleph_generate", **ALEPH)
        case "extend":
            parent = await site.start()
            site.sandbox.finish(parent)
            await ended(site, parent)
            return await site.start("extend_video", task_id=parent, request_id="two")
        case _:
            return await site.start()


async def test_a_stranger_cannot_make_an_unclear_request_take_over_another_task(
    sandbox: Sandbox, settings: Settings
) -> None:
    """The address of one request, with a finished task of the same account but another prompt."""
    sandbox.inject(Fault("lost_answer", "runway/generate"))
    async with open_site(sandbox, settings) as site:
        unclear = await site.agent.fail("generate_video", prompt="a boat", request_id="one")
        lost = sandbox.tasks[0].task_id
        created = await site.http.post(
            f"{settings.api_url}/api/v1/runway/generate",
            json={"prompt": "a whale", "duration": 5, "quality": "720p", "aspectRatio": "16:9"},
            headers={"Authorization": f"Bearer {KEY}"},
        )
        other = str(created.json()["data"]["taskId"])
        sandbox.finish(other)
        answer = await site.http.post(site.address(lost), content=body(other))
        with anyio.fail_after(WITHIN_S):
            await site.looked()
        sandbox.finish(lost)
        found = await ended(site, "one")
        listed = await site.agent.call("list_tasks")

    assert unclear["state"] == "unknown"
    assert answer.status_code == 200
    assert (found["state"], found["task_id"]) == ("success", lost)
    assert [task["task_id"] for task in listed["tasks"]] == [lost]
