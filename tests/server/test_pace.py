"""The waiting policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_runway.pace import FIRST_LOOK_S, MEDIAN_S, UNWATCHED_CEILING_S, Pace


def looks(pace: Pace, *, watched: bool, until_s: float) -> list[float]:
    """When a task is looked at that takes this long, without jitter."""
    at: list[float] = []
    last = None
    while last is None or last < until_s:
        last = pace.next_look_s(last, watched=watched)
        at.append(round(last, 1))
    return at


def test_a_watched_task_is_looked_at_often_around_the_median() -> None:
    at = looks(Pace(), watched=True, until_s=60)

    assert at[:4] == [8.0, 30.0, 34.2, 38.4]
    assert len(at) <= 12


def test_an_unwatched_task_is_looked_at_seldom() -> None:
    assert looks(Pace(), watched=False, until_s=120) == [8.0, 108.0, 138.0]


def test_a_faster_sandbox_shrinks_every_figure_alike() -> None:
    slow = looks(Pace(), watched=True, until_s=200)
    fast = looks(Pace(scale=0.1), watched=True, until_s=20)

    assert fast == pytest.approx([at / 10 for at in slow], abs=0.06)


@given(
    elapsed=st.floats(0, 1e6),
    median=st.floats(1, 1e4),
    scale=st.floats(0.001, 1),
    watched=st.booleans(),
)
def test_the_next_look_is_always_later_and_never_absurdly_far(
    elapsed: float, median: float, scale: float, watched: bool
) -> None:
    pace = Pace(median, scale)
    due = pace.next_look_s(elapsed, watched=watched)

    assert due > elapsed
    longest = max(FIRST_LOOK_S, median * 1.8, UNWATCHED_CEILING_S) * scale
    assert due - elapsed <= longest * 1.001


def test_the_median_moves_the_looks() -> None:
    assert looks(Pace(median_s=MEDIAN_S * 2), watched=True, until_s=61)[1] == 60.0
