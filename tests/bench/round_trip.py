"""What the server adds to a call that needs nothing from KIE."""

import sys
import time
from collections.abc import Callable
from statistics import median

from tests.bench.report import Row, Section, at_most, spread
from tests.bench.sandbox import BenchSandbox
from tests.wire import RAW_ERAS, Wire

BARE = (sys.executable, "-m", "tests.bench.bare")
BATCH = 25
TARGET = 1.5


def round_trip(sandbox: BenchSandbox, batches: int) -> Section:
    """`get_task` on a finished task against an echo tool on the SDK's own stdio."""
    rows: list[Row] = []
    (task_id,) = sandbox.make(1)
    sandbox.finish()
    for era in RAW_ERAS:
        with Wire(era=era, env=sandbox.env) as ours, Wire(BARE, era=era) as bare:
            ours.open()
            bare.open()
            assert ours.tool("get_task", task_id=task_id)["state"] == "success"

            def look(wire: Wire = ours) -> None:
                wire.tool("get_task", task_id=task_id)

            def echo(wire: Wire = bare) -> None:
                wire.tool("echo", text=task_id)

            for call in (look, echo):  # the first answer has a picture, too
                batch(call)
            pairs = [(batch(look), batch(echo)) for _ in range(batches)]
        ratios = [median(pair[0]) / median(pair[1]) for pair in pairs]
        looks = [took for pair in pairs for took in pair[0]]
        echoes = [took for pair in pairs for took in pair[1]]
        rows += [
            spread(f"{era}, get_task", looks, "µs"),
            spread(f"{era}, bare echo", echoes, "µs"),
            at_most(f"{era}, ratio, median of {batches} batches", median(ratios), TARGET),
        ]
    return Section(
        "Round trip",
        "`get_task` on a finished task, which reads the ledger, over stdio, one call at a time, "
        "against an echo tool of the bare server.",
        rows,
    )


def batch(call: Callable[[], None]) -> list[float]:
    """Seconds of each call."""
    took: list[float] = []
    for _ in range(BATCH):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return took
