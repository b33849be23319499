"""The price list."""

from datetime import date
from typing import get_args

import pytest

from kie_runway.models import (
    AlephRequest,
    ExtendRequest,
    GenerateRequest,
    PaidRequest,
    Quality,
    TaskKind,
)
from kie_runway.prices import estimate_credits, price_list

VIDEO = "https://a.example/v.mp4"
TEN_SECONDS = GenerateRequest(prompt="a boat", aspect_ratio="16:9", duration=10)


def clip(quality: Quality) -> GenerateRequest:
    return GenerateRequest(prompt="a boat", aspect_ratio="16:9", quality=quality)


def extension(quality: Quality) -> ExtendRequest:
    return ExtendRequest(prompt="a boat", task_id="abc", quality=quality)


@pytest.mark.parametrize(
    ("request_", "credits"),
    [
        (clip("720p"), 12),
        (clip("1080p"), 30),
        (TEN_SECONDS, 30),
        (extension("720p"), 12),
        (extension("1080p"), 30),
        (AlephRequest(prompt="a boat", video_url=VIDEO), 110),
    ],
    ids=["5 s", "1080p", "10 s", "extension", "1080p extension", "aleph"],
)
def test_every_request_has_its_price(request_: PaidRequest, credits: float) -> None:
    assert estimate_credits(request_) == credits


def test_the_list_says_when_it_was_checked_and_where_it_is_from() -> None:
    listed = price_list()

    assert listed.checked >= date(2026, 11, 21)
    assert listed.source.startswith("https://kie.ai/pricing")
    assert listed.usd_per_credit == 0.005


def test_guesses_are_marked_as_such() -> None:
    assumed = {price.kind for price in price_list().prices if price.assumed}
    known = {price.kind for price in price_list().prices if not price.assumed}

    assert assumed == {TaskKind.EXTEND}
    assert known == {TaskKind.GENERATE, TaskKind.ALEPH}


def test_no_two_prices_fit_one_request() -> None:
    requests: list[PaidRequest] = [TEN_SECONDS, AlephRequest(prompt="x", video_url=VIDEO)]
    for quality in get_args(Quality):
        requests += [clip(quality), extension(quality)]

    for request in requests:
        assert sum(price.is_of(request) for price in price_list().prices) == 1
