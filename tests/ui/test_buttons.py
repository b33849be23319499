"""The card's buttons: each calls its tool through the host, and those that spend ask first."""

import os
import re
from pathlib import Path

import pytest
from tests.ui.chat import PROMPT, Chat, Trouble, expect
from tests.ui.questions import HEADINGS, START, TOOLS, WISH, ask, paid_kinds, start

from kie_runway.models import PROMPT_MAX_CHARS
from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio


async def shows_new_task(chat: Chat, old: str) -> None:
    """Wait until the card follows another task."""
    await expect(chat.task).not_to_have_attribute("data-state", "success")
    await expect(chat.button("Back")).to_be_visible()
    assert chat.sandbox.tasks[-1].task_id != old


async def test_extend_starts_a_paid_continuation(chat: Chat) -> None:
    task_id = await chat.show_finished()
    await start(await ask(chat, "Extend"))
    await shows_new_task(chat, task_id)

    (call,) = await chat.calls("extend_video")
    assert call == {"task_id": task_id, "prompt": WISH}
    assert paid_kinds(chat) == {"generate": 1, "extend": 1}
    assert chat.sandbox.tasks[-1].parent_task_id == task_id


async def test_restyle_starts_a_paid_restyling(chat: Chat) -> None:
    task_id = await chat.show_finished()
    await start(await ask(chat, "Restyle"))
    await shows_new_task(chat, task_id)

    (call,) = await chat.calls("aleph_generate")
    assert call["prompt"] == WISH
    assert call["video_url"].endswith(f"/media/{task_id}/video.mp4")
    assert paid_kinds(chat) == {"generate": 1, "aleph": 1}


async def test_again_starts_the_same_video_anew(chat: Chat) -> None:
    await chat.show(duration=10, aspect_ratio="9:16", request_id="one")
    chat.sandbox.finish(chat.sandbox.tasks[0].task_id)
    await chat.is_state("success")
    await start(await ask(chat, "Again"))
    await shows_new_task(chat, chat.sandbox.tasks[0].task_id)

    (call,) = await chat.calls("generate_video")
    assert call["request_id"] != "one"
    assert (call["prompt"], call["duration"], call["aspect_ratio"]) == (PROMPT, 10, "9:16")
    first, second = chat.sandbox.tasks
    assert first.body == second.body


async def test_the_price_in_the_question_is_the_servers(chat: Chat) -> None:
    await chat.show_finished()
    form = await ask(chat, "Extend")
    name = await form.get_by_role("button", name=START).inner_text()
    await start(form)
    await expect(chat.button("Back")).to_be_visible()

    (paid,) = [entry for entry in chat.paid if entry.details["kind"] == "extend"]
    assert name == f"Start for about {paid.details['credits']:g} credits"


@pytest.mark.parametrize("name", HEADINGS)
@pytest.mark.parametrize("way", ["Cancel", "Escape"])
async def test_a_question_that_is_left_spends_nothing(chat: Chat, name: str, way: str) -> None:
    await chat.show_finished()
    form = await ask(chat, name)
    if way == "Cancel":
        await form.get_by_role("button", name="Cancel").click()
    else:
        await chat.page.keyboard.press("Escape")

    await expect(form).to_have_count(0)
    await expect(chat.button(name)).to_be_focused()
    assert not await chat.calls(TOOLS[name])
    assert paid_kinds(chat) == {"generate": 1}


@pytest.mark.parametrize("name", HEADINGS)
async def test_nothing_is_spent_before_the_question_is_answered(chat: Chat, name: str) -> None:
    await chat.show_finished()
    await ask(chat, name)

    assert not await chat.calls(TOOLS[name])
    assert paid_kinds(chat) == {"generate": 1}


@pytest.mark.parametrize("prompt", ["", "   "], ids=["empty", "blank"])
async def test_a_prompt_that_says_nothing_is_not_sent(chat: Chat, prompt: str) -> None:
    await chat.show_finished()
    form = await ask(chat, "Extend")
    await form.get_by_role("textbox", name="Prompt").fill(prompt)
    await start(form)

    await expect(form).to_be_visible()
    assert not await chat.calls("extend_video")
    assert paid_kinds(chat) == {"generate": 1}


async def test_no_longer_prompt_can_be_written_than_kie_takes(chat: Chat) -> None:
    await chat.show_finished()
    form = await ask(chat, "Extend")
    field = form.get_by_role("textbox", name="Prompt")
    await field.fill("")
    await chat.page.keyboard.insert_text("x" * (PROMPT_MAX_CHARS + 1))

    assert len(await field.input_value()) == PROMPT_MAX_CHARS


