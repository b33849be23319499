"""What the waiting policy costs and how soon it sees the end of a task, simulated."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist, mean

import pytest

from kie_runway.pace import JITTER, MEDIAN_S, STUCK_AFTER_S, Pace

SIGMA = 0.45
TASKS = 2000
SEED = 7

NextLook = Callable[[float], float]


@dataclass(frozen=True)
class Economics:
    """Means over many tasks; lateness is a share of their median duration."""

    looks: float
    late: float


def durations(median_s: float) -> list[float]:
    """The distribution's own quantiles: no draw is lucky."""
    logs = NormalDist(math.log(median_s), SIGMA)
    return [math.exp(logs.inv_cdf((number + 0.5) / TASKS)) for number in range(TASKS)]


def follow(
    next_look: NextLook, takes_s: float, chance: random.Random, *, delivered: bool
) -> tuple[int, float]:
    """How many looks a task takes, and the seconds from its end to the look that sees it."""
    at, looks, looked = 0.0, 0, 0.0
    while True:
        at += (next_look(looked) - at) * chance.uniform(1 - JITTER, 1 + JITTER)
        looks += 1
        if at >= takes_s:
            return looks, 0.0 if delivered else at - takes_s
        looked = at


def economics(
    median_s: float,
    *,
    learned: bool = True,
    watched: bool = True,
    called_back: bool = False,
    delivery: float = 0.0,
) -> Economics:
    pace = Pace()
    known_s = median_s if learned else None

    def next_look(looked: float) -> float:
        return pace.next_look_s(looked, known_s, watched=watched, called_back=called_back)

    chance = random.Random(SEED)
    outcomes = [
        follow(next_look, takes_s, chance, delivered=chance.random() < delivery)
        for takes_s in durations(median_s)
    ]
    return Economics(mean(looks for looks, _ in outcomes), mean(s for _, s in outcomes) / median_s)


@pytest.mark.parametrize("median_s", [40.0, MEDIAN_S, 120.0, 300.0])
def test_a_watched_task_takes_twelve_looks_and_its_end_is_seen_within_five_percent(
    median_s: float,
) -> None:
    watched = economics(median_s)

    assert watched.looks <= 12
    assert watched.late <= 0.05


def test_a_watched_short_task_is_not_looked_at_more_often_than_the_floor_allows() -> None:
    watched = economics(15.0)

    assert watched.looks <= 12
    assert watched.late * 15.0 <= 2.0  # seconds: less than the shortest pause


@pytest.mark.parametrize("median_s", [40.0, MEDIAN_S, 120.0, 300.0])
def test_an_unwatched_task_takes_three_looks(median_s: float) -> None:
    unwatched = economics(median_s, watched=False)

    assert unwatched.looks <= 3
    assert unwatched.late <= 1


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("delivery", [1.0, 0.95])
def test_a_task_that_is_called_back_takes_one_look_and_a_half(
    watched: bool, delivery: float
) -> None:
    called_back = economics(MEDIAN_S, watched=watched, called_back=True, delivery=delivery)

    assert called_back.looks <= 1.5
    assert called_back.late <= (1 - delivery) * 1.2  # what was lost is seen after two medians


def test_not_knowing_the_median_costs_looks_and_not_time() -> None:
    unknown = economics(2 * MEDIAN_S, learned=False)

    assert 12 < unknown.looks <= 25
    assert unknown.late <= 0.05


def test_a_task_that_never_ends_costs_a_look_an_hour() -> None:
    a_day = 24 * 3600.0
    looks, at = 0, 0.0
    while at < STUCK_AFTER_S + a_day:
        at = Pace().next_look_s(at, watched=True)
        looks += at > STUCK_AFTER_S

    assert looks <= 25
