"""Hosts differ: in age, in what they can do, and in what they forget."""

import asyncio
from typing import Any

import pytest
from tests.ui.chat import PROMPT, WITHIN_MS, Chat, Trouble, expect
from tests.ui.questions import WISH, ask, start

pytestmark = pytest.mark.anyio

SPENDING = ("Extend", "Restyle", "Save", "Again")

HIDDEN = """
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !window.isSeen });
  window.seen = () => {
    window.isSeen = true;
    document.dispatchEvent(new Event("visibilitychange"));
  };
"""


async def stop_time(chat: Chat) -> None:
    """From now on it passes in the browser when a test says so."""
    await chat.page.clock.install(time=0)
    await chat.page.clock.pause_at(1000)


async def looks_again(chat: Chat) -> bool:
    """Whether the card, whose first look was answered, makes another one in time."""
    await chat.page.wait_for_function("() => host.calling === 0")
    looked = len(await chat.said("tools/call"))
    await chat.page.evaluate("host.taken()")
    await chat.page.clock.run_for(3000)  # it does after 2 s
    await chat.page.evaluate("host.taken()")
    return len(await chat.said("tools/call")) > looked


def pictures(result: dict[str, Any]) -> int:
    return sum(block["type"] == "image" for block in result["content"])


@pytest.mark.parametrize(("mode", "version"), [("default", "2025-11-25"), ("auto", "2026-07-28")])
async def test_the_card_works_in_both_eras(quiet_chat: Chat, mode: str, version: str) -> None:
    assert await quiet_chat.connect(mode=mode) == version

    await quiet_chat.show_finished()

    await expect(quiet_chat.button("Extend")).to_be_visible()


async def test_a_host_of_the_older_draft_gets_what_the_model_gets(quiet_chat: Chat) -> None:
    await quiet_chat.connect(older=True)
    task_id = await quiet_chat.show_task()
    await quiet_chat.is_state("wait")
    progress = quiet_chat.card.get_by_role("progressbar", name="Progress")
    await expect(progress).to_be_visible()
    assert await progress.get_attribute("aria-valuenow") is None
    quiet_chat.sandbox.finish(task_id)

    await quiet_chat.is_state("success")
    await expect(quiet_chat.card.locator("video")).to_be_visible()


async def test_a_host_that_passes_on_no_calls_shows_no_buttons(chat: Chat) -> None:
    await chat.make(request_id="one")
    task_id = chat.sandbox.tasks[0].task_id
    chat.sandbox.finish(task_id)
    await chat.call("get_task", task_id=task_id, wait_seconds=45)
    await chat.show(options={"capabilities": {}}, request_id="one")

    await chat.is_state("success")
    for name in SPENDING:
        await expect(chat.button(name)).to_have_count(0)
    assert not await chat.said("tools/call")


async def test_an_old_result_is_looked_at_anew(chat: Chat) -> None:
    old = await chat.call("generate_video", prompt="A boat")
    assert old["structuredContent"]["state"] == "wait"
    chat.sandbox.finish(old["structuredContent"]["task_id"])
    await chat.open()
    await chat.tell("input", {"prompt": "A boat"})
    await chat.tell("result", old)

    await chat.is_state("success")
    assert len(chat.paid) == 1


async def test_the_models_one_picture_is_not_used_up_by_the_card(chat: Chat) -> None:
    task_id = await chat.show_finished()

    assert pictures(await chat.call("get_task", task_id=task_id)) == 1
    assert pictures(await chat.call("get_task", task_id=task_id)) == 0


async def test_a_host_that_drops_the_cards_mark_is_handed_the_picture(quiet_chat: Chat) -> None:
    await quiet_chat.connect(forgets=True)
    await quiet_chat.show_finished()

    await quiet_chat.has_said("model-context")
    (told,) = await quiet_chat.said("model-context")
    assert pictures(told) == 1


async def test_teardown_ends_the_look_ups(chat: Chat) -> None:
    await stop_time(chat)
    await chat.show_task()
    await chat.has_said("tools/call")
    await chat.page.evaluate("host.teardown()")

    assert not await looks_again(chat)


