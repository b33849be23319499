"""The cap's arithmetic, and the question to the user."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_runway.budget import DAY, Spend, may_ask, over_budget, question
from kie_runway.errors import OverBudgetError
from kie_runway.models import AlephRequest, ExtendRequest, GenerateRequest, PaidRequest

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOAT = GenerateRequest(prompt="a boat", aspect_ratio="16:9")
SHARP = GenerateRequest(prompt="a boat", aspect_ratio="16:9", quality="1080p")
MORE = ExtendRequest(task_id="abc", prompt="it sinks")
PAINTED = AlephRequest(prompt="as a watercolour", video_url="https://a.example/v.mp4")

credits = st.integers(0, 1000).map(lambda tenths: tenths / 10)


@given(
    wanted=credits,
    cap=credits,
    lately=st.lists(st.tuples(st.integers(1, 86_399), credits), max_size=20),
)
def test_refused_is_what_does_not_fit_until_the_moment_when_it_does(
    wanted: float, cap: float, lately: list[tuple[int, float]]
) -> None:
    spends = [Spend(NOW - timedelta(seconds=ago), spent) for ago, spent in sorted(lately)[::-1]]
    refusal = over_budget(wanted, spends, cap)

    def fits(at: datetime) -> bool:
        tenths = (spend.credits * 10 for spend in spends if spend.at > at - DAY)
        return round(sum(tenths)) + round(wanted * 10) <= round(cap * 10)

    assert (refusal is None) == fits(NOW)
    if refusal is not None:
        assert (refusal.room_at is None) == (wanted > cap)
    if refusal is not None and refusal.room_at is not None:
        assert fits(refusal.room_at)
        assert not fits(refusal.room_at - timedelta(seconds=1))


def test_a_refusal_names_the_next_whole_minute_with_its_day_and_never_says_try_again() -> None:
    early = OverBudgetError(12, spent=190, daily_credits=200, room_at=NOW + timedelta(seconds=1))
    exact = OverBudgetError(12, spent=190, daily_credits=200, room_at=NOW)
    never = OverBudgetError(1_500_000, spent=0, daily_credits=1_000_000.5, room_at=None)

    assert early.reason == (
        "This video would cost about 12 credits; 190 of the 200 a day (KIE_DAILY_CREDITS) were "
        "spent in the last 24 hours. There is room for it from 2026-11-21 12:01 UTC."
    )
    assert exact.reason.endswith("from 2026-11-21 12:00 UTC.")
    assert never.reason == (
        "This video would cost about 1,500,000 credits, more than the 1,000,000.5 a day that "
        "KIE_DAILY_CREDITS allows."
    )


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
