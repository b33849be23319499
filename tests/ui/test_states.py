"""What the card shows of a task, state by state."""

import re
from datetime import timedelta

import pytest
from tests.ui.chat import PROMPT, UNHURRIED, Chat, expect

from kie_runway.errors import PaidCrashError
from kie_runway.sdk import error_result
from kie_runway_sandbox import Fault
from kie_runway_sandbox.tasks import GENERATING_AT_S, QUEUEING_AT_S

pytestmark = pytest.mark.anyio

CANCEL = "host.bridge.sendToolCancelled({reason: 'user action'})"
NO_CREDITS = Fault("refuse", "runway/generate", code=402, message="Credits insufficient")


async def progress(chat: Chat) -> float | None:
    """How far the card says that the task is, in per cent; None: it does not say."""
    bar = chat.card.get_by_role("progressbar", name="Progress")
    await expect(bar).to_be_visible()
    now = await bar.get_attribute("aria-valuenow")
    return None if now is None else float(now)


async def test_before_any_result_the_card_shows_what_was_asked_for(chat: Chat) -> None:
    await chat.open()
    await chat.tell("input", {"prompt": PROMPT})

    await chat.is_view("starting")
    await expect(chat.view).to_contain_text("Starting")
    await expect(chat.view).to_contain_text(PROMPT)


@pytest.mark.parametrize(
    ("seconds", "state"),
    [(0, "wait"), (QUEUEING_AT_S + 1, "queueing"), (GENERATING_AT_S + 1, "generating")],
)
async def test_a_task_at_kie_is_shown_in_kies_state(chat: Chat, seconds: float, state: str) -> None:
    await chat.make(request_id="one")
    chat.pass_time(seconds=seconds)
    await chat.show(request_id="one")

    await chat.is_view("task")
    await chat.is_state(state)
    await expect(chat.task).to_contain_text(PROMPT)
    await expect(chat.task).to_contain_text("credits")
    await expect(chat.card.get_by_role("progressbar", name="Progress")).to_be_visible()


@pytest.mark.parametrize("pace", [UNHURRIED], ids=["unhurried"])
async def test_progress_is_time_out_of_the_usual_time_and_never_full(
    chat: Chat, usual_s: float
) -> None:
    await chat.make(request_id="one")
    chat.pass_time(seconds=usual_s / 2)
    await chat.show(request_id="one")
    await chat.is_state("generating")
    halfway = await progress(chat)
    await expect(chat.task).to_contain_text("usually about 1 min 10 s")
    await expect(chat.task).not_to_contain_text("longer than usual")
    chat.clock.ahead += timedelta(seconds=usual_s / 2)  # KIE's own clock stands still
    await chat.show(request_id="one")

    await expect(chat.task).to_contain_text("longer than usual (usually about 1 min 10 s)")
    late = await progress(chat)
    assert halfway is not None
    assert late is not None
    assert 50 <= halfway < late < 100


async def test_without_a_usual_time_no_share_is_invented(chat: Chat) -> None:
    await chat.make(request_id="one")
    chat.pass_time(seconds=20)
    await chat.show(request_id="one")
    await chat.is_state("generating")

    assert await progress(chat) is None


async def test_the_card_follows_a_task_to_its_video_with_one_call_at_a_time(chat: Chat) -> None:
    task_id = await chat.show_task()
    await chat.is_state("wait")
    chat.sandbox.finish(task_id)

    await chat.is_state("success")
    await expect(chat.card.locator("video")).to_be_visible()
    await expect(chat.task).to_contain_text(PROMPT)
    assert await chat.page.evaluate("host.most") == 1
    for call in await chat.calls("get_task"):
        assert call["task_id"] == task_id
        assert call.get("wait_seconds", 0) <= 20


async def test_a_failure_says_what_happened_what_it_cost_and_what_helps(chat: Chat) -> None:
    task_id = await chat.show_task()
    chat.sandbox.fail(task_id, 400, "AI moderator")

    await chat.is_state("fail")
    await expect(chat.task).to_contain_text("moderator")
    await expect(chat.task.locator("blockquote, q")).to_be_visible()
    await expect(chat.task).to_contain_text("It may have been charged")
    await expect(chat.task).to_contain_text("prompt", ignore_case=True)


async def test_a_refused_start_says_that_nothing_was_charged(chat: Chat) -> None:
    chat.sandbox.inject(NO_CREDITS)
    await chat.show()

    await chat.is_state("rejected")
    await expect(chat.task).to_contain_text("credits")
    await expect(chat.task).to_contain_text(re.compile("nothing|not charged", re.IGNORECASE))
    assert not chat.paid


