"""Prompts as users pick them, on both eras."""

import re
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.types import TextContent
from tests.support import Era, connect

from kie_runway.settings import Settings

pytestmark = pytest.mark.anyio

INVALID_PARAMS = -32602
IMAGE = "https://media.example.com/in.png"
FILLED: dict[str, dict[str, str]] = {
    "text_to_video": {"idea": "a red paper boat"},
    "image_to_video": {"image": IMAGE, "motion": "the woman waves"},
    "restyle_video": {"video": "c0d088df35254cc3e7187fb7116b2efa", "change": "make it night"},
}
TOKENS_MAX = 260
BYTES_PER_TOKEN = 4  # o200k_base needs fewer tokens for such prose


async def said(client: Client, name: str, arguments: dict[str, str]) -> str:
    """A prompt's one message, which the user says."""
    (message,) = (await client.get_prompt(name, arguments)).messages
    assert message.role == "user"
    assert isinstance(message.content, TextContent)
    return message.content.text


async def test_all_are_listed_with_what_a_form_needs(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        listing = await agent.client.list_prompts()

    assert [prompt.name for prompt in listing.prompts] == list(FILLED)
    for prompt in listing.prompts:
        assert prompt.title
        assert prompt.description
        assert prompt.icons
        arguments = prompt.arguments or []
        assert {one.name for one in arguments if one.required} == set(FILLED[prompt.name])
        assert all(one.description for one in arguments)
    if era == "auto":  # the handshake era knows no cache hints
        assert (listing.ttl_ms, listing.cache_scope) == (3_600_000, "public")


@pytest.mark.parametrize(("name", "arguments"), FILLED.items())
async def test_a_prompt_leads_through_the_whole_journey(
    era: Era, name: str, arguments: dict[str, str]
) -> None:
    async with connect(Settings(), era) as agent:
        text = await said(agent.client, name, arguments)
        tools = {tool.name for tool in (await agent.client.list_tools()).tools}
        resources = {str(one.uri) for one in (await agent.client.list_resources()).resources}

    assert all(value in text for value in arguments.values())
    start, look = (
        ("aleph_generate", "aleph_get_task")
        if name == "restyle_video"
        else ("generate_video", "get_task")
    )
    order = [
        "kie://guide",
        "get_credits",
        f"Call {start} ",
        f"Call {look} ",
        "frames",
        "call save_video",
    ]
    assert [text.index(word) for word in order] == sorted(text.index(word) for word in order)
    assert set(re.findall(r"Call ([a-z_]+)", text)) <= tools
    assert set(re.findall(r"kie://[a-z]+", text)) <= resources | {"kie://tasks"}
    assert len(text.encode()) <= TOKENS_MAX * BYTES_PER_TOKEN


async def test_choices_have_defaults_and_may_be_left_empty(era: Era) -> None:
    async with connect(Settings(), era) as agent:
        default = await said(agent.client, "text_to_video", {"idea": "a boat"})
        empty = {"idea": "a boat", "duration": "", "quality": "", "aspect_ratio": ""}
        left_empty = await said(agent.client, "text_to_video", empty)
        chosen = {"idea": "a boat", "duration": "10", "aspect_ratio": "9:16"}
        other = await said(agent.client, "text_to_video", chosen)

    assert default == left_empty
    assert "duration=5, quality=720p, aspect_ratio=16:9" in default
    assert "duration=10, quality=720p, aspect_ratio=9:16" in other


@pytest.mark.parametrize(
    ("video", "told"),
    [
        ("https://media.example.com/a.mp4", "with video_url=https://media.example.com/a.mp4 "),
        ("file:///videos/a.mp4", "with video_url=file:///videos/a.mp4 "),
        ("c0d088df", "with the video_url of task c0d088df "),
    ],
)
async def test_a_video_is_an_address_or_a_task(era: Era, video: str, told: str) -> None:
    async with connect(Settings(), era) as agent:
        text = await said(agent.client, "restyle_video", {"video": video, "change": "x"})

    assert told in text


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing": ("text_to_video", {}, "`idea` is missing: it is required."),
    "an empty idea": ("text_to_video", {"idea": ""}, "`idea` is missing: it is required."),
    "a blank idea": ("text_to_video", {"idea": " "}, "`idea` is blank: write some visible text."),
    "a long idea": (
        "text_to_video",
        {"idea": "x" * 1801},
        "`idea` has 1801 characters and may have 1800: shorten it by 1.",
    ),
    "another quality": (
        "text_to_video",
        {"idea": "x", "quality": "4k"},
        "`quality` must be '720p' or '1080p'.",
    ),
    "10 s at 1080p": (
        "image_to_video",
        FILLED["image_to_video"] | {"duration": "10", "quality": "1080p"},
        "`duration` 10 needs `quality` 720p; 1080p needs `duration` 5.",
    ),
    "an unknown argument": (
        "text_to_video",
        {"idea": "x", "qualty": "720p"},
        "`qualty` is not an argument of this prompt: did you mean `quality`?",
    ),
    "another scheme": (
        "image_to_video",
        {"image": "ftp://media.example.com/a.png", "motion": "x"},
        "`image` must be an https or file URL.",
    ),
    "an image without a scheme": (
        "image_to_video",
        {"image": "a.png", "motion": "x"},
        "`image` must be an https or file URL.",
    ),
    "an unknown prompt": ("storyboard", {}, "Unknown prompt; prompts/list names them."),
}


@pytest.mark.parametrize(("name", "arguments", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_breaks_a_rule_is_explained(
    era: Era, name: str, arguments: dict[str, str], reason: str
) -> None:
    async with connect(Settings(), era) as agent:
        with pytest.raises(MCPError) as caught:
            await agent.client.get_prompt(name, arguments)

    assert (caught.value.code, caught.value.message) == (INVALID_PARAMS, reason)
