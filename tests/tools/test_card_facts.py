"""What the card is told beyond what the model is, and what it leaves to the model."""

from datetime import timedelta
from typing import Any

import pytest
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.types import CallToolResult, ImageContent, RequestParamsMeta
from tests.support import Agent, Era, connect, serve_sandbox, structured
from tests.tasks_client import TasksClient

from kie_runway.ledger.records import Entry
from kie_runway.medians import Medians
from kie_runway.tracker import Tracker
from kie_runway_sandbox import Fault
from kie_runway_tools import card_facts
from kie_runway_tools.card_host import CARD_KEY

pytestmark = pytest.mark.anyio

HOST = [advertise(EXTENSION_ID, {"mimeTypes": [APP_MIME_TYPE]})]
BY_CARD: RequestParamsMeta = {CARD_KEY: True}  # type: ignore[typeddict-unknown-key]
PROMPT = (
    "A paper boat drifts across a calm sea at sunset,\nslow dolly shot, warm light, soft ripples"
)


def facts(result: CallToolResult) -> dict[str, Any]:
    """What a result tells the card."""
    assert result.meta is not None
    found: dict[str, Any] = result.meta[CARD_KEY]
    return found


def usual(_medians: Medians, _entry: Entry) -> float:
    """As if the ledger had seen enough to know."""
    return 70.0


def images(result: CallToolResult) -> int:
    return sum(isinstance(block, ImageContent) for block in result.content)


async def start(agent: Agent, **arguments: Any) -> CallToolResult:
    return await agent.client.call_tool("generate_video", {"prompt": PROMPT} | arguments)


async def look(
    agent: Agent, any_id: str, *, by_card: bool = False, wait_seconds: int = 30
) -> CallToolResult:
    arguments = {"task_id": any_id, "wait_seconds": wait_seconds}
    return await agent.client.call_tool("get_task", arguments, meta=BY_CARD if by_card else None)


async def test_a_host_with_cards_is_told_all_of_a_task(era: Era) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        begun = await start(agent, request_id="one", duration=10, aspect_ratio="9:16")
        sandbox.finish(structured(begun)["task_id"])
        done = await look(agent, "one")

    first, last = facts(begun), facts(done)
    assert first["task"]["prompt"] == PROMPT.replace("\n", " ")
    assert (first["duration"], first["quality"], first["aspect_ratio"]) == (10, "720p", "9:16")
    assert first["age_s"] >= 0
    assert first["max_wait_s"] == settings.max_wait_s
    assert not {"extend", "restyle", "again"} & first.keys()
    task = last["task"]
    assert task["state"] == "success"
    assert {"video_url", "thumbnail_url", "created_at", "finished_at", "expires_at"} <= task.keys()
    assert last["extend"] == {"credits": 12}
    assert last["restyle"] == {"credits": 110}
    assert last["again"] == {
        "tool": "generate_video",
        "arguments": {"prompt": PROMPT, "duration": 10, "aspect_ratio": "9:16"},
        "credits": 30,
    }


async def test_nobody_else_pays_a_byte_for_the_card(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings):
        async with connect(settings, era) as agent:
            results = [await start(agent, request_id="one")]
            sandbox.finish(structured(results[0])["task_id"])
            results += [
                await look(agent, "one"),
                await look(agent, "one", by_card=True),
                await agent.client.call_tool("save_video", {"task_id": "one"}),
                await agent.client.call_tool("list_tasks", {}),
            ]
        async with connect(settings, era, extensions=HOST) as agent:
            shown = [await look(agent, "one"), await agent.client.call_tool("list_tasks", {})]

    assert not [result.meta for result in results if CARD_KEY in (result.meta or {})]
    assert all(CARD_KEY in (result.meta or {}) for result in shown)
    assert structured(shown[1]) == structured(results[-1])


async def test_another_extension_or_another_kind_of_page_is_no_card(era: Era) -> None:
    others = [advertise(EXTENSION_ID, {"mimeTypes": ["text/html"]})]
    async with (
        serve_sandbox() as (_, settings),
        connect(settings, era, extensions=others) as agent,
    ):
        result = await start(agent)

    assert CARD_KEY not in (result.meta or {})


async def test_the_cards_own_looks_leave_the_picture_to_the_model(era: Era) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        sandbox.finish(structured(await start(agent, request_id="one"))["task_id"])
        cards = [await look(agent, "one", by_card=True) for _ in range(2)]
        arguments = {"task_id": "one"}
        cards.append(await agent.client.call_tool("save_video", arguments, meta=BY_CARD))
        models = [await look(agent, "one") for _ in range(2)]

    assert [images(result) for result in cards] == [0, 0, 0]
    assert [images(result) for result in models] == [1, 0]
    assert "picture" not in structured(cards[0])["next"]
    assert structured(models[0])["next"].startswith("Judge the picture.")


async def test_the_gallery_is_told_all_of_each_task(era: Era) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        sandbox.finish(structured(await start(agent, request_id="one"))["task_id"])
        await look(agent, "one")
        await start(agent, request_id="two")
        listed = await agent.client.call_tool("list_tasks", {})

    rows = facts(listed)["tasks"]
    assert [row["task"]["request_id"] for row in rows] == ["two", "one"]
    assert rows[1]["task"]["thumbnail_url"]
    assert rows[1]["task"]["prompt"] == PROMPT.replace("\n", " ")


