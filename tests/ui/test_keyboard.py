"""The card without a mouse, and for a screen reader."""

import re

import pytest
from playwright.async_api import Locator
from tests.ui.chat import PROMPT, Chat, expect

pytestmark = pytest.mark.anyio

STEPS = 12  # to any control of the card
TICKED = re.compile(r"\b([3-9]|\d\d) s")
SPOKEN = """() => {
  const status = document.querySelector("[role=status]");
  window.spoken = [status.textContent];
  new MutationObserver(() => window.spoken.push(status.textContent)).observe(
    status, { childList: true, characterData: true, subtree: true });
}"""


async def tab_to(chat: Chat, target: Locator) -> None:
    """Press Tab until a control has the focus, and see that it shows."""
    for _ in range(STEPS):
        await chat.page.keyboard.press("Tab")
        if await target.evaluate("it => it === document.activeElement"):
            ring = await target.evaluate(
                "it => [getComputedStyle(it).outlineStyle, getComputedStyle(it).boxShadow]"
            )
            assert ring != ["none", "none"], "the focus cannot be seen"
            return
    raise AssertionError(f"not reached in {STEPS} steps: {target}")


async def test_the_whole_journey_goes_by_keyboard_alone(chat: Chat) -> None:
    await chat.show_finished()
    await chat.page.locator("iframe").focus()
    await chat.video_is("readyState > 1", on="loadeddata")
    await tab_to(chat, chat.card.locator("video"))
    await chat.page.keyboard.press("Space")
    await chat.video_is("currentTime > 0.3", on="timeupdate")

    await tab_to(chat, chat.button("Extend"))
    await chat.page.keyboard.press("Enter")
    field = chat.card.get_by_role("textbox", name="Prompt")
    await expect(field).to_be_focused()
    await chat.page.keyboard.type("It sails on")
    await tab_to(chat, chat.button(re.compile("^Start for about")))
    await chat.page.keyboard.press("Enter")
    await chat.is_state("wait")
    chat.sandbox.finish(chat.sandbox.tasks[-1].task_id)
    await chat.is_state("success")

    await tab_to(chat, chat.button("Save"))
    await chat.page.keyboard.press("Enter")
    await expect(chat.task).to_contain_text(".mp4")
    await chat.page.keyboard.press("Shift+Tab")
    await tab_to(chat, chat.button("Back"))
    await chat.page.keyboard.press("Enter")
    await expect(chat.task).to_contain_text(PROMPT)
    assert [entry.details["kind"] for entry in chat.paid] == ["generate", "extend"]


async def test_the_gallery_goes_by_keyboard(chat: Chat) -> None:
    await chat.make(prompt="A red balloon")
    await chat.show("list_tasks")
    await chat.page.locator("iframe").focus()
    await tab_to(chat, chat.button("A red balloon"))
    await chat.page.keyboard.press("Enter")
    await chat.is_view("task")
    await tab_to(chat, chat.button("Back"))
    await chat.page.keyboard.press("Enter")

    await chat.is_view("gallery")


async def test_a_screen_reader_hears_changes_of_state_and_nothing_else(chat: Chat) -> None:
    await chat.page.clock.install()
    task_id = await chat.show_task()
    await chat.is_state("wait")
    await expect(chat.status).to_have_count(1)
    await chat.frame.evaluate(SPOKEN)
    await chat.page.clock.run_for(3000)
    await expect(chat.task).to_contain_text(TICKED)
    quiet = await chat.frame.evaluate("window.spoken")
    chat.sandbox.finish(task_id)
    await chat.is_state("success")
    await expect(chat.status).not_to_have_text(quiet[0])

    spoken = await chat.frame.evaluate("window.spoken")
    assert len(quiet) == 1
    assert len(set(spoken)) == 2
