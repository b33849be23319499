"""What the card cannot do: speak to anybody but the videos' host, or take text for more."""

from asyncio import StreamReader, StreamWriter

import pytest
from tests.sockets import http, listening, read_request
from tests.ui.chat import Chat, expect, origin_of

from kie_runway_sandbox import Fault
from kie_runway_tools.card_resource import KNOWN_ORIGINS

pytestmark = pytest.mark.anyio

MARKUP = "<img src=x onerror=\"document.title='pwned'\"><b>bold</b><script>alert(1)</script>"
REACH = """async url => {
  const blocked = [];
  document.addEventListener("securitypolicyviolation", it => blocked.push(it.effectiveDirective));
  const fetched = await fetch(url).then(() => true, () => false);
  const shown = await new Promise(done => {
    const image = new Image();
    image.onload = () => done(true);
    image.onerror = () => done(false);
    image.src = url;
  });
  const run = await new Promise(done => {
    const script = document.createElement("script");
    script.onload = () => done(true);
    script.onerror = () => done(false);
    script.src = url;
    document.head.append(script);
  });
  return { fetched, shown, run, blocked };
}"""


async def test_no_other_host_can_be_reached_from_the_card(chat: Chat) -> None:
    reached: list[bytes] = []

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        reached.append(await read_request(reader))
        writer.write(http(b"{}", "Access-Control-Allow-Origin: *"))

    await chat.show_finished()
    async with listening(answer) as port:
        tried = await chat.frame.evaluate(REACH, f"http://127.0.0.1:{port}/")

    assert not any((tried["fetched"], tried["shown"], tried["run"]))
    assert sorted(tried["blocked"]) == ["connect-src", "img-src", "script-src-elem"]
    assert not reached
    await chat.expect_noise("Content Security Policy")


async def test_the_csp_names_the_videos_host_and_no_connection(chat: Chat) -> None:
    csp = await chat.open()

    assert "connect-src 'none'" in csp
    videos = " ".join((*KNOWN_ORIGINS, *(chat.origins - {origin_of(chat.page.url)})))
    assert f"media-src data: {videos};" in csp
    assert "*" not in csp
    assert "frame-src 'none'" in csp


async def test_a_prompt_is_text_whatever_it_says(chat: Chat) -> None:
    await chat.show(prompt=MARKUP)

    await chat.is_state("wait")
    await expect(chat.task).to_contain_text(MARKUP)
    assert await chat.card.locator("script, img, b").filter(has_text="bold").count() == 0
    assert await chat.frame.evaluate("document.title") != "pwned"


async def test_kies_words_are_text_whatever_they_say(chat: Chat) -> None:
    task_id = await chat.show_task()
    words = {"failMsg": MARKUP}
    chat.sandbox.inject(Fault("edit", "runway/record-detail", merge=words, times=None))
    chat.sandbox.fail(task_id)

    await chat.is_state("fail")
    await expect(chat.task).to_contain_text("<b>bold</b>")
    await expect(chat.card.locator("img[src='x'], b")).to_have_count(0)


async def test_the_card_can_open_nothing_by_itself(chat: Chat) -> None:
    await chat.show_finished()

    outward = "a[href], form[action], iframe, object, embed, link[href], script[src]"
    await expect(chat.card.locator(outward)).to_have_count(0)
