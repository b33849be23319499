"""The control API does what the methods do."""

from typing import Any

import pytest
from tests.sandbox.helpers import CREDIT, GENERATE, TEXT, Kie, started

from kie_runway_sandbox import Switches

pytestmark = pytest.mark.anyio


async def control(kie: Kie, path: str, body: Any) -> Any:
    response = await kie.http.post(f"/_sandbox/{path}", json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_log_tells_what_really_happened() -> None:
    async with started() as (_, kie):
        await control(kie, "faults", {"kind": "truncated_json", "endpoint": "runway/generate"})
        await kie.http.post(GENERATE, json=TEXT)
        await kie.post(GENERATE, {})
        entries = (await kie.http.get("/_sandbox/log")).json()["entries"]
        creates = (await kie.http.get("/_sandbox/log?event=create")).json()["entries"]

    assert [entry["event"] for entry in entries] == ["fault", "create", "refused"]
    (create,) = creates
    assert create["at"] == "2026-06-27T16:26:07Z"
    assert create["details"] == {
        "kind": "generate",
        "body": TEXT,
        "credits": 12.0,
        "answer": "spoiled",
    }
    assert "sandbox-key" not in str(entries)


async def test_the_state_shows_everything() -> None:
    async with started() as (_, kie):
        task_id = await kie.create()
        await kie.record(task_id)
        await kie.record("unknown")
        state = (await kie.http.get("/_sandbox/state")).json()

    assert state["now"] == "2026-06-27T16:26:07+00:00"
    assert state["accounts"][0]["credits"] == 988.0
    assert (state["tasks"][0]["task_id"], state["tasks"][0]["lookups"]) == (task_id, 1)
    assert state["requests"] == {"runway/generate": 1, "runway/record-detail": 2}
    assert state["unknown_lookups"] == {"unknown": 1}
    assert state["switches"]["unknown_task"] == "null"


async def test_the_clock_moves_tasks() -> None:
    async with started() as (_, kie):
        task_id = await kie.create()
        moved = await control(kie, "clock", {"advance_s": 60})
        task = (await kie.http.get(f"/_sandbox/tasks/{task_id}")).json()

    assert moved == {"now": "2026-06-27T16:27:07+00:00"}
    assert (task["state"], task["lookups"]) == ("success", 0)


async def test_tasks_end_at_once() -> None:
    async with started(advance="manual") as (_, kie):
        first, second = await kie.create(), await kie.create()
        finished = await control(kie, f"tasks/{first}", {"state": "success"})
        failed = await control(kie, f"tasks/{second}", {"state": "fail", "message": "NSFW"})
        again = await kie.http.post(f"/_sandbox/tasks/{first}", json={"state": "fail"})
        unknown = await kie.http.post("/_sandbox/tasks/none", json={"state": "fail"})

    assert finished["state"] == "success"
    assert (failed["state"], failed["failure"]["code"]) == ("fail", 400)
    assert "NSFW" in failed["failure"]["message"]
    assert (again.status_code, unknown.status_code) == (409, 404)


async def test_faults_are_listed_and_cleared() -> None:
    async with started() as (_, kie):
        await control(kie, "faults", {"kind": "refuse", "code": 455, "times": None})
        listed = (await kie.http.get("/_sandbox/faults")).json()["faults"]
        refused = (await kie.http.get(CREDIT)).json()
        await kie.http.delete("/_sandbox/faults")
        healed = (await kie.http.get(CREDIT)).json()

    assert [(fault["kind"], fault["code"]) for fault in listed] == [("refuse", 455)]
    assert (refused["code"], healed["code"]) == (455, 200)


async def test_switches_change_one_by_one() -> None:
    async with started(switches=Switches(legacy_8s=True)) as (sandbox, kie):
        shown = await control(kie, "switches", {"unknown_task": 404, "webhook_key": "k"})
        seen = (await kie.http.get("/_sandbox/switches")).json()

    assert shown == seen
    assert sandbox.switches == Switches(unknown_task=404, webhook_key="k", legacy_8s=True)


async def test_credits_are_set_per_key() -> None:
    async with started(keys=("sandbox-key", "other")) as (sandbox, kie):
        await control(kie, "credits", {"credits": 5.25})
        await control(kie, "credits", {"credits": "7", "key": "other"})
        unknown = await kie.http.post("/_sandbox/credits", json={"credits": 1, "key": "none"})

        assert await kie.credits() == 5.25
        assert sandbox.account("other").credits == 7
    assert unknown.status_code == 404


async def test_a_reset_goes_back_to_the_beginning() -> None:
    async with started(switches=Switches(legacy_8s=True)) as (sandbox, kie):
        task_id = await kie.create()
        sandbox.advance(100)
        sandbox.set_switches(unknown_task=404)
        await control(kie, "faults", {"kind": "html_502", "times": None})
        await control(kie, "reset", {})

        assert sandbox.log.entries == []
        assert await kie.credits() == 1000.0
        assert await kie.record(task_id) is None
    assert sandbox.switches == Switches(legacy_8s=True)
    assert sandbox.clock.now().isoformat() == "2026-06-27T16:26:07+00:00"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"kind": "earthquake"}),
        ("faults", {"kind": "refuse", "status": "teapot"}),
        ("faults", {"kind": "refuse", "extra": 1}),
        ("switches", {"unknown_task": 500}),
        ("switches", {"no_such_switch": True}),
        ("clock", {}),
        ("credits", {"credits": "many"}),
        ("clock", []),
    ],
)
async def test_nonsense_is_refused_with_a_reason(path: str, body: Any) -> None:
    async with started() as (sandbox, kie):
        response = await kie.http.post(f"/_sandbox/{path}", json=body)

    assert response.status_code == 400
    assert response.json()["error"]
    assert sandbox.switches == Switches()
    assert sandbox.faults.armed == []


async def test_the_clock_does_not_go_back() -> None:
    async with started() as (_, kie):
        response = await kie.http.post("/_sandbox/clock", json={"advance_s": -1})

    assert response.status_code == 409
