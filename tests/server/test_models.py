"""The rules of paid requests: broken ones never become a request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kie_runway.errors import BadInputError
from kie_runway.models import (
    PROMPT_MAX_CHARS,
    AlephRequest,
    ExtendRequest,
    GenerateRequest,
    TaskState,
)


def test_ten_seconds_in_1080p_is_refused_with_the_cure() -> None:
    with pytest.raises(BadInputError, match="needs `quality` 720p"):
        GenerateRequest(prompt="x", duration=10, quality="1080p", aspect_ratio="16:9")


def test_text_mode_needs_an_aspect_ratio() -> None:
    with pytest.raises(BadInputError, match="aspect_ratio"):
        GenerateRequest(prompt="x")


def test_a_prompt_at_the_limit_is_accepted_and_one_over_is_not() -> None:
    GenerateRequest(prompt="x" * PROMPT_MAX_CHARS, aspect_ratio="16:9")

    with pytest.raises(ValidationError):
        GenerateRequest(prompt="x" * (PROMPT_MAX_CHARS + 1), aspect_ratio="16:9")


@pytest.mark.parametrize("prompt", ["", " \t\n", "a\x00b", "half a pair \ud83d"])
def test_prompts_no_service_can_use_are_refused(prompt: str) -> None:
    with pytest.raises(ValidationError):
        ExtendRequest(task_id="t", prompt=prompt)


def test_bidi_and_tag_characters_are_the_users_own() -> None:
    prompt = "\u202eobject\u202c \U000e0041"

    assert AlephRequest(prompt=prompt, video_url="https://a.example/v.mp4").prompt == prompt


@pytest.mark.parametrize("seed", [-1, 2**32, True, 1.5, "7"])
def test_a_seed_is_a_whole_number_of_32_bits(seed: object) -> None:
    with pytest.raises(ValidationError):
        AlephRequest.model_validate(
            {"prompt": "x", "video_url": "https://a.example/v.mp4", "seed": seed}
        )


@given(st.text(max_size=60))
def test_urls_are_web_addresses_without_spaces_or_controls(text: str) -> None:
    url = f"https://{text}"
    try:
        request = AlephRequest(prompt="x", video_url=url)
    except ValidationError:
        assert not url.isprintable() or " " in url
    else:
        assert request.video_url == url


def test_every_state_says_whether_it_was_charged() -> None:
    assert {state: state.charged for state in TaskState} == {
        TaskState.QUEUED: "no",
        TaskState.SUBMITTING: "unknown",
        TaskState.UNKNOWN: "unknown",
        TaskState.WAIT: "yes",
        TaskState.QUEUEING: "yes",
        TaskState.GENERATING: "yes",
        TaskState.SUCCESS: "yes",
        TaskState.FAIL: "unknown",
        TaskState.EXPIRED: "yes",
        TaskState.REJECTED: "no",
    }
