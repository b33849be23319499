"""The questions that the card asks before it spends anything."""

import re
from collections import Counter
from typing import Any

from playwright.async_api import Locator
from tests.ui.chat import PROMPT, Chat, expect

START = re.compile(r"^Start for about \d+ credits$")
HEADINGS = {
    "Extend": "Extend this video",
    "Restyle": "Restyle this video",
    "Again": "Make it again",
}
TOOLS = {"Extend": "extend_video", "Restyle": "aleph_generate", "Again": "generate_video"}
WISH = "It sails on into the night"


async def ask(chat: Chat, name: str) -> Locator:
    """Press a spending button; returns its question, with a prompt."""
    form = await question(chat, name)
    if name != "Again":
        await form.get_by_role("textbox", name="Prompt").fill(WISH)
    return form


async def question(chat: Chat, name: str) -> Locator:
    """Press a spending button; returns its question as it comes."""
    await chat.button(name).click()
    form = chat.card.get_by_role("form", name=HEADINGS[name], exact=True)
    await expect(form).to_be_visible()
    return form


async def start(form: Locator) -> None:
    """Answer the question with yes."""
    await form.get_by_role("button", name=START).click()


async def lose(chat: Chat, name: str) -> Locator:
    """Start something whose answer gets lost; returns its question."""
    await chat.spoil(TOOLS[name], "lose")
    form = await ask(chat, name)
    await start(form)
    await expect(form).to_contain_text("may have been started")
    return form


async def replay(chat: Chat, result: dict[str, Any], state: str = "success") -> None:
    """Open a card anew with an old result, as a host does that was reloaded."""
    await chat.open()
    await chat.tell("input", {"prompt": PROMPT})
    await chat.tell("result", result)
    await chat.is_state(state)


def paid_kinds(chat: Chat) -> Counter[str]:
    """What KIE was really paid for."""
    return Counter(str(entry.details["kind"]) for entry in chat.paid)
