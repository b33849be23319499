"""The video in the card."""

import pytest
from tests.ui.chat import Chat, expect

pytestmark = pytest.mark.anyio


async def test_the_video_plays(chat: Chat) -> None:
    await chat.show_finished()
    video = chat.card.locator("video")
    await expect(video).to_be_visible()
    assert await video.get_attribute("controls") is not None
    assert await video.get_attribute("preload") == "metadata"
    poster = await video.get_attribute("poster")
    assert poster is not None
    assert poster in chat.requests

    await chat.video_is("readyState > 1", on="loadeddata")
    await video.click()

    await chat.video_is("currentTime > 0.3", on="timeupdate")
    assert await video.evaluate("video => [video.videoWidth, video.videoHeight]") == [640, 360]
    assert await video.evaluate("video => video.error") is None


async def test_a_video_that_is_gone_leaves_its_poster_and_a_link(chat: Chat) -> None:
    task_id = await chat.show_task()
    gone = f"**/media/{task_id}/video.mp4"
    await chat.page.route(gone, lambda route: route.abort())
    chat.sandbox.finish(task_id)
    await chat.is_state("success")

    await chat.button("Open video").click()
    await chat.expect_noise("ERR_FAILED")
    await chat.has_said("open-link")

    (opened,) = await chat.said("open-link")
    assert opened["url"].endswith(f"/media/{task_id}/video.mp4")
    await expect(chat.card.locator("img")).to_be_visible()


async def test_the_card_says_until_when_the_video_is_kept(chat: Chat) -> None:
    await chat.show_finished()

    await expect(chat.task).to_contain_text("KIE keeps it until")