@pytest.mark.parametrize("trouble", ["lose", "refuse"])
async def test_pressing_start_again_after_a_lost_answer_is_free(
    chat: Chat, trouble: Trouble
) -> None:
    await chat.show_finished()
    await chat.spoil("extend_video", trouble)
    form = await ask(chat, "Extend")
    await start(form)
    await expect(form.get_by_role("button", name=START)).to_be_enabled()
    await expect(form).not_to_contain_text("try again", ignore_case=True)
    await start(form)
    await expect(form).to_have_count(0)

    first, second = await chat.calls("extend_video")
    assert first == second
    assert paid_kinds(chat) == {"generate": 1, "extend": 1}


async def test_a_start_under_way_cannot_be_started_twice(chat: Chat) -> None:
    await chat.show_finished()
    await chat.spoil("extend_video", "hang")
    form = await ask(chat, "Extend")
    button = form.get_by_role("button", name=re.compile("Start"))
    await button.click()
    await expect(button).to_be_disabled()
    await button.dispatch_event("click")
    await form.get_by_role("textbox", name="Prompt").press("Control+Enter")
    await chat.page.wait_for_function("host.hanging > 0")

    assert len(await chat.calls("extend_video")) == 1
    assert paid_kinds(chat) == {"generate": 1, "extend": 1}


async def test_another_prompt_is_another_video(chat: Chat) -> None:
    await chat.show_finished()
    await start(await ask(chat, "Extend"))
    await chat.button("Back").click()
    await chat.is_state("success")
    form = await ask(chat, "Extend")
    await form.get_by_role("textbox", name="Prompt").fill("It sinks")
    await start(form)
    await expect(chat.task).to_contain_text("It sinks")

    assert paid_kinds(chat) == {"generate": 1, "extend": 2}


async def test_a_start_that_kie_refuses_says_why(chat: Chat) -> None:
    await chat.show_finished()
    chat.sandbox.inject(Fault("refuse", "runway/extend", code=402, message="Credits insufficient"))
    await start(await ask(chat, "Extend"))

    await chat.is_state("rejected")
    await expect(chat.task).to_contain_text("KIE said: “Credits insufficient”")
    await expect(chat.task).to_contain_text("Nothing was charged.")
    assert paid_kinds(chat) == {"generate": 1}


async def test_after_a_start_the_card_follows_it_and_finds_back(chat: Chat) -> None:
    await chat.show_finished()
    await start(await ask(chat, "Extend"))
    await chat.is_state("wait")
    await expect(chat.task).to_contain_text(WISH)
    chat.sandbox.finish(chat.sandbox.tasks[-1].task_id)
    await chat.is_state("success")
    await chat.button("Back").click()

    await expect(chat.task).to_contain_text(PROMPT)
    await chat.is_state("success")


async def test_the_model_is_told_of_what_the_user_started(chat: Chat) -> None:
    await chat.show_finished()
    await start(await ask(chat, "Extend"))
    await expect(chat.button("Back")).to_be_visible()
    await chat.has_said("model-context")

    told = str(await chat.said("model-context"))
    assert chat.sandbox.tasks[-1].task_id in told


async def test_save_shows_where_the_file_is(chat: Chat) -> None:
    task_id = await chat.show_finished()
    await chat.button("Save").click()

    await expect(chat.task).to_contain_text(".mp4")
    await expect(chat.button("Save")).to_have_count(0)
    await expect(chat.status).to_have_text("Saved.")
    assert await chat.calls("save_video") == [{"task_id": task_id}]
    saved = await chat.call("save_video", task_id=task_id)
    file = Path(saved["structuredContent"]["file"])
    assert file.name in os.listdir(file.parent)
    await expect(chat.task).to_contain_text(file.name)


async def test_a_save_that_fails_says_so_and_can_be_made_again(chat: Chat) -> None:
    await chat.show_finished()
    await chat.spoil("save_video", "refuse")
    await chat.button("Save").click()
    await expect(chat.button("Save")).to_be_enabled()
    await chat.button("Save").click()

    await expect(chat.task).to_contain_text(".mp4")


async def test_only_what_can_be_done_is_offered(chat: Chat) -> None:
    await chat.show_task()
    await chat.is_state("wait")

    for name in (*HEADINGS, "Save"):
        await expect(chat.button(name)).to_have_count(0)


async def test_a_1080p_video_cannot_be_extended(chat: Chat) -> None:
    await chat.show(quality="1080p")
    chat.sandbox.finish(chat.sandbox.tasks[0].task_id)
    await chat.is_state("success")

    await expect(chat.button("Restyle")).to_be_visible()
    await expect(chat.button("Extend")).to_have_count(0)


async def test_a_failed_video_can_be_made_again(chat: Chat) -> None:
    await chat.show()
    chat.sandbox.fail(chat.sandbox.tasks[0].task_id)
    await chat.is_state("fail")
    await start(await ask(chat, "Again"))
    await expect(chat.button("Back")).to_be_visible()

    assert paid_kinds(chat) == {"generate": 2}