async def test_a_lost_request_says_that_nobody_knows_whether_it_was_charged(chat: Chat) -> None:
    chat.sandbox.inject(Fault("lost_answer", "runway/generate"))
    await chat.show()

    await chat.is_state("unknown")
    await expect(chat.task).to_contain_text("It may have been charged")
    assert len(chat.paid) == 1


async def test_a_deleted_video_is_expired(chat: Chat) -> None:
    await chat.show(request_id="one")
    chat.sandbox.finish(chat.sandbox.tasks[0].task_id)
    await chat.is_state("success")
    chat.pass_time(days=15)
    await chat.sweep()
    await chat.show(request_id="one")

    await chat.is_state("expired")
    await expect(chat.task).to_contain_text("deleted")
    await expect(chat.card.locator("#help")).to_have_text("Only a new, paid video can replace it.")
    await expect(chat.card.locator("video")).to_have_count(0)


async def test_a_stuck_task_says_so_and_is_not_called_failed(chat: Chat) -> None:
    await chat.make(request_id="one")
    chat.sandbox.inject(
        Fault("edit", "runway/record-detail", merge={"state": "generating"}, times=None)
    )
    chat.pass_time(hours=1)
    await chat.show(request_id="one")

    await chat.is_state("generating")
    await expect(chat.task).to_contain_text(re.compile("stuck|hour|minutes", re.IGNORECASE))


async def test_a_call_that_was_refused_shows_why(chat: Chat) -> None:
    await chat.show(duration=10, quality="1080p")

    await chat.is_view("error")
    await chat.is_state("refused")
    await expect(chat.view).to_contain_text("1080p")
    await expect(chat.view).to_contain_text("Not started")
    await expect(chat.view).to_contain_text("Nothing was charged.")
    await expect(chat.view).to_contain_text("Something in it has to change first.")
    assert not chat.paid


async def test_a_cancelled_call_leaves_no_card_that_waits_for_ever(chat: Chat) -> None:
    await chat.open()
    await chat.tell("input", {"prompt": PROMPT})
    await chat.page.evaluate(CANCEL)

    await chat.is_view("error")
    await expect(chat.view).to_contain_text("cancelled", ignore_case=True)


@pytest.mark.parametrize("end", ["cancelled", "crashed"])
async def test_a_call_without_an_answer_may_have_been_paid(chat: Chat, end: str) -> None:
    await unanswered(chat, end)

    await chat.is_view("error")
    await says_that_nobody_knows(chat)
    assert not await chat.said("tools/call")


@pytest.mark.parametrize("end", ["cancelled", "crashed"])
async def test_a_call_without_an_answer_is_found_by_its_request_id(chat: Chat, end: str) -> None:
    task_id = await chat.make(request_id="one")
    await unanswered(chat, end, request_id="one")
    await chat.is_state("wait")
    chat.sandbox.finish(task_id)

    await chat.is_state("success")
    await chat.is_view("task")
    assert (await chat.calls("get_task"))[0]["task_id"] == "one"
    assert len(chat.paid) == 1


async def test_a_call_that_left_no_trace_is_looked_for_and_not_started(chat: Chat) -> None:
    await unanswered(chat, "cancelled", request_id="one")

    await expect(chat.task).to_contain_text("No task has this id")
    await expect(chat.task).to_contain_text("Looking again soon, which is free.")
    await says_that_nobody_knows(chat)
    assert not chat.paid


async def unanswered(chat: Chat, end: str, **arguments: str) -> None:
    """Show the card of a call that was cancelled, or of one in which the server crashed."""
    arguments = {"prompt": PROMPT} | arguments
    await chat.open()
    await chat.tell("input", arguments)
    if end == "cancelled":
        await chat.page.evaluate(CANCEL)
    else:
        crash = error_result(PaidCrashError("The server failed inside."), spends=True)
        await chat.tell("result", crash.model_dump(mode="json", by_alias=True, exclude_none=True))


async def says_that_nobody_knows(chat: Chat) -> None:
    """Wait until the card says of a call what is known, and see that it offers none."""
    await chat.is_state("unknown")
    await expect(chat.task).to_contain_text("Nobody knows whether it was started")
    await expect(chat.task).to_contain_text("It may have been charged; nobody knows.")
    await expect(chat.task).not_to_contain_text("Not started")
    for name in ("Extend", "Restyle", "Save", "Again"):
        await expect(chat.button(name)).to_have_count(0)
