"""The pictures in docs/images/ are today's: the card looks like them, by structure."""

import io
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Browser
from tests.ui.chat import PROMPT, UNHURRIED, Chat, chatting, expect
from tests.ui.structure import compare
from tests.ui.studio import Studio

from kie_runway_sandbox.tasks import GENERATING_AT_S

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
TODAY = ROOT / "build" / "ui"
IMAGE_MAX_BYTES = 60_000
IMAGES_MAX_BYTES = 250_000
WIDTH_PX = 640
SINCE_LOADED_MS = 5_000  # so that no seconds tick on the card
SHOTS_MAX = 12  # Chromium fades a player's controls
AT = datetime(2026, 11, 20, 9, 41, tzinfo=UTC)
REEL = (
    "A city at night in the rain, neon lights",
    "Green aurora over snowy mountains",
    "An old sailing ship at dawn, gentle waves",
    "A planet and its moons in deep space",
    "A train crosses the hills in autumn",
)
DECODED = """async () => {
  const urls = [...document.querySelectorAll("img, video")].map((it) => it.currentSrc || it.src);
  const posters = [...document.querySelectorAll("video")].map((it) => it.poster);
  const loaded = [...posters, ...urls.filter((url) => /\\.png$/.test(url))].map((url) => {
    const image = new Image();
    image.src = url;
    return image.decode();
  });
  await Promise.all([...loaded, document.fonts.ready]);
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


@pytest.fixture(name="stage")
async def _stage(
    browser: Browser, script: bytes, studio: Studio, usual_s: float, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Chat]:
    """A chat in which it is always the same time, and the clips are those of their prompts."""
    monkeypatch.setattr(studio, "faithful", True)
    look = {"viewport": {"width": WIDTH_PX, "height": 900}, "device_scale_factor": 2}
    async with chatting(
        browser, script, studio, monkeypatch, at=AT, pace=UNHURRIED, look=look
    ) as chat:
        await chat.page.clock.set_fixed_time(AT)
        await chat.page.add_init_script(f"performance.now = () => {SINCE_LOADED_MS}")
        await chat.connect()
        yield chat
        chat.check()


async def running(chat: Chat) -> None:
    await chat.open()
    result = await chat.call("generate_video", prompt=PROMPT)
    chat.pass_time(seconds=42)
    await chat.tell("result", result)
    await chat.is_state("generating")


async def finished(chat: Chat) -> None:
    await chat.show_finished()
    await chat.video_is("readyState > 2", on="canplay")


async def gallery(chat: Chat) -> None:
    for prompt in REEL:
        task_id = await chat.make(prompt=prompt)
        chat.sandbox.finish(task_id)
        await chat.call("get_task", task_id=task_id, wait_seconds=45)
        chat.pass_time(hours=5)
    task_id = await chat.make(prompt=PROMPT)
    chat.pass_time(seconds=GENERATING_AT_S + 1)
    await chat.call("get_task", task_id=task_id)
    await chat.show("list_tasks")
    await chat.is_view("gallery")
    await expect(chat.card.get_by_role("listitem")).to_have_count(len(REEL) + 1)


async def photograph(chat: Chat) -> Image.Image:
    """The card as it looks now, once all of it has come and stands still."""
    await chat.frame.evaluate(DECODED)
    frame = chat.page.locator("iframe")
    shot = b""
    for _ in range(SHOTS_MAX):
        last, shot = shot, await frame.screenshot(animations="disabled")
        if shot == last:
            break
    return Image.open(io.BytesIO(shot)).convert("RGB")


SCENES: dict[str, Callable[[Chat], Awaitable[None]]] = {
    "card-running": running,
    "card-finished": finished,
    "gallery": gallery,
}


@pytest.mark.parametrize("name", SCENES)
async def test_the_documents_show_the_card_of_today(stage: Chat, name: str) -> None:
    await SCENES[name](stage)
    for theme in ("light", "dark"):
        await stage.tell("change", {"theme": theme})
        today = await photograph(stage)
        path = IMAGES / f"{name}-{theme}.webp"
        if os.environ.get("UPDATE_IMAGES"):
            today.save(path, quality=80, method=6)
        TODAY.mkdir(parents=True, exist_ok=True)
        today.save(TODAY / f"{name}-{theme}.png")
        difference = compare(Image.open(path), today, page_width_px=WIDTH_PX)

        assert difference.is_same_structure, (
            f"{path.relative_to(ROOT)} is not today's: {difference}. Look at build/ui/, then "
            "UPDATE_IMAGES=1 make ui"
        )


def test_the_pictures_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in IMAGES.glob("*.webp")}

    assert set(sizes) == {f"{name}-{theme}.webp" for name in SCENES for theme in ("light", "dark")}
    assert max(sizes.values()) <= IMAGE_MAX_BYTES
    assert sum(sizes.values()) <= IMAGES_MAX_BYTES


MUTANTS = {
    "the video is gone": "video { visibility: hidden }",
    "the video is shifted": "video { transform: translateX(48px) }",
    "the video is narrower": "video { width: 80% !important }",
    "all is upside down": "article { display: flex; flex-direction: column-reverse }",
    "the buttons are gone": "article button { visibility: hidden }",
    "the theme is wrong": "html { filter: invert(1) }",
    "the card is higher": "article { padding-bottom: 64px }",
}
OTHER_FONTS = {
    "serif": "* { font-family: 'DejaVu Serif', serif !important }",
    "another sans": "* { font-family: 'Liberation Sans', sans-serif !important }",
}


async def test_a_block_that_moves_is_noticed_and_another_font_is_not(stage: Chat) -> None:
    await finished(stage)
    before = await photograph(stage)

    async def changed(css: str) -> bool:
        style = await stage.frame.add_style_tag(content=css)
        difference = compare(before, await photograph(stage), page_width_px=WIDTH_PX)
        await style.evaluate("it => it.remove()")
        await stage.frame.evaluate("new Promise(requestAnimationFrame)")
        return not difference.is_same_structure

    assert not await changed("/* nothing */")
    assert {name for name, css in MUTANTS.items() if not await changed(css)} == set()
    assert {name for name, css in OTHER_FONTS.items() if await changed(css)} == set()
