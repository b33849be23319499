"""Answers that get lost: whatever is pressed next, nobody pays twice for one wish."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Locator
from tests.ui.chat import PROMPT, Chat, expect
from tests.ui.questions import (
    HEADINGS,
    START,
    TOOLS,
    ask,
    lose,
    paid_kinds,
    question,
    replay,
    start,
)

from kie_runway.errors import LedgerError
from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio

DEDUPLICATED = "An earlier start had already begun this one; nothing new was charged."
KINDS = {"Extend": "extend", "Restyle": "aleph", "Again": "generate"}


async def finished(chat: Chat) -> dict[str, Any]:
    """The first answer about a video that is finished by now."""
    result = await chat.call("generate_video", prompt=PROMPT)
    chat.sandbox.finish(result["structuredContent"]["task_id"])
    return result


def paid_once(chat: Chat, name: str) -> bool:
    """Whether one video was made, and one more by a button."""
    return sorted(paid_kinds(chat).elements()) == sorted(["generate", KINDS[name]])


def prompt_of(form: Locator) -> Locator:
    """Its field."""
    return form.get_by_role("textbox", name="Prompt")


async def test_a_lost_start_is_not_forgotten_when_the_next_is_refused_for_free(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chat.show_finished()
    form = await lose(chat, "Extend")
    app = await chat.server.services.ready()

    async def locked(*_: object, **__: object) -> None:
        raise LedgerError("The ledger is locked.")

    with monkeypatch.context() as patch:
        patch.setattr(type(app.ledger), "open_intent", locked)
        patch.setattr(type(app.ledger), "foresee", locked)
        await start(form)
        await expect(form).to_contain_text("Nothing was charged.")
    await expect(form).to_contain_text("The start before may have succeeded all the same")
    await expect(prompt_of(form)).not_to_be_editable()
    await start(form)
    await expect(chat.task).to_contain_text(DEDUPLICATED)

    assert paid_once(chat, "Extend")


@pytest.mark.parametrize("name", HEADINGS)
async def test_a_lost_start_is_found_from_a_reloaded_card(chat: Chat, name: str) -> None:
    result = await finished(chat)
    await replay(chat, result)
    await lose(chat, name)
    await replay(chat, result)
    await start(await ask(chat, name))

    await expect(chat.task).to_contain_text(DEDUPLICATED)
    assert paid_once(chat, name)


async def test_a_start_that_ended_unknown_is_found_again(chat: Chat) -> None:
    await chat.show_finished()
    chat.sandbox.inject(Fault("lost_answer", "runway/extend"))
    await start(await ask(chat, "Extend"))
    await chat.is_state("unknown")
    await chat.button("Back").click()
    await chat.is_state("success")
    form = await question(chat, "Extend")
    await expect(form).to_contain_text("the same prompt leads to it.")
    await start(form)
    await chat.is_state("unknown")

    assert paid_once(chat, "Extend")


@pytest.mark.parametrize("name", ["Extend", "Again"])
async def test_a_question_that_is_opened_anew_after_a_loss_says_so(chat: Chat, name: str) -> None:
    await chat.show_finished()
    form = await lose(chat, name)
    await form.get_by_role("button", name="Cancel").click()
    form = await question(chat, name)
    await expect(form).to_contain_text("The last start may have been charged")
    if name == "Extend":
        await expect(prompt_of(form)).to_be_editable()
    await start(form)

    await expect(chat.task).to_contain_text(DEDUPLICATED)
    assert paid_once(chat, name)


async def test_another_result_neither_closes_nor_takes_over_a_start_under_way(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await chat.call("generate_video", prompt="A red balloon")
    chat.sandbox.finish(other["structuredContent"]["task_id"])
    result = await finished(chat)
    await replay(chat, result)
    app = await chat.server.services.ready()
    submit, gate = app.submitter.start, asyncio.Event()

    async def held(*args: Any, **kwargs: Any) -> object:
        opened = await submit(*args, **kwargs)
        await gate.wait()
        return opened

    monkeypatch.setattr(app.submitter, "start", held)
    await chat.spoil("extend_video", "lose")
    form = await ask(chat, "Extend")
    await start(form)
    await chat.tell("result", other)
    await expect(chat.task).to_contain_text("A red balloon")
    await expect(form).to_be_visible()
    await chat.card.locator("#again").dispatch_event("click")
    await expect(form).to_be_visible()
    gate.set()
    await expect(form).to_contain_text("may have been started")
    await start(form)
    await expect(chat.task).to_contain_text(DEDUPLICATED)

    first, second = await chat.calls("extend_video")
    assert first == second
    assert paid_kinds(chat) == {"generate": 2, "extend": 1}


async def test_an_empty_answer_is_a_lost_one(chat: Chat) -> None:
    await chat.show_finished()
    await chat.page.evaluate("host.bridge.oncalltool = async () => ({content: []})")
    form = await ask(chat, "Extend")
    await start(form)

    await expect(form).to_contain_text("may have been started")
    await expect(prompt_of(form)).not_to_be_editable()
    await expect(form.get_by_role("button", name=START)).to_be_enabled()
    await chat.expect_noise("handler replaced")


async def test_the_model_is_told_once_of_a_lost_start(chat: Chat) -> None:
    await chat.show_finished()
    form = await lose(chat, "Extend")
    await chat.spoil("extend_video", "lose")
    await start(form)
    await expect(form.get_by_role("button", name=START)).to_be_enabled()
    await expect(form).to_contain_text("may have been started")

    await chat.has_said("model-context")
    (told,) = await chat.said("model-context")
    (block,) = told["content"]
    assert "extend_video" in block["text"]
    assert "may have been started" in block["text"]
    assert "list_tasks" in block["text"]


async def test_each_take_is_made_once_and_a_third_is_one_more_of_the_second(chat: Chat) -> None:
    result = await finished(chat)
    await replay(chat, result)
    await start(await ask(chat, "Again"))
    await chat.is_state("wait")
    chat.sandbox.finish(chat.sandbox.tasks[-1].task_id)
    await chat.is_state("success")
    await start(await ask(chat, "Again"))
    await chat.is_state("wait")
    await replay(chat, result)
    await start(await ask(chat, "Again"))
    await expect(chat.task).to_contain_text(DEDUPLICATED)

    first = chat.sandbox.tasks[0].task_id
    names = [call["request_id"] for call in await chat.calls(TOOLS["Again"])]
    assert names == [f"again-1-{first}", f"again-2-{first}", f"again-1-{first}"]
    assert paid_kinds(chat) == {"generate": 3}
