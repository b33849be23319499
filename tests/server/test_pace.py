"""The waiting policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_runway.pace import MEDIAN_S, STUCK_AFTER_S, STUCK_EVERY_S, Pace


def looks(pace: Pace, *, watched: bool, until_s: float) -> list[float]:
    """When a task is looked at that takes this long, without jitter."""
    at: list[float] = []
    last = 0.0
    while last < until_s:
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
    called_back=st.booleans(),
)
def test_the_next_look_is_always_later_and_never_absurdly_far(
    elapsed: float, median: float, scale: float, watched: bool, called_back: bool
) -> None:
    due = Pace(scale).next_look_s(elapsed, median, watched=watched, called_back=called_back)

    assert due > elapsed
    longest = max(STUCK_EVERY_S * scale, median * 2, elapsed * 0.15)
    assert due - elapsed <= longest * 1.001


def test_the_median_moves_the_looks() -> None:
    assert Pace().next_look_s(8.0, MEDIAN_S * 2, watched=True) == 60.0


def test_a_task_that_is_called_back_is_looked_at_as_a_safety_net_alone() -> None:
    pace = Pace()

    assert pace.next_look_s(0, 100, watched=True, called_back=True) == 200
    assert pace.next_look_s(200, 100, watched=True, called_back=True) == pytest.approx(230)


@pytest.mark.parametrize("watched", [False, True])
def test_a_stuck_task_is_looked_at_every_hour(watched: bool) -> None:
    at = STUCK_AFTER_S
    for _ in range(14 * 24):
        after = Pace().next_look_s(at, watched=watched)
        assert after - at == STUCK_EVERY_S
        at = after
