"""How many look-ups a finished task costs, and how late its end is seen."""

import asyncio
import math
from pathlib import Path
from statistics import mean, median, quantiles
from tempfile import TemporaryDirectory

from tests.bench.crowd import AT_ONCE, SPEED, Crowd, Followed, follow
from tests.bench.report import Row, Section, at_most
from tests.bench.sandbox import bench_sandbox

from kie_runway.pace import MEDIAN_S

SIGMA = 0.45
LONGER_S = 120.0
WATCHED_LOOK_UPS = 12
CALLED_BACK_LOOK_UPS = 1.5
WATCHED_LATE_PERCENT = 5
LOST_EVERY = 20
SEED = 2  # the first whose 200 draws have nearly the median, mean and sigma they should


def following(count: int) -> Section:
    """Tasks of realistic durations, followed through `open_app` by crowds of callers."""
    rows: list[Row] = []
    with TemporaryDirectory(prefix="kie-bench-") as directory:
        home = Path(directory)

        def run(folder: str, crowd: Crowd, usual_s: float = MEDIAN_S) -> list[Followed]:
            return _run(home / folder, crowd, usual_s, count)

        as_assumed = run("watched", Crowd())
        rows += [
            _durations(as_assumed),
            *_rows("watched", as_assumed, MEDIAN_S, WATCHED_LOOK_UPS, WATCHED_LATE_PERCENT),
        ]
        longer = run("longer", Crowd(), LONGER_S)
        rows += _rows(f"watched, {LONGER_S:.0f} s tasks, not yet learned", longer, LONGER_S)
        learned = run("longer", Crowd(), LONGER_S)
        rows += _rows(
            f"watched, {LONGER_S:.0f} s tasks, learned",
            learned,
            LONGER_S,
            WATCHED_LOOK_UPS,
            WATCHED_LATE_PERCENT,
        )
        unwatched = run("unwatched", Crowd(watched=False))
        rows += _rows("unwatched", unwatched, MEDIAN_S)
        called_back = run("called back", Crowd(called_back=True))
        rows += _rows("called back", called_back, MEDIAN_S, CALLED_BACK_LOOK_UPS)
        seen_ms = 1e3 * median(one.late_s for one in called_back) / SPEED
        rows.append(Row("called back: from the end to the row, median", f"{seen_ms:.0f} ms"))
        lossy = run("lossy", Crowd(called_back=True, lost_every=LOST_EVERY))
        rows += _rows(
            f"called back, {100 / LOST_EVERY:.0f} % lost", lossy, MEDIAN_S, CALLED_BACK_LOOK_UPS
        )
        shared = run("shared", Crowd(apps=2))
        rows += _rows(
            "watched in two servers on one ledger",
            shared,
            MEDIAN_S,
            WATCHED_LOOK_UPS,
            WATCHED_LATE_PERCENT,
        )
    return Section(
        "Following",
        f"{count} tasks in each case, {AT_ONCE} at once, as long as lognormal draws with a median "
        f"of {MEDIAN_S:.0f} s, which the server assumes until it has learned better, and a sigma "
        f"of {SIGMA}; on a clock {SPEED:.0f} times as fast, on which this machine's milliseconds "
        "count as much more. Look-ups are those the sandbox answered. Late is how long after the "
        "task its row became a success, as a share of the median.",
        rows,
    )


def _run(home: Path, crowd: Crowd, usual_s: float, count: int) -> list[Followed]:
    with bench_sandbox(
        advance="time",
        speed=SPEED * MEDIAN_S / usual_s,
        spread=SIGMA,
        seed=SEED,
        callback_spacing_s=1 / SPEED,
    ) as sandbox:
        return asyncio.run(follow(sandbox, home, crowd, count))


def _durations(followed: list[Followed]) -> Row:
    took = [one.took_s for one in followed]
    expected = MEDIAN_S * math.exp(SIGMA**2 / 2)
    return Row(
        "durations drawn, median and mean",
        f"{median(took):.1f} s and {mean(took):.1f} s (expected {MEDIAN_S:.0f} and {expected:.1f})",
    )


def _rows(
    what: str,
    followed: list[Followed],
    usual_s: float,
    look_ups_target: float | None = None,
    late_target: float | None = None,
) -> list[Row]:
    look_ups = mean(one.look_ups for one in followed)
    late = [100 * one.late_s / usual_s for one in followed]
    return [
        _judged(f"{what}: look-ups per task", look_ups, look_ups_target),
        _judged(f"{what}: late, mean", mean(late), late_target, " %"),
        Row(f"{what}: late, 95 of 100 within", f"{quantiles(late, n=20)[-1]:.1f} %"),
    ]


def _judged(what: str, value: float, target: float | None, unit: str = "") -> Row:
    if target is None:
        return Row(what, f"{value:,.2f}{unit}")
    return at_most(what, value, target, unit)