async def test_what_cannot_be_done_is_not_offered(era: Era) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        sharp = structured(await start(agent, quality="1080p", request_id="sharp"))
        sandbox.finish(sharp["task_id"])
        lost = structured(await start(agent, prompt="a kite", request_id="lost"))
        sandbox.fail(lost["task_id"])
        done, failed = await look(agent, "sharp"), await look(agent, "lost")
        sandbox.inject(Fault("lost_answer", "runway/generate"))
        unknown = await start(agent, prompt="a balloon")

    assert "extend" not in facts(done)
    assert facts(done)["again"]["credits"] == 30
    assert {"extend", "restyle"} & facts(failed).keys() == set()
    assert facts(failed)["again"]["arguments"]["prompt"] == "a kite"
    assert facts(failed)["task"]["error"]["reason"]
    assert not {"extend", "restyle", "again"} & facts(unknown).keys()


async def test_a_task_that_was_made_elsewhere_cannot_be_made_again(era: Era) -> None:
    async with serve_sandbox() as (sandbox, settings):
        async with connect(settings, era) as agent:
            task_id = structured(await start(agent))["task_id"]
            sandbox.finish(task_id)
        elsewhere = settings.model_copy(update={"home": settings.home_dir / "elsewhere"})
        async with connect(elsewhere, era, extensions=HOST) as agent:
            found = await look(agent, task_id)

    assert facts(found)["task"]["state"] == "success"
    assert "again" not in facts(found)


async def test_media_that_may_be_gone_are_not_paid_for_again(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        image = "https://example.com/first.png"
        begun = structured(await start(agent, image_url=image, request_id="one"))
        sandbox.finish(begun["task_id"])
        soon = await look(agent, "one")
        monkeypatch.setattr(card_facts, "MEDIA_KEPT", timedelta())
        late = await look(agent, "one")

    assert facts(soon)["again"]["arguments"] == {"prompt": PROMPT, "image_url": image}
    assert "again" not in facts(late)


async def test_restyled_and_extended_videos_can_be_made_again_as_they_were(era: Era) -> None:
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        first = structured(await start(agent, request_id="one"))["task_id"]
        sandbox.finish(first)
        url = structured(await look(agent, "one"))["video_url"]
        longer = await agent.call("extend_video", task_id=first, prompt="on", request_id="two")
        painted = await agent.call("aleph_generate", video_url=url, prompt="ink", seed=7)
        for task in (longer, painted):
            sandbox.finish(task["task_id"])
        extended = await look(agent, "two")
        restyled = await agent.client.call_tool(
            "aleph_get_task", {"task_id": painted["task_id"], "wait_seconds": 30}
        )

    assert facts(extended)["again"] == {
        "tool": "extend_video",
        "arguments": {"task_id": first, "prompt": "on"},
        "credits": 12,
    }
    assert facts(extended)["extend"] == {"credits": 12}
    assert facts(restyled)["again"] == {
        "tool": "aleph_generate",
        "arguments": {"prompt": "ink", "video_url": url, "seed": 7},
        "credits": 110,
    }
    assert "extend" not in facts(restyled)


async def test_an_odd_address_of_a_video_fails_no_answer(era: Era) -> None:
    odd = "HTTPS://example.com/boat.mp4"
    async with (
        serve_sandbox() as (sandbox, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        begun = structured(await start(agent, request_id="one"))
        merge = {"videoInfo": {"videoUrl": odd, "taskId": begun["task_id"]}}
        sandbox.inject(Fault("edit", "runway/record-detail", times=None, merge=merge))
        sandbox.finish(begun["task_id"])
        done = await look(agent, "one")
        listed = await agent.client.call_tool("list_tasks", {})

    assert not done.is_error
    assert structured(done)["video_url"] == odd
    assert "restyle" not in facts(done)
    assert facts(done)["extend"] == {"credits": 12}
    assert facts(listed)["tasks"][0]["task"]["video_url"] == odd


async def test_what_the_card_cannot_be_told_fails_no_answer(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> float:
        raise RuntimeError

    monkeypatch.setattr(Tracker, "usual_s", fail)
    async with (
        serve_sandbox() as (_, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        begun = await start(agent, request_id="one")
        listed = await agent.client.call_tool("list_tasks", {})

    assert structured(begun)["state"] == "wait"
    assert facts(begun) == {"max_wait_s": settings.max_wait_s}
    assert facts(listed)["tasks"] == [{}]


async def test_the_usual_time_is_told_with_whether_it_was_learned(
    era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        serve_sandbox() as (_, settings),
        connect(settings, era, extensions=HOST) as agent,
    ):
        guessed = facts(await start(agent, request_id="one"))
        monkeypatch.setattr(Medians, "of", usual)
        learned = facts(await look(agent, "one", wait_seconds=0))

    assert guessed["usual_is_learned"] is False
    assert (learned["usual_s"], learned["usual_is_learned"]) == (70.0, True)


async def test_the_card_follows_its_tasks_itself() -> None:
    """A host that takes tasks of the protocol is given none where the card starts one."""
    async with (
        serve_sandbox() as (_, settings),
        connect(settings, "auto", extensions=[*HOST, TasksClient()]) as agent,
    ):
        result = await agent.client.session.call_tool(
            "generate_video", {"prompt": PROMPT}, meta=BY_CARD
        )

    assert isinstance(result, CallToolResult)
    assert structured(result)["state"] == "wait"
