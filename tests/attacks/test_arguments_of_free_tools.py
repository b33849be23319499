"""Bad arguments of the tools that cost nothing: KIE is not even asked."""

from typing import Any

import pytest
from tests.support import connect

from kie_runway.settings import Settings
from kie_runway_sandbox import Sandbox

pytestmark = pytest.mark.anyio

ASCII = "`task_id` takes printable ASCII characters only: remove the others."
CURSOR = "`cursor` must be the next_cursor of an earlier list_tasks call."
WHOLE = "`wait_seconds` must be a whole number."
WAIT_MAX = "`wait_seconds` must be 45 or less."
LOOK_UPS = ("get_task", "aleph_get_task")
TAKE_ID = (*LOOK_UPS, "save_video")

CASES: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
    (LOOK_UPS, {"task_id": "x", "wait_seconds": 46}, WAIT_MAX),
    (LOOK_UPS, {"task_id": "x", "wait_seconds": 10**400}, WAIT_MAX),
    (LOOK_UPS, {"task_id": "x", "wait_seconds": -1}, "`wait_seconds` must be 0 or more."),
    (LOOK_UPS, {"task_id": "x", "wait_seconds": "5"}, WHOLE),
    (LOOK_UPS, {"task_id": "x", "wait_seconds": 5.5}, WHOLE),
    (LOOK_UPS, {"task_id": "x", "wait_seconds": True}, WHOLE),
    (LOOK_UPS, {"task_id": "x", "wait": 5}, "`wait` is not an argument of this tool:"),
    (TAKE_ID, {}, "`task_id` is missing: it is required."),
    (TAKE_ID, {"task_id": ""}, "`task_id` is empty: write at least 1 character."),
    (TAKE_ID, {"task_id": "a\x00b"}, ASCII),
    (TAKE_ID, {"task_id": "a\x1b[31mb"}, ASCII),
    (TAKE_ID, {"task_id": "a\ud800b"}, ASCII),
    (TAKE_ID, {"task_id": 7}, "`task_id` must be a string."),
    (TAKE_ID, {"task_id": {"id": "x"}}, "`task_id` must be a string."),
    (
        TAKE_ID,
        {"task_id": "x" * 201},
        "`task_id` has 201 characters and may have 200: shorten it by 1.",
    ),
    (TAKE_ID, {"taskId": "x"}, "did you mean `task_id`?"),
    (("get_credits",), {"account": "x"}, "`account` is not an argument of this tool: it takes"),
    (("list_tasks",), {"limit": 0}, "`limit` must be 1 or more."),
    (("list_tasks",), {"limit": 51}, "`limit` must be 50 or less."),
    (("list_tasks",), {"limit": "5"}, "`limit` must be a whole number."),
    (("list_tasks",), {"state": "done"}, "`state` must be 'queued', "),
    (("list_tasks",), {"cursor": "-1"}, CURSOR),
    (("list_tasks",), {"cursor": "1; DROP TABLE"}, CURSOR),
    (("list_tasks",), {"cursor": "٣"}, CURSOR),
    (("list_tasks",), {"cursor": "9" * 19}, CURSOR),
    (("list_tasks",), {"cursor": "9" * 20}, CURSOR),
    (("list_tasks",), {"cursor": "9" * 21}, "`cursor` has 21 characters and may have 20"),
]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [(tool, arguments, said) for tools, arguments, said in CASES for tool in tools],
)
async def test_a_bad_argument_is_explained_and_kie_is_not_asked(
    sandbox: Sandbox, settings: Settings, tool: str, arguments: dict[str, Any], said: str
) -> None:
    async with connect(settings) as agent:
        error = (await agent.refuse(tool, arguments))["error"]

    assert said in error["reason"]
    assert (error["code"], error["retry"], error["charged"]) == ("bad_input", "after_change", "no")
    assert sandbox.requests.total() == 0


@pytest.mark.parametrize("arguments", [{"prompt": ""}, {"prompt": "x" * 1801}, {"quality": "4k"}])
async def test_a_bad_extension_does_not_even_look_at_its_source(
    sandbox: Sandbox, settings: Settings, arguments: dict[str, Any]
) -> None:
    async with connect(settings) as agent:
        good = {"task_id": "x", "prompt": "it sails on", "request_id": "one"}
        error = (await agent.refuse("extend_video", {**good, **arguments}))["error"]

    assert f"`{next(iter(arguments))}`" in error["reason"]
    assert (error["code"], error["charged"]) == ("bad_input", "no")
    assert sandbox.requests.total() == 0


async def test_the_last_page_has_a_cursor_that_works(settings: Settings) -> None:
    async with connect(settings) as agent:
        listed = await agent.call("list_tasks", cursor="9" * 18)

    assert listed == {"tasks": []}
