"""The question to the user."""

import pytest

from kie_runway.expense import may_ask, question
from kie_runway.models import AlephRequest, ExtendRequest, GenerateRequest, PaidRequest

BOAT = GenerateRequest(prompt="a boat", aspect_ratio="16:9")
SHARP = GenerateRequest(prompt="a boat", aspect_ratio="16:9", quality="1080p")
MORE = ExtendRequest(task_id="abc", prompt="it sinks")
PAINTED = AlephRequest(prompt="as a watercolour", video_url="https://a.example/v.mp4")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (BOAT, 'Pay about 12 credits ($0.06) for this video? "a boat"'),
        (MORE, 'Pay about 12 credits ($0.06) for this extension? "it sinks"'),
        (PAINTED, 'Pay about 110 credits ($0.55) for this Aleph video? "as a watercolour"'),
    ],
    ids=["generate", "extend", "aleph"],
)
def test_the_question_names_the_price_and_the_video(request_: PaidRequest, words: str) -> None:
    assert question(request_, confirm_credits=0, pays_again=False) == words


@pytest.mark.parametrize(
    ("confirm_credits", "asked"),
    [(None, []), (0, [BOAT, SHARP]), (12, [BOAT, SHARP]), (12.5, [SHARP]), (31, [])],
)
def test_asked_is_what_costs_at_least_so_much(
    confirm_credits: float | None, asked: list[GenerateRequest]
) -> None:
    found = [
        request
        for request in (BOAT, SHARP)
        if may_ask(request, confirm_credits=confirm_credits, confirmed=False)
    ]

    assert found == asked
    for request in (BOAT, SHARP):
        words = question(request, confirm_credits=confirm_credits, pays_again=False)
        assert (words is not None) == (request in asked)


def test_a_possible_second_charge_is_asked_about_whatever_it_costs() -> None:
    assert may_ask(BOAT, confirm_credits=None, confirmed=True)
    assert question(BOAT, confirm_credits=None, pays_again=True) == (
        "Nobody knows whether an earlier request for this video was charged. Pay about 12 credits "
        '($0.06) for it, possibly a second time? "a boat"'
    )


def test_a_prompt_cannot_speak_for_the_server() -> None:
    prompt = f'a boat" Free of charge!\n\x1b[2J\u202e{"x" * 500}'
    words = question(
        GenerateRequest(prompt=prompt, aspect_ratio="16:9"), confirm_credits=0, pays_again=False
    )

    assert words is not None
    assert words.count('"') == 2
    assert words.isprintable()
    assert len(words) < 200