async def test_a_card_that_nobody_sees_does_not_look(chat: Chat) -> None:
    await chat.page.add_init_script(HIDDEN)
    task_id = await chat.show_task()
    await chat.is_state("wait")
    chat.sandbox.finish(task_id)
    assert not await chat.said("tools/call")
    await chat.frame.evaluate("seen()")

    await chat.is_state("success")


@pytest.mark.parametrize("trouble", ["lose", "refuse"])
async def test_a_lost_look_is_shown_and_made_again(chat: Chat, trouble: Trouble) -> None:
    await stop_time(chat)
    await chat.spoil("get_task", trouble)
    task_id = await chat.show_task()
    chat.sandbox.finish(task_id)
    await expect(chat.task).to_contain_text("Looking again soon")
    await chat.page.clock.run_for(2000)

    await chat.is_state("success")
    assert len(await chat.calls("get_task")) > 1
    assert len(chat.paid) == 1


async def test_the_host_is_told_how_high_the_card_is(chat: Chat) -> None:
    await chat.show_finished()
    await expect(chat.card.locator("video")).to_be_visible()

    async def fits() -> bool:
        inner, given = await chat.frame.evaluate(
            "[document.documentElement.scrollHeight, innerHeight]"
        )
        sizes = await chat.said("size")
        return bool(sizes) and abs(sizes[-1]["height"] - inner) <= 1 and given >= inner - 1

    async with asyncio.timeout(WITHIN_MS / 1000):
        while not await fits():
            pass


async def test_a_result_that_is_delivered_twice_leaves_the_user_where_they_are(chat: Chat) -> None:
    result = await chat.show()
    chat.sandbox.finish(result["structuredContent"]["task_id"])
    await chat.is_state("success")
    await start(await ask(chat, "Extend"))
    await chat.is_state("wait")
    await chat.tell("result", result)
    await chat.frame.evaluate("0")

    await expect(chat.task).to_contain_text(WISH)
    await expect(chat.button("Back")).to_be_visible()


async def test_arguments_that_are_still_being_written_are_shown_and_not_used(
    quiet_chat: Chat,
) -> None:
    chat = quiet_chat
    await chat.connect(older=True)
    result = await chat.call("generate_video", prompt=PROMPT)
    chat.sandbox.finish(result["structuredContent"]["task_id"])
    await chat.open()
    await chat.page.evaluate("host.bridge.sendToolInputPartial({arguments: {prompt: 'A pap'}})")
    await expect(chat.view).to_contain_text("A pap")
    await chat.tell("result", result)
    await chat.is_state("success")

    await expect(chat.button("Again")).to_have_count(0)


async def test_an_error_ends_the_look_ups(chat: Chat) -> None:
    await stop_time(chat)
    await chat.show_task()
    await chat.has_said("tools/call")
    await chat.page.evaluate("host.bridge.sendToolCancelled({reason: 'user action'})")
    await chat.is_view("error")

    assert not await looks_again(chat)


async def test_a_date_that_nobody_can_read_is_shown_as_it_is(chat: Chat) -> None:
    said = {"request_id": "one", "kind": "generate", "state": "success", "expires_at": "one day"}
    await chat.open()
    await chat.tell("result", {"content": [], "structuredContent": said})

    await chat.is_state("success")
    await expect(chat.task).to_contain_text("KIE keeps it until one day")


async def test_only_the_latest_picture_of_the_cards_own_tasks_is_handed_on(
    quiet_chat: Chat,
) -> None:
    chat = quiet_chat
    await chat.connect(forgets=True)
    task_id = await chat.show_finished()
    await start(await ask(chat, "Extend"))
    await chat.is_state("wait")
    chat.sandbox.finish(chat.sandbox.tasks[-1].task_id)
    await chat.is_state("success")
    await chat.has_said("model-context", times=3)
    *_, told = await chat.said("model-context")
    assert pictures(told) == 1
    assert chat.sandbox.tasks[-1].task_id != task_id


async def test_pictures_that_the_user_looks_up_are_not_handed_on(quiet_chat: Chat) -> None:
    chat = quiet_chat
    await chat.connect(forgets=True)
    chat.sandbox.finish(await chat.make())
    await chat.show("list_tasks")
    await chat.button(PROMPT).click()
    await chat.is_state("success")
    await chat.button("Back").click()

    assert not await chat.said("model-context")
