"""The agent has teeth: sentences that mislead, or say nothing, are noticed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from mcp.types import CallToolResult, TextContent
from tests.obedient.agent import Arguments, ObedientAgent, Unclear, User

from kie_runway.errors import Retry

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 21, 23, 50, tzinfo=UTC)
REPEAT = "repeat the paid call with the same request_id"
BOAT = {"prompt": "a paper boat", "request_id": "one"}
FAILED = {"request_id": "one", "task_id": "t1", "state": "fail"}


@dataclass
class Script:
    """A world that answers each call with the same sentence, or with a row of them."""

    answers: list[Arguments]
    calls: list[tuple[str, Arguments]] = field(default_factory=list[tuple[str, Arguments]])
    passed_s: float = 0

    async def call(self, tool: str, arguments: Arguments) -> CallToolResult:
        self.calls.append((tool, arguments))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return CallToolResult(content=[TextContent(text="shown")], structured_content=answer)

    async def pass_time(self, seconds: float) -> None:
        self.passed_s += seconds

    def now(self) -> datetime:
        return NOW


def says(*sentences: str) -> Script:
    return Script([FAILED | {"next": sentence} for sentence in sentences])


@pytest.mark.parametrize(
    "sentence",
    [
        "Try again.",
        "Start over with generate_video.",
        "Call get_task or save_video.",
        "Call get_task with the id.",
        "Perhaps it was charged.",
        "If you like, call get_task.",
        "Only if they are rich, start it with a new request_id.",
    ],
)
async def test_what_leaves_one_to_guess_is_unclear(sentence: str) -> None:
    agent = ObedientAgent(says(sentence), User(agrees=True))
    with pytest.raises(Unclear):
        await agent.run("generate_video", **BOAT)


async def test_sentences_that_lead_in_circles_are_noticed() -> None:
    agent = ObedientAgent(says("Call get_task with wait_seconds=45."), User())
    with pytest.raises(Unclear, match="circles"):
        await agent.run("generate_video", **BOAT)


async def test_a_sentence_that_forbids_and_orders_the_same_is_noticed() -> None:
    sentence = "Do not start it again. Repeat the paid call with this request_id."
    agent = ObedientAgent(says(sentence), User())
    with pytest.raises(Unclear, match="forbidden"):
        await agent.run("generate_video", **BOAT)


async def test_an_order_to_pay_again_is_obeyed_so_that_the_books_will_show_it() -> None:
    world = says("Start it with a new request_id.", "Give the user the file.")
    agent = ObedientAgent(world, User())
    await agent.run("generate_video", **BOAT)

    assert [arguments["request_id"] for _, arguments in world.calls] == ["one", "one-new"]
    assert agent.user.agreed == 0


@pytest.mark.parametrize("agrees", [True, False])
async def test_the_users_word_decides(agrees: bool) -> None:
    world = says(
        "Tell the user; only if they agree to pay again, start it with a new request_id.",
        "Give the user the file.",
    )
    agent = ObedientAgent(world, User(agrees=agrees))
    await agent.run("generate_video", **BOAT)

    assert len(world.calls) == 1 + agrees
    assert agent.user.agreed == agrees


async def test_after_a_time_on_the_clock_the_day_may_have_changed() -> None:
    world = says("After 00:35 UTC, call get_task with this request_id.", "Tell the user.")
    await ObedientAgent(world, User()).run("generate_video", **BOAT)

    assert world.calls[1] == ("get_task", {"task_id": "one"})
    assert 45 * 60 <= world.passed_s <= 47 * 60


@pytest.mark.parametrize("retry", get_args(Retry))
async def test_of_an_error_it_obeys_the_next_step_alone(retry: str) -> None:
    error: dict[str, Any] = {"reason": "Call get_task.", "retry": retry, "charged": "no"}
    world = Script(
        [
            {"error": error, "next": f"In 7 seconds, {REPEAT}."},
            {"error": error, "next": "Change what the error names, then repeat the call."},
            {"error": error, "next": "Tell the user; once mended, repeat the call."},
            {"error": error},
        ]
    )
    user = User(change={"prompt": "another"}, mend=lambda: None)
    await ObedientAgent(world, user).run("generate_video", **BOAT)

    assert [arguments["prompt"] for _, arguments in world.calls] == [
        *(BOAT["prompt"], BOAT["prompt"], "another", "another")
    ]
    assert {arguments["request_id"] for _, arguments in world.calls} == {"one"}
    assert world.passed_s == 7 + 60


@pytest.mark.parametrize(("state", "calls"), [("success", 3), ("fail", 2)])
async def test_what_comes_afterwards_waits_for_the_end(state: str, calls: int) -> None:
    early = "Call get_task with wait_seconds=45. Once it is a success, repeat the call."
    world = Script([{"next": early}, {"state": state, "next": "Tell the user."}])
    await ObedientAgent(world, User()).run("save_video", task_id="t1")

    save = ("save_video", {"task_id": "t1"})
    look = ("get_task", {"task_id": "t1", "wait_seconds": 45})
    assert world.calls[:calls] == [save, look, save][:calls]
    assert (state == "success") is (save in world.calls[2:])


@pytest.mark.parametrize(("listed", "calls"), [("one", 2), ("other", 3)])
async def test_what_is_listed_is_not_paid_for_again(listed: str, calls: int) -> None:
    sentence = f"Call list_tasks. If it is not there, {REPEAT}."
    world = Script(
        [{"next": sentence}, {"tasks": [{"request_id": listed}]}, {"next": "Tell the user."}]
    )
    await ObedientAgent(world, User()).run("generate_video", **BOAT)

    assert len(world.calls) == calls
