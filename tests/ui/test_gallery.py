"""The gallery: what `list_tasks` shows."""

import re

import pytest
from tests.ui.chat import Chat, expect

pytestmark = pytest.mark.anyio


async def test_the_gallery_shows_tasks_newest_first(chat: Chat) -> None:
    first = await chat.make(prompt="A red balloon")
    await chat.make(prompt="A green kite")
    chat.sandbox.finish(first)
    await chat.call("get_task", task_id=first, wait_seconds=45)
    await chat.show("list_tasks")

    await chat.is_view("gallery")
    items = chat.card.get_by_role("list").get_by_role("listitem")
    await expect(items).to_have_count(2)
    await expect(items.nth(0).get_by_role("button", name="A green kite")).to_be_visible()
    await expect(items.nth(1).get_by_role("button", name="A red balloon")).to_be_visible()
    await expect(items.nth(1).locator("img")).to_be_visible()


async def test_a_task_opens_from_the_gallery_and_leads_back(chat: Chat) -> None:
    task_id = await chat.make(prompt="A red balloon")
    await chat.make(prompt="A green kite")
    await chat.show("list_tasks")
    await chat.button("A red balloon").click()

    await chat.is_view("task")
    await expect(chat.task).to_contain_text("A red balloon")
    chat.sandbox.finish(task_id)
    await chat.is_state("success")
    await chat.button("Back").click()
    await chat.is_view("gallery")
    await expect(chat.button("A red balloon")).to_be_focused()


async def test_news_of_a_task_reach_its_tile(chat: Chat) -> None:
    task_id = await chat.make(prompt="A red balloon")
    await chat.make(prompt="A green kite")
    await chat.show("list_tasks")
    red = chat.card.get_by_role("listitem").nth(1)
    await expect(red).to_contain_text("Accepted by KIE")
    await chat.button("A red balloon").click()
    chat.sandbox.finish(task_id)
    await chat.is_state("success")
    await chat.button("Back").click()

    await expect(red).to_contain_text("Finished")
    await expect(red.locator("img")).to_be_visible()
    await expect(chat.card.get_by_role("listitem")).to_have_count(2)


async def test_a_task_started_from_the_card_stands_first(chat: Chat) -> None:
    task_id = await chat.make(prompt="A red balloon")
    chat.sandbox.finish(task_id)
    await chat.show("list_tasks")
    await expect(chat.status).to_have_text("1 video")
    await chat.button("A red balloon").click()
    await chat.button("Extend").click()
    await chat.card.get_by_role("textbox", name="Prompt").fill("It flies over the sea")
    await chat.button(re.compile("^Start for")).click()
    await chat.is_state("wait")
    await chat.button("Back").click()
    await chat.is_state("success")
    await chat.button("Back").click()

    items = chat.card.get_by_role("listitem")
    await expect(items).to_have_count(2)
    await expect(items.nth(0).get_by_role("button", name="It flies over the sea")).to_be_visible()
    await expect(items.nth(0)).to_contain_text("Accepted by KIE")
    await expect(items.nth(1).get_by_role("button", name="A red balloon")).to_be_focused()


async def test_the_gallery_pages_on(chat: Chat) -> None:
    for number in range(5):
        await chat.make(prompt=f"Boat {number}")
    await chat.show("list_tasks", limit=3)
    items = chat.card.get_by_role("listitem")
    await expect(items).to_have_count(3)
    await chat.button("More").click()

    await expect(items).to_have_count(5)
    await expect(chat.button("More")).to_have_count(0)
    (call,) = await chat.calls("list_tasks")
    assert call["cursor"]


async def test_an_empty_gallery_says_so(chat: Chat) -> None:
    await chat.show("list_tasks")

    await chat.is_view("gallery")
    await expect(chat.view).to_contain_text("No ")
    await expect(chat.card.get_by_role("listitem")).to_have_count(0)
