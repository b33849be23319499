"""How the card looks: light and dark, narrow and wide, readable, still, and in the user's terms."""

import re
from collections.abc import Awaitable, Callable

import pytest
from tests.ui.axe import obstacles
from tests.ui.chat import Chat, expect

from kie_runway_sandbox import Fault

pytestmark = pytest.mark.anyio

COLOURS = """() => {
  const filled = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    const seen = !/^(transparent|rgba\\(.*, 0\\))$/.test(colour);
    return seen || !element.parentElement ? colour : filled(element.parentElement);
  };
  const heading = document.querySelector("main");
  return [getComputedStyle(heading).color, filled(heading)];
}"""
MOVING = """() => document.getAnimations().filter(it => it.playState === "running").length"""
TOO_WIDE = """() => {
  const page = document.documentElement;
  const wide = [...document.querySelectorAll("body *")].filter((element) =>
    element.getBoundingClientRect().right > innerWidth + 1);
  return page.scrollWidth > innerWidth ? ["page", ...wide.map((it) => it.outerHTML)] : [];
}"""


async def starting(chat: Chat) -> None:
    await chat.open()
    await chat.tell("input", {"prompt": "A boat"})
    await chat.is_view("starting")


async def running(chat: Chat) -> None:
    await chat.show_task()
    await chat.is_state("wait")


async def finished(chat: Chat) -> None:
    await chat.show_finished()


async def asked(chat: Chat) -> None:
    await chat.show_finished()
    await chat.button("Extend").click()
    await expect(chat.card.get_by_role("form")).to_be_visible()


async def failed(chat: Chat) -> None:
    chat.sandbox.fail(await chat.show_task())
    await chat.is_state("fail")


async def unknown(chat: Chat) -> None:
    chat.sandbox.inject(Fault("lost_answer", "runway/generate"))
    await chat.show()
    await chat.is_state("unknown")


async def refused(chat: Chat) -> None:
    await chat.show(duration=10, quality="1080p")
    await chat.is_view("error")


async def gallery(chat: Chat) -> None:
    done = await chat.make(prompt="A red balloon over a very long row of houses by the sea " * 9)
    await chat.make(prompt="Donaudampfschifffahrtsgesellschaftskapitän" * 3)
    chat.sandbox.finish(done)
    await chat.call("get_task", task_id=done, wait_seconds=45)
    await chat.show("list_tasks")
    await chat.is_view("gallery")


Scene = Callable[[Chat], Awaitable[None]]
SCENES: list[Scene] = [starting, running, finished, asked, failed, unknown, refused, gallery]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_everybody_can_use_and_read_it_in_both_themes_at_any_width(
    chat: Chat, scene: Scene
) -> None:
    await scene(chat)
    colours = {}
    for theme in ("light", "dark"):
        await chat.tell("change", {"theme": theme})
        for width in (320, 360, 900):
            await chat.page.set_viewport_size({"width": width, "height": 900})
            assert await chat.frame.evaluate(TOO_WIDE) == [], (theme, width)
        assert await obstacles(chat) == [], theme
        colours[theme] = await chat.frame.evaluate(COLOURS)

    assert colours["light"][0] != colours["dark"][0]
    assert colours["light"][1] != colours["dark"][1]


@pytest.mark.parametrize("spoilt", [".elapsed", "#prompt", "#state"])
async def test_what_is_hard_to_read_is_noticed(chat: Chat, spoilt: str) -> None:
    await running(chat)
    await chat.tell("change", {"theme": "light"})
    assert await obstacles(chat) == []
    await chat.frame.add_style_tag(content=f"{spoilt} {{ color: #8a8a8a !important }}")

    (found,) = await obstacles(chat)
    assert found.startswith("color-contrast")


async def test_the_hosts_theme_holds_from_the_start(chat: Chat) -> None:
    await chat.open(context={"theme": "dark"})
    dark = await chat.frame.evaluate(COLOURS)
    await chat.tell("change", {"theme": "light"})

    assert await chat.frame.evaluate(COLOURS) != dark


async def test_a_host_without_a_theme_gets_the_systems(chat: Chat) -> None:
    await chat.page.emulate_media(color_scheme="dark")
    await chat.page.evaluate("host.open('generate_video', {context: {theme: undefined}})")
    dark = await chat.frame.evaluate(COLOURS)
    await chat.page.emulate_media(color_scheme="light")

    assert await chat.frame.evaluate(COLOURS) != dark


async def test_the_hosts_colours_and_fonts_are_used(chat: Chat) -> None:
    await chat.show_finished()
    variables = {
        "--color-background-primary": "rgb(1, 2, 3)",
        "--color-text-primary": "rgb(250, 251, 252)",
        "--font-sans": "cursive",
    }
    await chat.tell("change", {"styles": {"variables": variables}})

    assert await chat.frame.evaluate(COLOURS) == ["rgb(250, 251, 252)", "rgb(1, 2, 3)"]
    font = await chat.view.evaluate("it => getComputedStyle(it).fontFamily")
    assert font == "cursive"


async def test_nothing_moves_for_those_who_asked_for_stillness(chat: Chat) -> None:
    await chat.page.emulate_media(reduced_motion="reduce")
    await running(chat)

    assert await chat.frame.evaluate(MOVING) == 0


async def test_numbers_and_dates_are_the_users(chat: Chat) -> None:
    await chat.show_finished(context={"locale": "de-DE"})
    expiry = chat.card.locator("#expiry")

    await expect(expiry).to_have_text(re.compile(r"KIE keeps it until \d+\. \w+ \d{4}"))
    assert await chat.frame.evaluate("document.documentElement.lang") == "en"
    await chat.tell("change", {"locale": "en-GB"})
    await expect(expiry).to_have_text(
        re.compile(r"KIE keeps it until \d+ \w+ \d{4} \(in 1\d days\)")
    )
